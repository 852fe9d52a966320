# SPDX-License-Identifier: Apache-2.0
"""The console: the request, its two sockets, and every way a session ends (protocol 8)."""

import itertools
import re

import pytest

from frames import BINARY, CLOSE, PING, PONG, TEXT
from rest import CANCELLED, RUNNING, SUCCESS, wait_until
from session import DETACHING, Session, refused

RAW_CAT = "sh -c 'stty raw -echo; echo ready; exec cat'"


def assert_error(answer, status, text):
    assert (answer.status, answer.json["error_code"], answer.error) == (status, status, text)


# --- the request ---


@pytest.mark.lxd
@pytest.mark.parametrize(
    "raw, text",
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b'{"type":', "unexpected end of JSON input"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.InstanceConsolePost"),
        (b'"x"', "json: cannot unmarshal string into Go value of type api.InstanceConsolePost"),
        (
            b'{"width":"80"}',
            "json: cannot unmarshal string into Go struct field InstanceConsolePost.width of type int",
        ),
        (
            b'{"width":80.5}',
            "json: cannot unmarshal number 80.5 into Go struct field InstanceConsolePost.width of type int",
        ),
        (
            b'{"width":1e3}',
            "json: cannot unmarshal number 1e3 into Go struct field InstanceConsolePost.width of type int",
        ),
        (
            b'{"width":99999999999999999999}',
            "json: cannot unmarshal number 99999999999999999999 into Go struct field "
            "InstanceConsolePost.width of type int",
        ),
        (b'{"type":5}', "json: cannot unmarshal number into Go struct field InstanceConsolePost.type of type string"),
        (b'{"type":"console"} trailing', "invalid character 't' after top-level value"),
        (b'{"type":"serial"}', 'Unknown console type "serial"'),
        (b'{"unknown":1,"type":"zzz"}', 'Unknown console type "zzz"'),
        (b'{"height":null,"width":null,"type":"zzz"}', 'Unknown console type "zzz"'),
        (b'{"type":"vga"}', "VGA console is only supported by virtual machines"),
        (b'{"TYPE":"vga"}', "VGA console is only supported by virtual machines"),
    ],
)
def test_bad_request(guest, raw, text):
    """Promise 12: every bad body is 400 in LXD's words."""
    assert_error(guest.api.post(guest.url + "/console", raw=raw), 400, text)


@pytest.mark.lxd
@pytest.mark.parametrize(
    "path, status, text",
    [
        ("/1.0/instances/nosuch/console", 404, "Instance not found"),
        ("/1.0/instances/n%6fsuch/console", 404, "Instance not found"),
        ("/1.0/instances/a%2Fb/console", 400, "Invalid instance name"),
        ("/1.0/instances/..%2f/console", 400, "Invalid instance name"),
        ("/1.0/instances/x//console", 404, "not found"),
    ],
)
def test_bad_path(api, path, status, text):
    """Promise 12, S9: names that cannot be, and paths that are none."""
    assert_error(api.post(path, {}), status, text)


@pytest.mark.lxd
def test_unknown_project(guest):
    """Protocol 8: an instance of a project that does not exist is not found."""
    assert_error(guest.api.post(guest.url + "/console?project=nosuch", {}), 404, "Instance not found")


def test_order_of_checks(make):
    """Protocol 8: the body is looked at before the instance, the type before the state."""
    stopped = make("true", start=False)
    assert_error(stopped.api.post("/1.0/instances/nosuch/console", raw=b"{"), 400, "unexpected end of JSON input")
    assert_error(
        stopped.api.post("/1.0/instances/nosuch/console", {"type": "x"}), 400, 'Unknown console type "x"'
    )
    assert_error(
        stopped.api.post(stopped.url + "/console", {"type": "vga"}),
        400,
        "VGA console is only supported by virtual machines",
    )


def test_not_running(make):
    """Protocol 8: a stopped instance."""
    stopped = make("true", start=False)
    assert_error(stopped.api.post(stopped.url + "/console", {}), 400, "Instance is not running")


