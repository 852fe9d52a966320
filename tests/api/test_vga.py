# SPDX-License-Identifier: Apache-2.0
"""Graphical consoles of virtual machines: their operations, and a WebSocket for each SPICE channel."""

import os
import pwd
import random
import signal
import socket
import threading
import time

import pytest

from consoled import alive, cpu_seconds, descriptors, instrumented, memory, rounds
from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Refused, close_payload, encode
from machine import HEAR_BUTTON, POWER_OFF, READY, REBOOT, Machine, MachineDaemon
from rest import CANCELLED, FAILURE, RUNNING, SUCCESS, wait_until
from session import DETACHING, refused
from spice import CHANNELS, CURSOR, DISPLAY, INPUTS, MAIN, Flood, HastyWebSocket, Server, Viewer, link_message, receive
from test_events import Listener
from test_loops import Flat
from test_operations import as_nobody, assert_error, needs_root

DAEMON = MachineDaemon
pytestmark = pytest.mark.timeout(120)

KIB, MIB = 1 << 10, 1 << 20
PENDING_MAX = 32  # sessions of one instance that wait for their sockets
STALLED = 512 * KIB  # what may be on its way when neither end reads: the kernel's buffers and a piece in between
OTHERS = {DISPLAY, INPUTS, CURSOR}
HELLO = link_message(DISPLAY)


@pytest.fixture(scope="module")
def shared_machine(shared_daemon):
    guest = Machine(shared_daemon, "shared", config={"consoled.viewers": "many"}).create()
    yield guest
    guest.vanish()


@pytest.fixture
def booted(daemon, shared_machine):
    """The module's machine, running; who stops it need not start it again."""
    if shared_machine.status != RUNNING:
        shared_machine.clear_log()
        shared_machine.start().wait_boot()
    return shared_machine


@pytest.fixture
def view():
    """Begins graphical sessions that vanish after the test. Nothing is connected yet."""
    viewers = []

    def begin(guest, **body):
        viewers.append(Viewer(guest, **body))
        return viewers[-1]

    yield begin
    for viewer in viewers:
        viewer.abort()


@pytest.fixture
def serve():
    """Takes the place of machines' SPICE servers, until the end of the test."""
    servers = []

    def take(guest, **how):
        servers.append(Server(guest, **how))
        return servers[-1]

    yield take
    for server in servers:
        server.close()


def joined(viewer, server, kind=DISPLAY):
    """A new channel of this kind, and the server's end of it."""
    channel = viewer.channel(kind)
    return channel, server.accept(link_message(kind))


def passes(channel, connection):
    """Bytes go both ways."""
    word = os.urandom(8)
    channel.send(word)
    assert receive(connection, 8) == word
    connection.sendall(word[::-1])
    assert channel.receive(8) == word[::-1]


def status(viewer):
    return viewer.operation()["status_code"]


# --- the request ---


@pytest.mark.parametrize("size", [{}, {"width": 1024, "height": 768}, {"force": False}])
def test_operation(booted, view, size):
    """Machines: the operation of a graphical console is that of a text console; lxc sends a size of 0 by 0."""
    viewer = view(booted, **size)
    operation = viewer.created
    assert (operation["class"], operation["description"]) == ("websocket", "Showing console")
    assert (operation["status_code"], operation["err"], operation["may_cancel"]) == (RUNNING, "", True)
    assert operation["resources"] == {"instances": [booted.url]}
    assert set(operation["metadata"]["fds"]) == {"0", "control"} == set(viewer.secrets)
    assert all(len(bytes.fromhex(secret)) == 32 for secret in viewer.secrets.values())
    assert viewer.operation() == operation


@pytest.mark.parametrize("raw", [b'{"type":"vga"}', b'{"TYPE":"vga","nonsense":[1]}'])
def test_everything_else_is_optional(booted, raw):
    """Machines: the type alone makes it one."""
    answer = booted.api.post(booted.url + "/console", raw=raw)
    assert answer.status == 202 and answer.headers["Location"] == "/1.0/operations/" + answer.metadata["id"]
    assert booted.api.delete(answer.headers["Location"]).status == 200


@pytest.mark.parametrize(
    "raw, text",
    [
        (b'{"type":"VGA"}', 'Unknown console type "VGA"'),
        (
            b'{"type":"vga","width":"0"}',
            "json: cannot unmarshal string into Go struct field InstanceConsolePost.width of type int",
        ),
        (b'{"type":"vga"', "unexpected end of JSON input"),
        (b'{"type":"vga","mode":"watch"}', "mode: watch: only of a text console"),
    ],
)
def test_bad_request(booted, raw, text):
    """Promise 12: in LXD's words."""
    assert_error(booted.api.post(booted.url + "/console", raw=raw), 400, text)


