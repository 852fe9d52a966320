# SPDX-License-Identifier: Apache-2.0
"""The server's keys limits.*: each is met here, and everybody else is served meanwhile. What is there when a limit is
lowered stays; when it is put back, all is as before."""

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import time
from pathlib import Path

import pytest

from consoled import ROOT, descriptors, memory
from frames import BINARY, CONTINUATION, Refused, WebSocket, close_payload
from machine import MachineDaemon
from rest import FAILURE, STOPPED, SUCCESS, Answer, Api, Instance, UnixConnection, elsewhere, wait_until
from session import Session
from spice import DISPLAY, Viewer
from test_events import peer_is_gone
from test_input import DEAF, Typing
from test_operations import as_nobody, needs_root
from test_screenshot import Shot, go_on, shoot, stand_still, wait_visits  # noqa: F401
from test_wait import Waiting, wait

ECHO = "sh -c 'stty raw -echo; printf ready; exec cat'"
KIB, MIB = 1 << 10, 1 << 20
NOBODY = 65534
ROWS = re.findall(r'^\tROW\((\w+), "(\w+)", (\w+), ', (ROOT / "util/limits.c").read_text(), re.M)
DEFAULTS = {f"limits.{name}": value for name, value, _ in ROWS}
UNITS = {f"limits.{name}": unit for name, _, unit in ROWS}
COVERED = set()


def covers(key):
    """Marks a test as that of a key."""
    assert key in DEFAULTS
    COVERED.add(key)
    return lambda test: test


def put(api, config, **more):
    answer = api.patch("/1.0", {"config": config}, **more)
    assert answer.status == 200, answer


def config_of(api):
    return api.read("/1.0")["config"]


def assert_refused(answer, status, words):
    """LXD's envelope, and words that name what to change."""
    assert answer.status == status, answer
    envelope = answer.json
    assert (envelope["type"], envelope["error_code"], envelope["metadata"]) == ("error", status, None)
    assert words in envelope["error"], answer


class Kept:
    """A connection that stays, for one request after the other."""

    def __init__(self, path):
        self.connection = UnixConnection(path)
        self.connection.connect()

    def request(self, method, target, body=None):
        self.connection.request(method, target, body=None if body is None else json.dumps(body))
        response = self.connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def patch(self, target, body):
        return self.request("PATCH", target, body)

    def send(self, data):
        self.connection.sock.sendall(data)
        return self

    def answer(self):
        """The answer to what was sent."""
        return Answer(*read_answer(self.connection.sock))

    def ended(self):
        """Whether the other end has closed."""
        return self.connection.sock.recv(1) == b""

    def close(self):
        self.connection.close()


