# SPDX-License-Identifier: Apache-2.0
"""Daemons and keepers that end, are killed, and come back; how consoled is started and stopped."""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import threading

import pytest

from consoled import CONSOLED, KEEPER, alive, processes_of
from rest import FROZEN, RUNNING, STOPPED, SUCCESS, wait_until
from session import Session

pytestmark = pytest.mark.timeout(180)


def sequence(last):
    return b"".join(b"%d\n" % number for number in range(1, last + 1))


# --- the daemon ends ---


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_instances_survive(own_daemon, open_session, how):
    """Promise 10: after SIGTERM and after kill -9 an instance is found again: same process, whole log, attachable."""
    instance = own_daemon.create("x", "sh -i").start()
    session = open_session(instance)
    session.run("marker=kept")
    pid, keeper = instance.pid, own_daemon.keepers()["x"]
    getattr(own_daemon, how)()
    assert alive(pid) and alive(keeper)
    own_daemon.start()
    assert (instance.status, instance.pid) == (RUNNING, pid)
    assert b"marker=kept" in instance.log()
    again = open_session(instance)
    assert b"kept" in again.run("echo $marker")
    again.detach()
    assert again.result()["status_code"] == SUCCESS


def test_killed_ten_times(own_daemon, open_session):
    """Promise 10: again and again; input, output, resize and stop work each time."""
    instance = own_daemon.create("x", "sh -i").start()
    for number in range(10):
        own_daemon.kill()
        own_daemon.start()
        session = open_session(instance, {"width": 80 + number, "height": 24})
        assert b"24 %d" % (80 + number) in session.run("stty size")
        session.run(f"echo round-$(({number}))")
    log = instance.log()
    assert [b"round-%d\r\n" % number in log for number in range(10)] == [True] * 10
    instance.stop()
    assert instance.status == STOPPED


def test_log_that_cannot_be_opened(own_daemon):
    """An instance without its log is left out, in words; it is there again when its log is."""
    for name in ("a", "b"):
        own_daemon.create(name, "echo hello").start().wait_status(STOPPED)
    own_daemon.terminate()
    ring = own_daemon.directory / "consoles/a/ring"
    kept = ring.rename(own_daemon.directory / "kept")
    ring.mkdir()
    own_daemon.start()
    assert own_daemon.api.read("/1.0/instances") == ["/1.0/instances/b"]
    assert "instance a was not loaded" in own_daemon.stderr()
    own_daemon.terminate()
    ring.rmdir()
    kept.rename(ring)
    own_daemon.start()
    assert own_daemon.api.get("/1.0/instances/a/console").body == b"hello\r\n"


def test_frozen_stays_frozen(own_daemon):
    """Promise 10: so does the state."""
    instance = own_daemon.create("x", "sh -i").start().freeze()
    own_daemon.kill()
    own_daemon.start()
    assert instance.status == FROZEN
    instance.unfreeze()


def test_end_while_the_daemon_is_away(own_daemon, tmp_path):
    """Promise 10: what an instance wrote, and that it ended, is known to the next daemon."""
    go = tmp_path / "go"
    instance = own_daemon.create("x", f"sh -c 'until test -e {go}; do sleep 0.01; done; echo last words'").start()
    pid = instance.pid
    own_daemon.kill()
    go.touch()
    wait_until(lambda: not alive(pid), 10)
    own_daemon.start()
    instance.wait_status(STOPPED)
    assert instance.log() == b"last words\r\n"


def test_restart_policy_without_a_daemon(own_daemon):
    """Design: process.restart is the keeper's business, with or without a daemon."""
    instance = own_daemon.create("x", "sh -c 'echo boot-$$-; exec cat'", config={"process.restart": "always"}).start()
    instance.wait_log(b"boot-")
    pid = instance.pid
    own_daemon.kill()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 10)
    own_daemon.start()
    wait_until(lambda: instance.log().count(b"boot-") == 2)
    wait_until(lambda: instance.status == RUNNING and instance.pid not in (0, pid))


def test_configuration_survives(own_daemon):
    """Promise 10: what was answered with success is on disk."""
    instance = own_daemon.create("x", "sh -i", description="d", config={"user.a": "b"})
    instance.api.patch(instance.url, {"config": {"user.c": "d"}})
    before = instance.read()
    own_daemon.kill()
    own_daemon.start()
    assert instance.read() == before


