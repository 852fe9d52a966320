# SPDX-License-Identifier: Apache-2.0
"""No memory, no descriptors, no room: on every path that can meet it the client is told, nothing is changed by halves, the
daemon lives, and works at once when there is enough again. Here: instances, sessions, the daemon's start; the rest is in
test_faults_*.py. sweeps.py says how calls are made to fail."""

import errno
import os
import random
import shutil
import signal
import subprocess

import pytest

from consoled import REPORTS
from faults import DISK, KEEPER, MEMORY, FaultyDaemon
from rest import FAILURE, RUNNING, STOPPED, SUCCESS, Instance, wait_until
from session import Session
from sweeps import (
    CLOSED,
    ERRORS,
    FULL,
    RUNS,
    SPARES,
    STRIDE,
    TIMEOUT,
    WORDS,
    follow_up,
    forget_unattached,
    picture,
    quiet,
    say,
    shape,
    starve,
    sweep,
    told,
)

DAEMON = FaultyDaemon
pytestmark = pytest.mark.timeout(TIMEOUT)


# --- what reads ---

READS = [
    "/",
    "/1.0",
    "/1.0/instances",
    "/1.0/instances?recursion=1",
    "/1.0/instances?recursion=2",
    "/1.0/instances?recursion=1&filter=name+eq+NAME",
    "/1.0/containers?recursion=1&filter=config.user.x+eq+y",
    "/1.0/instances/NAME",
    "/1.0/instances/NAME?recursion=1",
    "/1.0/instances/NAME/state",
    "/1.0/instances/NAME/console/boots",
    "/1.0/instances/NAME/console/history",
    "/1.0/instances/NAME/console/sessions",
    "/1.0/instances/NAME/logs",
    "/1.0/profiles?recursion=1",
    "/1.0/profiles/default",
]
LOGS = [
    "",
    "?format=plain",
    "?format=asciicast",
    "?format=screen",
    "?format=html",
    "?timestamps=1",
    "?lines=5",
    "?wait=line.(1.*)&since=0&timeout=5",
]


@pytest.fixture
def printer(make):
    """An instance that has printed, been attached to, and reads."""
    made = make("sh -c 'stty -echo; seq -f line-%g 40; echo ready; exec cat'", config={"user.x": "y"})
    made.wait_log(b"ready")
    session = Session(made).attach()
    session.detach().abort()
    assert session.result()["status_code"] == SUCCESS
    return made


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("target", READS)
def test_memory_read(daemon, printer, target, run):
    """A reader gets all, or an error in words, or a closed connection: never a part."""
    target = target.replace("NAME", printer.name)
    whole = shape(daemon.api.get(target).json)

    def check(answer, failed):
        if answer is not None and answer.status == 200:
            assert shape(answer.json) == whole
        else:
            assert failed
            told(answer)

    sweep(daemon, lambda: say(daemon.api, "GET", target), check, run)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("query", LOGS)
def test_memory_log(daemon, printer, query, run):
    """A log is whole, or its end is seen to be missing."""
    target = f"{printer.url}/console{query}"
    whole = daemon.api.get(target).body

    def check(answer, failed):
        if answer is not None and answer.status == 200:
            assert answer.body == whole
        else:
            assert failed
            told(answer)

    sweep(daemon, lambda: say(daemon.api, "GET", target), check, run)


# --- what changes ---


def body_of(name, **config):
    return {"name": name, "source": {"type": "none"}, "config": {"process.command": "sh -i", **config}}


def create(api, name):
    api.do("POST", "/1.0/instances", body_of(name))
    return Instance(api, name)


def remove(api, *names):
    """Whatever state they are in, perhaps still starting."""

    def gone():
        for name in names:
            Instance(api, name).discard()
        return all(api.get(f"/1.0/instances/{name}").status == 404 for name in names)

    wait_until(gone, what=f"{names} removed")


