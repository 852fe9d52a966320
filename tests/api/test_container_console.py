# SPDX-License-Identifier: Apache-2.0
"""The console of a container keeps the promises that a program's keeps."""

import json
import re
import threading
import time

import pytest

from consoled import cpu_seconds, memory, rounds
from frames import BINARY, encode
from guest import FIRST_LINE, ContainerDaemon
from rest import CANCELLED, RUNNING, STOPPED, SUCCESS, wait_until
from session import Session
from test_console import assert_clean_end, size_of
from test_loops import Flat, sequence

DAEMON = ContainerDaemon
pytestmark = pytest.mark.timeout(180)

MEBIBYTE = 1 << 20
RAW_CAT = "stty raw -echo; echo ready; exec cat"


def flood(last, then="exec cat"):
    return f"stty raw -echo; echo ready; read go; seq 1 {last}; {then}"


@pytest.fixture
def booted(container):
    """Makes a running container whose init is a script that says `ready`."""

    def boot(init=RAW_CAT, **how):
        guest = container(init=init, **how)
        guest.wait_log(b"ready")
        return guest

    return boot


@pytest.fixture
def shell(container, open_session):
    """A session at the prompt of a container's shell."""
    guest = container()
    guest.wait_log(FIRST_LINE)
    return open_session(guest).at_prompt()


# --- bytes ---


def test_from_the_first_byte(container):
    """Promise 1: nothing of the output is missing, doubled or changed."""
    guest = container(init="printf 'first\\n'; exec cat")
    assert guest.wait_log(b"first\r\n") == b"first\r\n"


def test_every_byte_value(booted, open_session):
    """T29: all 256 values, both ways, byte for byte, in the session and in the log; UTF-8 cut anywhere."""
    guest = booted()
    session = open_session(guest)
    text = bytes(range(256)) + "häßlich ☃ \U0001f600".encode() + b"\xc3\x28\xf0\x28\x8c\xbc\xff\xfe\x00\x00"
    for number in range(len(text)):
        session.type(text[number : number + 1])
    assert session.expect_bytes(len(text)) == text
    session.type(text * 100)
    assert session.expect_bytes(101 * len(text)) == text * 101
    assert guest.log() == b"ready\n" + text * 101


def test_output_processing_is_the_guests(booted, open_session):
    """Promise 1: the terminal is the guest's to set: a newline becomes what its settings say, and only once."""
    init = "echo ready; read a; echo cooked; stty raw; echo raw; stty sane; echo sane; exec cat"
    session = open_session(booted(init))
    session.type("\n").expect("\r\ncooked\r\nraw\nsane\r\n")


def test_typed_early(container, open_session):
    """Promise 4: what is typed right after the 101 is typed, in order, though the guest is not yet reading."""
    guest = container(init="stty raw -echo; until test -e /go; do sleep 0.01; done; echo ready; exec cat")
    text = b"".join(b"%04d," % number for number in range(600))
    session = open_session(guest).type(text)
    (guest.rootfs / "go").touch()
    session.expect(re.escape(b"ready\n" + text))


@pytest.mark.parametrize("chunk", [1, 100, 131072])
def test_paste(booted, open_session, chunk):
    """T21: large pastes into a guest that echoes them: no deadlock (liblxc's monitor must never wait for a guest that
    waits for it), nothing lost, in order."""
    text = sequence(70000 if chunk > 1 else 4000)
    guest = booted(config={"console.buffer.size": "4MiB"})
    for _ in range(rounds(20, 5)):
        session = open_session(guest)
        pasting = threading.Thread(target=paste, args=(session, text, chunk))
        pasting.start()
        assert session.expect_bytes(len(text), 30) == text
        pasting.join()
        session.detach()


def paste(session, text, chunk):
    try:
        for offset in range(0, len(text), chunk):
            session.data.binary(text[offset : offset + chunk])
    except OSError:
        pass  # the test has ended the session: it tells why


def test_nothing_is_typed_by_the_server(booted, open_session):
    """Promise 6: not at attach, resize, detach, takeover or a killed client's end."""
    guest = booted("stty raw -echo; echo ready; exec cat")
    for _ in range(5):
        open_session(guest).resize(90, 20).detach().drain()
        session = open_session(guest, {"force": True})
        session.abort()
        session.result()
    open_session(guest).type("x").expect("x")
    assert guest.log() == b"ready\nx"