def test_killed_while_it_works(own_daemon):
    """Promise 10: kill -9 in the midst of requests; the database is whole, and what is half done can be deleted."""
    for number in range(10):
        thread = threading.Thread(target=create_without_end, args=(own_daemon, number))
        thread.start()
        wait_until(lambda: f"/1.0/instances/k{number}-0" in own_daemon.api.read("/1.0/instances"))
        own_daemon.kill()
        thread.join()
        own_daemon.start()
    for url in own_daemon.api.read("/1.0/instances"):
        own_daemon.api.run("PUT", url + "/state", {"action": "stop", "force": True, "timeout": -1})
        own_daemon.api.do("DELETE", url)
    assert own_daemon.api.read("/1.0/instances") == []
    wait_until(lambda: not own_daemon.keepers(), 10, "no keeper left")


def create_without_end(daemon, number):
    """Creates and starts instances until the daemon is gone."""
    try:
        for count in range(1000):
            daemon.create(f"k{number}-{count}", "sh -i").start()
    except Exception:
        pass  # how a request ends whose server is killed is not what is tested


def test_autostart(own_daemon):
    """Design: boot.autostart starts an instance with the daemon, and only that one."""
    one = own_daemon.create("one", "sh -i", config={"boot.autostart": "true"})
    two = own_daemon.create("two", "sh -i")
    own_daemon.terminate()
    own_daemon.start()
    one.wait_status(RUNNING)
    assert two.status == STOPPED


def test_sessions_end_with_the_daemon(own_daemon):
    """Shutdown: SIGTERM closes what is attached, in order, and does not wait for it."""
    instance = own_daemon.create("x", "sh -c 'while :; do seq 1 1000; done'").start()
    sessions = [Session(instance).attach() for _ in range(5)]
    stuck = Session(instance).attach(receive_buffer=4096)
    pending = Session(instance)
    own_daemon.terminate()
    for session in sessions:
        session.data.wait_end()
        session.abort()
    stuck.abort()
    pending.abort()


def test_waiting_requests_end_with_the_daemon(own_daemon):
    """Shutdown: long polls and event listeners do not hold it up."""
    instance = own_daemon.create("x", "sh -i").start()
    session = Session(instance).attach()
    results = []

    def wait():
        try:
            results.append(instance.api.get(f"/1.0/operations/{session.id}/wait").status)
        except Exception as error:  # the connection's end is an answer, too
            results.append(error)

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    own_daemon.terminate()
    for thread in threads:
        thread.join(20)
    assert len(results) == 5
    session.abort()


# --- the keeper is killed ---

KILLS = 4  # more within ten seconds look like a keeper that cannot live, and end the instance


def kill_keeper(daemon, name):
    """kill -9 of an instance's keeper; waits for its successor."""
    old = wait_until(lambda: daemon.keepers().get(name), 10, "the keeper by its name")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: daemon.keepers().get(name, old) != old, 10, "another keeper")


def test_keeper_killed(own_daemon, open_session):
    """Promise 10: the instance does not notice, the session goes on, a new keeper is there at once."""
    instance = own_daemon.create("x", "sh -i").start()
    session = open_session(instance)
    session.run("marker=kept")
    pid = instance.pid
    for _ in range(KILLS):
        kill_keeper(own_daemon, "x")
        assert b"kept" in session.run("echo $marker")
    assert (instance.status, instance.pid) == (RUNNING, pid)
    session.resize(100, 30)
    wait_until(lambda: b"30 100" in session.run("stty size"))
    session.type("exit\n").drain()
    assert session.end_mark
    instance.wait_status(STOPPED)


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_keeper_killed_in_a_flood(own_daemon, open_session, name):
    """Promise 10: again and again in the midst of output, and no byte is lost or doubled. The log has room for all, so
    that a slow machine cannot make this a test of flow control."""
    last = 3000000
    command = f"sh -c 'stty raw -echo; echo ready; read go; seq 1 {last}; exec cat'"
    instance = own_daemon.create(name, command, config={"console.buffer.size": "32MiB"}).start()
    instance.wait_log(b"ready")
    session = open_session(instance).type("\n")
    whole = sequence(last)
    for number in range(1, KILLS + 1):
        session.expect_bytes(len(whole) * number // (KILLS + 2))
        kill_keeper(own_daemon, name)
    assert session.expect_bytes(len(whole)) == whole
    assert instance.log() == b"ready\n" + whole


def test_keeper_and_daemon_killed(own_daemon, open_session):
    """Promise 10: a program whose terminal nobody holds gets SIGHUP; the next daemon knows, and can start it."""
    instance = own_daemon.create("x", "sh -i").start()
    pid, keeper = instance.pid, own_daemon.keepers()["x"]
    own_daemon.kill()
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 10)
    own_daemon.start()
    instance.wait_status(STOPPED)
    instance.start()
    open_session(instance).run("echo fine")


