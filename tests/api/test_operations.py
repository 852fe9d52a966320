# SPDX-License-Identifier: Apache-2.0
"""Operations: list, read, wait, cancel, and who sees their secrets (protocol 4 and 5)."""

import json
import os
import re
import socket
import threading
import time
import uuid

import pytest

from frames import Refused, WebSocket
from rest import FAILURE, RUNNING, SUCCESS, Api, elsewhere, wait_until
from session import Session, refused

KEYS = [
    "id",
    "class",
    "description",
    "created_at",
    "updated_at",
    "status",
    "status_code",
    "resources",
    "metadata",
    "may_cancel",
    "err",
    "location",
]
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def assert_error(answer, status, text):
    assert (answer.status, answer.json["error_code"], answer.error) == (status, status, text)


def as_nobody(function):
    """Runs `function` as another user; connections are made by that user's process."""
    return elsewhere(function, uid=65534)


# --- the object ---


@pytest.mark.lxd
def test_object(guest, open_session):
    """Protocol 4: every key, in order, rightly typed."""
    session = open_session(guest)
    operation = session.operation()
    assert list(operation) == KEYS
    assert str(uuid.UUID(operation["id"])) == operation["id"]
    assert RFC3339.fullmatch(operation["created_at"]) and RFC3339.fullmatch(operation["updated_at"])
    assert isinstance(operation["resources"], dict) and isinstance(operation["metadata"], dict)
    assert operation["location"] == "none"
    session.detach()
    session.result()


def test_ids_are_random(shell):
    """S3: version 4, and no two alike."""
    ids = {Session(shell).id for _ in range(20)}
    assert len(ids) == 20 and all(uuid.UUID(id).version == 4 for id in ids)


def test_task_has_no_metadata(make):
    """Protocol 4: null or an object, never anything else."""
    assert make("true", start=False).change("start")["metadata"] is None


def test_202_says_running(shell):
    """Protocol 4: the operation in a 202 is past Pending."""
    answer = shell.api.put(shell.url + "/state", {"action": "stop", "force": True, "timeout": -1})
    assert answer.json["status"] == "Operation created" and answer.json["status_code"] == 100
    assert answer.metadata["status_code"] != 105
    assert answer.json["operation"] == answer.headers["Location"] == "/1.0/operations/" + answer.metadata["id"]
    shell.api.wait(answer.metadata["id"])


# --- lists ---


@pytest.mark.lxd
def test_list(guest, open_session):
    """Protocol 5: by status in lower case; URLs, or with recursion whole objects; what is empty is absent."""
    session = open_session(guest)
    found = guest.api.read("/1.0/operations")
    assert f"/1.0/operations/{session.id}" in found["running"]
    assert all(urls for urls in found.values())
    whole = guest.api.read("/1.0/operations?recursion=1")
    assert session.operation() in whole["running"]
    session.detach()
    session.result()
    assert f"/1.0/operations/{session.id}" in guest.api.read("/1.0/operations")["success"]


def test_failed_operation(make):
    """Protocol 4: status Failure, err; HTTP stays 200."""
    operation = make("true", start=False).change("stop")
    assert (operation["status"], operation["status_code"]) == ("Failure", FAILURE) and operation["err"]


def test_failed_operation_is_listed(make):
    """Protocol 5: under `failure`."""
    instance = make("true", start=False)
    operation = instance.change("stop")
    assert f"/1.0/operations/{operation['id']}" in instance.api.read("/1.0/operations")["failure"]


def test_nothing_to_list(own_daemon):
    """Protocol 5: {} when there is none."""
    assert own_daemon.api.read("/1.0/operations") == {}
    assert own_daemon.api.read("/1.0/operations?recursion=1&all-projects=true") == {}


# --- one ---


@pytest.mark.lxd
@pytest.mark.parametrize("tail", ["", "/wait", "/wait?timeout=1", "/wait?timeout=abc"])
@pytest.mark.parametrize("id", ["notauuid", "00000000-0000-0000-0000-000000000000"])
def test_unknown(api, id, tail):
    """Protocol 5: 404, for an id that is none too."""
    if not tail.endswith("abc"):
        assert_error(api.get(f"/1.0/operations/{id}{tail}"), 404, "Operation not found")
    else:
        assert api.get(f"/1.0/operations/{id}{tail}").status in (404, 500)


@pytest.mark.lxd
def test_delete_unknown(api):
    """Protocol 5: 404."""
    assert_error(api.delete("/1.0/operations/nosuch"), 404, "Operation not found")


@pytest.mark.lxd
def test_delete_finished(guest):
    """Protocol 5: only running ones can be cancelled."""
    operation = guest.change("start")
    assert_error(
        guest.api.delete(f"/1.0/operations/{operation['id']}"), 400, "Only running operations can be cancelled"
    )


def test_delete_task(make):
    """Protocol 5: a task that cannot be cancelled says so."""
    instance = make("sh -c 'trap \"\" HUP TERM; echo ready; while :; do sleep 0.1; done'")
    instance.wait_log(b"ready")
    answer = instance.api.put(instance.url + "/state", {"action": "stop", "timeout": -1})
    assert_error(
        instance.api.delete(answer.json["operation"]), 400, "This operation can't be cancelled"
    )
    instance.stop(force=True)


