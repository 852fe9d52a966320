# SPDX-License-Identifier: Apache-2.0
"""POST console/input: typing without a session."""

import json
import re
import threading
import time

import pytest

from consoled import memory, rounds
from rest import FROZEN, RUNNING, STOPPED, Answer, UnixConnection, wait_until

READER = "sh -c 'stty raw -echo; echo ready; exec cat'"
SHOWER = "sh -c 'stty raw -echo; echo ready; exec cat -v'"
DEAF = "sh -c 'stty raw -echo; echo ready; exec sleep 1000'"
LATE = "sh -c 'stty raw -echo; echo ready; while [ ! -e %s ]; do sleep 0.01; done; exec cat'"


def type_in(instance, **body):
    return instance.api.post(instance.url + "/console/input", body)


def typed(instance, **body):
    answer = type_in(instance, **body)
    assert answer.status == 200, answer
    return answer.metadata


class Typing:
    """A request under way: the daemon has it, for it has answered one that came later."""

    def __init__(self, instance, **body):
        self.connection = UnixConnection(instance.api.path)
        self.connection.request("POST", instance.url + "/console/input", json.dumps(body), {"Connection": "close"})
        assert instance.api.get("/1.0").status == 200

    def answer(self):
        with self.connection.getresponse() as response:
            return Answer(response.status, response.headers, response.read())

    def leave(self):
        self.connection.close()


@pytest.fixture
def ready(make):
    """Makes an instance that has set its terminal."""

    def create(command, **how):
        instance = make(command, **how)
        instance.wait_log(b"ready\n")
        return instance

    return create


# --- what is typed ---


def test_text(ready):
    """Sessions: text goes as it is, in UTF-8."""
    instance = ready(READER)
    assert typed(instance, text="naïve 🐧\r\n\x1b[A\x7f") == {"bytes": 17}
    assert instance.wait_log(b"\x7f") == "ready\nnaïve 🐧\r\n\x1b[A\x7f".encode()


def test_keys(ready):
    """Sessions: keys as xterm sends them, behind the text."""
    instance = ready(SHOWER)
    names = "enter ctrl-c Up ctrl-left f1 f5 alt-x backspace shift-tab ctrl-space - ~"
    assert typed(instance, keys=names.split(), text="x") == {"bytes": 29}
    instance.wait_log(b"~")
    assert instance.log() == b"ready\nx^M^C^[[A^[[1;5D^[OP^[[15~^[x^?^[[Z^@-~"


@pytest.mark.parametrize("key", ["ctrl-c", "ctrl-d", "ctrl-\\"])
def test_what_a_terminal_makes_of_keys(make, key):
    """Sessions: enter ends a line; ctrl-c interrupts, ctrl-d is the end of a file."""
    instance = make("cat")
    typed(instance, text="abc", keys=["enter"])
    instance.wait_log(b"abc\r\nabc\r\n")
    typed(instance, keys=[key])
    instance.wait_status(STOPPED)


def test_one_after_the_other(ready):
    """Sessions: requests of one client are typed in their order."""
    instance = ready(READER)
    text = [f"{number} " for number in range(rounds(300, 30))]
    for each in text:
        typed(instance, text=each)
    assert instance.wait_log(text[-1].encode()) == ("ready\n" + "".join(text)).encode()


def test_requests_do_not_mix(ready):
    """Sessions: what one request types is in one piece, also when the instance takes it in many."""
    instance = ready(READER, config={"console.buffer.size": "4MiB"})
    size = 50000
    texts = [letter * size for letter in "abcdefghij"]
    threads = [threading.Thread(target=typed, args=(instance,), kwargs={"text": text}) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(instance.log()) == 6 + 10 * size)
    log = instance.log()[6:].decode()
    assert sorted(log[at : at + size] for at in range(0, 10 * size, size)) == texts


def test_beside_a_session(ready, open_session):
    """Design: any number may type into a console."""
    instance = ready(READER)
    session = open_session(instance)
    typed(instance, text="one ")
    session.expect("one ")
    session.type("two ").expect("two ")
    typed(instance, text="three")
    session.expect("three")


def test_a_restart_in_between(ready):
    """Promise 9: the next boot has the same console."""
    instance = ready(READER)
    typed(instance, text="one ")
    instance.wait_log(b"one ")
    instance.restart()
    wait_until(lambda: instance.log().count(b"ready\n") == 2)
    typed(instance, text="two ")
    assert instance.wait_log(b"two ") == b"ready\none ready\ntwo "


# --- an instance that does not read ---


def test_a_late_reader(ready, daemon):
    """Promise 4: typed early is typed: the answer comes when all has been taken, and so does what was asked later."""
    start = daemon.directory / "start"
    instance = ready(LATE % start)
    text = "x" * 65535 + "y"
    first, second = Typing(instance, text=text), Typing(instance, text="second")
    start.write_text("")
    assert first.answer().metadata == {"bytes": 65536}
    assert second.answer().metadata == {"bytes": 6}
    assert instance.wait_log(b"second") == b"ready\n" + text.encode() + b"second"
    start.unlink()


def test_nobody_reads(ready):
    """Sessions: after ten seconds the answer tells how much was taken; what waits behind it has had as long."""
    instance = ready(DEAF)
    begun = time.monotonic()
    waits = [Typing(instance, text=letter * 65536) for letter in "xy"]
    for each in waits:
        answer = each.answer()
        assert 9 < time.monotonic() - begun < 20
        assert answer.status == 408
        assert re.fullmatch(r"The instance has taken \d{1,5} of 65536 bytes within 10 seconds", answer.error)


