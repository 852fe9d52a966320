# SPDX-License-Identifier: Apache-2.0
"""pylxd 2.2.10, Debian 12's, which knows /1.0/containers only."""

import json
import threading

import pytest
from pylxd import Client
from pylxd.exceptions import LXDAPIException, NotFound
from ws4py.client import WebSocketBaseClient

from rest import RUNNING, wait_until


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setenv("LXD_DIR", server.environment()["LXD_DIR"])
    monkeypatch.setenv("HOME", str(server.home))
    return Client()


@pytest.mark.lxd
def test_client(client):
    """Protocol 3: the connection is trusted."""
    assert client.trusted
    assert "console" in client.host_info["api_extensions"]


@pytest.mark.lxd
def test_all_and_get(client, guest):
    """Protocol 11: list and get."""
    assert guest.name in [container.name for container in client.containers.all()]
    container = client.containers.get(guest.name)
    assert (container.status, container.status_code) == ("Running", RUNNING)
    assert container.state().pid == guest.pid
    assert client.containers.exists(guest.name) and not client.containers.exists("nosuch")
    with pytest.raises(NotFound):
        client.containers.get("nosuch")


def test_life(client, name):
    """Protocol 11: create, start, freeze, unfreeze, restart, stop, rename, save, delete, each waited for."""
    config = {"process.command": "sh -i"}
    container = client.containers.create({"name": name, "source": {"type": "none"}, "config": config}, wait=True)
    try:
        container.start(wait=True)
        assert container.status == "Running"
        container.freeze(wait=True)
        assert container.status == "Frozen"
        container.unfreeze(wait=True)
        container.restart(wait=True)
        assert container.status == "Running"
    finally:
        container.stop(wait=True)
    assert container.status == "Stopped"
    container.description = "saved"
    container.config["user.a"] = "b"
    container.save(wait=True)
    found = client.containers.get(name)
    assert (found.description, found.config["user.a"]) == ("saved", "b")
    container.rename(name + "-b", wait=True)
    assert client.containers.exists(name + "-b")
    container.delete(wait=True)
    assert not client.containers.exists(name + "-b")


@pytest.mark.lxd
def test_failing_operation(client, guest):
    """Protocol 2: a failed operation becomes an exception with its text."""
    with pytest.raises(LXDAPIException, match="already running"):
        client.containers.get(guest.name).start(wait=True)


def test_duplicate(client, shell):
    """Protocol 11."""
    with pytest.raises(LXDAPIException, match="already exists"):
        client.containers.create({"name": shell.name, "source": {"type": "none"}}, wait=True)


@pytest.mark.lxd
def test_operations(client, guest, open_session):
    """Protocol 5: an operation by its id."""
    session = open_session(guest)
    assert client.operations.get(session.id).description == "Showing console"
    session.detach()
    session.result()
    with pytest.raises(NotFound):
        client.operations.get("nosuch")


def test_events(client, guest):
    """Protocol 7, compatibility 0.8: events through ws4py, with its odd Host and Origin."""
    received = []

    class Events(WebSocketBaseClient):
        def handshake_ok(self):
            pass

        def received_message(self, message):
            received.append(json.loads(str(message)))

    events = client.events(websocket_client=Events)
    events.connect()
    reader = threading.Thread(target=events.run, daemon=True)
    reader.start()
    try:

        def poked():
            guest.change("start")
            return any(event["metadata"].get("err") == "The instance is already running" for event in received)

        wait_until(poked)
    finally:
        events.close()
        reader.join(20)
    assert not reader.is_alive()