ENVIRONMENT = {f"environment.LONG_NAME_{number}": "x" * 50 for number in range(10)}
# What is asked, by method, target and body; what is there before it; names that there may be afterwards.
CHANGES = {
    "create": ("POST", "/1.0/instances", body_of("f1", **ENVIRONMENT), "nothing"),
    "put": ("PUT", "/1.0/instances/f1", {"config": {"process.command": "cat", **ENVIRONMENT}}, "stopped"),
    "patch": ("PATCH", "/1.0/instances/f1", {"config": {"user.key": "a value of some length"}}, "stopped"),
    "buffer": ("PATCH", "/1.0/instances/f1", {"config": {"console.buffer.size": "4MiB"}}, "stopped"),
    "rename": ("POST", "/1.0/instances/f1", {"name": "f2"}, "stopped"),
    "delete": ("DELETE", "/1.0/instances/f1", None, "stopped"),
    "start": ("PUT", "/1.0/instances/f1/state", {"action": "start"}, "stopped"),
    "stop": ("PUT", "/1.0/instances/f1/state", {"action": "stop", "force": True}, "running"),
    "restart": ("PUT", "/1.0/instances/f1/state", {"action": "restart", "force": True}, "running"),
    "freeze": ("PUT", "/1.0/instances/f1/state", {"action": "freeze"}, "running"),
    "stop all": ("PUT", "/1.0/instances", {"state": {"action": "stop", "force": True}}, "running"),
}


def prepare(api, state):
    if state != "nothing":
        instance = create(api, "f1")
        if state == "running":
            instance.start()


def try_change(daemon, what, trial):
    """Lets trial(act, check, before, after) make the change again and again, with something failing: what there is then
    must be what was before, or what is there when all goes well. check() returns the words of a failure."""
    method, target, body, state = CHANGES[what]
    api = daemon.api

    def act():
        return follow_up(api, say(api, method, target, body))

    prepare(api, state)
    first = picture(daemon)
    answer = act()
    assert answer.status == 200 and not answer.json["metadata"].get("err"), answer
    last = picture(daemon)
    remove(api, "f1", "f2")

    def check(answer, failed):
        quiet(daemon)
        found = picture(daemon)
        assert found in (first, last), f"{what}: something between before and after"
        if answer is None:
            assert failed
            return None
        if answer.status == 200 and not answer.json["metadata"].get("err"):
            assert found == last, answer
            return None
        assert failed, answer
        assert answer.status >= 500 or answer.metadata["status_code"] == FAILURE, answer
        return (answer.json["error"] or answer.metadata["err"]) if answer.body else None

    trial(act, check, lambda: prepare(api, state), lambda: remove(api, "f1", "f2"))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("what", CHANGES)
def test_memory_change(own_daemon, what, run):
    """A change is made wholly, or not at all, in the daemon and in its database."""

    def trial(act, check, before, after):
        def check_words(answer, failed):
            words = check(answer, failed)
            assert words is None or any(word in words for word in WORDS), answer

        sweep(own_daemon, act, check_words, run, before=before, after=after)

    try_change(own_daemon, what, trial)
    own_daemon.terminate()
    own_daemon.start()
    assert picture(own_daemon) == {}, "the database knew better"


# --- sessions ---


@pytest.mark.parametrize("run", RUNS)
def test_memory_post_console(daemon, printer, run):
    """A session that its client is not told of is not there."""

    def act():
        return say(daemon.api, "POST", f"{printer.url}/console", {})

    def check(answer, failed):
        if answer is not None and answer.status == 202:
            assert daemon.api.delete(f"/1.0/operations/{answer.metadata['id']}").status == 200
        else:
            assert failed
            told(answer)
        if answer is not None:
            assert daemon.api.read(f"{printer.url}/console/sessions") == []

    sweep(daemon, act, check, run, after=lambda: forget_unattached(printer))


def converse(instance, word):
    """Attaches, resizes, types and leaves. Whether all of that went well."""
    session = None
    try:
        session = Session(instance)
        session.connect_control(timeout=5).connect_data(timeout=5).resize(100, 30)
        session.type(word).expect(word, 5)
        return True
    except (*CLOSED, AssertionError):
        return False
    finally:
        if session:
            session.abort()
            say(session.api, "DELETE", f"/1.0/operations/{session.id}")


@pytest.mark.parametrize("run", RUNS)
def test_memory_session(daemon, make, run):
    """A session that cannot be had is refused, or ends; the next has all that it types, and no other instance suffers."""
    cat, other = (make("sh -c 'stty raw -echo; echo ready; exec cat'") for _ in range(2))
    for each in (cat, other):
        each.wait_log(b"ready")
    honest = Session(other).attach()
    honest.type("begin").expect("begin")
    number = iter(range(100000, 900000))

    def check(worked, failed):
        assert worked or failed

    def after():
        forget_unattached(cat)
        wait_until(lambda: not daemon.api.read(f"{cat.url}/console/sessions"), what="the session's end")
        word = f"honest-{next(number)}"
        honest.type(word).expect(word)
        assert converse(cat, word), "the next session"
        wait_until(lambda: not daemon.api.read(f"{cat.url}/console/sessions"), what="the next session's end")

    sweep(daemon, lambda: converse(cat, f"word-{next(number)}"), check, run, after=after, sockets=2)
    assert honest.operation()["status_code"] == RUNNING
    honest.abort()