@pytest.mark.parametrize("kind", ["program", "running program", "container"])
def test_not_of_containers(daemon, make, kind):
    """Promise 12: containers have no graphical console, nor have programs, which are listed as containers."""
    root = {"root": {"type": "disk", "path": "/", "source": str(daemon.home)}}
    if kind == "container":
        instance = make(start=False, devices=root)
    else:
        instance = make("cat", start=kind == "running program")
    answer = instance.api.post(instance.url + "/console", {"type": "vga"})
    assert_error(answer, 400, "VGA console is only supported by virtual machines")


def test_not_running(machine, booted):
    """Promise 12: neither of a stopped machine nor of a frozen one, in LXD's words."""
    stopped = machine(start=False)
    assert_error(stopped.api.post(stopped.url + "/console", {"type": "vga"}), 400, "Instance is not running")
    booted.freeze()
    assert_error(booted.api.post(booted.url + "/console", {"type": "vga"}), 400, "Instance is frozen")
    booted.unfreeze()


# --- with QEMU's own SPICE server ---


def test_viewer(booted, view, open_session):
    """Machines: all channels of a viewer with one secret, while the text console and its log go on."""
    text, viewer = open_session(booted), view(booted)
    main = viewer.attach()
    assert main.ask() == OTHERS
    text.type("some text").expect("some text")
    assert booted.log().endswith(b"some text") and main.ask() == OTHERS
    viewer.control.close(1000, DETACHING)
    assert viewer.control.wait_end() == [] and viewer.control.closed[:2] == (1000).to_bytes(2, "big")
    assert viewer.result()["status_code"] == SUCCESS
    for channel in viewer.channels:
        channel.assert_clean_end()
    text.type("more").expect("more")


def test_viewers_beside_each_other(booted, view):
    """Promise 5: several may look, and one's leaving is nobody else's matter."""
    viewers = [view(booted) for _ in range(4)]
    mains = [viewer.attach() for viewer in viewers]
    for number, (viewer, main) in enumerate(zip(viewers, mains)):
        assert [each.ask() for each in mains[number:]] == [OTHERS] * (4 - number)
        main.close()
        assert viewer.result()["status_code"] == SUCCESS
    assert view(booted).attach().ask() == OTHERS


def test_second_viewer_takes_over(machine, view, lxc):
    """Promise 5: SPICE serves one viewer unless consoled.viewers says otherwise. Who had it is told who has it now."""
    guest = machine().wait_boot()
    first, second = view(guest), view(guest)
    first.attach()
    waiting = view(guest).connect_control()
    main = second.attach()
    me = pwd.getpwuid(os.getuid()).pw_name
    operation = first.result()
    assert (operation["status_code"], operation["err"]) == (CANCELLED, "")
    assert waiting.operation()["status"] == "Running"
    for channel in first.channels:
        channel.drain()
        assert channel.websocket.closed == (4001).to_bytes(2, "big") + f"taken over by {me}".encode()
    assert main.ask() == OTHERS
    assert "consoled.viewers: one of one, many" in lxc("config", "set", guest.name, "consoled.viewers=few", code=1)


@pytest.mark.parametrize("running", ["one", "many"])
def test_viewers_that_the_running_machine_lets_in(machine, view, lxc, running):
    """Promise 5: consoled.viewers means something from the next start on: until then viewers are told what happens."""
    other = {"one": "many", "many": "one"}[running]
    guest = machine(config={"consoled.viewers": running}).wait_boot()
    lxc("config", "set", guest.name, f"consoled.viewers={other}")
    first, second = view(guest), view(guest)
    main = first.attach()
    assert second.attach().ask() == OTHERS
    if running == "many":
        assert main.ask() == OTHERS and status(first) == RUNNING
    else:
        main.drain()
        assert main.websocket.closed[:2] == (4001).to_bytes(2, "big")


def test_viewers_of_one_session(booted, view):
    """Promise 5: two viewers behind one lxc: the session goes on until both have left."""
    viewer = view(booted)
    first, second = viewer.attach(), viewer.main()
    first.close()
    assert second.ask() == OTHERS and viewer.operation()["status"] == "Running"
    second.close()
    assert viewer.result()["status_code"] == SUCCESS


def test_restart_through_the_api(booted, view, open_session):
    """Promise 9: a new QEMU has a SPICE server of its own: viewers must come again. Who waits for one stays, as does
    the text console."""
    text, viewer, waiting = open_session(booted), view(booted), view(booted)
    viewer.attach()
    waiting.connect_control()
    booted.restart()
    assert viewer.result()["status_code"] == SUCCESS
    for channel in viewer.channels:
        channel.assert_clean_end()
    text.expect(READY.decode())
    text.type("x").expect("x")
    assert status(text) == status(waiting) == RUNNING
    assert waiting.main().ask() == view(booted).attach().ask() == OTHERS


def test_guest_reboots(booted, view, open_session):
    """T37: QEMU stays, and so does the viewer."""
    text, viewer = open_session(booted), view(booted)
    main = viewer.attach()
    text.type("a" + REBOOT).expect(r"a\r\n\[consoled: restarted, boot \d+\]\r\n" + READY.decode())
    assert main.ask() == OTHERS and status(viewer) == RUNNING


