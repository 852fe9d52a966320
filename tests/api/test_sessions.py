# SPDX-License-Identifier: Apache-2.0
"""Sessions beside each other: who is there, who may type, whose size it is, and what a client gets first."""

import os
import pwd
import re

import pytest

from consoled import rounds
from frames import CLOSE
from rest import CANCELLED, RUNNING, STOPPED, SUCCESS, wait_until
from test_console import assert_error, size_of
from test_events import Listener
from test_operations import as_nobody, needs_root

RAW_CAT = "sh -c 'stty raw -echo; echo ready; exec cat'"
ME = pwd.getpwuid(os.getuid()).pw_name


def sessions(instance):
    return instance.api.read(instance.url + "/console/sessions")


def seen(session):
    """A session as the list shows it."""
    (found,) = [each for each in sessions(session.instance) if each["id"] == session.id]
    return found


def close_reason(session):
    session.drain()
    return int.from_bytes(session.data.closed[:2], "big"), session.data.closed[2:].decode()


# --- the list ---


def test_list(make, open_session):
    """Sessions: who, since when, in which mode and size, and how much has gone each way; only those that live."""
    cat = make(RAW_CAT)
    cat.wait_log(b"ready\n")
    assert sessions(cat) == []
    writer = open_session(cat, {"width": 100, "height": 30})
    watcher = open_session(cat, {"mode": "watch"})
    waiting = open_session(cat, attach=False)
    writer.type("hello").expect("hello")
    watcher.expect("hello")
    assert [each["id"] for each in sessions(cat)] == [writer.id, watcher.id, waiting.id]
    found = seen(writer)
    assert found["operation"] == f"/1.0/operations/{writer.id}"
    assert (found["type"], found["mode"], found["attached"]) == ("console", "write", True)
    assert (found["username"], found["uid"], found["pid"]) == (ME, os.getuid(), os.getpid())
    assert (found["width"], found["height"]) == (100, 30)
    assert (found["bytes_received"], found["bytes_sent"], found["behind"], found["skipped"]) == (5, 5, 0, 0)
    assert found["offset"] == len(b"ready\nhello") and found["created_at"] <= found["attached_at"]
    assert (seen(watcher)["mode"], seen(watcher)["bytes_received"]) == ("watch", 0)
    assert (seen(waiting)["attached"], seen(waiting)["attached_at"]) == (False, "1970-01-01T00:00:00Z")
    one = cat.api.read(cat.url + f"/console/sessions/{writer.id}")
    assert one == seen(writer)
    writer.detach()
    wait_until(lambda: [each["id"] for each in sessions(cat)] == [watcher.id, waiting.id])


def test_delete(make, open_session):
    """Sessions: DELETE of one ends that one alone: Cancelled, and its client is told by whom."""
    cat = make(RAW_CAT)
    cat.wait_log(b"ready\n")
    ended, other, waiting = open_session(cat), open_session(cat), open_session(cat, attach=False)
    for session in (ended, waiting):
        assert cat.api.delete(cat.url + f"/console/sessions/{session.id}").status == 200
        operation = session.result()
        assert (operation["status_code"], operation["err"]) == (CANCELLED, "")
    assert close_reason(ended) == (4001, f"ended by {ME}")
    assert bytes(ended.output) == f"\r\n[consoled: ended by {ME}]\r\n".encode()
    other.type("x").expect("x")
    assert [each["id"] for each in sessions(cat)] == [other.id]


@pytest.mark.parametrize("id", ["nosuch", "00000000-0000-4000-8000-000000000000"])
def test_unknown(make, id):
    """Promise 12: no such session, no such instance."""
    shell = make("sh -i")
    for method in ("GET", "DELETE"):
        assert_error(shell.api.request(method, shell.url + f"/console/sessions/{id}"), 404, "Session not found")
        answer = shell.api.request(method, f"/1.0/instances/nosuch/console/sessions/{id}")
        assert_error(answer, 404, "Instance not found")


# --- modes ---