def test_written_to_dev_console(container):
    """Containers: what any process of the guest writes to /dev/console is in the log, beside the shell's."""
    guest = container()
    guest.wait_log(FIRST_LINE)
    guest.execute("echo from a daemon; seq 1 3 >/dev/console")
    guest.wait_log(b"from a daemon\r\n1\r\n2\r\n3\r\n")


# --- the window ---


def test_size_of_the_request(container, open_session):
    """Protocol 8: width and height of the POST reach the guest."""
    guest = container()
    guest.wait_log(FIRST_LINE)
    assert size_of(open_session(guest, {"width": 101, "height": 33}).at_prompt()) == (101, 33)


def test_resize(shell):
    """Protocol 8: a resize reaches the guest's terminal, again and again."""
    for width, height in ((120, 40), (81, 26), (200, 60)):
        shell.resize(width, height)
        wait_until(lambda: size_of(shell) == (width, height), what=f"{width}x{height}")


def test_resize_signals(shell):
    """Protocol 8: and the program in the foreground gets SIGWINCH."""
    shell.type("sh -c 'trap \"stty size; exit\" WINCH; echo wait-$((1)); while :; do sleep 0.02; done'\n")
    shell.expect("wait-1")
    shell.resize(133, 44).expect("44 133")


# --- ends ---


def test_poweroff_with_a_flood_before_it(booted, open_session):
    """Promise 8: 200 KB printed just before the poweroff: all of it arrives, then the end mark; Success."""
    text = sequence(36000)
    assert len(text) > 200000
    for _ in range(rounds(20, 3)):
        guest = booted(flood(36000, "poweroff -f"))
        session = open_session(guest).type("\n")
        assert_clean_end(session)
        assert session.output == text
        assert guest.log() == b"ready\n" + text
        guest.wait_status(STOPPED)


@pytest.mark.parametrize("end", ["poweroff -f", "exit 3", "kill -9 $$; poweroff -f", "halt -f"])
def test_ends_of_the_guest(booted, open_session, end):
    """Promise 8: however the guest ends itself, it is a clean end with its last words. (The first process of a
    container cannot kill itself: kill(2).)"""
    guest = booted(f"stty raw -echo; echo ready; read go; echo last words; {end}")
    session = open_session(guest).type("\n")
    assert_clean_end(session)
    assert session.output == b"last words\n"
    guest.wait_status(STOPPED)


def test_poweroff_by_its_init(shell):
    """Promise 8: the same when it shuts down in order."""
    shell.type("poweroff\n")
    assert_clean_end(shell)


@pytest.mark.parametrize("force", [True, False])
def test_stop_by_another_client(shell, force):
    """Design: the operation of a stopped instance is Success."""
    shell.instance.stop(force=force)
    assert_clean_end(shell)


def test_slow_client_at_the_end(container):
    """T14: half a megabyte is queued for a slow client when the guest ends: all of it arrives, then the close."""
    guest = container(init=flood(75000, "poweroff -f"), config={"console.buffer.size": "1MiB"})
    session = Session(guest).attach(receive_buffer=4096).type("\n")
    guest.wait_status(STOPPED)
    assert session.drain(60).endswith(sequence(75000))
    assert session.end_mark and session.data.closed == b""
    session.abort()


# --- new boots ---


def test_reboot_from_inside(shell):
    """Promise 9: the session goes on over the guest's own reboot, on a new boot with a number of its own."""
    guest = shell.instance
    boots = guest.boots()
    pid = guest.pid
    for number in range(rounds(10, 2)):
        shell.type("reboot -f\n").expect(re.escape(FIRST_LINE))
        shell.expect("[#$] ")
        assert b"42" in shell.run("echo $((40+2))")
    assert shell.operation()["status_code"] == RUNNING
    assert guest.status == RUNNING and guest.pid != pid
    assert guest.boots() == [*boots, *range(boots[-1] + 1, boots[-1] + 2 + number)]
    shell.resize(99, 31)
    wait_until(lambda: size_of(shell) == (99, 31))


