# SPDX-License-Identifier: Apache-2.0
"""GET of the console with follow=1: what there is, then what comes, to the end of the instance."""

import hashlib
import http.client
import json
import re
import select
import statistics
import sys
import time
from pathlib import Path

import pytest

from consoled import descriptors, instrumented
from rest import RUNNING, STOPPED, UnixConnection, wait_until
from test_log_api import CAT, MARK, output_of, parse_time

KIB = 1024
NOTICE = re.compile(rb"\r\n\[consoled: (\d+) bytes skipped\]\r\n")


class Follower:
    """A GET whose answer is read as it comes."""

    def __init__(self, instance, query=""):
        self.connection = UnixConnection(instance.api.path)
        self.connection.request("GET", f"{instance.url}/console?follow=1{query}")
        self.socket = self.connection.sock
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.body = bytearray()

    def read(self, timeout=20):
        """Takes in what has come, waiting for it; False at the end of the body."""
        self.socket.settimeout(timeout)
        data = self.response.read1(65536)
        self.body += data
        return bool(data)

    def expect(self, text, timeout=20):
        deadline = time.monotonic() + timeout
        while text not in self.body:
            assert self.read(deadline - time.monotonic()), f"{text!r} not in {bytes(self.body[-500:])!r}, which is all"
        return self

    def rest(self):
        """All of it, to the end."""
        while self.read():
            pass
        return bytes(self.body)

    def silent(self):
        """Whether nothing is there to be read now."""
        return not select.select([self.socket], [], [], 0)[0]

    def close(self):
        self.response.close()
        self.connection.close()


@pytest.fixture
def follow():
    """Follows logs: follow(instance, "&format=plain"). Followers leave after the test."""
    followers = []

    def start(instance, query=""):
        followers.append(Follower(instance, query))
        return followers[-1]

    yield start
    for follower in followers:
        follower.close()


@pytest.fixture
def cat(make):
    """A running instance that prints what is typed."""
    instance = make(CAT)
    instance.wait_log(b"ready\n")
    return instance