def test_pause_keeps_the_session(booted, view):
    """Promise 9: a frozen machine still has a screen; new channels open as well."""
    viewer = view(booted)
    main = viewer.attach()
    booted.freeze()
    assert main.ask() == OTHERS
    viewer.channel(INPUTS, main.connection).authenticate(INPUTS)
    booted.unfreeze()
    assert main.ask() == OTHERS and status(viewer) == RUNNING


@pytest.mark.parametrize("how", ["stop by force", "power button", "power off", "QEMU killed"])
def test_end_of_the_machine(booted, view, serve, open_session, how):
    """Promise 8: Success and a clean end for all: attached, merely asked for, or with a server that holds on."""
    text, attached, waiting, asked_for = open_session(booted), view(booted), view(booted), view(booted)
    attached.attach()
    waiting.connect_control()
    server = serve(booted)
    held = view(booted)
    channel, connection = joined(held, server)
    if how == "stop by force":
        booted.stop()
    elif how == "power button":
        text.type(HEAR_BUTTON + "x").expect("x")
        booted.stop(force=False)
    elif how == "power off":
        text.type(POWER_OFF)
    else:
        os.kill(booted.pid, signal.SIGKILL)
    for viewer in (attached, waiting, asked_for, held):
        operation = viewer.result()
        assert (operation["status_code"], operation["err"]) == (SUCCESS, "")
    for each in attached.channels + held.channels:
        each.assert_clean_end()
    for viewer in (attached, waiting):
        assert viewer.control.wait_end() == [] and viewer.control.closed == b""
    assert receive(connection, 1) == b""
    assert refused(asked_for).status >= 400
    booted.assert_ended()


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_daemon_ends(own_daemon, machine, view, serve, how):
    """Promise 10: with viewers attached, one of them deaf; the machine lives, and they come again."""
    guest = machine(on=own_daemon).wait_boot()
    pid, viewers = guest.pid, [view(guest), view(guest)]
    mains = [viewer.attach() for viewer in viewers]
    server = serve(guest)
    stalled, connection = joined(view(guest), server)
    wait_until(Flood(connection, bytes(MIB)).stands_still)
    began = time.monotonic()
    getattr(own_daemon, how)()
    assert time.monotonic() - began < 10
    for channel in (*mains, stalled):
        channel.drain()
    server.close()
    assert alive(pid)
    own_daemon.start()
    assert (guest.status, guest.pid) == (RUNNING, pid)
    assert view(guest).attach().ask() == OTHERS


# --- secrets and sockets ---


def test_secrets(booted, view, serve):
    """Promise 11: data's secret serves each channel, control's once, both this operation alone."""
    server, viewer, other = serve(booted), view(booted), view(booted)
    viewer.connect_control()
    channels = [joined(viewer, server, kind) for kind in (*CHANNELS, DISPLAY)]
    assert 400 <= refused(viewer, "control").status < 500
    right = viewer.secrets
    for wrong in ("0" * 64, right["0"][:-1], other.secrets["0"], other.secrets["control"]):
        viewer.secrets = {**right, "0": wrong}
        assert refused(viewer).status == 403
    viewer.secrets = right
    for each in channels:
        passes(*each)
    passes(*joined(viewer, server))


@needs_root
def test_only_the_requestor_may_connect(own_daemon, machine, view):
    """Promise 11, S3: neither before nor after the requestor, who is not disturbed."""
    own_daemon.open_to_all()
    guest = machine(on=own_daemon).wait_boot()
    viewer = view(guest)

    def connect():
        statuses = []
        for name in ("0", "control"):
            try:
                viewer.connect(name).abort()
                statuses.append(101)
            except Refused as refusal:
                statuses.append(refusal.status)
        return [*statuses, viewer.operation()["metadata"]]

    assert as_nobody(connect) == [403, 403, None]
    main = viewer.attach()
    assert as_nobody(connect)[0] == 403
    assert main.ask() == OTHERS


def test_secrets_end_with_the_session(booted, view):
    """S3: neither opens anything any more."""
    viewer = view(booted)
    viewer.attach()
    viewer.detach().result()
    for name in ("0", "control"):
        assert refused(viewer, name).status >= 400


@pytest.mark.parametrize("order", ["control first", "data first", "data only"])
def test_sockets_in_any_order(booted, view, serve, order):
    """Promise 7, T3: control may come first, later, or never."""
    server, viewer = serve(booted), view(booted)
    if order == "control first":
        viewer.connect_control()
    channel, connection = joined(viewer, server)
    passes(channel, connection)
    if order == "data first":
        viewer.connect_control()
    passes(*joined(viewer, server, INPUTS))
    passes(channel, connection)