def test_stays_visible(make):
    """Protocol 4, T9: a finished operation is there for 5 seconds, then it is 404."""
    instance = make("true", start=False)
    url = f"/1.0/operations/{instance.change('stop')['id']}"
    ended = time.monotonic()
    wait_until(lambda: instance.api.get(url).status == 404, 15)
    assert 4 < time.monotonic() - ended < 10
    assert_error(instance.api.get(url + "/wait"), 404, "Operation not found")


# --- wait ---


@pytest.mark.lxd
@pytest.mark.parametrize("timeout", ["0", "1"])
def test_wait_expires(guest, open_session, timeout):
    """Protocol 5: on expiry a 200 with the operation still running, not an error."""
    session = open_session(guest)
    answer = guest.api.get(f"/1.0/operations/{session.id}/wait?timeout={timeout}")
    assert (answer.status, answer.metadata["status_code"]) == (200, RUNNING)
    session.detach()
    session.result()


@pytest.mark.lxd
@pytest.mark.parametrize("query", ["", "?", "?timeout=-1", "?timeout=30"])
def test_wait(guest, open_session, query):
    """Protocol 5: every form of waiting returns the final state as soon as there is one."""
    session = open_session(guest)
    results = []
    thread = threading.Thread(
        target=lambda: results.append(guest.api.get(f"/1.0/operations/{session.id}/wait{query}").metadata)
    )
    thread.start()
    session.detach()
    thread.join(20)
    assert results == [session.operation()] and results[0]["status_code"] >= 200


@pytest.mark.lxd
def test_wait_with_nonsense(guest, open_session):
    """Protocol 5: 500 in Go's words."""
    session = open_session(guest)
    answer = guest.api.get(f"/1.0/operations/{session.id}/wait?timeout=abc")
    assert_error(answer, 500, 'strconv.Atoi: parsing "abc": invalid syntax')
    session.detach()
    session.result()


def test_many_wait(shell, open_session):
    """T9: any number may wait, and some leave early."""
    session = open_session(shell)
    url = f"/1.0/operations/{session.id}/wait"
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(shell.api.get(url).metadata["status_code"])) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as leaver:
            leaver.connect(shell.api.path)
            leaver.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert shell.api.get("/1.0").status == 200
    session.detach()
    for thread in threads:
        thread.join(20)
    assert results == [SUCCESS] * 20


# --- secrets and users ---


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@needs_root
def test_secrets_are_shown_to_the_requestor_only(own_daemon):
    """Promise 11, S1: another user sees the operation, and its secrets nowhere: read, list, wait, events."""
    own_daemon.open_to_all()
    instance = own_daemon.create("x", "sh -i").start()
    session = Session(instance).attach()
    path = own_daemon.socket

    def look():
        api = Api(path)
        url = f"/1.0/operations/{session.id}"
        return [
            api.read(url),
            api.read(url + "/wait?timeout=0"),
            api.read("/1.0/operations?recursion=1")["running"][0],
        ]

    for operation in as_nobody(look):
        assert operation["id"] == session.id
        assert "fds" not in (operation["metadata"] or {})
    assert session.operation()["metadata"]["fds"] == session.secrets
    session.abort()


@needs_root
def test_secrets_are_not_in_the_events_of_others(own_daemon):
    """Promise 11, S1: the events of another user show the operation without its secrets."""
    own_daemon.open_to_all()
    instance = own_daemon.create("x", "sh -i").start()
    path = own_daemon.socket
    ready_read, ready_write = os.pipe()

    def listen():
        events = WebSocket(path, "/1.0/events?type=operation")
        os.write(ready_write, b"x")
        while True:
            _, payload = events.message()
            event = json.loads(payload)
            if event["metadata"]["class"] == "websocket":
                return event["metadata"]

    results = []
    thread = threading.Thread(target=lambda: results.append(as_nobody(listen)))
    thread.start()
    os.read(ready_read, 1)
    session = Session(instance).attach()
    thread.join(20)
    assert results[0]["id"] == session.id and "fds" not in (results[0]["metadata"] or {})
    session.abort()
    os.close(ready_read)
    os.close(ready_write)


@needs_root
def test_only_the_requestor_may_connect(own_daemon):
    """Promise 11, S3: the right secret in the wrong hands is 403, and is not used up."""
    own_daemon.open_to_all()
    session = Session(own_daemon.create("x", "sh -i").start())

    def connect():
        try:
            session.connect("0").abort()
        except Refused as refusal:
            return refusal.status
        return 101

    assert as_nobody(connect) == 403
    session.connect_data().run("echo fine")
    session.abort()


@needs_root
def test_others_have_sessions_of_their_own(own_daemon):
    """Promise 11: the requestor is whoever asked, root or not."""
    own_daemon.open_to_all()
    instance = own_daemon.create("x", "sh -i").start()

    def attach():
        session = Session(instance).attach()
        return session.run("echo $((40+2))").decode()

    assert "42" in as_nobody(attach)


def test_secret_is_dead_after_the_end(shell, open_session):
    """S3: with the session its secrets end."""
    session = open_session(shell, attach=False).connect_control()
    session.detach()
    session.result()
    assert refused(session).status >= 400