def read_answer(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        assert piece, f"no answer, but {data!r}"
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    while len(body) < int(headers["Content-Length"]):
        piece = sock.recv(65536)
        assert piece, f"half an answer: {body!r}"
        body += piece
    return int(lines[0].split()[1]), headers, body


class Honest:
    """Somebody else, who has an instance, is attached to it and asks now and then."""

    def __init__(self, daemon, name):
        self.instance = daemon.create(name, ECHO).start()
        self.instance.wait_log(b"ready")
        self.session = Session(self.instance).attach()
        self.kept = Kept(daemon.socket)
        self.count = 0

    def echoes(self):
        self.count += 1
        self.session.type(f"<{self.count}>").expect(f"<{self.count}>", 20)

    def served(self):
        """By what is there, and by a new connection."""
        self.echoes()
        self.asks_again()
        assert self.instance.api.get(self.instance.url).status == 200

    def asks_again(self):
        """On the same connection, unless that has been idle for too long."""
        try:
            assert self.kept.request("GET", "/1.0").status == 200
        except (BrokenPipeError, http.client.RemoteDisconnected):
            self.kept = Kept(self.instance.api.path)
            assert self.kept.request("GET", "/1.0").status == 200

    def leave(self):
        self.session.abort()
        self.kept.close()
        self.instance.discard()


@pytest.fixture
def honest(daemon):
    honest = Honest(daemon, f"honest{os.getpid()}")
    yield honest
    honest.echoes()
    assert honest.session.operation()["status_code"] == 103  # nothing of this has ended it
    honest.leave()


def settled(daemon, honest):
    """The daemon's descriptors, some turns of its loop later: what has gone has been closed by then."""
    counts = []
    while len(counts) < 20:
        honest.asks_again()
        counts.append(descriptors(daemon.pid))
    return min(counts)


@pytest.fixture
def limit(daemon, honest):
    """Sets limits, by PATCH. At the test's end they are put back, and nothing is left."""
    honest.served()
    before = settled(daemon, honest)
    changed = {}

    def change(key, value):
        put(daemon.api, {key: str(value)})
        changed[key] = ""
        assert config_of(daemon.api)[key] == str(value)
        honest.served()

    yield change
    put(honest.kept, changed)
    assert config_of(daemon.api) == {}
    honest.served()
    wait_until(lambda: descriptors(daemon.pid) <= before, what=f"{before} descriptors of the daemon")


@pytest.fixture
def hold():
    """Keeps what can be closed, or aborted, until the test's end."""
    with contextlib.ExitStack() as stack:

        def keep(each):
            stack.callback(getattr(each, "abort", None) or getattr(each, "leave", None) or each.close)
            return each

        yield keep


# --- the table ---


def test_every_key_has_a_test():
    """Limits: of each key of util/limits.c it is shown here what happens beyond it."""
    assert len(DEFAULTS) > 20
    assert set(DEFAULTS) - COVERED == set()


def rows_of(document, pattern):
    return dict(re.findall(pattern, (ROOT / document).read_text(), re.M))


def test_manual():
    """Limits: consoled(8) has the same keys and defaults."""
    assert rows_of("doc/consoled.8.scd", r"^\*(limits\.\w+)\*, (\w+)$") == DEFAULTS


def test_default_and_unset(daemon):
    """Limits: what is not set is not shown, as in LXD; an empty value, or none in a PUT, unsets."""
    assert config_of(daemon.api) == {}
    for key in DEFAULTS:
        put(daemon.api, {key: DEFAULTS[key]})
    assert config_of(daemon.api) == DEFAULTS
    put(daemon.api, {key: "" for key in list(DEFAULTS)[::2]})
    assert set(config_of(daemon.api)) == set(list(DEFAULTS)[1::2])
    assert daemon.api.put("/1.0", {"config": {}}).status == 200
    assert config_of(daemon.api) == {}


@pytest.mark.parametrize("key", DEFAULTS)
def test_bad_value(daemon, key):
    """Promise 12, limits: what it cannot be is refused in words, changes nothing, and takes nothing else with it."""
    most = str(1 << 63)
    for value in ("many", "-1", " 1", "1 ", "1.5", "0x10", most, "99999999999999999999999", "1" * 1000):
        answer = daemon.api.patch("/1.0", {"config": {"limits.waits": "7", key: value}})
        assert_refused(answer, 400, f"cannot set '{key}' to '{value[:50]}")
    assert "such as" in daemon.api.patch("/1.0", {"config": {key: most}}).error
    if UNITS[key] != "SIZE":
        assert_refused(daemon.api.patch("/1.0", {"config": {key: "1KiB"}}), 400, f"cannot set '{key}' to '1KiB': from ")
    for value, kind in ((1, "float64"), (True, "bool"), (["1"], "slice"), ({}, "map")):
        answer = daemon.api.patch("/1.0", {"config": {key: value}})
        assert_refused(answer, 400, f"cannot set '{key}': invalid type {kind}")
    assert config_of(daemon.api) == {}


def test_unknown_key(daemon):
    """Promise 12: a key that there is not."""
    for key in ("limits.session", "limits.", "limits", "LIMITS.SESSIONS"):
        assert_refused(daemon.api.patch("/1.0", {"config": {key: "1"}}), 400, f"cannot set '{key}' to '1': unknown key")
    assert config_of(daemon.api) == {}


def test_restart(own_daemon):
    """Limits: they survive the daemon, and hold from its first request on."""
    put(own_daemon.api, {"limits.instances": "1", "limits.head_size": "2kB"})
    own_daemon.create("x", "cat")
    for end in (own_daemon.terminate, own_daemon.kill):
        end()
        own_daemon.start()
        assert config_of(own_daemon.api) == {"limits.instances": "1", "limits.head_size": "2kB"}
        operation = own_daemon.api.run("POST", "/1.0/instances", {"name": "y", "source": {"type": "none"}})
        assert operation["status_code"] == FAILURE and "limits.instances is 1" in operation["err"]
        assert own_daemon.api.get("/1.0", headers={"X": "x" * 2000}).status == 431


# --- connections ---


def open_until_refused(daemon, hold, most=100):
    """Connections that have been served once, until one is not: they, and what that is told."""
    kept = []
    while len(kept) < most:
        kept.append(hold(Kept(daemon.socket)))
        answer = kept[-1].request("GET", "/1.0")
        if answer.status != 200:
            return kept[:-1], answer
    raise AssertionError(f"{most} connections are served")


@covers("limits.connections")
def test_connections(daemon, limit, honest, hold):
    """S4, limits: one more is told so; who is connected is served, WebSockets included."""
    limit("limits.connections", 16)
    kept, answer = open_until_refused(daemon, hold)
    assert_refused(answer, 503, "limits.connections")
    assert len(kept) == 16 - 3  # Honest has three
    with pytest.raises(Refused) as refusal:
        WebSocket(daemon.socket, "/1.0/events")
    assert refusal.value.status == 503 and b"limits.connections" in refusal.value.body
    honest.echoes()
    for each in (honest.kept, *kept):
        assert each.request("GET", "/1.0").status == 200
    put(kept[0], {"limits.connections": "17"})
    hold(WebSocket(daemon.socket, "/1.0/events")).abort()
    wait_until(lambda: Kept(daemon.socket).request("GET", "/1.0").status == 200)
    put(kept[0], {"limits.connections": "16"})
    kept.pop().close()
    wait_until(lambda: daemon.api.get("/1.0").status == 200)
    for each in kept:
        each.close()


class Crowd:
    """So many connections of another user, who has asked once with each and leaves when told."""

    def __init__(self, path, uid, count):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._live(path, uid, count, writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            self.statuses = json.load(pipe)

    def _live(self, path, uid, count, writing):
        try:
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            kept, statuses = [], []
            for _ in range(count):
                kept.append(Kept(path))
                statuses.append(kept[-1].request("GET", "/1.0").status)
            with os.fdopen(writing, "w") as pipe:
                json.dump({status: statuses.count(status) for status in statuses}, pipe)
            signal.pause()
        finally:
            os._exit(1)  # never back into pytest

    def leave(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.pid = None


@covers("limits.connections_per_user")
@needs_root
def test_connections_per_user(own_daemon, hold):
    """S4, limits: each user has their own; what one has too many of is not the other's affair."""
    own_daemon.open_to_all()
    honest = Honest(own_daemon, "honest")
    hold(honest)
    path = own_daemon.socket
    put(own_daemon.api, {"limits.connections_per_user": "20"})
    before = settled(own_daemon, honest)
    crowd = hold(Crowd(path, NOBODY, 50))
    assert crowd.statuses == {"200": 20, "503": 30}
    honest.served()
    answer = as_nobody(lambda: (Api(path).get("/1.0").status, Api(path).get("/1.0").error))
    assert answer == [503, "Too many connections of one user (limits.connections_per_user)"]
    kept, answer = open_until_refused(own_daemon, hold)
    assert_refused(answer, 503, "limits.connections_per_user")
    assert len(kept) == 20 - 3
    honest.echoes()
    for each in kept:
        each.close()
    other = hold(Crowd(path, NOBODY - 1, 20))
    assert other.statuses == {"200": 20}
    put(honest.kept, {"limits.connections_per_user": ""})
    assert as_nobody(lambda: Api(path).get("/1.0").status) == 200
    crowd.leave()
    other.leave()
    wait_until(lambda: descriptors(own_daemon.pid) <= before, what=f"{before} descriptors")


@needs_root
@pytest.mark.timeout(120)
def test_a_thousand_connections_of_another_user(own_daemon, hold):
    """S4: 1,000 connections of one user, and as many halves of requests, do not keep another out."""
    own_daemon.open_to_all()
    honest = Honest(own_daemon, "honest")
    hold(honest)
    put(own_daemon.api, {"limits.connections_per_user": "500", "limits.incomplete_heads": "100"})
    half = hold(Kept(own_daemon.socket)).send(b"GET /1.0 HTTP/1.1\r\n")
    crowd = hold(Crowd(own_daemon.socket, NOBODY, 1000))
    assert crowd.statuses == {"200": 500, "503": 500}
    honest.served()
    path = own_daemon.socket
    assert elsewhere(lambda: len([Kept(path).send(b"GET /1.0 H") for _ in range(300)]), NOBODY) == 300
    honest.served()
    assert half.send(b"Host: x\r\n\r\n").answer().status == 200


@covers("limits.incomplete_heads")
def test_incomplete_heads(daemon, limit, honest, hold):
    """S11, limits: one more puts the oldest out, who is told; the others may finish."""
    limit("limits.incomplete_heads", 3)
    halves = [hold(Kept(daemon.socket)).send(b"GET /1.0 HTTP/1.1\r\n") for _ in range(5)]
    silent = hold(Kept(daemon.socket))
    for half in halves[:2]:
        assert_refused(half.answer(), 503, "limits.incomplete_heads")
        assert half.ended()
    assert_refused(halves[2].answer(), 503, "limits.incomplete_heads")
    honest.echoes()
    silent.close()
    for half in halves[3:]:
        assert half.send(b"Host: x\r\n\r\n").answer().status == 200


@covers("limits.head_size")
def test_head_size(daemon, limit):
    """S11, limits: 431, and LXD's envelope."""
    limit("limits.head_size", 1024)
    assert_refused(daemon.api.get("/1.0", headers={"X-Long": "x" * 1024}), 431, "limits.head_size")
    assert_refused(daemon.api.get("/1.0?" + "x" * 1024), 431, "limits.head_size")
    assert daemon.api.get("/1.0", headers={"X-Long": "x" * 512}).status == 200


@covers("limits.head_timeout")
def test_head_timeout(daemon, limit, hold, honest):
    """S11, limits: who has said something is told; who has not, as one that connects in advance, is not."""
    limit("limits.head_timeout", 1)
    half, silent = hold(Kept(daemon.socket)).send(b"GET /1.0 HTTP/1.1\r\n"), hold(Kept(daemon.socket))
    start = time.monotonic()
    assert_refused(half.answer(), 408, "limits.head_timeout")
    assert half.ended() and silent.ended()
    assert 0.9 < time.monotonic() - start < 10
    honest.served()


def half_body(daemon, hold, size, sent=None, chunked=False):
    """A PUT of `size` bytes, of which so many have come."""
    kept = hold(Kept(daemon.socket))
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    body = b"x" * (size - 1 if sent is None else sent)
    kept.send(b"PUT /1.0 HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n")
    with contextlib.suppress(ConnectionError):  # answered before all was sent
        kept.send(b"%x\r\n" % len(body) + body if chunked else body)
    return kept


@covers("limits.body_size")
def test_body_size(daemon, limit, hold):
    """S11, limits: 413, whether the size is known before or not."""
    limit("limits.body_size", "4KiB")
    fits, more = b" " * 4094 + b"{}", b" " * 4095 + b"{}"
    assert daemon.api.put("/1.0", raw=fits).status == 200
    assert_refused(daemon.api.put("/1.0", raw=more), 413, "limits.body_size")
    chunked = half_body(daemon, hold, 8192, chunked=True)
    assert_refused(chunked.answer(), 413, "limits.body_size")
    assert chunked.ended()


@covers("limits.body_timeout")
@pytest.mark.parametrize("chunked", [False, True])
def test_body_timeout(daemon, limit, hold, honest, chunked):
    """S11, limits: 408, then the end."""
    limit("limits.body_timeout", 1)
    start = time.monotonic()
    half = half_body(daemon, hold, 100, chunked=chunked)
    assert_refused(half.answer(), 408, "limits.body_timeout")
    assert half.ended()
    assert 0.9 < time.monotonic() - start < 10
    honest.served()


@covers("limits.bodies_size")
def test_bodies_size(daemon, limit, hold, honest):
    """S4, limits: large bodies have to share; small ones are always taken."""
    limit("limits.bodies_size", "1MiB")
    half_body(daemon, hold, 700 * KIB)
    wait_until(lambda: daemon.api.put("/1.0", raw=b" " * 600000 + b"{}").status == 503)
    refused = half_body(daemon, hold, 600 * KIB)
    assert_refused(refused.answer(), 503, "limits.bodies_size")
    assert daemon.api.put("/1.0", raw=b" " * 16000 + b"{}").status == 200
    honest.served()
    put(daemon.api, {"limits.bodies_size": "2MiB"})
    assert daemon.api.put("/1.0", raw=b" " * 600000 + b"{}").status == 200
    put(daemon.api, {"limits.bodies_size": "1MiB"})


@covers("limits.answers_size")
def test_answers_size(daemon, make, limit, hold, honest):
    """S4, limits: large answers that nobody takes leave no room for others; small ones are always given."""
    printer = make("sh -c 'head -c 2000000 /dev/zero'")
    printer.wait_status(STOPPED)
    limit("limits.answers_size", "1MiB")
    lazy = hold(UnixConnection(daemon.socket))
    lazy.request("GET", printer.url + "/console")
    assert lazy.getresponse().status == 200
    assert_refused(daemon.api.get(printer.url + "/console"), 503, "limits.answers_size")
    assert daemon.api.get(printer.url + "/console", headers={"Range": "bytes=-8000"}).status == 206
    honest.served()
    put(daemon.api, {"limits.answers_size": "2MiB"})
    assert len(printer.log()) > MIB - KIB
    put(daemon.api, {"limits.answers_size": "1MiB"})
    lazy.close()
    wait_until(lambda: daemon.api.get(printer.url + "/console").status == 200)


@covers("limits.idle_timeout")
def test_idle_timeout(own_daemon, hold):
    """S11, limits: where no byte moves, from the daemon's next start on; a reader that takes some is not cut."""
    printer = own_daemon.create("x", "sh -c 'head -c 2000000 /dev/zero'").start()
    printer.wait_status(STOPPED)
    put(own_daemon.api, {"limits.idle_timeout": "1"})
    own_daemon.terminate()
    own_daemon.start()
    idle, half = hold(Kept(own_daemon.socket)), half_body(own_daemon, hold, 100)
    assert idle.request("GET", "/1.0").status == 200
    start = time.monotonic()
    assert idle.ended() and half.ended()
    assert 0.5 < time.monotonic() - start < 10
    slow = hold(UnixConnection(own_daemon.socket))
    slow.request("GET", printer.url + "/console")
    response = slow.getresponse()
    assert response.status == 200
    taken, length = 0, int(response.headers["Content-Length"])
    for _ in range(12):
        taken += len(response.read(length // 13))
        pause = time.monotonic() + 0.3
        wait_until(lambda: time.monotonic() > pause)
    assert taken + len(response.read()) == length > MIB - KIB


# --- WebSockets ---


@covers("limits.message_size")
def test_message_size(limit, honest, open_session):
    """S11, limits: 1009, whether it comes in one frame or in many; what was typed before has arrived."""
    limit("limits.message_size", "64KiB")
    for sizes in ([65537], [40000, 25536, 1], [1 << 40]):
        session = open_session(honest.instance)
        session.type("x" * 65536).expect_bytes(65536)
        for number, size in enumerate(sizes):
            last = number == len(sizes) - 1
            with contextlib.suppress(ConnectionError):
                session.data.send(CONTINUATION if number else BINARY, b"y" * min(size, 65536), final=last, length=size)
        session.drain()
        assert session.data.closed == close_payload(1009, "limits.message_size")
        honest.session.expect_bytes(honest.session.seen)
    assert session.result()["status_code"] == SUCCESS


@covers("limits.control_size")
def test_control_size(limit, make, open_session):
    """T31, limits: a message that is too long is dropped, whole; the session goes on."""
    limit("limits.control_size", 256)
    shell = make("sh -i")
    session = open_session(shell, {"width": 80, "height": 24}).at_prompt()
    message = {"command": "window-resize", "args": {"width": "100", "height": "40"}}
    session.control.text(json.dumps({**message, "more": "x" * 256}))
    session.control.text(json.dumps({**message, "args": {"width": "90", "height": "30"}}))
    wait_until(lambda: b"30 90" in session.run("stty size"))
    session.control.text(json.dumps(message))
    wait_until(lambda: b"40 100" in session.run("stty size"))


@covers("limits.sessions")
def test_sessions(daemon, lxc, limit, honest, open_session):
    """S4, limits: set by lxc; one more is refused, unless it takes over; of each instance."""
    limit("limits.sessions", 3)
    lxc("config", "set", "limits.sessions", "2")
    assert lxc("config", "get", "limits.sessions") == "2\n"
    other = open_session(honest.instance)
    answer = daemon.api.post(honest.instance.url + "/console", {})
    assert_refused(answer, 503, "limits.sessions is 2")
    lxc("config", "set", "limits.sessions", "1")
    other.type("both stay").expect("both stay")
    honest.session.expect("both stay")
    lxc("config", "unset", "limits.sessions")
    open_session(honest.instance).type("three").expect("three")
    honest.session.expect("three")


@covers("limits.pending_sessions")
def test_pending_sessions(daemon, limit, honest, open_session):
    """S4, limits: who waits for its sockets; one that has them makes room."""
    limit("limits.pending_sessions", 1)
    first = open_session(honest.instance, attach=False)
    answer = daemon.api.post(honest.instance.url + "/console", {})
    assert_refused(answer, 503, "limits.pending_sessions is 1")
    first.attach()
    second = open_session(honest.instance, attach=False)
    assert daemon.api.delete(f"/1.0/operations/{second.id}").status == 200
    open_session(honest.instance)


@covers("limits.drawings")
def test_drawings(daemon, limit, make, honest, open_session):
    """S4, limits: screens are drawn one after the other; each client gets its own, and what follows it."""
    printer = make("sh -c 'stty raw -echo; seq 200000; echo ready; exec cat'")
    printer.wait_log(b"ready\n", 60)
    limit("limits.drawings", 1)
    attached = [open_session(printer, {"replay": "screen", "scrollback": 20}) for _ in range(20)]
    for session in attached[::3]:
        session.abort()  # whether its turn has come or not
    put(daemon.api, {"limits.drawings": "2"})
    left = [session for session in attached if session not in attached[::3]]
    for session in left:
        assert b"199999" in session.expect("ready").string
    left[0].type("after")
    for session in left:
        session.expect("after")
        assert session.output.count(b"ready") == session.output.count(b"200000") == 1


def peak(pid):
    """The most that has been resident since forget_peak()."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * KIB


def forget_peak(pid):
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.mark.timeout(240)
def test_memory_of_drawings(own_daemon, hold, open_session):
    """S4: sixty screens of the largest size, 11 MiB each, are not there at once; nor are what they look like, 3 MiB of
    colours each, where clients do not take them. Who gets none is told, and gets what follows."""
    honest = Honest(own_daemon, "honest")
    hold(honest)
    text = own_daemon.directory / "text"
    text.write_text((250 * "\033[31mx\033[32my" + "\n") * 800 + "ready")
    printer = own_daemon.create("x", f"sh -c 'cat {text}; exec cat'", config={"console.buffer.size": "4MiB"}).start()
    printer.wait_log(b"ready")
    put(own_daemon.api, {"limits.drawings": "2", "limits.answers_size": "16MiB"})
    forget_peak(own_daemon.pid)
    before = memory(own_daemon.pid)
    body = {"replay": "screen", "scrollback": 1000, "width": 500, "height": 200}
    sessions = [open_session(printer, body) for _ in range(60)]
    honest.echoes()
    wait_until(lambda: all(each["bytes_sent"] for each in printer.api.read(printer.url + "/console/sessions")), 120)
    undrawn = [session for session in sessions if b"(limits.answers_size)" in session.expect("\n.*?\n").group()]
    assert 40 < len(undrawn) < 60
    for session in undrawn[:2] + [session for session in sessions if session not in undrawn][:2]:
        session.type("typed").expect("typed", 120)
    honest.served()
    assert peak(own_daemon.pid) - before < 100 * MIB


@covers("limits.scrollback")
def test_scrollback(daemon, limit, honest, open_session):
    """Limits: how much may be asked for."""
    limit("limits.scrollback", 10)
    body = {"replay": "screen", "scrollback": 11}
    answer = daemon.api.post(honest.instance.url + "/console", body)
    assert_refused(answer, 400, "scrollback: 0 to 10 lines (limits.scrollback)")
    open_session(honest.instance, {**body, "scrollback": 10}).expect("ready")


# --- requests that wait ---


@covers("limits.waits")
def test_waits(daemon, limit, make, honest, hold):
    """S4, limits: of all instances together."""
    other = make(ECHO)
    limit("limits.waits", 1)
    waiting = hold(Waiting(honest.instance, "never"))
    assert_refused(wait(other, "never"), 503, "limits.waits is 1")
    waiting.leave()
    wait_until(lambda: wait(other, "never", timeout=0).status == 408)


@covers("limits.waits_per_instance")
def test_waits_per_instance(limit, make, honest, hold):
    """S4, limits: others have their own."""
    other = make(ECHO)
    limit("limits.waits_per_instance", 1)
    waiting = hold(Waiting(honest.instance, "never"))
    assert_refused(wait(honest.instance, "never"), 503, "limits.waits_per_instance is 1")
    assert wait(other, "never", timeout=0).status == 408
    waiting.leave()
    wait_until(lambda: wait(honest.instance, "never", timeout=0).status == 408)


@covers("limits.inputs")
def test_inputs(limit, make, honest):
    """S4, limits: input that an instance does not take."""
    deaf = make(DEAF)
    deaf.wait_log(b"ready\n")
    limit("limits.inputs", 1)
    typing = Typing(deaf, text="x" * 65536)
    assert_refused(deaf.api.post(deaf.url + "/console/input", {"text": "x"}), 503, "limits.inputs is 1")
    assert honest.instance.api.post(honest.instance.url + "/console/input", {"text": "typed"}).status == 200
    honest.session.expect("typed")
    deaf.stop()
    assert typing.answer().status == 410


@covers("limits.screens")
def test_screens(limit, make, honest, hold):
    """S4, limits: screens of logs, GET ?format=screen."""
    large = make("sh -c 'stty raw; yes | head -c 64M'", config={"console.buffer.size": "64MiB"})
    large.wait_status(STOPPED, 60)
    limit("limits.screens", 1)
    waiting = hold(UnixConnection(large.api.path))
    waiting.request("GET", large.url + "/console?format=screen")
    assert_refused(large.api.get(large.url + "/console?format=screen&tail=3"), 503, "limits.screens is 1")
    honest.served()
    waiting.close()
    wait_until(lambda: large.api.get(large.url + "/console?format=screen&tail=3").status == 200)


@covers("limits.history")
def test_history(daemon, limit, make, honest):
    """Limits: the latest acts are kept; those of other instances stay until there is another one."""
    instance = make("true", start=False)
    for _ in range(10):
        instance.clear_log()
    assert len(daemon.api.read(instance.url + "/console/history")) == 10
    limit("limits.history", 3)
    assert len(daemon.api.read(instance.url + "/console/history")) == 3
    instance.clear_log()
    assert len(daemon.api.read(instance.url + "/console/history")) == 3
    put(daemon.api, {"limits.history": "10"})
    instance.clear_log()
    assert len(daemon.api.read(instance.url + "/console/history")) == 4


# --- operations and events ---


@covers("limits.operations")
def test_operations(daemon, limit, make, honest, open_session):
    """S4, limits: those that have ended make room; those that live do not."""
    limit("limits.operations", 16)
    for _ in range(40):
        assert daemon.api.run("PUT", honest.instance.url + "/state", {"action": "start"})["status_code"] == FAILURE
    live = sum(map(len, daemon.api.read("/1.0/operations").values()))
    assert live <= 16
    pending = []
    while True:
        answer = daemon.api.post(honest.instance.url + "/console", {})
        if answer.status != 202:
            break
        pending.append(answer.metadata["id"])
    assert len(pending) == 15  # beside Honest's
    assert_refused(answer, 503, "limits.operations is 16")
    assert_refused(daemon.api.put(honest.instance.url + "/state", {"action": "stop"}), 503, "limits.operations is 16")
    honest.served()
    for id in pending:
        assert daemon.api.delete(f"/1.0/operations/{id}").status == 200
    open_session(honest.instance)


@covers("limits.event_listeners")
def test_event_listeners(daemon, limit, hold):
    """S4, limits: one that leaves makes room."""
    limit("limits.event_listeners", 2)
    listeners = [hold(WebSocket(daemon.socket, "/1.0/events")) for _ in range(2)]
    with pytest.raises(Refused) as refusal:
        WebSocket(daemon.socket, "/1.0/events")
    assert refusal.value.status == 503 and b"limits.event_listeners is 2" in refusal.value.body
    listeners.pop().abort()

    def opens():
        with contextlib.suppress(Refused):
            return hold(WebSocket(daemon.socket, "/1.0/events"))

    wait_until(opens)


@covers("limits.event_queue_size")
def test_event_queue_size(daemon, limit, make, honest, hold):
    """T24, limits: who does not read is ended, and told why once it does; the others get all."""
    instance = make("true", start=False)
    limit("limits.event_queue_size", "64KiB")
    stuck = hold(WebSocket(daemon.socket, "/1.0/events", receive_buffer=4096))
    reader = hold(WebSocket(daemon.socket, "/1.0/events?type=lifecycle"))
    queued = 0
    while not peer_is_gone(stuck.socket):
        instance.clear_log()
        assert b"instance-console-reset" in reader.message()[1]
        queued += 1
        assert queued < 20000
    assert len(stuck.wait_end()) < queued
    honest.served()


# --- the disk ---


@covers("limits.instances")
def test_instances(daemon, limit, make, honest):
    """S4, limits: the operation fails; one that is deleted makes room; what is there is served."""
    here = make("cat")
    count = len(daemon.api.read("/1.0/instances"))
    limit("limits.instances", count)
    operation = daemon.api.run("POST", "/1.0/instances", {"name": "one-more", "source": {"type": "none"}})
    assert operation["status_code"] == FAILURE
    assert operation["err"].endswith(f"Too many instances: limits.instances is {count}")
    put(daemon.api, {"limits.instances": "0"})
    here.restart()
    put(daemon.api, {"limits.instances": str(count)})
    here.discard()
    make("cat", start=False)


@covers("limits.database_size")
def test_database_size(own_daemon, hold):
    """S4, S15, limits: a database that is full refuses in words; what is there stays, and deleting makes room."""
    honest = Honest(own_daemon, "honest")
    hold(honest)
    put(own_daemon.api, {"limits.database_size": "1MiB"})
    made, config = [], {"user.x": "x" * 200000}
    while len(made) < 10:
        body = {"name": f"x{len(made)}", "source": {"type": "none"}, "config": config}
        operation = own_daemon.api.run("POST", "/1.0/instances", body)
        if operation["status_code"] != SUCCESS:
            break
        made.append(Instance(own_daemon.api, f"x{len(made)}"))
    assert 3 <= len(made) <= 5
    assert "limits.database_size" in operation["err"]
    honest.served()
    honest.instance.log()  # is noted, or not; nobody waits for it
    answer = own_daemon.api.patch(made[0].url, {"config": {"user.y": "y" * 400000}})
    assert_refused(answer, 500, "database or disk is full (limits.database_size)")
    assert own_daemon.api.get(made[0].url).metadata["config"].get("user.y") is None
    assert {each["name"] for each in own_daemon.api.read("/1.0/instances?recursion=1")} == {
        "honest",
        *(each.name for each in made),
    }
    assert (own_daemon.directory / "consoled.db").stat().st_size <= MIB
    made.pop().delete()
    own_daemon.create("again")
    put(own_daemon.api, {"limits.database_size": ""})
    own_daemon.create("more", config=config)
    own_daemon.terminate()
    own_daemon.start()
    assert "more" in str(own_daemon.api.read("/1.0/instances"))


# --- machines ---


@covers("limits.channels")
@covers("limits.screenshots")
@pytest.mark.timeout(120)
def test_channels_and_screenshots(machine, stand_still):
    """S4, limits: one channel more is closed with 1013, one screenshot more refused; the others go on."""
    daemon = MachineDaemon()
    try:
        guest = machine(on=daemon.start()).wait_boot()
        put(daemon.api, {"limits.channels": "2", "limits.screenshots": "1"})
        viewer = Viewer(guest).connect_control()
        main = viewer.main()
        viewer.channel(DISPLAY, main.connection).authenticate(DISPLAY)
        more = viewer.channel(DISPLAY, main.connection)
        more.websocket.wait_end()
        assert more.websocket.closed == close_payload(1013, "limits.channels")
        assert viewer.operation()["status_code"] == 103
        viewer.abort()
        stand_still(guest)
        shot = Shot(guest)
        wait_visits(daemon, 1)
        assert_refused(shoot(guest), 503, "limits.screenshots is 1")
        put(daemon.api, {"limits.screenshots": "2"})
        second = Shot(guest)
        wait_visits(daemon, 2)
        go_on(guest)
        assert shot.answer()[0] == second.answer()[0] == 200
    finally:
        daemon.close()