def test_expiry(make_daemon, machine, view):
    """Promise 7, T1: what nobody connects to expires; control alone may stay, for a viewer that comes when it likes."""
    guest = machine(on=make_daemon("--attach-timeout", "1"), config={"consoled.viewers": "many"}).wait_boot()
    control_only, data_only, nobody = view(guest), view(guest), view(guest)
    control_only.connect_control()
    main = data_only.main()
    operation = nobody.result()
    assert operation["status_code"] == FAILURE and operation["err"]
    assert refused(nobody).status >= 400
    assert status(control_only) == status(data_only) == RUNNING
    assert control_only.main().ask() == main.ask() == OTHERS


def test_without_control_the_last_channel_ends_it(booted, view, serve):
    """Promise 7, T2: with control, it may do without channels for a while."""
    server, alone, controlled = serve(booted), view(booted), view(booted)
    controlled.connect_control()
    for viewer in (alone, controlled):
        first, second = joined(viewer, server, DISPLAY), joined(viewer, server, CURSOR)
        first[0].close()
        passes(*second)
        assert status(viewer) == RUNNING
        second[0].close()
        assert receive(second[1], 1) == b""
    assert alone.result()["status_code"] == SUCCESS
    passes(*joined(controlled, server))


def test_control_has_nothing_to_say(booted, view, serve):
    """T31: a size is nothing to a graphical console, junk is junk, and no word comes back."""
    viewer = view(booted).connect_control().resize(100, 30)
    for junk in (b"", b"not json", b"[" * 2000, b'{"command":5}', b"x" * 40000):
        viewer.control.send(BINARY, junk)
    viewer.control.send(PING, b"still there?")
    assert viewer.control.frame().payload == b"still there?"
    passes(*joined(viewer, serve(booted)))


# --- ends ---


def close_unread(channel, connection):
    """The server ends with something unread: its client sees a reset."""
    channel.send(b"unread")
    assert connection.recv(1, socket.MSG_PEEK)
    connection.close()


ENDS = {
    "client closes": lambda channel, connection: channel.close(),
    "client closes without a code": lambda channel, connection: channel.close(None),
    "client sends the end mark": lambda channel, connection: channel.send_end(),
    "client is killed": lambda channel, connection: channel.abort(),
    "server closes": lambda channel, connection: connection.close(),
    "server closes its half": lambda channel, connection: connection.shutdown(socket.SHUT_WR),
    "server resets": close_unread,
}


def assert_ended(how, channel, connection):
    if how.startswith("client"):
        assert receive(connection, 1) == b""
    else:
        channel.assert_clean_end()


@pytest.mark.parametrize("how", ENDS)
def test_end_of_a_channel(booted, view, serve, how):
    """T35: that of any channel but the main one is its own affair."""
    server, viewer = serve(booted), view(booted).connect_control()
    main, display, cursor = (joined(viewer, server, kind) for kind in (MAIN, DISPLAY, CURSOR))
    ENDS[how](*cursor)
    assert_ended(how, *cursor)
    passes(*main)
    passes(*display)
    passes(*joined(viewer, server, CURSOR))
    assert status(viewer) == RUNNING


@pytest.mark.parametrize("how", ENDS)
def test_end_of_the_main_channel(booted, view, serve, how):
    """T35: with its main channel a viewer has left: the others end cleanly, and the operation is a Success."""
    server, viewer = serve(booted), view(booted).connect_control()
    main, display = joined(viewer, server, MAIN), joined(viewer, server, DISPLAY)
    ENDS[how](*main)
    assert_ended(how, *main)
    operation = viewer.result()
    assert (operation["status_code"], operation["err"]) == (SUCCESS, "")
    display[0].assert_clean_end()
    assert receive(display[1], 1) == b""
    assert viewer.control.wait_end() == [] and viewer.control.closed == b""


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("channels", [True, False])
def test_end_of_control(booted, view, serve, how, channels):
    """Protocol 8: however it goes, with or without a viewer, this is a detach."""
    server, viewer = serve(booted), view(booted).connect_control()
    display = joined(viewer, server) if channels else None
    if how == "close":
        viewer.detach()
    else:
        viewer.control.abort()
    assert viewer.result()["status_code"] == SUCCESS
    if display:
        display[0].assert_clean_end()
        assert receive(display[1], 1) == b""


@pytest.mark.parametrize("attached", [True, False])
def test_cancel(booted, view, serve, attached):
    """Design: DELETE of the operation ends the session: Cancelled, err empty."""
    server, viewer = serve(booted), view(booted)
    display = joined(viewer.connect_control(), server) if attached else None
    assert viewer.api.delete(f"/1.0/operations/{viewer.id}").status == 200
    operation = viewer.result()
    assert (operation["status"], operation["status_code"], operation["err"]) == ("Cancelled", CANCELLED, "")
    if attached:
        display[0].assert_clean_end()
        assert receive(display[1], 1) == b""
        assert viewer.control.wait_end() == []
    assert refused(viewer).status >= 400


