# SPDX-License-Identifier: Apache-2.0
"""GET /1.0/instances/NAME/console/history: what was done with a console, by whom and when."""

import contextlib
import os
import pwd
import re
import sqlite3
import time

import pytest

from machine import MachineDaemon
from rest import CANCELLED, STOPPED, Api, Instance, elsewhere, wait_until
from test_events import Listener

KEPT = 1000  # acts of one instance
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ECHO = "sh -c 'stty raw -echo; printf ready; exec cat'"
NOBODY = 65534


def history(instance, query=""):
    return instance.api.read(instance.url + "/console/history" + query)


def actions(instance, query=""):
    return [act["action"] for act in history(instance, query)]


def myself():
    return {"username": pwd.getpwuid(os.getuid()).pw_name, "uid": os.getuid(), "pid": os.getpid()}


def stored(daemon):
    """How many acts are in the database."""
    with contextlib.closing(sqlite3.connect(f"file:{daemon.directory}/consoled.db?mode=ro", uri=True)) as database:
        return database.execute("SELECT count(*) FROM history").fetchone()[0]


def wait_for(instance, action):
    """Waits for the end of a session to be noted; the act."""
    wait_until(lambda: action in actions(instance), what=f"{action} in the history of {instance.name}")
    return [act for act in history(instance) if act["action"] == action][-1]


@pytest.fixture
def idle(make):
    return make("true", start=False)


@pytest.fixture
def echo(make):
    """An instance that says `ready`, and then what it is told."""
    instance = make(ECHO)
    instance.wait_log(b"ready")
    return instance


@pytest.fixture
def listener(daemon):
    listener = Listener(daemon.socket, "?type=lifecycle")
    yield listener
    listener.websocket.abort()


# --- what is answered ---


def test_extension(daemon):
    """Log: clients see whether there is a history."""
    assert "consoled_console_history" in daemon.api.read("/1.0")["api_extensions"]


def test_nothing_done(idle):
    """Log: the history of a console that nobody has touched is empty, under each of its names."""
    assert history(idle) == []
    assert idle.api.read(f"/1.0/containers/{idle.name}/console/history?project=default") == []
    assert history(idle) == []  # to read it is no act


def test_cleared(idle):
    """Log: who has emptied it, and when; nothing is said of what there is not."""
    before = time.time()
    idle.clear_log()
    (act,) = history(idle)
    assert RFC3339.fullmatch(act["time"])
    with_zone = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(before))
    assert history(idle, f"?since={with_zone}") == [act]
    assert {key: act[key] for key in act if key != "time"} == {"action": "log-cleared", **myself()}


def test_read(make):
    """Log: who has read it."""
    instance = make("echo hello")
    instance.wait_status(STOPPED)
    assert instance.log() == b"hello\r\n"
    (act,) = history(instance)
    assert {key: act[key] for key in act if key != "time"} == {"action": "log-read", **myself()}


def test_read_again_and_again(idle):
    """Log: who asks for the log once a second does not fill the history with that."""
    idle.clear_log()
    for count in range(1, 30):
        idle.log()
        cleared, act = history(idle)
        assert (act["action"], act.get("count", 1)) == ("log-read", count)
    assert cleared["action"] == "log-cleared" and act["time"] > cleared["time"]
    idle.clear_log()
    idle.log()
    assert actions(idle) == ["log-cleared", "log-read"] * 2
    assert "count" not in history(idle)[-1]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_of_others(own_daemon, make):
    """Log: everybody who reaches the socket reads what everybody did."""
    own_daemon.open_to_all()
    instance = make("true", on=own_daemon, start=False)
    path, name = own_daemon.socket, instance.name
    seen = elsewhere(lambda: (Instance(Api(path), name).clear_log(), history(Instance(Api(path), name)))[1], NOBODY)
    assert history(instance) == seen
    assert [(act["action"], act["username"], act["uid"]) for act in seen] == [
        ("log-cleared", pwd.getpwuid(NOBODY).pw_name, NOBODY)
    ]


@pytest.mark.parametrize(
    "query, status, text",
    [
        ("?limit=0", 400, "Invalid value for limit parameter: 0"),
        ("?limit=-1", 400, "Invalid value for limit parameter: -1"),
        ("?limit=1.5", 400, "Invalid value for limit parameter: 1.5"),
        ("?limit=", 400, "Invalid value for limit parameter: "),
        ("?limit=%20", 400, "Invalid value for limit parameter:  "),
        ("?limit=ten", 400, "Invalid value for limit parameter: ten"),
        ("?since=", 400, "Invalid value for since parameter: "),
        ("?since=yesterday", 400, "Invalid value for since parameter: yesterday"),
        ("?since=2026-02-30T00:00:00Z", 400, "Invalid value for since parameter: 2026-02-30T00:00:00Z"),
        ("?since=2026-11-23", 400, "Invalid value for since parameter: 2026-11-23"),
        ("?since=2026-11-23T00:00:00", 400, "Invalid value for since parameter: 2026-11-23T00:00:00"),
        ("?limit=1&since=x", 400, "Invalid value for since parameter: x"),
        ("?project=other", 404, "Instance not found"),
    ],
)
def test_bad_query(idle, query, status, text):
    """Promise 12: what cannot be meant is refused, by name."""
    answer = idle.api.get(idle.url + "/console/history" + query)
    assert (answer.status, answer.error) == (status, text)