def test_a_client_that_leaves(ready, daemon):
    """Sessions: the rest of what it wanted to type is dropped, and the next one's turn comes."""
    start = daemon.directory / "go"
    instance = ready(LATE % start)
    first, second = Typing(instance, text="x" * 65536), Typing(instance, text="second")
    first.leave()
    assert instance.api.get("/1.0").status == 200
    start.write_text("")
    assert second.answer().status == 200
    log = instance.wait_log(b"second")
    assert 6 < len(log) < 65536 and log == b"ready\n" + b"x" * (len(log) - 12) + b"second"
    start.unlink()


def test_clients_that_leave(ready, daemon):
    """Promise 7: nothing is left of them."""
    instance = ready(DEAF)
    blocking = Typing(instance, text="x" * 65536)
    for _ in range(rounds(400, 40)):
        Typing(instance, text="y" * 65536).leave()
    before = memory(daemon.pid)
    blocking.leave()
    assert memory(daemon.pid) - before < 1048576
    assert type_in(instance, keys=["foo"]).status == 400


def test_the_instance_ends(ready):
    """Sessions: an instance that ends takes no more."""
    instance = ready(DEAF)
    waits = [Typing(instance, text="x" * 65536) for _ in range(3)]
    instance.stop()
    for each in waits:
        answer = each.answer()
        assert (answer.status, answer.error) == (410, "The instance has ended")


def test_too_many(ready):
    """Promise 12: 64 requests of one instance may be under way."""
    instance = ready(DEAF)
    waits = [Typing(instance, text="x" * 65536) for _ in range(64)]
    answer = type_in(instance, text="x")
    assert (answer.status, answer.error) == (503, f"Too much is being typed into {instance.name}: limits.inputs is 64")
    instance.stop()
    assert {each.answer().status for each in waits} == {410}


def test_the_daemon_ends(own_daemon):
    """Promise 10: SIGTERM ends the daemon at once, whatever waits."""
    instance = own_daemon.create("x", DEAF).start()
    instance.wait_log(b"ready")
    waits = [Typing(instance, text="x" * 65536) for _ in range(3)]
    own_daemon.terminate()
    for each in waits:
        with pytest.raises((ConnectionError, OSError)):
            each.answer()


# --- what cannot be ---


@pytest.mark.parametrize(
    "body, status, error",
    [
        ({}, 400, "There is nothing to type"),
        ({"text": "", "keys": []}, 400, "There is nothing to type"),
        ({"keys": ["a", "foo", "b"]}, 400, 'Unknown key "foo"'),
        ({"keys": ["ctrl-enter"]}, 400, 'Key "ctrl-enter" sends nothing on a terminal'),
        ({"keys": ["super-a"]}, 400, 'Key "super-a" sends nothing on a terminal'),
        ({"keys": ["a", "break"]}, 400, 'Key "break" is only for serial ports'),
        ({"text": "x" * 65536, "keys": ["a"]}, 413, "More than 65536 bytes to type"),
        ({"text": "x", "type": "serial"}, 400, 'Unknown console type "serial"'),
        ({"text": "x", "type": "vga"}, 400, "VGA console is only supported by virtual machines"),
        (
            {"text": 5},
            400,
            "json: cannot unmarshal number into Go struct field InstanceConsoleInputPost.text of type string",
        ),
        (
            {"keys": "enter"},
            400,
            "json: cannot unmarshal string into Go struct field InstanceConsoleInputPost.keys of type []string",
        ),
        (
            {"keys": [5]},
            400,
            "json: cannot unmarshal number into Go struct field InstanceConsoleInputPost.keys of type string",
        ),
    ],
)
def test_what_cannot_be_typed(ready, body, status, error):
    """Promise 12: nothing of a request that is refused is typed."""
    instance = ready(READER)
    answer = type_in(instance, **body)
    assert (answer.status, answer.error) == (status, error)
    typed(instance, text="end")
    assert instance.wait_log(b"end") == b"ready\nend"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"text":"\\u0000"}', b'{"text":"\xff"}', b'{"text":"\\ud800"}'])
def test_what_is_no_request(ready, raw):
    """Promise 12."""
    instance = ready(READER)
    assert instance.api.request("POST", instance.url + "/console/input", raw=raw).status == 400


def test_states(make, daemon):
    """Protocol 8: LXD's words."""
    instance = make(READER, start=False)
    answer = type_in(instance, text="x")
    assert (answer.status, answer.error) == (400, "Instance is not running")
    instance.start().freeze()
    instance.wait_status(FROZEN)
    answer = type_in(instance, text="x")
    assert (answer.status, answer.error) == (400, "Instance is frozen")
    instance.unfreeze()
    instance.wait_status(RUNNING)
    assert typed(instance, text="x") == {"bytes": 1}
    answer = daemon.api.post("/1.0/instances/nosuch/console/input", {"text": "x"})
    assert (answer.status, answer.error) == (404, "Instance not found")


def test_it_is_noted(ready):
    """Log: who has typed without a session is in the console's history; what was typed is not."""
    instance = ready(READER)
    typed(instance, text="hunter2")
    acts = instance.api.read(instance.url + "/console/history")
    assert acts[-1]["action"] == "typed" and acts[-1]["type"] == "console"
    assert "hunter2" not in str(acts)


def test_it_is_announced(daemon):
    """Protocol: extensions of our own have names of our own."""
    assert "consoled_console_input" in daemon.api.read("/1.0")["api_extensions"]