def test_frozen(make):
    """Protocol 8: a frozen instance."""
    instance = make("sh -i").freeze()
    assert_error(instance.api.post(instance.url + "/console", {}), 400, "Instance is frozen")


@pytest.mark.lxd
def test_operation(guest, open_session):
    """Protocol 4: the operation of a console, as the 202 shows it."""
    session = open_session(guest, {"width": 80, "height": 24, "type": "console"})
    operation = session.created
    assert (operation["class"], operation["description"]) == ("websocket", "Showing console")
    assert (operation["status"], operation["status_code"], operation["err"]) == ("Running", RUNNING, "")
    assert operation["resources"] == {
        "containers": [f"/1.0/containers/{guest.name}"],
        "instances": [f"/1.0/instances/{guest.name}"],
    }
    assert set(session.secrets) == {"0", "control"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", secret) for secret in session.secrets.values())
    assert len(set(session.secrets.values())) == 2
    session.detach()
    session.result()


def test_operation_can_be_cancelled(shell, open_session):
    """Design: may_cancel is true."""
    assert open_session(shell, attach=False).created["may_cancel"] is True


@pytest.mark.parametrize("raw", [b"null", b"{}", b'{"force":false,"nonsense":[1,2]}', b'{"WIDTH":100}'])
def test_everything_is_optional(shell, raw):
    """Protocol 8: null, nothing, unknown keys, any case."""
    answer = shell.api.post(shell.url + "/console", raw=raw)
    assert answer.status == 202, answer
    assert answer.headers["Location"] == "/1.0/operations/" + answer.metadata["id"]


def test_encoded_name(make, name):
    """Protocol 8: names are %-decoded."""
    instance = make("sh -i", name=name)
    encoded = "".join(f"%{ord(letter):02x}" for letter in instance.name)
    assert instance.api.post(f"/1.0/instances/{encoded}/console", {}).status == 202


# --- the sockets ---


@pytest.mark.lxd
def test_type_and_detach(guest, open_session):
    """Protocol 8: attach, type, detach with close 1000 on control; the echo of the close; operation Success."""
    session = open_session(guest).at_prompt()
    assert session.run("echo $((40+2))").strip().endswith(b"42")
    session.control.close(1000, DETACHING)
    session.control.wait_end()
    assert session.control.closed[:2] == (1000).to_bytes(2, "big")
    session.data.wait_end()
    operation = session.result()
    assert (operation["status"], operation["err"]) == ("Success", "")


@pytest.mark.lxd
def test_switching_protocols(guest, open_session):
    """Protocol 5, S11: the 101 has three headers: no subprotocol, no extension, no compression."""
    session = open_session(guest, attach=False).connect_control().connect_data()
    for websocket in (session.control, session.data):
        names = set(websocket.headers)
        assert {"upgrade", "connection", "sec-websocket-accept"} <= names
        assert not names & {"sec-websocket-protocol", "sec-websocket-extensions"}
    session.detach()
    session.result()


def test_compression_is_not_negotiated(shell, open_session):
    """S11: an offered permessage-deflate is ignored."""
    session = open_session(shell, attach=False)
    session.connect_data(headers=["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"])
    assert "sec-websocket-extensions" not in session.data.headers


@pytest.mark.parametrize("order", ["control first", "data first", "data only"])
def test_sockets_in_any_order(shell, open_session, order):
    """Promise 7, T3: control may come first, later, or never."""
    session = open_session(shell, attach=False)
    if order == "control first":
        session.connect_control()
    session.connect_data()
    assert b"42" in session.run("echo $((40+2))")
    if order == "data first":
        session.connect_control().resize(91, 33)
        wait_until(lambda: b"33 91" in session.run("stty size"))


@pytest.mark.parametrize("repeat", range(20))
def test_typed_early_is_typed(make, open_session, repeat):
    """Promise 4: bytes sent with the handshake's end reach the instance, in order, whatever else goes on."""
    instance = make(RAW_CAT)
    instance.wait_log(b"ready")
    text = b"".join(b"%d," % number for number in range(2000))
    session = open_session(instance, attach=False).connect_control().connect_data()
    for offset in range(0, len(text), 37):
        session.data.binary(text[offset : offset + 37])
    session.expect(re.escape(text))


@pytest.mark.parametrize("agent, shown", [("LXD 5.0.2 (Linux)", True), ("Incus 6.0.4 (Linux)", True), ("x", False)])
def test_command_line_that_starts_and_attaches_is_shown_the_boot(make, agent, shown):
    """Promise 1: `lxc start --console` sees the boot from its first byte, once; other clients read the log."""
    instance = make("sh -c 'echo boot; read line; echo news; read line'")
    instance.wait_log(b"boot\r\n")
    headers = {"User-Agent": agent}
    first = Session(instance, headers=headers).attach()
    second = Session(instance, headers=headers).attach()
    first.type("\n").expect("news")
    second.expect("news")
    assert (b"boot" in first.output) == shown and b"boot" not in second.output
    first.abort()
    second.abort()


def test_output_before_attaching_is_not_replayed(make, open_session):
    """Compatibility 0.4: history is for the log; an attached client gets what comes from now on."""
    instance = make("sh -c 'echo history; read line; echo news; read line'")
    instance.wait_log(b"history")
    session = open_session(instance).type("\n")
    session.expect("news")
    assert b"history" not in session.output


def test_data_is_binary(shell, open_session):
    """Compatibility 0.2: output comes in binary frames, one message each."""
    session = open_session(shell)
    session.type("echo one\n")
    opcode, payload = session.data.message()
    assert opcode == BINARY and payload


def test_control_never_gets_data(shell, open_session):
    """Compatibility 0.1: the server says nothing on control but Close (and pings)."""
    session = open_session(shell)
    session.resize(100, 30)
    session.run("echo something")
    session.control.close(1000, DETACHING)
    assert session.control.wait_end() == []


@pytest.mark.lxd
def test_fragments_and_pings(guest, open_session):
    """T30: fragmented input, a ping between the fragments, an empty message."""
    session = open_session(guest).at_prompt()
    session.data.send(BINARY, b"ec", final=False)
    session.data.send(PING, b"between")
    session.data.send(0, b"ho $((50", final=False)
    session.data.send(0, b"+5))\n")
    session.data.binary(b"")
    pong = None
    deadline = itertools.repeat(None, 1000)
    while not (pong and b"55" in session.output):
        next(deadline)
        frame = session.data.frame()
        if frame.opcode == PONG:
            pong = frame
        else:
            session.output += frame.payload
    assert pong.payload == b"between"
    session.detach()
    session.result()


def test_text_frame_is_typed(shell, open_session):
    """Design, compatibility 0.5: websocat's text mode types with non-empty text frames."""
    session = open_session(shell)
    session.data.text("echo $((20+3))\n")
    session.expect("23")


def test_empty_text_ends_input(make, open_session):
    """Design, T15: an empty text frame ends input; output goes on, and what is sent behind it is not typed."""
    instance = make("sh -c 'stty -echo; while read line; do echo got-$line; done'")
    session = open_session(instance).type("one\n")
    session.expect("got-one")
    session.data.send(TEXT, b"")
    session.type("two\n")
    other = open_session(instance).type("three\n")
    other.expect("got-three")
    session.expect("got-three")
    assert b"two" not in session.output and b"two" not in instance.log()
    session.detach()
    assert session.result()["status_code"] == SUCCESS


# --- the window ---


def size_of(session):
    """What the terminal says its size is, as (width, height)."""
    height, width = re.findall(rb"(\d+) (\d+)\r\n", session.run("stty size"))[-1]
    return int(width), int(height)


@pytest.mark.parametrize("width, height", [(100, 30), (1, 1), (65535, 65535)])
def test_size_of_the_request(shell, open_session, width, height):
    """Protocol 8: width and height of the POST are set before anything else."""
    assert size_of(open_session(shell, {"width": width, "height": height})) == (width, height)


@pytest.mark.parametrize("body", [{"width": 0, "height": 0}, {"width": -5, "height": -1}, {"width": 100}, {}, None])
def test_size_that_is_none(shell, open_session, body):
    """Protocol 8: 0, negative and missing sizes are ignored."""
    session = open_session(shell, {"width": 90, "height": 25})
    assert size_of(session) == (90, 25)
    assert size_of(open_session(shell, body)) == (90, 25)


def test_resize(make, open_session):
    """Protocol 8: window-resize with strings, in text and in binary frames; the program gets SIGWINCH."""
    instance = make("sh -c 'trap \"echo winch; stty size\" WINCH; echo ready; while :; do sleep 0.02; done'")
    instance.wait_log(b"ready")
    session = open_session(instance).resize(120, 40)
    session.expect("winch\r\n40 120\r\n")
    session.control.binary(b'{"command":"window-resize","args":{"width":"81","height":"26"}}')
    session.expect("winch\r\n26 81\r\n")


JUNK = [
    b"not json",
    b"",
    b"[]",
    b"null",
    b"5",
    b'"x"',
    b'{"command":"window-resize"}',
    b'{"command":"window-resize","args":null}',
    b'{"command":"window-resize","args":[]}',
    b'{"command":"window-resize","args":{"width":120,"height":40}}',
    b'{"command":"window-resize","args":{"width":"0","height":"-4"}}',
    b'{"command":"window-resize","args":{"width":"65536","height":"65536"}}',
    b'{"command":"window-resize","args":{"width":"120x","height":"40"}}',
    b'{"command":"window-resize","args":{"width":" 120","height":"40"}}',
    b'{"command":"window-resize","args":{"width":"","height":""}}',
    b'{"command":"window-resize","args":{"width":"120"}}',
    b'{"command":"signal","signal":9}',
    b'{"command":5}',
    b'{"command":"window-resize","args":{"width":"120","height":"40"}',
    b"\xff\xfe\x00",
    b"[" * 2000,
]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_on_control_is_ignored(shell, open_session, junk):
    """T31: what is not understood changes nothing; the session lives."""
    session = open_session(shell, {"width": 90, "height": 25})
    session.control.send(BINARY, junk)
    session.control.send(PING, b"still there?")
    assert session.control.frame().payload == b"still there?"
    assert size_of(session) == (90, 25)
    session.resize(100, 30)
    wait_until(lambda: size_of(session) == (100, 30))


# --- endings ---


def assert_clean_end(session):
    """T16, compatibility 0.3: the end mark, then a Close with an empty payload on data; operation Success."""
    session.drain()
    assert session.end_mark, "no empty text frame before the end"
    assert session.data.closed == b"", f"close payload {session.data.closed!r}"
    operation = session.result()
    assert (operation["status"], operation["err"]) == ("Success", "")


def test_end_of_the_program(make, open_session):
    """Promise 8: all bytes, then the clean end."""
    instance = make("sh -c 'read line; echo last words'")
    session = open_session(instance).type("\n")
    assert_clean_end(session)
    assert session.output.endswith(b"last words\r\n")
    assert session.control.wait_end() == []


@pytest.mark.parametrize("force", [True, False])
def test_stop_by_another_client(shell, open_session, force):
    """Design: the operation of a stopped instance is Success."""
    session = open_session(shell)
    session.run("echo here")
    shell.stop(force=force)
    assert_clean_end(session)


def test_failing_program_is_a_clean_end(make, open_session):
    """Promise 8: the exit status is not the session's matter."""
    instance = make("sh -c 'read line; exit 7'")
    assert_clean_end(open_session(instance).type("\n"))


def test_restart_keeps_the_session(make, open_session):
    """Promise 9: the session goes on over a restart through the API."""
    instance = make("sh -c 'echo boot; exec cat'")
    instance.wait_log(b"boot")
    session = open_session(instance)
    instance.restart()
    session.expect("boot")
    session.type("hello\n").expect("hello.*hello")
    assert session.operation()["status_code"] == RUNNING
    session.detach()
    assert session.result()["status_code"] == SUCCESS


def test_reboot_keeps_the_session(make, open_session):
    """Promise 9, T37: the session goes on when the guest starts itself again."""
    instance = make("sh -c 'echo boot; read line; exit'", config={"process.restart": "always"})
    instance.wait_log(b"boot")
    session = open_session(instance)
    for _ in range(2):
        session.type("\n").expect("boot", 30)
    assert session.operation()["status_code"] == RUNNING


def test_pause_keeps_the_session(make, open_session):
    """Protocol 8: input typed while frozen flows after the resume."""
    instance = make(RAW_CAT)
    session = open_session(instance).type("before,")
    session.expect("before,")
    instance.freeze()
    session.type("during,")
    instance.unfreeze()
    session.type("after.").expect("during,after.")


@pytest.mark.parametrize("code", [None, 1000, 1001, 4000])
def test_control_close(shell, open_session, code):
    """Protocol 8: a Close on control with any code, or none, is a detach and is echoed."""
    session = open_session(shell)
    session.control.close(code)
    session.control.wait_end()
    assert session.control.closed == (b"" if code is None else code.to_bytes(2, "big"))
    session.drain()
    assert session.result()["status_code"] == SUCCESS


def test_detach_ends_data_cleanly(shell, open_session):
    """Compatibility 0.3: whatever the server says on data at a detach, it is no error to LXD's web client."""
    session = open_session(shell)
    session.detach().drain()
    assert session.data.closed in (None, b"")


@pytest.mark.lxd
def test_control_connection_lost(guest, open_session):
    """Protocol 8: a killed client is a detach."""
    session = open_session(guest).at_prompt()
    session.control.abort()
    session.data.wait_end()
    assert session.result()["status_code"] == SUCCESS


@pytest.mark.parametrize("how", ["close", "abort"])
def test_data_then_control_closed(shell, open_session, how):
    """Promise 7: both sockets gone, by Close or without: the operation ends well."""
    session = open_session(shell)
    if how == "close":
        session.data.close(1000)
        session.data.wait_end()
        session.control.close(1000)
        session.control.wait_end()
    else:
        session.abort()
    assert session.result()["status_code"] == SUCCESS


@pytest.mark.parametrize("how", ["close", "abort"])
def test_data_only_session(shell, open_session, how):
    """Promise 7, T2: LXD and Incus die of this one."""
    session = open_session(shell, attach=False).connect_data()
    session.run("echo here")
    if how == "close":
        session.data.close(1000)
        assert session.data.wait_end() is not None
    else:
        session.data.abort()
    assert session.result()["status_code"] == SUCCESS


def test_control_only_session(shell, open_session):
    """Promise 7, T2: control came and went, data never: the operation ends."""
    session = open_session(shell, attach=False).connect_control()
    session.control.close(1000, DETACHING)
    session.control.wait_end()
    assert session.result()["status_code"] >= 200


def test_data_after_control_has_gone(shell, open_session):
    """T2: a data socket that comes too late is refused or ended at once, and nothing else happens."""
    session = open_session(shell, attach=False).connect_control()
    session.control.close(1000, DETACHING)
    session.control.wait_end()
    session.result()
    assert refused(session).status in (400, 403, 404, 409, 410)
    open_session(shell).run("echo fine")


def test_guest_stops_before_anybody_connected(shell, open_session):
    """Promise 7: a session that was only asked for ends with the instance."""
    session = open_session(shell, attach=False)
    shell.stop()
    assert session.result()["status_code"] >= 200
    assert refused(session).status >= 400


def test_nothing_is_typed_by_the_server(make, open_session):
    """Promise 6: attach, resize, detach and the like type nothing into the instance (LXD types ESC c)."""
    instance = make("sh -c 'stty raw -echo; echo ready; exec cat -v'")
    instance.wait_log(b"ready")
    for _ in range(5):
        open_session(instance).resize(90, 20).detach().drain()
        session = open_session(instance)
        session.abort()
        session.result()
    open_session(instance).type("x").expect("x")
    assert instance.log() == b"ready\nx"


# --- several ---


def test_shared(shell, open_session):
    """Promise 5, T36: all see all output, each may type, one's leaving is nobody else's matter."""
    one, two, three = open_session(shell), open_session(shell), open_session(shell)
    one.type("echo from-$((1))\n")
    two.type("echo from-$((2))\n")
    for session in (one, two, three):
        session.expect("from-1\r\n.*from-2\r\n|from-2\r\n.*from-1\r\n")
    two.detach()
    assert two.result()["status_code"] == SUCCESS
    three.type("echo from-$((3))\n")
    for session in (one, three):
        session.expect("from-3\r\n")
        assert session.operation()["status_code"] == RUNNING


def test_shared_end(shell, open_session):
    """Promise 8: the end comes to everybody."""
    sessions = [open_session(shell) for _ in range(3)]
    shell.stop()
    for session in sessions:
        assert_clean_end(session)


def test_force(shell, open_session):
    """Promise 5: force takes over: the others end, Cancelled, told why; the new one works."""
    old = [open_session(shell), open_session(shell)]
    new = open_session(shell, {"type": "console", "force": True})
    for session in old:
        session.drain()
        operation = session.result()
        assert (operation["status_code"], operation["status"]) == (CANCELLED, "Cancelled")
        told = session.output + (session.data.closed or b"")[2:]
        assert re.search(rb"tak(en|e) ?over|force", told), f"not told why: {told!r}"
    new.run("echo mine")


def test_force_ends_sessions_not_yet_connected(shell, open_session):
    """Promise 5: a pending session of somebody else does not come back."""
    pending = open_session(shell, attach=False)
    open_session(shell, {"force": True})
    assert pending.result()["status_code"] == CANCELLED
    assert refused(pending).status >= 400


@pytest.mark.parametrize("attached", [True, False])
def test_cancel(shell, open_session, attached):
    """Design: DELETE of the operation ends the session: Cancelled, err empty."""
    session = open_session(shell, attach=attached)
    assert session.api.delete(f"/1.0/operations/{session.id}").status == 200
    operation = session.result()
    assert (operation["status"], operation["status_code"], operation["err"]) == ("Cancelled", CANCELLED, "")
    if attached:
        session.drain()
        session.control.wait_end()


# --- hostile frames ---


@pytest.mark.parametrize("socket", ["data", "control"])
@pytest.mark.parametrize(
    "how",
    [
        dict(opcode=BINARY, payload=b"x", reserved=4),
        dict(opcode=3, payload=b"x"),
        dict(opcode=11, payload=b""),
        dict(opcode=PING, payload=b"x" * 126),
        dict(opcode=PING, payload=b"x", final=False),
        dict(opcode=CLOSE, payload=b"x"),
        dict(opcode=BINARY, payload=b"", length=2**63),
        dict(opcode=BINARY, payload=b"", length=2**64 - 1),
        dict(opcode=0, payload=b"x"),
    ],
    ids=["reserved-bit", "opcode-3", "opcode-11", "long-ping", "part-ping", "close-1", "2^63", "2^64-1", "stray-part"],
)
def test_hostile_frame(shell, open_session, socket, how):
    """T30: what RFC 6455 forbids ends that connection at most; daemon, instance and other sessions do not notice."""
    other = open_session(shell)
    session = open_session(shell)
    websocket = getattr(session, socket)
    websocket.send(**how)
    websocket.abort()
    session.abort()
    session.result()
    other.run("echo fine")


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536])
def test_every_length_form(make, open_session, length):
    """T30: each way of saying how long a frame is."""
    instance = make(RAW_CAT)
    instance.wait_log(b"ready")
    session = open_session(instance)
    session.type(b"<" + b"x" * length + b">").expect(b"<x{%d}>" % length)


def test_control_message_too_long(shell, open_session):
    """T31: 40 KB in one message on control are not understood; the session lives, and the next message counts."""
    session = open_session(shell, {"width": 90, "height": 25})
    session.control.text('{"command":"window-resize","args":{"width":"' + "1" * 40000 + '","height":"30"}}')
    session.resize(100, 30)
    wait_until(lambda: size_of(session) == (100, 30))