def test_watch(make, open_session):
    """Sessions: who watches sees all, and neither types nor resizes."""
    shell = make("sh -i")
    writer = open_session(shell, {"width": 90, "height": 20}).at_prompt()
    watcher = open_session(shell, {"mode": "watch", "width": 10, "height": 5})
    watcher.type("echo never\n").resize(11, 6)
    assert size_of(writer) == (90, 20)
    writer.type("echo se''en\n").expect("seen")
    watcher.expect("seen")
    assert b"never" not in shell.log()


def test_many_watch(make, open_session):
    """Promise 5: one writes, many look: each gets every byte."""
    cat = make(RAW_CAT)
    cat.wait_log(b"ready\n")
    writer = open_session(cat)
    watchers = [open_session(cat, {"mode": "watch"}) for _ in range(50)]
    text = b"".join(b"%06d\n" % number for number in range(5000))
    writer.type(text)
    for session in (writer, *watchers):
        assert session.expect_bytes(len(text)) == text


def test_size_follows_writers(make, open_session):
    """Sessions: the size is that of the writer who resized or attached last; who leaves gives it back."""
    shell = make("sh -i")
    first = open_session(shell, {"width": 100, "height": 30}).at_prompt()
    assert size_of(first) == (100, 30)
    second = open_session(shell, {"width": 80, "height": 24})
    assert size_of(first) == (80, 24)
    first.resize(120, 40)
    wait_until(lambda: size_of(first) == (120, 40))
    third = open_session(shell)  # without a size of its own
    assert size_of(first) == (120, 40)
    third.detach()
    second.resize(81, 25)
    wait_until(lambda: size_of(first) == (81, 25))
    second.detach()
    wait_until(lambda: size_of(first) == (120, 40))


# --- notices ---


def test_taken_over(make, open_session):
    """Sessions: force ends the others, who are told in band and in the Close frame who it was."""
    cat = make(RAW_CAT)
    cat.wait_log(b"ready\n")
    told, quiet, watcher = open_session(cat), open_session(cat, {"notices": False}), open_session(cat, {"mode": "watch"})
    winner = open_session(cat, {"force": True})
    notice = f"\r\n[consoled: taken over by {ME}]\r\n".encode()
    for session, expected in ((told, notice), (quiet, b""), (watcher, notice)):
        assert close_reason(session) == (4001, f"taken over by {ME}")
        assert bytes(session.output) == expected
        operation = session.result()
        assert (operation["status"], operation["err"]) == ("Cancelled", "")
    winner.type("x").expect("x")


@pytest.mark.parametrize("how", ["deleted", "renamed"])
def test_instance_goes_before_its_end_is_read(make, open_session, how):
    """Sessions: who has yet to take the last bytes of an instance is told what has become of it."""
    printer = make("sh -c 'stty raw -echo; read line; seq 300000'")
    session = open_session(printer)
    session.type("\n")
    printer.wait_status(STOPPED)
    if how == "deleted":
        printer.discard()
    else:
        answer = printer.api.post(printer.url, {"name": printer.name + "-new"})
        assert printer.api.read(answer.headers["Location"] + "/wait")["status_code"] == SUCCESS
    assert close_reason(session) == (4001, f"the instance is {how}")


def test_end_is_read_after_the_next_start(make, open_session):
    """Promise 8: a session ends where its instance has ended, also for who reads after the next start."""
    command = "sh -c 'stty raw -echo; echo ready; read word; yes $word | head -c 1000000'"
    printer = make(command, config={"console.buffer.size": "64KiB"})
    printer.wait_log(b"ready\n")
    late = open_session(printer)
    late.type("A\n")
    printer.wait_status(STOPPED)
    printer.start()
    open_session(printer).type("B\n").drain()
    output = late.drain()
    skipped = sum(int(count) for count in re.findall(rb"\r\n\[consoled: (\d+) bytes skipped\]\r\n", output))
    shown = re.sub(rb"\r\n\[consoled: \d+ bytes skipped\]\r\n", b"", output)
    assert b"B" not in shown and skipped + len(shown) == 1000000