def test_force(booted, view, serve, open_session):
    """Promise 5: force takes over from graphical sessions, attached or not, who are told; text consoles stay."""
    server, text = serve(booted), open_session(booted)
    attached, asked_for = view(booted).connect_control(), view(booted)
    display = joined(attached, server)
    new = view(booted, force=True)
    for viewer in (attached, asked_for):
        operation = viewer.result()
        assert (operation["status"], operation["status_code"]) == ("Cancelled", CANCELLED)
    display[0].drain()
    attached.control.wait_end()
    for websocket in (display[0].websocket, attached.control):
        code, reason = int.from_bytes(websocket.closed[:2], "big"), websocket.closed[2:].decode()
        assert code >= 4000 and "taken over by " in reason, websocket.closed
    assert receive(display[1], 1) == b""
    mine = joined(new, server)
    passes(*mine)
    text.type("still here").expect("still here")
    open_session(booted, {"force": True}).type("x").expect("x")
    assert text.result()["status_code"] == CANCELLED
    passes(*mine)


def test_force_that_cannot_be(booted, view, open_session):
    """Promise 12: where a session would be one too many, force costs nobody his."""
    text = open_session(booted)
    for _ in range(PENDING_MAX):
        view(booted)
    answer = booted.api.post(booted.url + "/console", {"force": True})
    assert_error(answer, 503, f"Too many console sessions of {booted.name} wait for their sockets: limits.pending_sessions is 32")
    text.type("still here").expect("still here")
    open_session(booted, {"force": True, "type": "vga"}, attach=False)
    assert status(text) == RUNNING


# --- bytes ---


def test_bytes_are_counted(booted, view, serve):
    """Sessions: how much has gone each way, over all channels, those that have left included."""
    server, viewer = serve(booted), view(booted).connect_control()
    for kind in (DISPLAY, CURSOR):
        ends = joined(viewer, server, kind)
        passes(*ends)
        ends[0].close()
    seen = booted.api.read(booted.url + f"/console/sessions/{viewer.id}")
    assert (seen["bytes_sent"], seen["bytes_received"]) == (2 * 8, 2 * (8 + len(HELLO)))


def test_first_words_with_the_handshake(booted, view, serve):
    """Promise 4: what comes in one piece with the request for the upgrade arrives."""
    server, viewer = serve(booted), view(booted).connect_control()
    words = link_message(DISPLAY) + b"and more"
    for number in range(rounds(50)):
        frames = in_frames(words, 1 if number % 2 else len(words))
        channel = viewer.add(HastyWebSocket(viewer.api.path, viewer.target("0"), frames))
        passes(channel, server.accept(words))
        channel.abort()


def test_messages_are_bytes(booted, view, serve):
    """T30: bounds and kinds of messages mean nothing, but for the one empty text message, which is the end."""
    channel, connection = joined(view(booted), serve(booted))
    websocket = channel.websocket
    websocket.send(BINARY, b"frag", final=False)
    websocket.send(PING, b"between")
    websocket.send(CONTINUATION, b"", final=False)
    websocket.send(CONTINUATION, b"ment,")
    websocket.send(BINARY, b"")
    websocket.send(TEXT, b"", final=False)
    websocket.send(CONTINUATION, b"text,")
    websocket.send(TEXT, b"and text")
    assert receive(connection, 22) == b"fragment,text,and text"
    frame = websocket.frame()
    assert (frame.opcode, frame.payload) == (PONG, b"between")
    passes(channel, connection)
    websocket.send(TEXT, b"")
    assert receive(connection, 1) == b""


def in_frames(data, size):
    return b"".join(encode(BINARY, data[offset : offset + size]) for offset in range(0, len(data), size))


def send_frames(websocket, data, seed):
    """Sends all of `data` in messages of many sizes, some in fragments."""
    dice, offset = random.Random(seed), 0
    sizes = [1, 125, 126, 127, 65535, 65536, 65537, MIB]
    while offset < len(data):
        size = sizes.pop() if sizes else dice.choice((dice.randrange(100), dice.randrange(100 * KIB)))
        final = dice.random() < 0.8
        websocket.send(BINARY, data[offset : offset + size], final=final)
        if not final:
            websocket.send(CONTINUATION, data[offset + size : offset + 2 * size])
        offset += size * (1 if final else 2)


@pytest.mark.parametrize("seed", range(4))
def test_bytes_pass_unchanged(booted, view, serve, seed):
    """T30: messages of every size, up to a megabyte in one, both ways at once."""
    serve(booted).echo()
    data = random.Random(seed).randbytes(4 * MIB)
    channel = view(booted).channel(DISPLAY)
    assert channel.receive(len(link_message(DISPLAY))) == link_message(DISPLAY)
    sender = threading.Thread(target=send_frames, args=(channel.websocket, data, seed), daemon=True)
    sender.start()
    assert channel.receive(len(data)) == data
    sender.join()


