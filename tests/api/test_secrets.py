# SPDX-License-Identifier: Apache-2.0
"""What opens a console's sockets, for how long, and what does not (protocol 5, promises 7 and 11)."""

import json

import pytest

from rest import RUNNING, SUCCESS
from session import Session, refused


def test_secret_missing(shell, open_session):
    """Protocol 5: no or an empty secret is 500 `missing secret`."""
    session = open_session(shell, attach=False)
    session.secrets["0"] = ""
    refusal = refused(session)
    assert refusal.status == 500 and json.loads(refusal.body)["error"] == "missing secret"


@pytest.mark.parametrize("secret", ["deadbeef", "0" * 64, "0" * 4000, "%00", "x"])
def test_secret_wrong(shell, open_session, secret):
    """Design: 403, in JSON; the attempt does not use up the right secret."""
    session = open_session(shell, attach=False)
    right, session.secrets["0"] = session.secrets["0"], secret
    refusal = refused(session)
    assert 400 <= refusal.status < 500
    if secret != "%00":
        assert (refusal.status, json.loads(refusal.body)["error_code"]) == (403, 403)
    session.secrets["0"] = right
    session.connect_data().run("echo fine")


def test_secret_of_another_operation(shell, open_session):
    """S3: a secret opens its own operation only."""
    one, two = open_session(shell, attach=False), open_session(shell, attach=False)
    one.secrets = two.secrets
    assert refused(one).status == 403


@pytest.mark.parametrize("socket", ["0", "control"])
def test_secret_serves_once(shell, open_session, socket):
    """Promise 11, T4: the second use is refused, and the first one is not disturbed."""
    session = open_session(shell)
    assert 400 <= refused(session, socket).status < 500
    session.run("echo undisturbed")
    assert session.operation()["status_code"] == RUNNING


@pytest.mark.lxd
@pytest.mark.parametrize("id", ["00000000-0000-0000-0000-000000000000", "notauuid", "x" * 300])
def test_unknown_operation(guest, id):
    """Protocol 5: 404 in JSON."""
    session = object.__new__(Session)
    session.api, session.id, session.secrets = guest.api, id, {"0": "a" * 64}
    refusal = refused(session)
    assert refusal.status == 404 and json.loads(refusal.body)["error"] == "Operation not found"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
        {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "8", "Sec-WebSocket-Key": "eA=="},
        {"Connection": "Upgrade", "Upgrade": "h2c", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "eA=="},
    ],
)
def test_request_that_is_no_handshake(shell, open_session, headers):
    """Protocol 5: a plain GET, no key, another version: 400, and the secret is not used up."""
    session = open_session(shell, attach=False)
    assert session.api.get(session.target("0"), headers=headers).status == 400
    session.connect_data().run("echo fine")


def test_secrets_are_not_in_the_log_of_the_daemon(make_daemon, open_session):
    """Promise 11, S4: no line of the daemon's log shows a secret, at any level."""
    daemon = make_daemon("--debug")
    instance = daemon.create("x", "sh -i").start()
    session = open_session(instance).detach()
    session.result()
    assert daemon.stderr(), "--debug says nothing"
    assert not [secret for secret in session.secrets.values() if secret[:16] in daemon.stderr()]


def test_expiry(make_daemon, open_session):
    """Promise 7, T1: a POST that nobody connects to expires; the next attach works."""
    daemon = make_daemon("--attach-timeout", "1")
    instance = daemon.create("x", "sh -i").start()
    nobody, control_only = open_session(instance, attach=False), open_session(instance, attach=False)
    control_only.connect_control()
    attached = open_session(instance)
    for session in (nobody, control_only):
        assert session.result()["status_code"] not in (RUNNING, SUCCESS)
        assert refused(session).status >= 400
    attached.run("echo still here")


def test_pending_sessions_are_capped(own_daemon):
    """Promise 7, S4: asking without end is refused at some point, and stops nobody who is attached."""
    instance = own_daemon.create("x", "sh -i").start()
    attached = Session(instance).attach()

    def refused_at_last():
        return instance.api.post(instance.url + "/console", {}).status != 202

    assert any(refused_at_last() for _ in range(5000)), "5000 sessions are pending"
    attached.run("echo fine")
    attached.abort()
