# SPDX-License-Identifier: Apache-2.0
"""GET /1.0/events (protocol 7)."""

import json
import os
import pwd
import re
import resource
import socket
import threading
import time

import pytest

from consoled import memory
from frames import PING, PONG, TEXT, Refused, WebSocket
from rest import RUNNING, STOPPED, SUCCESS, wait_until

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


STATE_CHANGES = [
    "instance-started",
    "instance-paused",
    "instance-resumed",
    "instance-restarted",
    "instance-stopped",
]


class Listener:
    def __init__(self, path, query=""):
        self.websocket = WebSocket(path, "/1.0/events" + query)
        self.seen = []

    def next(self, timeout=20):
        opcode, payload = self.websocket.message(timeout)
        assert opcode == TEXT
        self.seen.append(json.loads(payload))
        return self.seen[-1]

    def until(self, condition, timeout=20):
        """Reads on until an event fulfils `condition`; returns it. Looks at what has been read before, first."""
        for event in self.seen:
            if condition(event):
                return event
        deadline = time.monotonic() + timeout
        while True:
            event = self.next(deadline - time.monotonic())
            if condition(event):
                return event

    def action(self, action, source):
        return self.until(
            lambda event: event["type"] == "lifecycle"
            and (event["metadata"]["action"], event["metadata"]["source"]) == (action, source)
        )

    def final(self, id):
        return self.until(
            lambda event: event["type"] == "operation"
            and event["metadata"]["id"] == id
            and event["metadata"]["status_code"] >= 200
        )


@pytest.fixture
def listen(request, server):
    listeners = []

    def start(query="", on=None):
        listeners.append(Listener((on or server).socket, query))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.websocket.abort()


# --- the request ---


@pytest.mark.lxd
@pytest.mark.parametrize(
    "query, status, text",
    [
        ("?type=bogus", 500, '"bogus" isn\'t a supported event type'),
        ("?project=other", 500, "Project not found"),
        ("?all-projects=true&project=default", 500, "Cannot specify a project when requesting all projects"),
    ],
)
def test_bad_request(api, query, status, text):
    """Protocol 7: in LXD's words."""
    answer = api.get("/1.0/events" + query)
    assert (answer.status, answer.error) == (status, text)


@pytest.mark.lxd
def test_plain_get(api):
    """Protocol 7: a GET that is no handshake is a 400."""
    assert api.get("/1.0/events").status == 400


@pytest.mark.lxd
def test_origin_and_host_of_pylxd(server):
    """Compatibility 0.8: pylxd's old WebSocket library sends these on a unix socket."""
    headers = ["Origin: ws+unix://localhost"]
    WebSocket(server.socket, "/1.0/events?type=operation%2Clifecycle", headers).abort()


# --- the stream ---


@pytest.mark.lxd
def test_ping_at_once(listen):
    """Protocol 7: `keepalive`, at connect."""
    frame = listen().websocket.frame()
    assert (frame.opcode, frame.payload) == (PING, b"keepalive")


@pytest.mark.timeout(90)
def test_ping_every_ten_seconds(listen):
    """Protocol 7, complaint 5: and every 10 s."""
    websocket = listen("?type=lifecycle").websocket
    websocket.frame()
    start = time.monotonic()
    frame = websocket.frame(timeout=15)
    assert frame.opcode == PING and 8 < time.monotonic() - start < 13


@pytest.mark.lxd
def test_console_session(guest, open_session, listen):
    """Protocol 7: an attach and a detach, as events: Pending, Running, lifecycle, final; all with their envelope."""
    listener = listen()
    session = open_session(guest, {"type": "console"})
    lifecycle = listener.action("instance-console", guest.url)
    assert lifecycle["metadata"]["context"]["type"] == "console"
    session.detach()
    final = listener.final(session.id)
    assert final["metadata"]["status_code"] == SUCCESS and final["metadata"]["metadata"]["fds"] == session.secrets
    for event in (lifecycle, final):
        assert RFC3339.fullmatch(event["timestamp"])
        assert (event["location"], event["project"]) == ("none", "default")
    codes = {event["metadata"]["status_code"] for event in listener.seen if event["metadata"].get("id") == session.id}
    assert {RUNNING, SUCCESS} <= codes


def test_life_of_an_instance(make, listen, name):
    """Protocol 7: the lifecycle of an instance, in LXD's actions; changes of state say who asked."""
    listener = listen("?type=lifecycle")
    instance = make("sh -c 'exec cat'", start=False)
    asked = {"username": pwd.getpwuid(os.getuid()).pw_name, "protocol": "unix", "address": "@"}
    old = instance.url

    def told(action):
        found = listener.action(action, instance.url)["metadata"]
        assert found.get("requestor", None if action in STATE_CHANGES else asked) == asked, action
        return found

    told("instance-created")
    for change, action in (
        (instance.start, "instance-started"),
        (instance.freeze, "instance-paused"),
        (instance.unfreeze, "instance-resumed"),
        (instance.restart, "instance-restarted"),
        (instance.clear_log, "instance-console-reset"),
        (instance.log, "instance-console-retrieved"),
        (instance.stop, "instance-stopped"),
        (lambda: instance.api.patch(old, {"config": {"user.a": "1"}}), "instance-updated"),
    ):
        change()
        told(action)
    instance.api.do("POST", old, {"name": name})
    instance.name = name
    assert told("instance-renamed")["context"]["old_name"] == old.split("/")[-1]
    instance.delete()
    told("instance-deleted")