def test_no_such_instance(daemon):
    """Promise 12: 404; and it is a resource that may only be read."""
    answer = daemon.api.get("/1.0/instances/none/console/history")
    assert (answer.status, answer.error) == (404, "Instance not found")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert daemon.api.request(method, "/1.0/instances/none/console/history").status == 501


def test_limit_and_since(idle):
    """Log: the latest so many, or what was done since; both count."""
    for _ in range(4):
        idle.clear_log()
    acts = history(idle)
    times = [act["time"] for act in acts]
    assert len(acts) == 4 and times == sorted(times)
    assert history(idle, "?limit=1") == acts[3:]
    assert history(idle, "?limit=3") == acts[1:]
    assert history(idle, "?limit=99999999999999999999999") == acts
    assert history(idle, f"?since={times[2]}") == acts[2:]
    assert history(idle, f"?since={times[1]}&limit=1") == acts[3:]
    assert history(idle, f"?since={times[2][:-1]}%2B00:00") == acts[2:]
    assert history(idle, "?since=0001-01-01T00:00:00Z") == acts
    assert history(idle, "?since=9999-12-31T23:59:59Z") == []


@pytest.mark.timeout(120)
def test_bound(make, idle):
    """Log: the latest thousand are kept, of each instance by itself; the rest is forgotten, in memory and on disk."""
    other = make("true", start=False)
    other.clear_log()
    for _ in range(KEPT + 50):
        idle.clear_log()
    acts = history(idle)
    times = [act["time"] for act in acts]
    assert len(acts) == KEPT and times == sorted(times)
    idle.clear_log()
    assert history(idle)[:-1] == acts[1:]
    assert actions(other) == ["log-cleared"]


def test_screenshot(machine):
    """Machines: that somebody has looked at the screen is an act."""
    daemon = MachineDaemon()
    try:
        guest = machine(on=daemon.start()).wait_boot()
        clear = len(history(guest))
        assert guest.api.get(guest.url + "/console?type=vga").status == 200
        (act,) = history(guest)[clear:]
        assert {key: act[key] for key in act if key != "time"} == {"action": "screenshot", "type": "vga", **myself()}
        guest.stop()
        assert guest.api.get(guest.url + "/console?type=vga").status == 400
        assert len(history(guest)) == clear + 1
    finally:
        daemon.close()


# --- sessions ---


def check_end(act, session, kind="console"):
    """What is told of each session that has ended."""
    assert (act["session"], act["type"], act["mode"]) == (session.id, kind, "write")
    assert {key: act[key] for key in myself()} == myself()


def test_session(echo, open_session, listener):
    """Sessions: attached and detached, for how long, and how much has gone either way; told to those who listen, too."""
    before = time.monotonic()
    session = open_session(echo)
    attached = wait_for(echo, "attached")
    assert {key: attached[key] for key in attached if key != "time"} == {
        "action": "attached",
        "session": session.id,
        "type": "console",
        "mode": "write",
        **myself(),
    }
    session.type("x" * 1000).type("y" * 234)
    session.expect_bytes(1234)
    started = time.monotonic()
    wait_until(lambda: time.monotonic() > started + 0.3)
    session.detach()
    act = wait_for(echo, "detached")
    check_end(act, session)
    assert 0.3 <= act["duration"] <= time.monotonic() - before
    assert (act["bytes_sent"], act["bytes_received"]) == (len(session.output), 1234)
    assert "by" not in act

    event = listener.action("instance-console", echo.url)["metadata"]
    assert event["context"] == {"type": "console"} and "requestor" not in event
    event = listener.action("instance-console-detached", echo.url)["metadata"]
    told = {key: act[key] for key in ("type", "session", "duration", "bytes_sent", "bytes_received")}
    assert event["context"] == told
    assert event["requestor"] == {"username": myself()["username"], "protocol": "unix", "address": "@"}


def test_never_attached(echo, open_session):
    """Sessions: a POST that nobody connects to is no act, nor is its end."""
    session = open_session(echo, attach=False)
    echo.api.delete(f"/1.0/operations/{session.id}")
    assert session.result()["status_code"] == CANCELLED
    assert "attached" not in actions(echo) and "ended" not in actions(echo) and "detached" not in actions(echo)


def test_client_that_vanishes(echo, open_session):
    """Promise 7: one that dies has detached."""
    session = open_session(echo)
    session.type("x")
    session.expect("x")
    session.abort()
    act = wait_for(echo, "detached")
    check_end(act, session)
    assert act["bytes_received"] == 1 and "by" not in act


def test_taken_over(echo, open_session, listener):
    """Promise 5: whose session ended, and who has taken over."""
    first = open_session(echo)
    wait_for(echo, "attached")
    second = open_session(echo, {"force": True})
    first.drain()
    act = wait_for(echo, "taken-over")
    check_end(act, first)
    assert act["by"] == myself()["username"] and act["duration"] > 0 and act["bytes_received"] == 0
    event = listener.action("instance-console-taken-over", echo.url)["metadata"]
    assert event["context"]["by"] == act["by"] and event["context"]["session"] == first.id
    second.detach()
    assert wait_for(echo, "detached")["session"] == second.id


