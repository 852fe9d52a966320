# SPDX-License-Identifier: Apache-2.0
"""As test_faults.py: no memory, no room, no files, no processes for the server's config, for who connects, and for what
is started."""

import errno
import json

import pytest

from faults import DAEMON as IN_DAEMON
from faults import EVER, FILES, KEEPER, PROCESSES, FaultyDaemon
from rest import STOPPED, SUCCESS, Answer, UnixConnection, wait_until
from session import Session
from sweeps import CLOSED, HARDSHIPS, RUNS, STRIDE, TIMEOUT, endure, meanwhile, say, sweep, told
from test_events import Listener

DAEMON = FaultyDaemon
pytestmark = pytest.mark.timeout(TIMEOUT)

# --- the server's config ---


def listeners(daemon):
    """How many listen for events before one is refused, of at most three."""
    open_ones = []
    try:
        for _ in range(3):
            open_ones.append(Listener(daemon.socket))
    except CLOSED:
        pass
    for each in open_ones:
        each.websocket.abort()
    wait_until(lambda: daemon.api.get("/1.0/events").status != 503)
    return len(open_ones)


@pytest.mark.parametrize("hardship", HARDSHIPS)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_config(own_daemon, tmp_path, method, hardship):
    """The server's config is changed wholly or not at all: what is shown, what holds, and what a restart finds."""
    api = own_daemon.api
    old = {"limits.event_listeners": "2", "limits.history": "500"}
    change = {"limits.event_listeners": "1", "lxc.lxcpath": str(tmp_path), "limits.screens": "3"}
    new = change if method == "PUT" else {**old, **change}

    def config():
        return api.read("/1.0")["config"]

    def check(answer, failed, words):
        found = config()
        if answer is not None and answer.status == 200:
            assert found == new
        else:
            assert failed and found in (old, new)
            told(answer, words)
        assert listeners(own_daemon) == int(found["limits.event_listeners"])
        own_daemon.terminate()
        own_daemon.start()
        assert config() == found, "the database knew better"
        assert listeners(own_daemon) == int(found["limits.event_listeners"])

    def before():
        assert api.put("/1.0", {"config": old}).status == 200

    endure(own_daemon, lambda: say(api, method, "/1.0", {"config": change}), check, hardship, before=before)


# --- what comes, and what is started ---


@pytest.mark.parametrize("error", [errno.ENFILE, errno.ENOMEM, errno.ENOBUFS], ids=errno.errorcode.get)
def test_nobody_can_be_let_in(daemon, error):
    """Who connects while the system has no more files waits, and is served when it has."""
    lack = daemon.failing(FILES, 1, EVER, error=error)
    answer = meanwhile(daemon, lack, lambda: daemon.api.get("/1.0"))
    assert answer.status == 200
    assert daemon.plan(FILES).failed > 0


class Connection:
    """One that is there already when nothing can be opened any more."""

    def __init__(self, api):
        self.connection = UnixConnection(api.path)
        assert self.say("GET", "/1.0").status == 200

    def say(self, method, target, body=None):
        try:
            self.connection.request(method, target, json.dumps(body), {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except CLOSED:
            return None

    def start(self, instance):
        """The operation at its end, or the answer to the request where there is none."""
        answer = self.say("PUT", f"{instance.url}/state", {"action": "start"})
        if answer is None or answer.status != 202:
            return answer
        return self.say("GET", f"/1.0/operations/{answer.metadata['id']}/wait?timeout=20")

    def close(self):
        self.connection.close()


LACKING = {
    "ENFILE": (FILES, ("Too many open files in system",)),
    "EMFILE": (FILES, ("Too many open files",)),
    "EAGAIN": (PROCESSES, ("Resource temporarily unavailable",)),
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("error", LACKING)
@pytest.mark.parametrize("program", [IN_DAEMON, KEEPER], ids=["daemon", "keeper"])
def test_start_of_a_program(daemon, make, program, error, run):
    """A program starts, or it is said why not; it can be started then."""
    kind, words = LACKING[error]
    instance, connection = make("sh -i", start=False), None

    def before():
        nonlocal connection
        connection = Connection(daemon.api)

    def check(answer, failed):
        connection.close()
        if answer is None or answer.status != 200:
            assert failed
            told(answer, words)
        elif answer.metadata["status_code"] != SUCCESS:
            assert failed and any(word in answer.metadata["err"] for word in words), answer

    def after():
        def stopped():
            instance.change("stop", force=True)
            return instance.status == STOPPED

        wait_until(stopped)
        instance.start()
        Session(instance).attach().at_prompt().abort()
        instance.stop()

    how = {"before": before, "after": after, "program": program, "error": getattr(errno, error)}
    sweep(daemon, lambda: connection.start(instance), check, run, kind, stride=1 if STRIDE == 1 else 3, **how)