def test_clean_stop_and_exit(make, listen):
    """Protocol 7: instance-shutdown; without a requestor when the guest ended by itself."""
    listener = listen("?type=lifecycle")
    one = make("sh -i")
    one.stop(force=False)
    assert "requestor" in listener.action("instance-shutdown", one.url)["metadata"]
    two = make("true")
    two.wait_status(STOPPED)
    assert not listener.action("instance-shutdown", two.url)["metadata"].get("requestor")


def test_restart_is_one_event(make, listen):
    """Protocol 7: no stop and start beside it."""
    listener = listen("?type=lifecycle")
    instance = make("sh -i").restart()
    listener.action("instance-restarted", instance.url)
    instance.stop(force=True)
    listener.action("instance-stopped", instance.url)
    actions = [event["metadata"]["action"] for event in listener.seen if event["metadata"]["source"] == instance.url]
    assert actions == ["instance-created", "instance-started", "instance-restarted", "instance-stopped"]


@pytest.mark.parametrize("wanted", ["operation", "lifecycle", "logging"])
def test_types(make, listen, wanted):
    """Protocol 7: `type=` keeps the others out."""
    listener, everything = listen(f"?type={wanted}"), listen()
    instance = make("true", start=False)
    operation = instance.change("stop")
    everything.final(operation["id"])
    if wanted == "operation":
        listener.final(operation["id"])
    elif wanted == "lifecycle":
        listener.action("instance-created", instance.url)
    assert {event["type"] for event in listener.seen} <= {wanted}
    assert not listener.websocket.pending() or listener.websocket.frame().opcode == PING


def test_final_event_follows_every_operation(make, listen):
    """Protocol 6: a client that misses the final event hangs for ever; none is missing."""
    listener = listen("?type=operation")
    instance = make("true", start=False)
    for _ in range(30):
        id = instance.change("stop")["id"]
        assert listener.final(id)["metadata"]["err"] == "The instance is already stopped"


def test_listener_that_sends(listen, shell):
    """Protocol 7: what a listener says is of no interest, and ends nobody but him."""
    talker, listener = listen(), listen()
    talker.websocket.text("hello")
    operation = shell.change("start")
    listener.final(operation["id"])


def test_listener_that_pings(listen):
    """RFC 6455: a pong for a ping."""
    websocket = listen("?type=lifecycle").websocket
    websocket.send(PING, b"you?")
    while True:
        frame = websocket.frame()
        if frame.opcode == PONG:
            assert frame.payload == b"you?"
            return


def test_listener_that_closes(listen):
    """RFC 6455: a Close is answered."""
    websocket = listen().websocket
    websocket.close(1000)
    websocket.wait_end()
    assert websocket.closed[:2] == (1000).to_bytes(2, "big")


def test_listener_that_does_not_read(make, listen, daemon):
    """T24: it is bounded and ended; the others get everything and the daemon does not grow."""
    before = memory(daemon.pid)
    stuck = WebSocket(daemon.socket, "/1.0/events", receive_buffer=4096)
    listener = listen("?type=operation")
    instance = make("true", start=False, config={"user.x": "x" * 1000})
    ended = threading.Event()

    def hammer():
        while not ended.is_set():
            instance.change("stop")

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        deadline = time.monotonic() + 45
        while not peer_is_gone(stuck.socket):
            assert time.monotonic() < deadline, "the listener that does not read goes on"
            listener.next()
    finally:
        ended.set()
        thread.join()
    listener.final(instance.change("stop")["id"])
    assert memory(daemon.pid) < before + (64 << 20)
    stuck.abort()


def peer_is_gone(connection):
    """Whether the other end has closed, without reading: writing to it fails."""
    try:
        connection.send(b"", socket.MSG_DONTWAIT)
        connection.send(bytes([0x8A, 0x80, 0, 0, 0, 0]), socket.MSG_DONTWAIT)  # an empty pong
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def test_too_many_listeners(own_daemon):
    """Promise 12, S4: one more than there is room for is refused in words; room comes back when one leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this process may not open 1,024 sockets")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    listeners = [WebSocket(own_daemon.socket, "/1.0/events") for _ in range(1024)]
    try:
        with pytest.raises(Refused) as refused:
            WebSocket(own_daemon.socket, "/1.0/events")
        assert refused.value.status == 503 and b"Too many" in refused.value.body
        listeners.pop().abort()

        def room():
            try:
                listeners.append(WebSocket(own_daemon.socket, "/1.0/events"))
            except Refused:
                return False
            return True

        wait_until(room)
    finally:
        for listener in listeners:
            listener.abort()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