def test_last_bytes_before_a_reboot(booted, open_session):
    """Promise 9: what is printed right before a reboot arrives, then what is printed after it."""
    text = sequence(36000)
    guest = booted(
        "stty raw -echo; test ! -e /again || { echo again; exec cat; }; touch /again\n" + flood(36000, "reboot -f")
    )
    session = open_session(guest, {"notices": False}).type("\n")
    whole = text + b"again\n"
    assert session.expect_bytes(len(whole)) == whole
    session.type("x").expect("x")
    assert guest.log() == b"ready\n" + whole + b"x"


@pytest.mark.parametrize("force", [True, False])
def test_restart_keeps_the_session(shell, force):
    """Promise 9: so it does over a restart through the API."""
    guest = shell.instance
    boots = guest.boots()
    guest.restart(force=force)
    shell.expect(re.escape(FIRST_LINE))
    shell.at_prompt()
    assert b"42" in shell.run("echo $((40+2))")
    assert shell.operation()["status_code"] == RUNNING
    assert guest.boots() == [*boots, boots[-1] + 1]


def test_pause_keeps_the_session(booted, open_session):
    """Protocol 8: input typed while frozen flows after the resume."""
    guest = booted()
    session = open_session(guest).type("before,")
    session.expect("before,")
    guest.freeze()
    session.type("during,")
    guest.unfreeze()
    session.type("after.").expect("during,after.")


# --- nobody blocks a guest ---


def test_flood(booted, open_session):
    """Promise 3: a reader that reads gets every byte, in order."""
    last = rounds(2000000, 300000)
    guest = booted(flood(last))
    session = open_session(guest).type("\n")
    assert session.expect_bytes(len(sequence(last)), 120) == sequence(last)


def test_nobody_attached(booted, open_session):
    """T19: the console is drained all the same, with nobody there; the guest never blocks."""
    last = rounds(2000000, 300000)
    guest = booted(flood(last, "echo done; exec cat"))
    session = open_session(guest).type("\n")
    session.abort()
    log = guest.wait_log(b"\ndone\n", 120)
    assert sequence(last).endswith(log[:-5])


def test_stalled_reader(booted, open_session):
    """T18, promise 3: one that does not read stops neither the guest nor the others, nor state, freeze and stop."""
    last = rounds(2000000, 300000)
    guest = booted(flood(last, "echo end; exec cat"))
    daemon = guest.daemon
    stuck = open_session(guest, receive_buffer=4096)
    fast = open_session(guest)
    before = memory(daemon.pid)
    fast.type("\n").expect_bytes(len(sequence(last)), 120)
    fast.expect("end")
    assert fast.output.endswith(sequence(last) + b"end\n")
    assert memory(daemon.pid) < before + 64 * MEBIBYTE
    guest.freeze()
    guest.unfreeze()
    assert guest.state()["status"] == "Running"
    guest.stop()
    assert not stuck.ended


def test_late_reader_is_told_what_it_missed(booted, open_session):
    """Promise 3: who comes back gets a note in band, and from there on every byte."""
    last = rounds(2000000, 600000)
    guest = booted(flood(last, "echo end; read again; echo over"))
    stuck = open_session(guest, receive_buffer=4096).type("\n")
    guest.wait_log(b"end\n", 120)
    stuck.expect("end\n", 60)
    assert re.search(rb"\d+ bytes", stuck.output), "not told of the loss"
    tail = [int(number) for number in re.findall(rb"\d+", stuck.output[-20000:-4])][1:]
    assert tail[-1] == last and all(b == a + 1 for a, b in zip(tail, tail[1:]))
    stuck.type("\n").drain()
    assert stuck.output.endswith(b"over\n") and stuck.end_mark


def test_slow_reader_gets_every_byte(booted, open_session):
    """Promise 3: a reader that makes progress loses nothing, however slow; the guest is held back for it, and stays
    manageable."""
    last = rounds(400000, 100000)
    guest = booted(flood(last), config={"console.buffer.size": "64KiB"})
    slow = open_session(guest, receive_buffer=4096).type("\n")
    whole = sequence(last)
    while len(slow.output) < len(whole):
        slow.read(60)
        if len(slow.output) % 97 == 0:
            guest.state()  # the time that a look at something else takes
    assert slow.output == whole