def test_daemon_killed_while_a_keeper_starts(own_daemon, open_session, tmp_path):
    """Promise 10: the daemon is killed right behind a keeper, when the next one has been started and not got anywhere yet:
    the next daemon waits for that one, and the program has not noticed."""
    instance = own_daemon.create("x", "sh -i").start()
    open_session(instance).run("marker=kept")
    own_daemon.kill()
    slow, begun, go = (tmp_path / name for name in ("consoled-keeper", "begun", "go"))
    slow.write_text(f"#!/bin/sh\ntouch {begun}\nuntil test -e {go}; do sleep 0.01; done\nexec {KEEPER} \"$@\"\n")
    slow.chmod(0o755)
    own_daemon.options = ("--keeper", str(slow))
    own_daemon.start()
    pid = instance.pid
    os.kill(own_daemon.keepers()["x"], signal.SIGKILL)
    wait_until(begun.exists)
    own_daemon.kill()
    starting = threading.Thread(target=own_daemon.start)
    starting.start()
    starting.join(0.4)  # it is ready too early, or waits
    go.touch()
    starting.join()
    assert (instance.status, instance.pid) == (RUNNING, pid)
    assert b"kept" in open_session(instance).run("echo $marker")


def test_stop_right_after_the_keeper_was_killed(own_daemon):
    """Promise 10: commands meant for a keeper that is gone reach its successor."""
    instance = own_daemon.create("x", "sh -i")
    for _ in range(KILLS):
        instance.start()
        os.kill(own_daemon.keepers()["x"], signal.SIGKILL)
        instance.stop()
        assert instance.status == STOPPED


# --- starting it ---


def test_second_daemon_is_refused(own_daemon):
    """Design: one daemon a directory; the second one names the first and changes nothing."""
    instance = own_daemon.create("x", "sh -i").start()
    second = own_daemon.spawn()
    out, _ = second.communicate(timeout=20)
    assert second.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT) and b"ready" not in out
    assert re.search(rf"\b{own_daemon.pid}\b", own_daemon.stderr())
    assert instance.status == RUNNING


def test_stale_socket_and_lock(own_daemon):
    """Design: what a killed daemon leaves on disk does not stop the next one."""
    own_daemon.kill()
    assert os.path.exists(own_daemon.socket)
    own_daemon.start()
    assert own_daemon.api.get("/1.0").status == 200


def test_lock_of_a_dead_daemon(own_daemon):
    """Promise 10: what a killed daemon was just about to start holds its lock for a moment longer; that is waited for."""
    own_daemon.kill()
    with open(own_daemon.directory / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        starting = threading.Thread(target=own_daemon.start)
        starting.start()
        wait_until(lambda: has_open(own_daemon, lock.name), what="the next daemon at the lock")
    starting.join()
    assert own_daemon.running() and own_daemon.api.get("/1.0").status == 200


def has_open(daemon, path):
    with contextlib.suppress(OSError):
        places = [f"/proc/{daemon.pid}/fd/{name}" for name in os.listdir(f"/proc/{daemon.pid}/fd")]
        return path in [os.readlink(place) for place in places]
    return False


def test_socket_is_private(own_daemon):
    """S8: only its user, and a group where one is named, may connect."""
    assert os.stat(own_daemon.socket).st_mode & 0o007 == 0
    assert os.stat(own_daemon.directory / "consoled.db").st_mode & 0o077 == 0


def test_nothing_is_left_running(own_daemon):
    """Promise 7: without instances, SIGTERM leaves no process."""
    own_daemon.create("x", "sh -i").start().stop()
    own_daemon.terminate()
    wait_until(lambda: not processes_of(own_daemon.directory), 10)


def test_sigint_is_a_clean_end_too(own_daemon):
    """Design: ctrl-c in the foreground."""
    own_daemon.process.send_signal(signal.SIGINT)
    assert own_daemon.process.wait(20) == 0


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--dir"], ["argument"], ["--attach-timeout", "soon"]])
def test_bad_arguments(arguments):
    """Promise 12: said on stderr, exit code not 0."""
    done = subprocess.run([CONSOLED, *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode > 0 and done.stderr and not done.stdout


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version(option):
    """Both go to stdout."""
    done = subprocess.run([CONSOLED, option], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "consoled" in done.stdout.lower() + option and done.stdout


def test_directory_that_cannot_be(tmp_path):
    """Promise 12: the path and the reason."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = subprocess.run([CONSOLED, "--dir", str(blocked / "x")], capture_output=True, text=True, timeout=20)
    assert done.returncode > 0 and str(blocked) in done.stderr


def test_directory_with_a_long_name(tmp_path):
    """Design: a socket's path has 107 bytes; a directory that leaves no room is refused with a reason."""
    long = tmp_path / ("x" * 120)
    done = subprocess.run([CONSOLED, "--dir", str(long)], capture_output=True, text=True, timeout=20)
    assert done.returncode > 0 and "long" in done.stderr