def test_alone(make, open_session):
    """Sessions: a stock client that is alone never sees a line of ours."""
    shell = make("sh -i")
    for _ in range(3):
        session = open_session(shell).at_prompt()
        session.run("echo hello")
        session.detach().drain()
        assert b"consoled" not in session.output


@pytest.mark.parametrize("notices", [True, False])
def test_restart_is_told(make, open_session, notices):
    """Promise 9: a boot begins with a line that numbers it, for who wants such lines."""
    cat = make(RAW_CAT)
    cat.wait_log(b"ready\n")
    session = open_session(cat, {"notices": notices})
    for boot in (2, 3):
        cat.restart()
        wait_until(lambda: cat.log().count(b"ready\n") == boot)
    line = b"\r\n[consoled: restarted, boot %d]\r\n"
    expected = (line % 2 if notices else b"") + b"ready\n" + (line % 3 if notices else b"") + b"ready\n"
    assert session.expect_bytes(len(expected)) == expected
    late = open_session(cat)
    cat.stop()
    assert late.drain() == b""


# --- replay ---


def test_replay_log(make, open_session):
    """Sessions: all that the log holds, then what comes: no byte doubled or missed at the seam."""
    count = rounds(20000)
    printer = make(f"sh -c 'i=0; while [ $i -lt {count} ]; do echo $i; i=$((i+1)); done; exec cat'")
    expected = b"".join(b"%d\r\n" % number for number in range(count))
    attached = [open_session(printer, {"replay": "log"}) for _ in range(5)]
    for session in attached:
        assert session.expect_bytes(len(expected)) == expected
    late = open_session(printer, {"replay": "log"})
    assert late.expect_bytes(len(expected)) == expected
    late.type("x\n")
    late.expect("x\r\nx\r\n")
    assert bytes(late.output) == printer.log()


def test_replay_log_tells_of_boots(make, open_session):
    """Sessions: a replay is marked like the console itself."""
    cat = make(RAW_CAT)
    cat.wait_log(b"ready\n")
    cat.restart()
    wait_until(lambda: cat.log().count(b"ready\n") == 2)
    session = open_session(cat, {"replay": "log"})
    expected = b"ready\n\r\n[consoled: restarted, boot 2]\r\nready\n"
    assert session.expect_bytes(len(expected)) == expected


def test_replay_log_tells_of_each_boot(make, open_session):
    """Sessions: where it begins, however little the boots printed."""
    cat = make(RAW_CAT)
    cat.wait_log(b"ready\n")
    for boot in (2, 3, 4):
        cat.restart()
        wait_until(lambda: cat.log().count(b"ready\n") == boot)
    session = open_session(cat, {"replay": "log"})
    boots = [b"\r\n[consoled: restarted, boot %d]\r\nready\n" % boot for boot in (2, 3, 4)]
    expected = b"ready\n" + b"".join(boots)
    assert session.expect_bytes(len(expected)) == expected


def test_replay_screen(make, open_session):
    """Sessions: the screen as it is now, drawn, then what comes. The cure for "blank until Enter"."""
    script = r"""stty raw -echo; printf "\033[2J\033[1;31mold\033[H\033[2J\033[5;10HPress Enter\033[0m to go on"; exec cat"""
    cat = make(f"sh -c '{script}'")
    cat.wait_log(b"to go on")
    session = open_session(cat, {"replay": "screen", "width": 80, "height": 24})
    session.expect("Press Enter")
    session.expect("to go on")
    session.type("!")
    session.expect("!")
    drawn = bytes(session.output)
    assert b"old" not in drawn and drawn.count(b"Press Enter") == 1 and re.search(rb"\x1b\[[0-9;]*31", drawn)
    other = open_session(cat, {"replay": "none"})
    assert other.type("x").expect("x").string == b"x"


def test_replay_screen_of_a_full_log(make, open_session):
    """Sessions: what is drawn comes from all that the ring holds, while the instance goes on printing."""
    printer = make("sh -c 'stty -echo; seq 300000; exec cat'")
    printer.wait_log(b"300000\r\n")
    session = open_session(printer, {"replay": "screen", "scrollback": 100})
    session.type("end\n")
    session.expect("end")
    numbers = [int(found) for found in re.findall(rb"\d{6}", session.output)]
    assert numbers[-1] == 300000 and numbers == list(range(numbers[0], 300001))
    assert 100 <= len(numbers) <= 140


