# SPDX-License-Identifier: Apache-2.0
"""Clients that mean harm, or know no better: one must not take the daemon from the others."""

import os
import stat
import time
from urllib.parse import quote

import pytest

from consoled import memory
from frames import TEXT, WebSocket
from rest import FAILURE, UnixConnection, wait_until


@pytest.mark.parametrize("timeout", [18446744073709552, 9223372036854775, 9223372036854775807])
def test_wait_that_overflows(api, shell, open_session, timeout):
    """As many seconds as no clock has are for ever, and not the remainder of a multiplication."""
    session = open_session(shell, attach=False)
    connection = UnixConnection(api.path, timeout=1)
    connection.request("GET", f"/1.0/operations/{session.id}/wait?timeout={timeout}")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert api.delete(f"/1.0/operations/{session.id}").status == 200


def test_wait_out_of_range(api, shell, open_session):
    """Go's words for what is a number, but none of its own."""
    session = open_session(shell, attach=False)
    answer = api.get(f"/1.0/operations/{session.id}/wait?timeout=99999999999999999999")
    assert answer.status == 500
    assert answer.error == 'strconv.Atoi: parsing "99999999999999999999": value out of range'
    assert api.delete(f"/1.0/operations/{session.id}").status == 200


@pytest.mark.parametrize("recursion, full", [("1", True), ("99999999999999999999", True), ("1x", False), ("%ff", False)])
def test_recursion_is_digits(api, make, recursion, full):
    """Protocol, section 11: anything but digits is none."""
    make("cat", start=False)
    assert isinstance(api.read(f"/1.0/instances?recursion={recursion}")[0], dict) == full


def test_words_that_are_not_text(api, make):
    """Bytes that JSON cannot hold do not take the rest of the words with them."""
    instance = make("cat", start=False)
    answer = api.get(instance.url + "/logs/%ff%0d%0aX-Injected:1")
    assert answer.status == 400 and answer.error == "log file name ?\r\nX-Injected:1 not valid"
    assert "X-Injected" not in answer.headers
    answer = api.post(instance.url + "/console", {"type": "é" * 400})
    assert answer.status == 400 and answer.error.startswith('Unknown console type "')


def test_slow_reader_of_a_large_log(own_daemon):
    """S4: two logs that nobody reads fill what answers may take; everybody else is served all the same."""
    command = "sh -c 'head -c 67108864 /dev/zero; echo; echo done; exec sleep 1000'"
    instance = own_daemon.create("big", command, config={"console.buffer.size": "64MiB"}).start()
    tail = {"Range": "bytes=-7"}
    wait_until(lambda: b"done" in own_daemon.api.get(instance.url + "/console", headers=tail).body, 60)
    lazy = []
    for _ in range(3):
        lazy.append(UnixConnection(own_daemon.socket))
        lazy[-1].request("GET", instance.url + "/console")
    statuses = sorted(connection.getresponse().status for connection in lazy)
    assert statuses == [200, 200, 503]
    assert own_daemon.api.get("/1.0").status == 200
    assert own_daemon.api.get("/1.0/instances?recursion=2").status == 200
    for connection in lazy:
        connection.close()
    wait_until(lambda: own_daemon.api.get(instance.url + "/console", headers=tail).status == 206)


def test_filter_that_costs_too_much(own_daemon):
    """One GET neither stalls the loop nor fills the memory, whatever it is to match."""
    texts = {f"user.{number}": os.urandom(500).hex() for number in range(60)}
    for number in range(8):
        own_daemon.create(f"x{number}", config=texts)
    expression = " or ".join(f"config.user.{number} eq .*a{'.' * 240}x" for number in range(60))
    before, start = memory(own_daemon.pid), time.monotonic()
    answer = own_daemon.api.get("/1.0/instances?filter=" + quote(expression))
    assert answer.status == 500 and answer.error == "Invalid filter: takes too long to match"
    assert time.monotonic() - start < 10  # two minutes without a limit
    assert memory(own_daemon.pid) - before < 400 * 1024 * 1024
    assert len(own_daemon.api.read("/1.0/instances?filter=" + quote("name eq x[0-3]"))) == 4


def test_change_of_very_many_instances(own_daemon):
    """Its events fit into a message: clients that wait for its end by events get it."""
    for number in range(820):
        answer = own_daemon.api.post(
            "/1.0/instances", {"name": f"b{number}".ljust(63, "x"), "source": {"type": "none"}}
        )
        assert answer.status == 202
    events = WebSocket(own_daemon.socket, "/1.0/events?type=operation")
    answer = own_daemon.api.put("/1.0/instances", {"state": {"action": "start", "timeout": 1}})
    assert answer.status == 202
    message = (None, b"")
    while f'"status_code":{FAILURE}'.encode() not in message[1]:
        message = events.message(20)
        assert message and message[0] == TEXT, "the subscriber was ended"
    assert answer.metadata["id"].encode() in message[1]
    events.abort()


@pytest.mark.parametrize("mode", [0o770, 0o703, 0o1777])
def test_directory_that_others_may_write_to(own_daemon, mode):
    """S9: who can put a database there can have the daemon run anything."""
    own_daemon.terminate()
    own_daemon.directory.chmod(mode)
    process = own_daemon.spawn()
    assert process.wait(20) == 1
    process.stdout.close()
    assert "may be written to by others" in own_daemon.stderr()
    own_daemon.directory.chmod(0o711)
    own_daemon.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_directory_of_somebody_else(own_daemon):
    """S9: the same."""
    own_daemon.terminate()
    os.chown(own_daemon.directory, 65534, -1)
    process = own_daemon.spawn()
    assert process.wait(20) == 1
    process.stdout.close()
    assert "belongs to another user" in own_daemon.stderr()
    os.chown(own_daemon.directory, 0, -1)
    own_daemon.start()


def test_socket_without_a_group(own_daemon):
    """S8: the daemon's own group may be everybody's; only a group that was named may connect."""
    assert stat.S_IMODE(os.stat(own_daemon.socket).st_mode) == 0o600


def test_large_bodies_that_do_not_end(own_daemon):
    """S4: they are bounded all together, and small requests are taken all the same."""
    before = memory(own_daemon.pid)
    open_ones = [UnixConnection(own_daemon.socket, timeout=20) for _ in range(100)]
    refused = 0
    for connection in open_ones:
        connection.connect()
        try:
            connection.sock.sendall(b"PUT /1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n" + b"x" * 1048000)
        except OSError:
            refused += 1
    assert refused > 50
    assert memory(own_daemon.pid) - before < 80 * 1024 * 1024
    assert own_daemon.api.put("/1.0/profiles", {"a": "b"}).status == 501
    for connection in open_ones:
        connection.close()
    wait_until(lambda: own_daemon.api.put("/1.0/profiles", raw=b" " * 1000000).status == 501)