def private_memory(pid):
    """Bytes that are the process's own: not the log, which is a file."""
    return KIB * int(re.search(r"^Anonymous: *(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1))


def sequence(first, last):
    return b"".join(b"%d\n" % number for number in range(first, last + 1))


# --- what comes ---


def test_follow(cat, open_session, follow):
    """Log: what there is, then what comes, then the end with the instance's."""
    follower = follow(cat)
    assert follower.response.headers["Content-Type"] == "application/octet-stream"
    assert follower.response.headers["Cache-Control"] == "no-store"
    assert follower.response.headers["Consoled-Range"] == "0-"
    follower.expect(b"ready\n")
    session = open_session(cat)
    for number in range(3):
        session.type(f"line {number}\n")
        follower.expect(b"line %d\n" % number)
    cat.stop()
    assert follower.rest() == cat.log() == b"ready\nline 0\nline 1\nline 2\n"


def test_last_bytes(make, open_session, follow):
    """Promise 8: what an instance prints last arrives before the end."""
    instance = make("sh -c 'stty raw -echo; echo ready; read go; seq 1 50000'")
    instance.wait_log(b"ready\n")
    follower = follow(instance, "&tail=0")
    open_session(instance).type("\n")
    assert follower.rest() == sequence(1, 50000)


def test_begin(cat, open_session, follow):
    """Log: the other parameters say where it begins; what comes is not counted."""
    session = open_session(cat)
    session.type("one\ntwo\n")
    cat.wait_log(b"two\n")
    cases = {"&tail=1": b"two\n", "&tail=0": b"", "&tail_bytes=2": b"o\n", "&since=10": b"two\n", "&boot=-1": None}
    followers = {query: follow(cat, query) for query in cases}
    session.type("three\n")
    for query, expected in cases.items():
        before = b"ready\none\ntwo\n" if expected is None else expected
        assert followers[query].expect(b"three\n").body == before + b"three\n", query
    assert followers["&tail=1"].response.headers["Consoled-Range"] == "10-"


def test_an_old_boot_goes_on(cat, follow):
    """Log: of a boot that is over, a follower gets what has come since, too."""
    cat.restart()
    wait_until(lambda: cat.log() == b"ready\n" * 2)
    assert follow(cat, "&boot=1").expect(b"ready\nready\n").silent()
    assert follow(cat, "&boot=2").expect(b"ready\n").silent()


def test_over_restarts(make, open_session, follow):
    """Promise 9: a restart, through the API or by the program itself, is no end."""
    command = "sh -c 'stty raw -echo; echo boot; read line; exit 1'"
    instance = make(command, config={"process.restart": "on-failure"})
    follower = follow(instance).expect(b"boot\n")
    recording = follow(instance, "&format=asciicast").expect(b"boot\\n")
    instance.restart()
    follower.expect(b"boot\nboot\n")
    open_session(instance).type("\n")
    follower.expect(b"boot\nboot\nboot\n")
    instance.stop()
    assert follower.rest() == b"boot\n" * 3
    markers = [event[2] for event in map(json.loads, recording.rest().splitlines()[1:]) if event[1] == "m"]
    assert markers == ["boot 1", "boot 2", "boot 3"]


def test_stopped(make, follow):
    """Log: of what does not run there is an end at once."""
    instance = make("sh -c 'stty raw; echo hello'")
    instance.wait_status(STOPPED)
    assert follow(instance).rest() == b"hello\n"
    assert follow(instance, "&format=plain&tail=0").rest() == b""


def test_frozen(cat, follow):
    """Log: what is frozen has not ended."""
    cat.freeze()
    follower = follow(cat).expect(b"ready\n")
    cat.unfreeze()
    cat.stop()
    assert follower.rest() == b"ready\n"


def test_clear_does_not_disturb(cat, open_session, follow):
    """Promise 2: a follower has a place of its own; DELETE takes nothing from it."""
    follower = follow(cat).expect(b"ready\n")
    session = open_session(cat)
    session.type("one\n")
    cat.wait_log(b"one\n")
    cat.clear_log()
    session.type("two\n")
    assert follower.expect(b"two\n").body == b"ready\none\ntwo\n"


def test_formats(cat, open_session, follow):
    """Log: plain text, times and recordings are made as the output comes, in whatever pieces."""
    queries = ("&format=plain", "&timestamps=1", "&format=asciicast")
    plain, stamped, recording = (follow(cat, "&tail=0" + query) for query in queries)
    session = open_session(cat)
    text = "\033[1;31mréd\033[0m one\r\n\033]0;title\007two\r\n"
    before = time.time()
    for byte in text.encode():
        session.type(bytes([byte]))
    plain.expect("réd one\ntwo".encode())
    stamped.expect(b"two\r\n")
    while not recording.body.endswith(b"\n") or output_of(recording.body) != text:  # each byte may be an event
        assert recording.read()
    after = time.time()
    cat.stop()
    assert plain.rest().decode() == "réd one\ntwo\n"
    lines = stamped.rest().split(b"\n")[:-1]
    assert [line.split(b" ", 1)[1].decode() + "\n" for line in lines] == text.splitlines(keepends=True)
    times = [parse_time(line.split(b" ", 1)[0].decode()) for line in lines]
    assert before - MARK <= times[0] <= times[1] <= after
    header, *events = map(json.loads, recording.rest().splitlines())
    assert "".join(event[2] for event in events) == text
    moments = [event[0] for event in events]
    assert moments == sorted(moments) and header["timestamp"] + moments[-1] <= after + 1


def test_delay(make, open_session, follow):
    """Log: output is seen within 5 ms of being printed (the median)."""
    program = (
        "import os, time, tty; tty.setraw(0); os.write(1, b\\\"ready\\\\n\\\"); os.read(0, 1)\n"
        "for _ in range(200): time.sleep(0.005); os.write(1, b\\\"%d\\\\n\\\" % time.monotonic_ns())"
    )
    instance = make(f'{sys.executable} -c "{program}"')
    instance.wait_log(b"ready\n")
    follower = follow(instance, "&tail=0")
    open_session(instance).type("x")
    delays, seen = [], 0
    while follower.read():
        now = time.monotonic_ns()
        lines = follower.body[seen:].split(b"\n")
        seen = len(follower.body) - len(lines[-1])
        delays += [(now - int(line)) / 1e6 for line in lines[:-1]]
    assert len(delays) == 200
    assert statistics.median(delays) < 5, f"{statistics.median(delays):.2f} ms, at most {max(delays):.2f} ms"


# --- many, slow and leaving ---


def test_flood(make, open_session, follow):
    """Log: every follower gets every byte of a flood, in any format, as long as the ring holds it."""
    command = "sh -c 'stty raw -echo; echo ready; read go; seq 1 1000000'"
    instance = make(command, config={"console.buffer.size": "8MiB"})
    instance.wait_log(b"ready\n")
    queries = ("", "", "&format=plain", "&format=plain", "&timestamps=0")
    followers = [follow(instance, "&tail=0" + query) for query in queries]
    open_session(instance).type("\n")
    expected = hashlib.sha256(sequence(1, 1000000)).digest()
    going_on = list(followers)
    while going_on:
        readable, _, _ = select.select([each.socket for each in going_on], [], [], 20)
        assert readable, "nothing comes any more"
        going_on = [each for each in going_on if each.socket not in readable or each.read()]
    assert [hashlib.sha256(each.body).digest() == expected for each in followers] == [True] * 5


@pytest.mark.parametrize("query, told", [("", True), ("&notices=false", False), ("&format=plain", True)])
def test_stalled(make, open_session, follow, query, told):
    """Promise 3: a follower who does not read holds nothing back; later it is told what it has missed."""
    instance = make("sh -c 'stty raw -echo; echo ready; read go; seq 1 1000000; echo end; read go'")
    instance.wait_log(b"ready\n")
    stalled = follow(instance, query)
    session = open_session(instance)
    session.type("\n")
    instance.wait_log(b"end\n")
    session.type("\n")
    instance.wait_status(STOPPED)
    body, whole = stalled.rest(), b"ready\n" + sequence(1, 1000000) + b"end\n"
    notice = NOTICE if query != "&format=plain" else re.compile(rb"\n?\[consoled: (\d+) bytes skipped\]\n")
    pieces = notice.split(body)
    if told:
        first, skipped, second = pieces[0], int(pieces[1]), pieces[2]
        assert len(pieces) == 3 and len(first) + skipped + len(second) >= len(whole) - 1
        assert whole.startswith(first) and whole.endswith(second) and len(second) >= 900 * KIB
    else:
        assert len(pieces) == 1 and len(body) < len(whole) and body.endswith(whole[-900 * KIB :])


def test_stalled_recording(make, open_session, follow):
    """Promise 3: a recording has a marker where bytes are missing, and goes on with what came later."""
    instance = make("sh -c 'stty raw -echo; echo ready; read go; seq 1 1000000; echo end; read go'")
    instance.wait_log(b"ready\n")
    stalled = follow(instance, "&format=asciicast")
    session = open_session(instance)
    session.type("\n")
    instance.wait_log(b"end\n")
    session.type("\n")
    instance.wait_status(STOPPED)
    events = [json.loads(line) for line in stalled.rest().splitlines()[1:]]
    (at,) = [n for n, event in enumerate(events) if re.fullmatch(r"\[consoled: \d+ bytes skipped\]", event[2])]
    assert events[at][1] == "m"
    first, second = ["".join(text for _, kind, text in part if kind == "o") for part in (events[:at], events[at:])]
    skipped, whole = int(re.search(r"\d+", events[at][2])[0]), (b"ready\n" + sequence(1, 1000000) + b"end\n").decode()
    assert len(first) + skipped + len(second) == len(whole)
    assert whole.startswith(first) and whole.endswith(second)


def test_a_hundred(make, open_session, follow, daemon):
    """Log: a hundred followers, of whom half do not read, cost at most 64 KiB each and see what is printed at once."""
    instance = make("sh -c 'stty raw -echo; echo ready; read go; seq 1 300000; echo end; exec cat'")
    instance.wait_log(b"ready\n")
    before, open_before = private_memory(daemon.pid), descriptors(daemon.pid)
    stalled = [follow(instance, query) for query in ("", "&format=plain", "&format=asciicast", "&timestamps=1") * 12]
    reading = [follow(instance, "&tail=0") for _ in range(50)]
    session = open_session(instance)
    session.type("\n")
    instance.wait_log(b"end\n")
    for each in reading:
        each.expect(b"end\n")
    if not instrumented(daemon.pid):
        assert private_memory(daemon.pid) - before < (len(stalled) + len(reading)) * 64 * KIB
    delays = []
    for number in range(50):
        session.type(f"{number};")
        began = time.monotonic()
        reading[number].expect(b"%d;" % number)
        delays.append(time.monotonic() - began)
    assert statistics.median(delays) < 0.1
    for each in stalled + reading:
        each.close()
    wait_until(lambda: descriptors(daemon.pid) <= open_before + 2)  # the session's


def test_leaving(cat, daemon, follow):
    """Promise 7: followers who leave leave nothing, whether they wait or have not read."""
    before = descriptors(daemon.pid)
    for _ in range(50):
        for query in ("", "&format=plain", "&format=asciicast"):
            follow(cat, query).close()
    wait_until(lambda: descriptors(daemon.pid) == before)
    assert cat.status == RUNNING


def test_deleted(make, follow):
    """Log: a follower of an instance that is stopped and deleted comes to an end."""
    instance = make(CAT)
    followers = [follow(instance, query).expect(b"ready") for query in ("", "&format=plain", "&format=asciicast")]
    instance.stop()
    instance.delete()
    for each in followers:
        assert b"ready" in each.rest()


def test_end_of_the_daemon(own_daemon, follow):
    """Log: a daemon that ends takes leave of its followers, those that wait and those that do not read."""
    instance = own_daemon.create("x", "sh -c 'stty raw; echo ready; while :; do seq 1 1000; done'").start()
    quiet = own_daemon.create("y", CAT).start()
    followers = [follow(quiet).expect(b"ready\n"), follow(quiet, "&format=plain").expect(b"ready\n")]
    followers += [follow(instance, query) for query in ("", "&format=plain", "&format=asciicast")]
    own_daemon.terminate()
    for each in followers[:2]:
        with pytest.raises(http.client.IncompleteRead):
            each.rest()
