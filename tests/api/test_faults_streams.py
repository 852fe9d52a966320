# SPDX-License-Identifier: Apache-2.0
"""As test_faults.py: no memory, no descriptors, no room for what streams, waits, types, and ends sessions."""

import getpass
import itertools
import json
import os
import random
import re
import socket
import threading

import pytest

from faults import MEMORY, FaultyDaemon
from frames import CLOSE, PING, PONG, Refused
from rest import CANCELLED, RUNNING, SUCCESS, Answer, UnixConnection, wait_until
from session import Session
from sweeps import CLOSED, HARDSHIPS, STRIDE, TIMEOUT, endure, follow_up, forget_unattached, say, shape, told
from test_events import Listener

DAEMON = FaultyDaemon
pytestmark = pytest.mark.timeout(TIMEOUT)
hardships = pytest.mark.parametrize("hardship", HARDSHIPS)


@pytest.fixture
def printer(make, tmp_path):
    """An instance that prints what it is given, without the daemon: printer.print(bytes)."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    made = make(f"sh -c 'stty raw -echo; echo ready; exec cat {path}'")
    with open(path, "wb", 0) as pipe:
        made.wait_log(b"ready\n")
        made.print = pipe.write
        yield made


@pytest.fixture
def cat(make):
    """An instance that prints what is typed."""
    made = make("sh -c 'stty raw -echo; echo ready; exec cat'")
    made.wait_log(b"ready\n")
    return made


# --- the log ---


def follow(instance, query, line):
    """Follows a log, has the line printed, and returns the answer with what has come up to the line, or to an end that can
    be seen to be none; without any answer None."""
    connection = UnixConnection(instance.api.path, timeout=20)
    answer = None
    try:
        connection.request("GET", f"{instance.url}/console?follow=1{query}")
        response = connection.getresponse()
        if response.status != 200:
            return Answer(response.status, response.headers, response.read())
        answer = Answer(200, response.headers, response.read1())
        instance.print(line)
        while line.strip() not in answer.body:
            data = response.read1()
            assert data, "it ends as if the instance had"
            answer.body += data
    except CLOSED:
        pass
    finally:
        connection.close()
    return answer


def joined(body):
    """An asciicast with its output in one event: a follower gets it as it comes."""
    return re.sub(rb'"\]\n\[[\d.]+, "o", "', b"", body)


@hardships
@pytest.mark.parametrize("query", ["", "&format=plain", "&timestamps=1", "&format=asciicast"])
def test_follow(daemon, printer, query, hardship):
    """A follower gets all, or sees that it does not."""
    lines = (b"line-%d.\n" % number for number in itertools.count())
    line = None

    def act():
        nonlocal line
        line = next(lines)
        return follow(printer, query, line)

    def check(answer, failed, words):
        if answer is None or answer.status != 200:
            assert failed
            told(answer, words)
            return
        whole, part = daemon.api.get(f"{printer.url}/console?{query}").body, answer.body
        if "asciicast" in query:
            whole, part = joined(whole), joined(part).removesuffix(b'"]\n')
        assert whole.startswith(part)
        assert failed or line.strip() in answer.body

    endure(daemon, act, check, hardship)


@hardships
def test_clear(daemon, printer, hardship):
    """A log is emptied, or it is whole."""

    def before():
        printer.print(b"text\n")
        printer.wait_log(b"text\n")

    def check(answer, failed, words):
        log = printer.log()
        if answer is not None and answer.status == 200:
            assert log == b""
        else:
            assert failed and log in (b"", b"text\n")
            told(answer, words)
        printer.clear_log()

    printer.clear_log()
    endure(daemon, lambda: say(daemon.api, "DELETE", f"{printer.url}/console"), check, hardship, before=before)


# --- events ---


def of_event(event):
    """shape(); without memory a user's name is not looked up."""
    found = shape(event)
    if "requestor" in event["metadata"]:
        assert found["metadata"]["requestor"].pop("username") in (getpass.getuser(), str(os.getuid()))
    return found


def kind_of(event):
    metadata = event["metadata"]
    return event["type"], metadata.get("action") or (metadata["description"], metadata["status"])


@hardships
def test_events(daemon, make, hardship):
    """A listener hears of all, as of old, or its connection ends."""
    instance, values = make("sh -i", start=False), itertools.count()

    def change():
        """Makes events of operations, of instances and, the last of them, of consoles; whether it is sure to have."""
        body = {"config": {"process.command": "sh -i", "user.x": f"value {next(values)}"}}
        answer = follow_up(daemon.api, say(daemon.api, "PUT", instance.url, body))
        cleared = say(daemon.api, "DELETE", f"{instance.url}/console")
        if answer is None or cleared is None:
            return False
        return answer.status == cleared.status == 200 and answer.metadata["status_code"] == SUCCESS

    def listen():
        return Listener(daemon.socket, "?type=operation,lifecycle")

    def reset(event):
        return event["type"] == "lifecycle" and event["metadata"]["action"] == "instance-console-reset"

    def hear(listener, count):
        """The events up to the `count`th of a console; None if the connection has ended."""
        while sum(map(reset, listener.seen)) < count:
            message = listener.websocket.message(5)
            if message is None or message[0] == CLOSE:
                return None
            listener.seen.append(json.loads(message[1]))
        return listener.seen

    honest = listen()
    assert change()
    usual = {kind_of(event): of_event(event) for event in hear(honest, 1)}
    honest.websocket.abort()

    def act():
        try:
            listener = listen()
        except CLOSED as refusal:
            return refusal, None
        return listener, change()

    def check(result, failed, words):
        listener, changed = result
        if isinstance(listener, Exception):
            assert failed
            return
        assert changed or failed
        assert change()
        heard = hear(listener, 1 + changed)
        assert heard or failed, "the listener was dropped"
        for event in heard or []:
            assert of_event(event) == usual.get(kind_of(event), of_event(event)), event
        listener.websocket.abort()

    endure(daemon, act, check, hardship, sockets=1)