@pytest.mark.parametrize("size", [1, 64 * KIB, MIB])
def test_last_bytes(booted, view, serve, size):
    """Promise 8: what a server sent before it closed comes before the end, also to a client that reads late."""
    viewer = view(booted).connect_control()
    channel, connection = joined(viewer, serve(booted))
    data = os.urandom(size)
    flood = Flood(connection, data)
    if size == MIB:
        wait_until(flood.stands_still)
    else:
        flood.join(20)
        connection.close()
    assert channel.receive(size) == data
    flood.join(20)
    connection.close()
    channel.assert_clean_end()
    assert channel.received == b""


@pytest.mark.parametrize("size", [100 * KIB, MIB])
@pytest.mark.parametrize("end", [encode(CLOSE, close_payload(1000)), encode(TEXT)], ids=["close", "end mark"])
def test_last_bytes_of_a_client(booted, view, serve, size, end):
    """Promise 8: and the other way: what a client sent before it left arrives, even at a server that reads late."""
    viewer = view(booted).connect_control()
    channel, connection = joined(viewer, serve(booted))
    data = os.urandom(size)
    flood = Flood(channel.websocket.socket, in_frames(data, 5000) + end)
    if size == MIB:
        wait_until(flood.stands_still)
    assert receive(connection, size + 1) == data


