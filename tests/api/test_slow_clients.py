# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow on purpose: a byte a second of a head, of a body, of a handshake, of a stream."""

import statistics
import time

import pytest

from attackers import HEAD, Crowd
from consoled import descriptors
from frames import WebSocket
from rest import UnixConnection, wait_until
from session import Session
from test_limits import ECHO, Kept, assert_refused, put

ALL = {"heads": 300, "bodies": 300, "typists": 300, "listeners": 100}
PATIENCE = 2  # seconds, for all that drips


@pytest.fixture
def impatient(own_daemon):
    put(own_daemon.api, {"limits.head_timeout": str(PATIENCE), "limits.body_timeout": str(PATIENCE)})
    yield own_daemon
    assert own_daemon.api.get("/1.0").status == 200


def drip(kept, data):
    """Sends a byte each tenth of a second until the other end has closed; the seconds that took."""
    start = time.monotonic()
    for byte in data:
        try:
            kept.send(bytes([byte]))
        except OSError:
            return time.monotonic() - start
        pause = time.monotonic() + 0.1
        wait_until(lambda: time.monotonic() > pause)
    raise AssertionError(f"{len(data)} bytes were waited for")


HANDSHAKE = (
    b"GET /1.0/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize("head", [HEAD + b"x" * 200, HANDSHAKE], ids=["get", "websocket"])
def test_first_head(impatient, head):
    """T5, S11: the time runs from the connection on, whatever comes meanwhile."""
    kept = Kept(impatient.socket)
    assert PATIENCE - 0.5 < drip(kept, head) < PATIENCE + 10
    assert_refused(kept.answer(), 408, "limits.head_timeout")
    kept.close()


def test_second_head(own_daemon):
    """S11: of a connection that is kept alive the time runs from the answer on."""
    put(own_daemon.api, {"limits.head_timeout": "1", "limits.idle_timeout": "1"})
    kept = Kept(own_daemon.socket)
    assert kept.request("GET", "/1.0").status == 200
    assert 1.5 < drip(kept, HEAD + b"x" * 200) < 12
    kept.close()
    kept = Kept(own_daemon.socket)
    for _ in range(3):  # who asks in time may stay
        assert kept.request("GET", "/1.0").status == 200
        pause = time.monotonic() + 0.5
        wait_until(lambda: time.monotonic() > pause)
    kept.close()


@pytest.mark.parametrize(
    "head, data",
    [
        (b"Content-Length: 1000", b"x" * 200),
        (b"Transfer-Encoding: chunked", b"1000\r\n" + b"x" * 200),
        (b"Transfer-Encoding: chunked", b"1\r\nx\r\n" * 40),
        (b"Content-Length: 1000\r\nExpect: 100-continue", b"x" * 200),
    ],
    ids=["length", "chunk", "chunks", "expect"],
)
def test_body(impatient, head, data):
    """S11: the time runs from the head on."""
    kept = Kept(impatient.socket)
    kept.send(b"PUT /1.0 HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
    assert PATIENCE - 0.5 < drip(kept, data) < PATIENCE + 10
    if b"Expect" in head:
        assert kept.connection.sock.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert_refused(kept.answer(), 408, "limits.body_timeout")
    kept.close()


def test_what_takes_longer(impatient):
    """Limits: what is not the client's to hurry is not hurried: an answer that is waited for, or read slowly."""
    instance = impatient.create("x", "sh -c 'head -c 2000000 /dev/zero; exec sleep 1000'").start()
    wait_until(lambda: len(instance.log()) > 1000000)
    waiting, slow = UnixConnection(impatient.socket), UnixConnection(impatient.socket)
    waiting.request("GET", instance.url + f"/console?wait=never&timeout={3 * PATIENCE}")
    slow.request("GET", instance.url + "/console")
    response = slow.getresponse()
    length, taken = int(response.headers["Content-Length"]), 0
    for _ in range(6 * PATIENCE):
        taken += len(response.read(length // (6 * PATIENCE + 1)))
        pause = time.monotonic() + 0.5
        wait_until(lambda: time.monotonic() > pause)
    assert taken + len(response.read()) == length
    assert waiting.getresponse().status == 408  # the wait's own
    waiting.close()
    slow.close()


# --- a thousand ---


class Echo:
    """How long an echo takes a session of one's own."""

    def __init__(self, daemon):
        self.instance = daemon.create("honest", ECHO).start()
        self.instance.wait_log(b"ready")
        self.session = Session(self.instance).attach()

    def median(self, seconds=2):
        times, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            self.session.type(b"k")
            self.session.expect(b"k")
            times.append(time.perf_counter() - start)
        return statistics.median(times)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["all", "heads", "bodies", "listeners"])
def test_a_thousand_slow_clients(own_daemon, kind):
    """S11: 1,000 connections that send a byte a second do not make an honest client's echo take twice as long."""
    counts = ALL if kind == "all" else {kind: 1000}
    honest = Echo(own_daemon)
    victim = own_daemon.create("victim", ECHO).start()
    victim.wait_log(b"ready")
    before = descriptors(own_daemon.pid)
    ratios, alone = [], honest.median()
    while not ratios or (len(ratios) < 4 and min(ratios) >= 2):  # the machine may be busy with something else
        with Crowd(own_daemon.socket, "victim", counts):
            wait_until(lambda: descriptors(own_daemon.pid) > before + 900, 60, what="a thousand connections")
            beside = honest.median(4)
            assert own_daemon.api.get("/1.0").status == 200
            WebSocket(own_daemon.socket, "/1.0/events").abort()
        wait_until(lambda: descriptors(own_daemon.pid) <= before, 60, what=f"{before} descriptors")
        was, alone = alone, honest.median()
        ratios.append(beside / max(was, alone))
    assert min(ratios) < 2, ratios
