# SPDX-License-Identifier: Apache-2.0
"""Consoles with other people's WebSocket clients: Python's websockets, Node's ws (as browsers do it), curl, and what
websocat sends."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import websockets

from frames import BINARY, TEXT
from rest import STOPPED, SUCCESS

NODE = Path(__file__).parent / "node"


# --- Python's websockets ---


def connect(session, socket):
    return websockets.unix_connect(session.api.path, "ws://localhost" + session.target(socket), max_size=None)


@pytest.mark.parametrize("kind", ["binary", "text"])
def test_python_websockets(shell, open_session, kind):
    """Compatibility 0.5: data in binary frames, and in text frames."""
    session = open_session(shell, attach=False)

    async def talk():
        async with connect(session, "control") as control, connect(session, "0") as data:
            await data.send("echo $((40+2))\n" if kind == "text" else b"echo $((40+2))\n")
            output = b""
            while b"42" not in output:
                output += await asyncio.wait_for(data.recv(), 20)
            await control.close(1000, "Detaching from console")

    asyncio.run(talk())
    assert session.result()["status_code"] == SUCCESS


def test_python_websockets_at_the_end(shell, open_session):
    """T16: a strict client sees a proper end: an empty text message, then close code 1005."""
    session = open_session(shell, attach=False)

    async def talk():
        async with connect(session, "control"), connect(session, "0") as data:
            await data.send(b"exit\n")
            messages = []
            with pytest.raises(websockets.ConnectionClosed) as closed:
                while True:
                    messages.append(await asyncio.wait_for(data.recv(), 20))
            return messages, closed.value

    messages, closed = asyncio.run(talk())
    assert messages[-1] == "" and all(isinstance(message, bytes) for message in messages[:-1])
    assert closed.rcvd is not None and closed.rcvd.code == 1005
    assert session.result()["status_code"] == SUCCESS


# --- Node ---


@pytest.fixture(scope="module")
def node():
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    if not (NODE / "node_modules/ws").is_dir():
        pytest.skip("run `npm ci` in tests/api/node first, as ./check does")

    def run(session, typed, *more):
        secrets = session.secrets
        return subprocess.run(
            ["node", str(NODE / "attach.js"), session.api.path, session.id, secrets["0"], secrets["control"], *more],
            input=typed,
            capture_output=True,
            timeout=40,
        )

    return run


def closing(done):
    assert done.returncode == 0, done
    return json.loads(done.stderr)


def test_node_detaches(make, open_session, node):
    """Compatibility 0.2: both sockets opened at once; everything typed before the detach arrives."""
    instance = make("sh -c 'stty -echo; while read line; do echo got-$line; done'")
    session = open_session(instance, attach=False)
    assert closing(node(session, b"one\ntwo\n"))["text"] in (0, 1)
    assert session.result()["status_code"] == SUCCESS
    instance.wait_log(b"got-one\r\ngot-two\r\n")


def test_node_sees_the_end(shell, open_session, node):
    """Compatibility 0.3: for LXD's web client every close code but 1005 is an error."""
    session = open_session(shell, attach=False)
    done = node(session, b"echo $((40+2)); exit\n", "stay")
    closed = closing(done)
    assert (closed["code"], closed["reason"], closed["emptyText"], closed["text"]) == (1005, "", 1, 1)
    assert b"42" in done.stdout
    assert session.result()["status_code"] == SUCCESS


def test_node_gets_every_byte(make, open_session, node):
    """T12, T25: two megabytes, byte for byte, to the end."""
    instance = make("sh -c 'stty raw -echo; read go; seq 1 300000'", config={"console.buffer.size": "4MiB"})
    session = open_session(instance, attach=False)
    done = node(session, b"\n", "stay")
    assert closing(done)["code"] == 1005
    assert done.stdout.endswith(b"".join(b"%d\n" % number for number in range(1, 300001)))


# --- websocat: the data socket only, text frames ---


def test_websocat(make, open_session):
    """Promise 7, compatibility 0.5: a data socket alone, lines in text frames, then an empty one, then a Close."""
    instance = make("sh -c 'stty -echo; while read line; do echo got-$line; done'")
    session = open_session(instance, attach=False).connect_data()
    session.data.text("one\n")
    session.expect("got-one")
    session.data.text("two\n")
    session.expect("got-two")
    session.data.send(TEXT, b"")
    session.data.close(1000)
    session.data.wait_end()
    assert session.result()["status_code"] == SUCCESS


def test_websocat_mixed_with_binary(make, open_session):
    """Compatibility 0.5: both kinds on one socket, in order."""
    instance = make("sh -c 'stty raw -echo; echo ready; exec cat'")
    instance.wait_log(b"ready")
    session = open_session(instance, attach=False).connect_data()
    for number in range(100):
        session.data.send(TEXT if number % 2 else BINARY, b"%d," % number)
    session.expect(b"".join(b"%d," % number for number in range(100)))


# --- curl ---


def curl(server, *arguments):
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--max-time", "20", "--unix-socket", server.socket, *arguments],
        capture_output=True,
        timeout=40,
    )


@pytest.mark.lxd
def test_curl_reads(server, guest):
    """Issue: curl for the REST part."""
    done = curl(server, "http://localhost" + guest.url)
    assert json.loads(done.stdout)["metadata"]["name"] == guest.name


def test_curl_log(make, server):
    """Issue: the log with curl is the bytes themselves."""
    instance = make("echo hello")
    instance.wait_status(STOPPED)
    assert curl(server, f"http://localhost{instance.url}/console").stdout == b"hello\r\n"


def test_curl_large_body(server, make, tmp_path):
    """Protocol 1: above 1 KiB curl asks first (Expect: 100-continue)."""
    instance = make("true", start=False)
    body = tmp_path / "body"
    body.write_text(json.dumps({"config": {"user.long": "x" * 100000}}))
    url = f"http://localhost{instance.url}"
    done = curl(server, "-X", "PATCH", "-H", "Expect: 100-continue", "-d", f"@{body}", url)
    assert json.loads(done.stdout)["status_code"] == 200, done
    assert len(instance.read()["config"]["user.long"]) == 100000
