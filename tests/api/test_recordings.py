# SPDX-License-Identifier: Apache-2.0
"""The shapes of LXD 5.0.2's answers, as recorded from it: keys, their order, and the types of their values.

A shape is a type, a literal, a regular expression, a tuple of alternatives, a list with the shape of its items, a dict
of shapes, or {str: shape} for any keys. Go decodes strictly by type: a number where a string was is an error at lxc.
"""

import json
import re

import pytest

from frames import TEXT, WebSocket

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SECRET = re.compile(r"[0-9a-f]{64}")
OPERATION_URL = re.compile("/1.0/operations/" + UUID.pattern)
STRING_MAP = {str: str}


def check(value, shape, where="$"):
    """Asserts that `value` has the shape. Dicts with string keys must have these keys, in this order."""
    if isinstance(shape, tuple):
        assert any(matches(value, each) for each in shape), f"{where}: {value!r} is none of {shape}"
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str) and shape.fullmatch(value), f"{where}: {value!r}"
    elif isinstance(shape, type):
        assert type(value) is shape, f"{where}: {value!r} is no {shape.__name__}"
    elif isinstance(shape, dict) and list(shape) == [str]:
        assert isinstance(value, dict), f"{where}: {value!r}"
        for key, item in value.items():
            check(item, shape[str], f"{where}.{key}")
    elif isinstance(shape, dict):
        assert isinstance(value, dict) and list(value) == list(shape), f"{where}: {list(value)} is not {list(shape)}"
        for key, item in value.items():
            check(item, shape[key], f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), f"{where}: {value!r}"
        for item in value:
            check(item, shape[0], f"{where}[]")
    else:
        assert value == shape and type(value) is type(shape), f"{where}: {value!r} is not {shape!r}"


def matches(value, shape):
    try:
        check(value, shape)
    except AssertionError:
        return False
    return True


def sync(metadata):
    return {
        "type": "sync",
        "status": "Success",
        "status_code": 200,
        "operation": "",
        "error_code": 0,
        "error": "",
        "metadata": metadata,
    }


def asynchronous(operation):
    return {
        "type": "async",
        "status": "Operation created",
        "status_code": 100,
        "operation": OPERATION_URL,
        "error_code": 0,
        "error": "",
        "metadata": operation,
    }


def operation(kind, description, resources, metadata):
    return {
        "id": UUID,
        "class": kind,
        "description": description,
        "created_at": TIME,
        "updated_at": TIME,
        "status": str,
        "status_code": int,
        "resources": resources,
        "metadata": metadata,
        "may_cancel": bool,
        "err": str,
        "location": "none",
    }


def null_or(shape):
    return type(None), shape


BOTH = {"containers": [re.compile("/1.0/containers/.+")], "instances": [re.compile("/1.0/instances/.+")]}
ONE = {"instances": [re.compile("/1.0/instances/.+")]}
FDS = {"0": SECRET, "control": SECRET}
CONSOLE = operation("websocket", "Showing console", BOTH, ({"fds": FDS}, {"offset": int, "fds": FDS}))  # that is ours

STATE = {
    "status": str,
    "status_code": int,
    "disk": {str: dict},
    "memory": {"usage": int, "usage_peak": int, "swap_usage": int, "swap_usage_peak": int},
    "network": null_or({str: dict}),
    "pid": int,
    "processes": int,
    "cpu": {"usage": int},
}

INSTANCE = {
    "architecture": str,
    "config": STRING_MAP,
    "devices": {str: STRING_MAP},
    "ephemeral": bool,
    "profiles": [str],
    "stateful": bool,
    "description": str,
    "created_at": TIME,
    "expanded_config": STRING_MAP,
    "expanded_devices": {str: STRING_MAP},
    "name": str,
    "status": str,
    "status_code": int,
    "last_used_at": TIME,
    "location": "none",
    "type": ("container", "virtual-machine"),
    "project": "default",
}

FULL = {**INSTANCE, "backups": null_or(list), "state": null_or(STATE), "snapshots": null_or(list)}


@pytest.mark.lxd
@pytest.mark.parametrize(
    "path, shape",
    [
        ("/", ["/1.0"]),
        ("/1.0/instances", [re.compile("/1.0/instances/.+")]),
        ("/1.0/containers", [re.compile("/1.0/containers/.+")]),
        ("/1.0/virtual-machines", [re.compile("/1.0/virtual-machines/.+")]),
        ("/1.0/instances?recursion=1", [INSTANCE]),
        ("/1.0/instances?recursion=2", [FULL]),
        ("/1.0/instances?filter=&recursion=2", [FULL]),
        ("{url}", INSTANCE),
        ("{url}?recursion=1", FULL),
        ("{url}/state", STATE),
    ],
)
def test_get(guest, path, shape):
    """Protocol 2 and 11."""
    check(guest.api.get(path.replace("{url}", guest.url)).json, sync(shape))