def test_resume(make, open_session):
    """Sessions: who knows the offset comes back and misses nothing."""
    cat = make(RAW_CAT)
    cat.wait_log(b"ready\n")
    session = open_session(cat)
    begin = session.operation()["metadata"]["offset"]
    assert begin == session.created["metadata"]["offset"] == len(b"ready\n")
    session.type("before").expect("before")
    session.abort()
    offset = begin + len(session.output)
    other = open_session(cat)
    other.type(" meanwhile").expect("meanwhile")
    back = open_session(cat, {"offset": offset})
    back.type(" after")
    back.expect("after")
    assert bytes(session.output + back.output) == b"before meanwhile after"
    assert back.operation()["metadata"]["offset"] == offset


def test_resume_too_late(make, open_session):
    """Sessions: what the ring no longer holds is counted, and told."""
    printer = make("sh -c 'stty raw -echo; seq 100000; exec cat'", config={"console.buffer.size": "64KiB"})
    printer.wait_log(b"100000\n")
    size = len(b"".join(b"%d\n" % number for number in range(1, 100001)))
    session = open_session(printer, {"offset": 100})
    skipped = int(session.expect(r"^\r\n\[consoled: (\d+) bytes skipped\]\r\n").group(1))
    session.type("end")
    session.expect("end")
    behind = bytes(session.output).split(b"skipped]\r\n", 1)[1]
    assert 100 + skipped + len(behind) == size + 3 and seen(session)["skipped"] == skipped


@pytest.mark.parametrize(
    "body, text",
    [
        ({"mode": "read"}, 'mode: one of write, watch, not "read"'),
        ({"replay": "all"}, 'replay: one of none, log, screen, not "all"'),
        ({"offset": -2}, "offset: a number of bytes, not -2"),
        ({"offset": 8, "replay": "log"}, "offset: is a replay of its own, and goes with no other"),
        ({"offset": 1 << 40}, "offset: the log ends at 6"),
        ({"replay": "screen", "scrollback": 1001}, "scrollback: 0 to 1000 lines (limits.scrollback)"),
        ({"notices": 1}, "json: cannot unmarshal number into Go struct field InstanceConsolePost.notices of type bool"),
    ],
)
def test_bad_request(make, body, text):
    """Promise 12: what cannot be is told by its name, and no session is made; nor does anybody lose his."""
    cat = make(RAW_CAT)
    cat.wait_log(b"ready\n")
    assert_error(cat.api.post(cat.url + "/console", {"force": True, **body}), 400, text)
    assert sessions(cat) == []


def test_events(make, open_session):
    """Sessions: one lifecycle event for each that attaches."""
    cat = make(RAW_CAT)
    events = Listener(cat.api.path, "?type=lifecycle")
    session = open_session(cat, {"mode": "watch", "replay": "screen"})
    found = events.action("instance-console", cat.url)["metadata"]
    assert found["context"] == {"type": "console"}
    session.detach()
    found = events.action("instance-console-detached", cat.url)["metadata"]
    assert found["context"]["session"] == session.id and found["context"]["duration"] > 0
    events.websocket.abort()


@pytest.mark.parametrize("replay", ["none", "log", "screen"])
def test_stalled_and_left(make, open_session, replay):
    """Promise 3: a client that asks for a replay and reads nothing of it holds nobody up, and may vanish at any point."""
    printer = make("sh -c 'stty raw -echo; seq 300000; echo; exec cat'")
    printer.wait_log(b"300000\n")
    stalled = [open_session(printer, {"replay": replay, "scrollback": 1000}) for _ in range(20)]
    session = open_session(printer)
    session.type("quick").expect("quick", 5)
    for each in stalled:
        each.abort()
    wait_until(lambda: [each["id"] for each in sessions(printer)] == [session.id])
    session.type("still").expect("still", 5)