# --- descriptors ---


@pytest.mark.parametrize(
    "target", ["/1.0", "/1.0/instances?recursion=2", "/1.0/instances/NAME/state", "/1.0/instances/NAME/console"]
)
def test_descriptors_read(daemon, printer, target):
    """Whoever is not let in for want of descriptors waits, and is served when there are some."""
    target = target.replace("NAME", printer.name)
    whole = daemon.api.get(target)
    for spare in SPARES:
        answer = starve(daemon, lambda: say(daemon.api, "GET", target), spare)
        assert answer, "the connection was closed"
        if answer.status != 200:
            assert answer.status == 500 and "Too many open files" in answer.error, answer
        elif not target.endswith("console"):
            assert shape(answer.json).keys() == shape(whole.json).keys()
        else:
            assert answer.body == whole.body


@pytest.mark.parametrize("what", CHANGES)
def test_descriptors_change(own_daemon, what):
    """A change that wants more descriptors than there are is made when there are some, or refused in words."""

    def trial(act, check, before, after):
        for spare in SPARES:
            before()
            words = check(starve(own_daemon, act, spare), True)
            assert words is None or "Too many open files" in words or "unable to open" in words, words
            after()

    try_change(own_daemon, what, trial)
    own_daemon.terminate()
    own_daemon.start()
    assert picture(own_daemon) == {}, "the database knew better"


def test_descriptors_session(daemon, make):
    """Sessions go on, and new ones wait."""
    cat, other = (make("sh -c 'stty raw -echo; echo ready; exec cat'") for _ in range(2))
    honest = Session(other).attach()
    honest.type("begin").expect("begin")
    for spare in SPARES:
        starve(daemon, lambda: converse(cat, f"word-{spare}."), spare)
        honest.type(f"honest-{spare}.").expect(f"honest-{spare}\\.")
        wait_until(lambda: not daemon.api.read(f"{cat.url}/console/sessions"))
        assert converse(cat, f"next-{spare}.")
    honest.abort()



def test_keeper_killed_while_starved(own_daemon, make):
    """Promise 10: an instance whose keeper dies while there are no descriptors for another goes on: it gets one later."""
    shell = make("sh -i", on=own_daemon)
    pid = shell.pid

    def tries():
        return own_daemon.stderr().count("Too many open files")

    with own_daemon.starved(0):
        os.kill(own_daemon.keepers()[shell.name], signal.SIGKILL)
        wait_until(lambda: tries() > 6)
    wait_until(lambda: own_daemon.keepers().get(shell.name))
    assert shell.pid == pid and shell.status == RUNNING
    session = Session(shell).attach().at_prompt()
    session.run("true")
    session.abort()


# --- the file system ---

@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("what", CHANGES)
def test_disk_change(own_daemon, what, error, run):
    """A change that the disk refuses is not made, and what has refused is named; the daemon and its database agree."""

    def trial(act, check, before, after):
        def check_words(answer, failed):
            words = check(answer, failed)
            assert words is None or any(word in words for word in FULL[error]), answer

        sweep(own_daemon, act, check_words, run, kind=DISK, before=before, after=after, error=error, stride=1)

    try_change(own_daemon, what, trial)
    own_daemon.terminate()
    own_daemon.start()
    assert picture(own_daemon) == {}, "the database knew better"
    assert os.listdir(own_daemon.directory / "consoles") == [], "something half made is left"