# --- operations ---


def end(session):
    """Ends a session, whatever has become of it."""
    session.abort()
    session.api.delete(f"/1.0/operations/{session.id}")
    wait_until(lambda: not session.api.read(f"{session.instance.url}/console/sessions"), what="the session's end")


@hardships
@pytest.mark.parametrize("target", ["", "?recursion=1", "/ID", "/ID/wait?timeout=0"])
def test_operation(daemon, cat, target, hardship):
    """Operations are shown whole."""
    session = Session(cat).attach()
    target = "/1.0/operations" + target.replace("ID", session.id)

    def going_on(answer):
        """Of a list the sessions: the others are forgotten after a while."""
        return shape(answer.metadata.get("running", answer.metadata))

    whole = going_on(daemon.api.get(target))

    def check(answer, failed, words):
        if answer is not None and answer.status == 200:
            assert going_on(answer) == whole
        else:
            assert failed
            told(answer, words)

    endure(daemon, lambda: say(daemon.api, "GET", target), check, hardship)
    assert session.operation()["status_code"] == RUNNING
    end(session)


@hardships
@pytest.mark.parametrize("target", ["/1.0/operations/ID", "INSTANCE/console/sessions/ID"])
def test_end_a_session(daemon, cat, target, hardship):
    """It ends, as its client and who waits for its operation see, or goes on."""
    session = None

    def before():
        nonlocal session
        session = Session(cat).attach()
        session.type("begin").expect("begin")

    def act():
        found, url = [], f"/1.0/operations/{session.id}/wait?timeout=20"
        waiting = threading.Thread(target=lambda: found.append(say(daemon.api, "GET", url)))
        waiting.start()
        answer = say(daemon.api, "DELETE", target.replace("ID", session.id).replace("INSTANCE", cat.url))
        return answer, waiting, found

    def check(result, failed, words):
        answer, waiting, found = result
        if answer is not None and answer.status == 200:
            session.drain()
            assert daemon.api.read(f"{cat.url}/console/sessions") == []
        else:
            assert failed
            told(answer, words)
            if daemon.api.read(f"{cat.url}/console/sessions"):
                session.type("more").expect("more")
            end(session)
        waiting.join(20)
        assert found, "who waits for the end does not hear of it"
        if found[0] is not None and found[0].status == 200:
            cancelled = answer is not None and answer.status == 200
            assert found[0].metadata["status_code"] in ((CANCELLED,) if cancelled else (CANCELLED, SUCCESS))
        else:
            assert failed
            told(found[0], words)

    endure(daemon, act, check, hardship, before=before, after=lambda: end(session))


@hardships
def test_resize(daemon, make, hardship):
    """A terminal has the size that its client wants, or the client's session ends."""
    shell = make("sh -c 'stty -echo; echo ready; while read x; do stty size; done'")
    shell.wait_log(b"ready")
    sizes = itertools.count(100)
    session = size = None

    def before():
        nonlocal session
        session = Session(shell).attach()

    def act():
        nonlocal size
        size = next(sizes)
        try:
            session.resize(size, size + 1)
            session.control.send(PING, b"now")
            while True:
                frame = session.control.frame(5)
                if frame is None or frame.opcode in (PONG, CLOSE):
                    return frame is not None and frame.opcode == PONG
        except CLOSED:
            return False

    def check(worked, failed, words):
        assert worked or failed
        if worked:
            session.type("\n").expect(f"{size + 1} {size}")

    endure(daemon, act, check, hardship, before=before, after=lambda: end(session))


# --- typing ---


@hardships
@pytest.mark.parametrize("body", [{"text": "some text "}, {"text": "a ", "keys": ["x"] * 20 + [" "]}], ids=["text", "keys"])
def test_input(daemon, cat, body, hardship):
    """All is typed or nothing, once; and what comes then."""
    word = (body["text"] + "".join(body.get("keys", []))).encode()
    said, number = b"ready\n", itertools.count()

    def act():
        return say(daemon.api, "POST", f"{cat.url}/console/input", body)

    def check(answer, failed, words):
        nonlocal said
        mark = b"<%d>" % next(number)
        assert daemon.api.post(f"{cat.url}/console/input", {"text": mark.decode()}).status == 200
        wait_until(lambda: cat.log().endswith(mark))
        log = cat.log()
        if answer is not None and answer.status == 200:
            assert log == said + word + mark
        else:
            assert failed and log in (said + mark, said + word + mark)
            told(answer, words)
        said = log

    endure(daemon, act, check, hardship)


# --- many ---


def test_more_descriptors_than_ever(own_daemon, make):
    """A descriptor larger than any before is watched, or not: without memory libuv would end the process (its issue 4755)."""
    cat, call, failed = make("cat", on=own_daemon), random.randint(1, STRIDE), True
    while failed:
        own_daemon.terminate()
        own_daemon.start()
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(100)]
        for each in crowd:
            each.connect(own_daemon.socket)
        with own_daemon.failing(MEMORY, call) as plan:
            say(own_daemon.api, "POST", f"{cat.url}/console/input", {"text": "x"})
        failed = plan.failed > 0
        assert own_daemon.running(), f"the daemon died of call {call}"
        for each in crowd:
            each.close()
        call += STRIDE