@pytest.mark.lxd
def test_server(api):
    """Protocol 3: what is there is typed as LXD types it, in LXD's order; `config` may be empty."""
    shape = {
        "config": STRING_MAP,
        "api_extensions": [str],
        "api_status": "stable",
        "api_version": "1.0",
        "auth": "trusted",
        "public": False,
        "auth_methods": ["tls"],
        "environment": dict,
    }
    metadata = api.get("/1.0").metadata
    check(metadata, shape)
    environment = {
        "addresses": [str],
        "architectures": [str],
        "certificate": str,
        "certificate_fingerprint": str,
        "driver": str,
        "driver_version": str,
        "firewall": str,
        "kernel": str,
        "kernel_architecture": str,
        "kernel_features": null_or(STRING_MAP),
        "kernel_version": str,
        "lxc_features": null_or(STRING_MAP),
        "os_name": str,
        "os_version": str,
        "project": "default",
        "server": str,
        "server_clustered": False,
        "server_event_mode": str,
        "server_name": str,
        "server_pid": int,
        "server_version": str,
        "storage": str,
        "storage_version": str,
        "storage_supported_drivers": null_or([{"Name": str, "Version": str, "Remote": bool}]),
    }
    for key, value in metadata["environment"].items():
        assert key in environment, key
        check(value, environment[key], key)


@pytest.mark.lxd
def test_console(guest, open_session):
    """Protocol 4 and 8: POST console, the operation, its lists, its wait."""
    answer = guest.api.post(guest.url + "/console", {"width": 80, "height": 24, "type": "console"})
    check(answer.json, asynchronous(CONSOLE))
    assert list(answer.json["metadata"]["metadata"]["fds"]) == ["0", "control"]
    session = open_session(guest, attach=False)
    session.id, session.secrets = answer.metadata["id"], answer.metadata["metadata"]["fds"]
    session.attach()
    check(guest.api.get(f"/1.0/operations/{session.id}").json, sync(CONSOLE))
    check(guest.api.get(f"/1.0/operations/{session.id}/wait?timeout=0").json, sync(CONSOLE))
    check(guest.api.get("/1.0/operations").json, sync({str: [OPERATION_URL]}))
    session.detach()
    check(session.result(), {**CONSOLE, "status": "Success", "status_code": 200, "err": ""})


@pytest.mark.lxd
def test_task(guest):
    """Protocol 4: PUT state; one that fails, as the 202 and at its end."""
    task = operation("task", "Starting instance", ONE, type(None))
    answer = guest.api.put(guest.url + "/state", {"action": "start", "timeout": 0, "force": False, "stateful": False})
    check(answer.json, asynchronous(task))
    final = {**task, "status": "Failure", "status_code": 400, "err": "The instance is already running"}
    check(guest.api.get(f"/1.0/operations/{answer.metadata['id']}/wait").json, sync(final))


@pytest.mark.parametrize(
    "method, body, description",
    [
        ("PUT", {"config": {}, "description": "x"}, "Updating instance"),
        ("POST", {"name": "{new}"}, "Renaming instance"),
        ("DELETE", None, "Deleting instance"),
    ],
)
def test_changes(make, name, method, body, description):
    """Protocol 4 and 11: what changes an instance is a task; like its creation it also names the container."""
    instance = make("true", start=False)
    if body and body.get("name"):
        body = {"name": name}
    answer = instance.api.request(method, instance.url, body)
    task = operation("task", description, BOTH, type(None))
    check(answer.json, asynchronous(task))
    instance.api.wait(answer.metadata["id"])
    if method == "POST":
        instance.name = name


@pytest.mark.lxd
def test_event(guest, open_session):
    """Protocol 7: the envelopes of operation and lifecycle events."""
    events = WebSocket(guest.api.path, "/1.0/events?type=operation,lifecycle")
    session = open_session(guest)
    session.detach()
    session.result()
    shapes = {
        "operation": {"type": str, "timestamp": TIME, "metadata": CONSOLE, "location": "none", "project": "default"},
        "lifecycle": {
            "type": str,
            "timestamp": TIME,
            "metadata": {"action": "instance-console", "source": guest.url, "context": {"type": "console"}},
            "location": "none",
            "project": "default",
        },
    }
    seen = set()
    final = False
    while not (final and "lifecycle" in seen):
        opcode, payload = events.message()
        assert opcode == TEXT
        event = json.loads(payload)
        if event["type"] == "operation" and event["metadata"]["id"] != session.id:
            continue  # another test's
        if event["type"] == "lifecycle" and event["metadata"]["source"] != guest.url:
            continue
        if event["metadata"].get("action") == "instance-console-detached":
            continue  # ours
        if event["type"] == "lifecycle":
            event["metadata"].pop("requestor", None)
        check(event, shapes[event["type"]])
        seen.add(event["type"])
        final = final or event["metadata"].get("status_code") == 200
    events.abort()


@pytest.mark.lxd
@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/1.0/nosuch", 404),
        ("GET", "/1.0/instances/nosuch", 404),
        ("DELETE", "/1.0", 501),
        ("GET", "/1.0/operations/nosuch", 404),
    ],
)
def test_error(api, method, path, status):
    """Protocol 2: the error envelope; error bodies end in two newlines, others in one."""
    answer = api.request(method, path)
    shape = {
        "type": "error",
        "status": "",
        "status_code": 0,
        "operation": "",
        "error_code": status,
        "error": str,
        "metadata": type(None),
    }
    check(answer.json, shape)
    assert answer.status == status and answer.body.endswith(b"}\n\n")
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert re.search(rb"[^\n]\n$", api.get("/1.0/operations").body)