def test_cancelled(echo, open_session, listener):
    """Sessions: ended by whoever cancels the operation."""
    session = open_session(echo)
    wait_for(echo, "attached")
    assert echo.api.delete(f"/1.0/operations/{session.id}").status == 200
    act = wait_for(echo, "ended")
    check_end(act, session)
    event = listener.action("instance-console-detached", echo.url)["metadata"]
    assert event["context"]["session"] == session.id


def test_end_of_the_instance(echo, open_session):
    """Promise 8: the instance's end ends its sessions."""
    session = open_session(echo)
    session.type("bye").expect("bye")
    echo.stop()
    session.drain()
    act = wait_for(echo, "ended")
    check_end(act, session)
    assert (act["bytes_sent"], act["bytes_received"]) == (len(session.output), 3) and "by" not in act


def test_watched_while_they_come_and_go(echo, open_session):
    """Sessions: each of many is there, twice, and in order."""
    sessions = [open_session(echo) for _ in range(20)]
    for session in sessions:
        session.detach()
    wait_until(lambda: actions(echo).count("detached") == 20)
    acts = history(echo)
    for session in sessions:
        assert [act["action"] for act in acts if act.get("session") == session.id] == ["attached", "detached"]


# --- what is kept ---


def test_survives_a_restart(own_daemon, open_session):
    """Promise 10: what was done to the last moment, the end of the sessions with the daemon included."""
    instance = own_daemon.create("x", ECHO).start()
    instance.wait_log(b"ready")
    instance.clear_log()
    session = open_session(instance)
    wait_for(instance, "attached")
    acts = history(instance)
    own_daemon.terminate()
    own_daemon.start()
    found = history(instance)
    assert found[: len(acts)] == acts
    assert [act["action"] for act in found[len(acts) :] if act.get("session") == session.id] == ["ended"]


def test_survives_kill(own_daemon):
    """Promise 10: what has been written, a moment after it was done."""
    instance = own_daemon.create("x", "true")
    for _ in range(10):
        instance.clear_log()
    acts = history(instance)
    wait_until(lambda: stored(own_daemon) == 10, 5)
    own_daemon.kill()
    own_daemon.start()
    assert history(instance) == acts and len(acts) == 10
    instance.clear_log()
    assert history(instance)[:-1] == acts


def test_rename_and_delete(make, name):
    """Log: it goes along with the instance, and goes with it."""
    instance = make("true", start=False)
    old = instance.name
    instance.clear_log()
    acts = history(instance)
    instance.api.do("POST", instance.url, {"name": name})
    instance.name = name
    assert history(instance) == acts
    instance.clear_log()
    assert history(instance)[:-1] == acts and len(acts) == 1
    assert instance.api.get(f"/1.0/instances/{old}/console/history").status == 404
    make("true", name=old, start=False)
    assert history(Instance(instance.api, old)) == []

    instance.delete()
    assert instance.api.get(instance.url + "/console/history").status == 404
    assert history(make("true", name=name, start=False)) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root has containers that are not consoled's")
def test_not_ours(own_daemon):
    """Containers: one of LXC's own has a history as long as it is defined, over restarts."""
    theirs = own_daemon.directory / "theirs"
    (theirs / "c1").mkdir(parents=True)
    (theirs / "c1" / "config").write_text("lxc.uts.name = c1\n")
    assert own_daemon.api.patch("/1.0", {"config": {"lxc.lxcpath": str(theirs)}}).status == 200
    container = Instance(own_daemon.api, "c1")
    wait_until(lambda: container.api.get(container.url).status == 200)
    container.clear_log()
    acts = history(container)
    own_daemon.terminate()
    own_daemon.start()
    wait_until(lambda: container.api.get(container.url).status == 200)
    assert history(container) == acts and len(acts) == 1
    container.clear_log()
    (theirs / "c1" / "config").unlink()
    (theirs / "c1").rmdir()
    wait_until(lambda: container.api.get(container.url).status == 404)
    wait_until(lambda: stored(own_daemon) == 0, 5)


def test_database_that_is_held(own_daemon, open_session):
    """Promise 3: who looks at the database with a tool of their own holds up nobody, and nothing is missing after."""
    instance = own_daemon.create("x", ECHO).start()
    instance.wait_log(b"ready")
    with contextlib.closing(sqlite3.connect(own_daemon.directory / "consoled.db", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        instance.clear_log()
        wait_until(lambda: "not written down for now" in own_daemon.stderr(), 5)
        for _ in range(3):
            session = open_session(instance)
            session.type("x").expect("x")
            session.detach()
        wait_until(lambda: actions(instance).count("detached") == 3)
        acts = history(instance)
        assert own_daemon.stderr().count("not written down for now") == 1
        database.execute("ROLLBACK")
    wait_until(lambda: stored(own_daemon) == len(acts), 10)
    assert history(instance) == acts
