# SPDX-License-Identifier: Apache-2.0
"""POST console/input of virtual machines: their serial port, its break, and their keyboard."""

import threading
import time

import pytest

from machine import READY, MachineDaemon
from rest import wait_until

DAEMON = MachineDaemon
pytestmark = pytest.mark.timeout(180)


def type_in(machine, **body):
    return machine.api.post(machine.url + "/console/input", body)


def typed(machine, **body):
    answer = type_in(machine, **body)
    assert answer.status == 200, answer
    return answer.metadata


@pytest.fixture
def booted(machine):
    return machine().wait_boot()


def wait_echo(machine, text):
    wait_until(lambda: machine.log().endswith(text), what=f"{text!r} at the end of {machine.log()!r}")


def test_the_serial_port(booted):
    """Sessions: text and keys, as for any console."""
    assert typed(booted, text="hello ", keys=["up", "enter"]) == {"bytes": 10}
    wait_echo(booted, READY + b"hello \x1b[A\r")


def test_a_break(booted):
    """Sessions: a break of the line, which the UART tells its guest as a NUL; text behind it comes behind it."""
    typed(booted, keys=["break", "h", "x"])
    wait_echo(booted, READY + b"\0hx")
    assert typed(booted, keys=["break"]) == {"bytes": 0}
    wait_echo(booted, READY + b"\0hx\0")


def test_the_keyboard(booted):
    """Sessions: what is typed on a keyboard with the US layout, in order."""
    assert typed(booted, type="vga", text="Hello, World! ~{|}\n", keys=["a", "B", "shift-c", "ctrl-d", "tab"]) == {}
    wait_echo(booted, READY + b"Hello, World! ~{|}\raBC\x04\t")


def test_all_of_ascii(booted):
    """Sessions: each printable character has its key."""
    text = "".join(map(chr, range(32, 127)))
    typed(booted, type="vga", text=text)
    wait_echo(booted, READY + text.encode())


def test_more_than_qemu_queues(booted):
    """Sessions: QEMU drops keys when too many wait; it is not given so many. The answer comes when all are typed."""
    text = "".join(f"{number:03} " for number in range(100))
    begun = time.monotonic()
    typed(booted, type="vga", text=text)
    assert time.monotonic() - begun > 400 * 0.02
    wait_echo(booted, READY + text.encode())


def test_ctrl_alt_delete(booted):
    """Sessions: the chord that reboots a PC."""
    typed(booted, type="vga", keys=["ctrl-alt-delete"])
    booted.wait_boot(2)
    typed(booted, type="vga", text="x")
    wait_echo(booted, READY + b"x")


def test_both_at_once(booted):
    """Sessions: the keyboard does not wait for the serial port, and requests for it do not mix."""
    texts = ["a" * 60, "B" * 60, "c" * 60]
    threads = [threading.Thread(target=typed, args=(booted,), kwargs={"type": "vga", "text": text}) for text in texts]
    for thread in threads:
        thread.start()
    typed(booted, text=".")
    for thread in threads:
        thread.join()
    wait_until(lambda: len(booted.log()) == len(READY) + 181)
    found = booted.log()[len(READY) :].decode().replace(".", "")
    assert sorted(found[at : at + 60] for at in (0, 60, 120)) == sorted(texts)


@pytest.mark.parametrize(
    "body, error",
    [
        ({"keys": ["a", "foo"]}, 'Unknown key "foo"'),
        ({"keys": ["a", "break"]}, 'Key "break" is only for serial ports'),
        ({"text": "caf\u00e9"}, "There is no key for byte 0xc3 of the text on a US keyboard"),
        ({"keys": ["ctrl-alt-shift-super-a"]}, 'Unknown key "ctrl-alt-shift-super-a"'),
    ],
)
def test_what_a_keyboard_does_not_have(booted, body, error):
    """Promise 12: nothing of a request that is refused is typed."""
    answer = type_in(booted, type="vga", **body)
    assert (answer.status, answer.error) == (400, error)
    typed(booted, type="vga", text="x")
    wait_echo(booted, READY + b"x")


def test_every_key_is_one_of_qemus(booted):
    """Sessions: QEMU knows all the keys that we do."""
    names = """
        esc tab backspace space up down left right home end insert delete pageup pagedown f1 f2 f3 f4 f5 f6 f7 f8 f9 f10
        f11 f12 ctrl ctrl_r alt alt_r altgr shift shift_r super meta_l meta_r menu compose print sysrq pause caps_lock
        caps_lock num_lock num_lock scroll_lock scroll_lock less kp_0 kp_1 kp_2 kp_3 kp_4 kp_5 kp_6 kp_7 kp_8 kp_9
        kp_enter kp_add kp_subtract kp_multiply kp_divide kp_decimal sleep wake volumeup volumedown audiomute
    """
    assert typed(booted, type="vga", keys=names.split()) == {}
    assert typed(booted, type="vga", keys=["power"]) == {}
    assert booted.state()["status"] == "Running"


def test_a_machine_that_is_not_there(booted):
    """Protocol 8: LXD's words; the end of one that is being typed into is told."""
    booted.freeze()
    assert type_in(booted, type="vga", text="x").error == "Instance is frozen"
    booted.unfreeze()
    booted.stop()
    assert type_in(booted, type="vga", text="x").error == "Instance is not running"
    assert type_in(booted, keys=["break"]).error == "Instance is not running"


def test_the_end_in_between(booted):
    """Sessions: a machine that is stopped while somebody types on its keyboard."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(type_in(booted, type="vga", text="x" * 1000)))
    thread.start()
    wait_until(lambda: booted.log().endswith(b"xxx"))
    booted.stop()
    thread.join()
    assert (answers[0].status, answers[0].error) == (410, "The instance has ended")