@pytest.fixture
def full_disk():
    """A daemon on a file system of its own, and what fills that up."""
    if os.getuid() != 0:
        pytest.skip("only root can mount")
    daemon = FaultyDaemon()
    command = daemon.command_file.read_bytes()
    options = ["-t", "tmpfs", "-o", "size=4m,mode=711", "consoled-test", str(daemon.directory)]
    subprocess.run(["mount", *options], check=True)
    daemon.command_file.write_bytes(command)
    filler = daemon.directory / "filler"

    def fill():
        with open(filler, "ab", 0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError as error:
                    assert error.errno == errno.ENOSPC
        return filler

    try:
        yield daemon.start(), fill
        daemon.terminate()
    finally:
        try:
            daemon._end()
            assert not REPORTS.search(daemon.stderr())
        finally:
            subprocess.run(["umount", "--lazy", str(daemon.directory)], check=True)
            shutil.rmtree(daemon.directory)


def test_disk_full(full_disk):
    """On a full disk, what runs goes on, its console too; it can be stopped, and deleted, which makes room. All else that
    wants room is refused in words, and works when there is some."""
    daemon, fill = full_disk
    api = daemon.api
    small = {"console.buffer.size": "64KiB"}
    names = [f"i{number}" for number in range(6)]
    for name in names:
        api.do("POST", "/1.0/instances", body_of(name, **small, **{"environment.PS1": "$ "}))
    running = Instance(api, names[0]).start()
    session = Session(running).attach().at_prompt()
    filler = fill()

    def refused(operation):
        assert operation["status_code"] == FAILURE, operation
        assert any(word in operation["err"] for word in FULL[errno.ENOSPC]), operation
        assert picture(daemon).keys() == set(names)

    refused(api.run("POST", "/1.0/instances", body_of("new")))
    value = iter(range(1000))
    while True:  # until the database has used up what it had set aside
        answer = api.patch(f"/1.0/instances/{names[1]}", {"config": {"user.x": f"{next(value)} {'x' * 4000}"}})
        if answer.status != 200:
            break
    assert answer.status == 500 and "disk is full" in answer.error, answer
    fill()
    refused(api.run("POST", f"/1.0/instances/{names[1]}", {"name": "renamed"}))
    answer = api.put("/1.0", {"config": {"lxc.lxcpath": str(daemon.directory)}})
    assert answer.status == 500 and "disk is full" in answer.error, answer
    larger = {"config": {"process.command": "sh -i", "console.buffer.size": "4MiB"}}
    assert api.run("PUT", f"/1.0/instances/{names[1]}", larger)["status_code"] == FAILURE

    assert b"out-42" in session.run("seq 2000; echo out-$((40+2))")
    assert b"out-42" in running.log()
    session.abort()
    running.stop()
    for name in names:
        api.do("DELETE", f"/1.0/instances/{name}")
        fill()
    assert picture(daemon) == {}
    filler.unlink()
    api.do("POST", "/1.0/instances", body_of("new"))
    Instance(api, "new").start().stop().delete()


# --- starting ---


# Of the allocations that libwebsockets 4.1 makes when it starts, so many are not checked.
LIBWEBSOCKETS_CRASHES = 4
LIBWEBSOCKETS_DIES = (-signal.SIGSEGV, -signal.SIGABRT)


@pytest.mark.parametrize("kind, error", [(MEMORY, errno.ENOMEM), (DISK, errno.ENOSPC)], ids=["memory", "disk"])
@pytest.mark.parametrize("run", RUNS)
def test_start_of_the_daemon(own_daemon, kind, error, run):
    """The daemon starts, or says why not, and ends with 1; instances that run are not hurt."""
    instance = create(own_daemon.api, "f1").start()
    pid = instance.pid
    own_daemon.terminate()
    call, failed, crashes = random.randint(1, STRIDE if kind == MEMORY else 1), True, 0
    while failed:
        said = len(own_daemon.stderr())
        with own_daemon.failing(kind, call, call + RUNS[run] - 1, error=error) as plan:
            process = own_daemon.spawn()
            line = process.stdout.readline()
        failed = plan.failed > 0
        if b"is ready" in line:
            process.terminate()
            assert process.wait(20) == 0, f"call {call}"
        elif process.wait(20) in LIBWEBSOCKETS_DIES and kind == MEMORY:
            crashes += 1
            assert crashes <= LIBWEBSOCKETS_CRASHES
            own_daemon.errors.write_text("")  # its assertion
        else:
            assert failed and process.returncode == 1, f"call {call}: {process.returncode}"
            assert "error" in own_daemon.stderr()[said:] or run == "lasting", f"call {call}: no words"
        process.stdout.close()
        call += 5 * STRIDE if kind == MEMORY else 1  # there are thousands, most of them of the dynamic linker
    own_daemon.start()
    assert instance.pid == pid and instance.status == RUNNING


@pytest.mark.parametrize("run", RUNS)
def test_start_of_a_keeper(own_daemon, run):
    """An instance whose keeper has no memory starts, or says why not; it can be started then."""
    instance = create(own_daemon.api, "f1")

    def act():
        return instance.change("start")

    def check(operation, failed):
        assert operation["status_code"] == SUCCESS or (failed and operation["err"]), operation

    def after():
        def stopped():
            instance.change("stop", force=True)
            return instance.status == STOPPED

        wait_until(stopped)
        instance.start()
        Session(instance).attach().at_prompt().abort()
        instance.stop()

    sweep(own_daemon, act, check, run, program=KEEPER, after=after, stride=3 * STRIDE)