def test_last_bytes_behind_a_full_server(booted, view, serve):
    """Promise 8: wherever the end mark stands when the server takes no more."""
    server, viewer, data = serve(booted), view(booted).connect_control(), os.urandom(200 * KIB)
    for size in range(100 * KIB, len(data), 100 * KIB // rounds(100)):
        channel, connection = joined(viewer, server)
        flood = Flood(channel.websocket.socket, in_frames(data[:size], 200) + encode(TEXT))
        wait_until(lambda: flood.taken == len(flood.data))
        passes(*joined(viewer, server))
        assert receive(connection, size + 1) == data[:size]
        for each in viewer.channels[-2:]:
            each.abort()


def test_talking_to_a_server_that_has_left(booted, view, serve):
    """Promise 8: what a client says to nobody does not cost it the bytes that are still on their way to it."""
    viewer = view(booted).connect_control()
    channel, connection = joined(viewer, serve(booted))
    flood = Flood(connection, os.urandom(2 * MIB))
    wait_until(flood.stands_still)
    connection.shutdown(socket.SHUT_RDWR)
    channel.send(b"x" * 1000).send(b"y" * 1000)
    channel.assert_clean_end()
    assert len(channel.received) >= flood.taken > 0 and flood.data[: len(channel.received)] == channel.received


def test_many_at_once(booted, view, serve):
    """Promise: twelve viewers with four channels each; each gets its own bytes."""
    serve(booted).echo()
    sent = []
    for viewer in [view(booted).connect_control() for _ in range(12)]:
        for kind in CHANNELS:
            data = os.urandom(32 * KIB)
            sent.append((viewer.channel(kind).send(data), link_message(kind) + data))
    for channel, data in sent:
        assert channel.receive(len(data)) == data


def test_too_many_channels(booted, view, serve):
    """S4: one viewer cannot open channels without end, and who tries is told; those that are there go on."""
    serve(booted).echo()
    viewer = view(booted).connect_control()
    for _ in range(300):
        channel = viewer.channel(DISPLAY)
        if not channel.read():
            break
    assert channel.ended and len(viewer.channels) > 20, f"{len(viewer.channels)} channels"
    assert channel.websocket.closed[2:], "not told why"
    channel.websocket.wait_end()
    for each in viewer.channels[:-1]:
        assert each.send(b"x").receive(len(HELLO) + 1) == HELLO + b"x"
    assert status(viewer) == RUNNING
    viewer.channels[0].close()
    wait_until(lambda: viewer.channel(DISPLAY).read(), what="room for another")


@pytest.mark.parametrize(
    "how",
    [
        dict(opcode=BINARY, payload=b"x", reserved=4),
        dict(opcode=3, payload=b"x"),
        dict(opcode=BINARY, payload=b"x", masked=False),
        dict(opcode=PING, payload=b"x" * 126),
        dict(opcode=BINARY, payload=b"", length=2**63),
        dict(opcode=CONTINUATION, payload=b"x"),
    ],
    ids=["reserved-bit", "opcode-3", "unmasked", "long-ping", "2^63", "stray-part"],
)
def test_hostile_frame(booted, view, serve, how):
    """T30: what RFC 6455 forbids ends that channel at most."""
    server, viewer = serve(booted), view(booted).connect_control()
    display, inputs = joined(viewer, server), joined(viewer, server, INPUTS)
    display[0].websocket.send(**how)
    display[0].abort()
    assert b"x" * 2 not in receive(display[1], 2)
    passes(*inputs)
    assert status(viewer) == RUNNING


@pytest.mark.parametrize("words", [b"x", b"GET / HTTP/1.1\r\n\r\n" * 4, bytes(100), HELLO[:21], b""])
def test_what_is_not_spice(booted, view, serve, words):
    """S1: the daemon does not care what it passes on, and its end is that of one channel."""
    server, viewer = serve(booted), view(booted).connect_control()
    channel = viewer.channel().send(words)
    connection = server.accept(words)
    passes(channel, connection)
    channel.close()
    assert receive(connection, 1) == b""
    passes(*joined(viewer, server))


# --- who does not read ---


@pytest.fixture
def quick(booted, open_session):
    """Asserts that the text console and the API answer at once."""
    text = open_session(booted)

    def look():
        for number in range(10):
            began = time.monotonic()
            text.type(f"<{number}>").expect(f"<{number}>")
            assert booted.api.get("/1.0").status == 200
            assert time.monotonic() - began < 1, "slow"

    look()
    return look


def assert_stalled(daemon, floods, before):
    """They block; the daemon keeps next to nothing for each, and does nothing."""
    for flood in floods:
        wait_until(flood.stands_still)
    assert all(0 < flood.taken <= STALLED for flood in floods), [flood.taken for flood in floods]
    if not instrumented(daemon.pid):
        assert memory(daemon.pid) <= before + len(floods) * STALLED
    busy = cpu_seconds(daemon.pid)
    assert floods[0].stands_still(0.5) and cpu_seconds(daemon.pid) < busy + 0.06


def test_viewers_that_do_not_read(daemon, booted, view, serve, quick):
    """T19: the server blocks, nobody else waits, and no byte is lost."""
    server, data = serve(booted), os.urandom(2 * MIB)
    ends = [joined(view(booted).connect_control(), server) for _ in range(4)]
    before = memory(daemon.pid)
    floods = [Flood(connection, data) for _, connection in ends]
    assert_stalled(daemon, floods, before)
    quick()
    for channel, _ in ends:
        assert channel.receive(len(data)) == data
    for each in ends:
        passes(*each)


@pytest.mark.parametrize("size", [1, 300, 50000, MIB])
def test_server_that_does_not_read(daemon, booted, view, serve, quick, size):
    """T18: and so it is the other way, in messages of any size."""
    server, data = serve(booted), os.urandom(2 * MIB if size > 1 else 64 * KIB)
    ends = [joined(view(booted).connect_control(), server) for _ in range(2)]
    before = memory(daemon.pid)
    floods = [Flood(channel.websocket.socket, in_frames(data, size)) for channel, _ in ends]
    assert_stalled(daemon, floods, before)
    quick()
    for _, connection in ends:
        assert receive(connection, len(data)) == data
    for each in ends:
        passes(*each)


@pytest.mark.parametrize("how", ["killed", "half-closed"])
def test_client_that_leaves_what_nobody_reads(daemon, booted, view, serve, how):
    """T18: what it sent waits for the server, and nothing spins meanwhile."""
    server, viewer = serve(booted), view(booted).connect_control()
    (channel, connection), (stalled, _) = joined(viewer, server), joined(viewer, server)
    data, before = os.urandom(200 * KIB), memory(daemon.pid)
    flood = Flood(channel.websocket.socket, in_frames(data, 50000))
    wait_until(lambda: flood.taken == len(flood.data))
    channel.websocket.socket.shutdown(socket.SHUT_RDWR if how == "killed" else socket.SHUT_WR)
    assert_stalled(daemon, [Flood(stalled.websocket.socket, encode(BINARY, bytes(MIB)))], before)
    assert receive(connection, len(data) + 1) == data
    assert status(viewer) == RUNNING


@pytest.mark.parametrize("how", ["detach", "cancel", "viewer killed", "machine stopped"])
def test_end_of_a_session_that_stands_still(daemon, booted, view, serve, how):
    """Promise 7: stuck both ways, it ends all the same, and leaves nothing."""
    server = serve(booted)
    with Flat(daemon):
        viewer = view(booted).connect_control()
        channel, connection = joined(viewer, server)
        floods = [Flood(connection, bytes(2 * MIB))]
        floods.append(Flood(channel.websocket.socket, encode(BINARY, bytes(MIB)) * 2))
        for flood in floods:
            wait_until(flood.stands_still)
        if how == "detach":
            viewer.control.close(1000, DETACHING)
        elif how == "cancel":
            viewer.api.delete(f"/1.0/operations/{viewer.id}")
        elif how == "viewer killed":
            viewer.abort()
        else:
            booted.stop()
        assert viewer.result()["status_code"] == (CANCELLED if how == "cancel" else SUCCESS)
        wait_until(lambda: floods[0].failed, what="the server sees the end")
    assert refused(viewer).status >= 400


def test_client_killed_in_a_flood(booted, view, serve):
    """T6: the server learns of it, and the other channels do not."""
    server, viewer = serve(booted), view(booted).connect_control()
    display, inputs = joined(viewer, server), joined(viewer, server, INPUTS)
    flood = Flood(display[1], bytes(64 * MIB))
    display[0].receive(MIB)
    display[0].abort()
    wait_until(lambda: flood.failed)
    passes(*inputs)
    assert status(viewer) == RUNNING


# --- servers that cannot be reached ---


@pytest.mark.parametrize("how", ["absent", "refusing"])
def test_no_server(booted, view, serve, how):
    """Promise 12: the channel is told, and the next may have more luck."""
    viewer = view(booted).connect_control()
    server = serve(booted, backlog=None)
    if how == "absent":
        server.path.unlink()
        answer = booted.api.post(booted.url + "/console", {"type": "vga"})
        assert answer.status == 400 and "no graphical console" in answer.error
    channel = viewer.channel()
    channel.drain()
    assert int.from_bytes(channel.websocket.closed[:2], "big") == 1011 and channel.websocket.closed[2:]
    server.close()
    assert viewer.main().ask() == OTHERS


def test_server_that_is_busy_for_a_moment(booted, view, serve):
    """Machines: SPICE's backlog holds one connection; who finds it full is served as soon as there is room."""
    server, viewer = serve(booted, backlog=0), view(booted).connect_control()
    before = server.fill()
    channels = [viewer.channel(kind).send(b"early") for kind in CHANNELS]
    assert status(viewer) == RUNNING
    for each in before:
        server.accept()
        each.close()
    heard = {}
    for _ in channels:
        connection = server.accept()
        heard[receive(connection, len(HELLO) + 5)] = connection
    for kind, channel in zip(CHANNELS, channels):
        passes(channel, heard[link_message(kind) + b"early"])


def test_server_that_stays_busy(daemon, booted, view, serve):
    """Machines: after some seconds a channel gives up, in words; who leaves before leaves nothing behind."""
    server, viewer = serve(booted, backlog=0), view(booted).connect_control()
    before = server.fill()
    with Flat(daemon):
        channel, cancelled, killed = viewer.channel(DISPLAY), view(booted), view(booted)
        for each in (cancelled, killed):
            each.connect_control().channel(MAIN)
        cancelled.api.delete(f"/1.0/operations/{cancelled.id}")
        killed.abort()
        assert (cancelled.result()["status_code"], killed.result()["status_code"]) == (CANCELLED, SUCCESS)
        channel.drain()
        assert int.from_bytes(channel.websocket.closed[:2], "big") == 1011 and channel.websocket.closed[2:]
    assert status(viewer) == RUNNING
    for each in before:
        server.accept()
        each.close()
    passes(*joined(viewer, server))


# --- over and over ---


def test_nothing_grows(daemon, booted, view):
    """T5: attached and left in every way; neither the daemon nor QEMU keeps anything."""
    ends = [
        lambda viewer: viewer.detach(),
        lambda viewer: viewer.abort(),
        lambda viewer: viewer.channels[0].close(),
        lambda viewer: viewer.channels[0].send_end(),
        lambda viewer: viewer.api.delete(f"/1.0/operations/{viewer.id}"),
    ]
    qemu = booted.pid
    with Flat(daemon):
        before = descriptors(qemu)
        for number in range(rounds(200)):
            viewer = view(booted)
            if number % 10 == 0:
                viewer.attach()
            else:
                viewer.connect_control().main()
            ends[number % len(ends)](viewer)
            assert viewer.result()["status_code"] in (SUCCESS, CANCELLED)
            viewer.abort()
        wait_until(lambda: descriptors(qemu) <= before, what="QEMU has closed all")
    assert booted.pid == qemu and view(booted).attach().ask() == OTHERS


def test_partial_sessions(daemon, booted, view):
    """T2: data only, control only, neither; closed, killed, cancelled between."""
    with Flat(daemon):
        for sockets in ([], ["0"], ["control"], ["0", "control"], ["0", "0", "control"]):
            for end in ("close", "abort", "cancel"):
                viewer = view(booted)
                opened = [viewer.connect(name) for name in sockets]
                if end == "cancel" or not sockets:
                    viewer.api.delete(f"/1.0/operations/{viewer.id}")
                for websocket in opened:
                    if end == "close":
                        websocket.close(1000)
                    elif end == "abort":
                        websocket.abort()
                assert viewer.result()["status_code"] in (SUCCESS, CANCELLED)
                for websocket in opened:
                    websocket.abort()


def test_events(daemon, booted, view, open_session):
    """Protocol 7: one lifecycle event for each session, which says of what kind it is, and the operation's own."""
    listener = Listener(daemon.socket)
    viewer = view(booted)
    viewer.attach()
    viewer.detach()
    final = listener.final(viewer.id)["metadata"]
    assert final["status_code"] == SUCCESS and final["metadata"]["fds"] == viewer.secrets
    text = open_session(booted).detach()
    listener.final(text.id)
    told = [each["metadata"] for each in listener.seen if each["type"] == "lifecycle"]
    told = [each["context"]["type"] for each in told if each["action"] == "instance-console"]
    assert told == ["vga", "console"]
    codes = {each["metadata"]["status_code"] for each in listener.seen if each["metadata"].get("id") == viewer.id}
    assert {RUNNING, SUCCESS} <= codes
    listener.websocket.abort()