def test_input_that_is_not_read(booted, open_session):
    """T22: a guest that does not read stops that one client only: what it prints goes on, and so do state and stop."""
    ticks = "(while :; do echo tick; sleep 0.02; done) & exec sleep 1000"
    guest = booted("stty raw -echo; echo ready; " + ticks)
    session, other = open_session(guest), open_session(guest)
    session.data.socket.settimeout(1)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 256 * MEBIBYTE:
            session.data.send_raw(encode(BINARY, b"x" * 65536))
            sent += 65536
    while other.data.pending():
        other.read()
    other.output.clear()
    other.seen = 0
    for _ in range(20):
        other.expect("tick", 5)
    guest.freeze()
    guest.unfreeze()
    other.detach()
    assert other.result()["status_code"] == SUCCESS
    begun = time.monotonic()
    guest.stop(force=True)
    assert time.monotonic() - begun < 5


def test_idle_costs_nothing(container):
    """Design: no polling: a container at its prompt costs daemon, keeper and monitor no processor time."""
    guest = container()
    guest.wait_log(FIRST_LINE)
    pids = [guest.daemon.pid, guest.daemon.keepers()[guest.name], guest.monitor()]
    waiting = Session(guest)  # its operation ends at nothing, so that the wait is one of two seconds
    before = [cpu_seconds(pid) for pid in pids]
    guest.api.get(f"/1.0/operations/{waiting.id}/wait?timeout=2")
    assert [cpu_seconds(pid) - old < 0.05 for pid, old in zip(pids, before)] == [True] * 3
    guest.api.delete(f"/1.0/operations/{waiting.id}")


# --- several ---


def test_many_sessions(container, open_session):
    """Promise 5: all see all output, and each may type."""
    guest = container()
    guest.wait_log(FIRST_LINE)
    sessions = [open_session(guest) for _ in range(30)]
    sessions[0].at_prompt()
    for number, session in enumerate(sessions):
        session.type(f"echo from-$((1000+{number}))\n")
        for each in sessions:
            each.expect(rf"from-{1000 + number}\r\n")
    sessions[0].detach()
    sessions[1].abort()
    for session in sessions[:2]:
        assert session.result()["status_code"] == SUCCESS
    sessions[2].run("echo fine")
    guest.stop()
    for session in sessions[2:]:
        assert_clean_end(session)


def test_force(container, open_session):
    """Promise 5: force takes over; the others end, told why."""
    guest = container()
    guest.wait_log(FIRST_LINE)
    old = [open_session(guest), open_session(guest)]
    new = open_session(guest, {"type": "console", "force": True})
    for session in old:
        session.drain()
        assert session.result()["status_code"] == CANCELLED
        told = session.output + (session.data.closed or b"")[2:]
        assert re.search(rb"tak(en|e) ?over|force", told), f"not told why: {told!r}"
    new.at_prompt().run("echo mine")


def test_attach_and_detach(container):
    """T7: hundreds of times; nothing grows, and the console is live at the end."""
    guest = container()
    guest.wait_log(FIRST_LINE)
    with Flat(guest.daemon):
        for number in range(rounds(300)):
            session = Session(guest).attach()
            session.type(f"echo n-$(({number}+1000))\n").expect(f"n-{number + 1000}\r\n")
            session.detach()
            assert session.result()["status_code"] == SUCCESS
            session.abort()


# --- the log ---


def test_log(container):
    """Promise 2: reading does not consume; DELETE empties; what comes later is there; one log over all boots."""
    guest = container()
    first = guest.wait_log(FIRST_LINE)
    assert guest.log().startswith(first) and guest.log().startswith(first)
    guest.clear_log()
    guest.execute("echo later")
    assert FIRST_LINE not in guest.wait_log(b"later\r\n")
    guest.restart()
    assert b"later\r\n" in guest.wait_log(FIRST_LINE)
    guest.stop()
    stopped = guest.log()
    assert FIRST_LINE in stopped and guest.log() == stopped


def test_logs_list(container):
    """Containers: liblxc's own log beside the list of boots."""
    guest = container()
    listed = guest.api.read(guest.url + "/logs")
    assert {url.rsplit("/", 1)[1] for url in listed} >= {"lxc.log", "boots"}
    assert guest.boots() == [1]
    guest.restart()
    assert guest.boots() == [1, 2]


def test_resize_message_of_every_client(shell):
    """Protocol 8: numbers as strings, in a binary frame too."""
    shell.control.binary(json.dumps({"command": "window-resize", "args": {"width": "97", "height": "37"}}).encode())
    wait_until(lambda: size_of(shell) == (97, 37))
