# SPDX-License-Identifier: Apache-2.0
"""Containers over the death of whoever serves them: the daemon, the keeper, both, liblxc's monitor."""

import contextlib
import os
import signal
import threading

import pytest

from consoled import alive, rounds
from guest import FIRST_LINE, ContainerDaemon, children, members
from rest import FROZEN, RUNNING, STOPPED, SUCCESS, wait_until
from test_container_console import flood
from test_events import Listener
from test_loops import sequence
from test_restart import KILLS, kill_keeper

DAEMON = ContainerDaemon
pytestmark = pytest.mark.timeout(180)

LARGE = {"console.buffer.size": "32MiB"}  # room for all, so that a slow machine does not make it a test of flow control
# Its first boot waits for the file /go; the second one goes on for ever.
ONCE = "echo boot; test ! -e /again || exec cat; touch /again; until test -e /go; do sleep 0.01; done; echo bye; "


@pytest.fixture
def booted(own_daemon, container):
    """A container on a daemon that may be killed."""
    guest = container(on=own_daemon)
    guest.wait_log(FIRST_LINE)
    return guest


@pytest.fixture
def flooded(own_daemon, container, open_session):
    """Starts a container that prints numbers, in raw mode, as soon as it is told to, and tells it so: (guest, text)."""

    def start(last=1500000):
        guest = container(on=own_daemon, init=flood(last), config=LARGE)
        guest.wait_log(b"ready")
        return guest, open_session(guest).type("\n"), sequence(last)

    return start


def shell_works(open_session, guest):
    session = open_session(guest).at_prompt()
    assert b"42" in session.run("echo $((40+2))")
    session.detach()
    assert session.result()["status_code"] == SUCCESS


# --- the daemon ---


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_container_survives(booted, own_daemon, open_session, how):
    """Promise 10: after SIGTERM and after kill -9 it is found again: same process, same keeper, whole log."""
    session = open_session(booted).at_prompt()
    session.run("marker=kept")
    pid, keeper, monitor = booted.pid, own_daemon.keepers()[booted.name], booted.monitor()
    getattr(own_daemon, how)()
    assert alive(pid) and alive(keeper) and alive(monitor)
    own_daemon.start()
    assert (booted.status, booted.pid, booted.monitor()) == (RUNNING, pid, monitor)
    assert booted.log().startswith(FIRST_LINE)
    session = open_session(booted).at_prompt()
    assert b"kept" in session.run("echo $marker")
    session.resize(100, 30)
    wait_until(lambda: b"30 100" in session.run("stty size"))
    booted.stop(force=False)


def test_killed_in_a_flood(own_daemon, flooded):
    """Promise 10: kill -9 of the daemon in the midst of output; the log is whole."""
    guest, session, whole = flooded()
    session.expect_bytes(len(whole) // 10)
    for _ in range(rounds(10, 3)):
        own_daemon.kill()
        own_daemon.start()
    wait_until(lambda: len(guest.log()) >= len(b"ready\n" + whole), 120, "all of the flood")
    assert guest.log() == b"ready\n" + whole


def test_frozen_stays_frozen(booted, own_daemon, open_session):
    """Promise 10: so does the state."""
    booted.freeze()
    own_daemon.kill()
    own_daemon.start()
    assert booted.status == FROZEN
    booted.unfreeze()
    shell_works(open_session, booted)


@pytest.mark.parametrize("end", ["poweroff -f", "reboot -f"])
def test_end_while_the_daemon_is_away(own_daemon, container, end):
    """Promise 10: what a guest prints and does meanwhile is known to the next daemon."""
    guest = container(on=own_daemon, init=ONCE + end)
    guest.wait_log(b"boot")
    pid = guest.pid
    own_daemon.kill()
    (guest.rootfs / "go").touch()
    wait_until(lambda: not alive(pid), 10)
    own_daemon.start()
    if end == "reboot -f":
        assert guest.wait_log(b"bye\r\nboot\r\n") == b"boot\r\nbye\r\nboot\r\n"
        wait_until(lambda: guest.pid not in (0, pid))
        assert guest.status == RUNNING and guest.boots() == [1, 2]
    else:
        guest.wait_status(STOPPED)
        assert guest.log() == b"boot\r\nbye\r\n"


def test_killed_while_it_starts_and_stops(own_daemon, container):
    """Promise 10: kill -9 in the midst of starts and stops: each container is whole, one way or the other."""
    guests = [container(on=own_daemon, start=False) for _ in range(4)]
    for number in range(rounds(20, 4)):
        for guest in guests:
            action = "start" if guest.status == STOPPED else "stop"
            guest.api.put(guest.url + "/state", {"action": action, "force": True})
        own_daemon.kill()
        own_daemon.start()
    for guest in guests:
        settled = [RUNNING, STOPPED]
        wait_until(lambda: guest.status in settled and (guest.pid > 0) == (guest.status == RUNNING))
        guest.change("stop", force=True)
        assert guest.status == STOPPED
        guest.assert_ended()


def test_autostart(own_daemon, container):
    """Design: boot.autostart, for containers too."""
    guest = container(on=own_daemon, start=False, config={"boot.autostart": "true"})
    own_daemon.terminate()
    own_daemon.start()
    guest.wait_status(RUNNING)
    guest.wait_log(FIRST_LINE)


# --- the keeper ---


def test_keeper_killed(booted, own_daemon, open_session):
    """Promise 10: the container does not notice, the session goes on, a new keeper is there at once."""
    session = open_session(booted).at_prompt()
    session.run("marker=kept")
    pid, monitor = booted.pid, booted.monitor()
    for _ in range(KILLS):
        kill_keeper(own_daemon, booted.name)
        assert b"kept" in session.run("echo $marker")
    assert (booted.status, booted.pid, booted.monitor()) == (RUNNING, pid, monitor)
    session.resize(100, 30)
    wait_until(lambda: b"30 100" in session.run("stty size"))
    booted.freeze()
    booted.unfreeze()
    session.type("reboot -f\n").expect(FIRST_LINE.decode())
    session.at_prompt().type("poweroff -f\n").drain()
    assert session.end_mark
    booted.wait_status(STOPPED)


@pytest.mark.parametrize("number", range(3))
def test_keeper_killed_in_a_flood(own_daemon, flooded, number):
    """Promise 10: kill -9 of the keeper under flood loses neither container nor byte."""
    guest, session, whole = flooded()
    pid = guest.pid
    for kill in range(1, KILLS + 1):
        session.expect_bytes(len(whole) * kill // (KILLS + 2))
        kill_keeper(own_daemon, guest.name)
    assert session.expect_bytes(len(whole), 120) == whole
    assert guest.log() == b"ready\n" + whole
    assert (guest.status, guest.pid) == (RUNNING, pid)


def test_keeper_and_daemon_killed_in_a_flood(own_daemon, flooded, open_session):
    """Promise 10: both killed: the monitor holds the terminal, the container waits, and not a byte is lost."""
    guest, session, whole = flooded()
    pid = guest.pid
    for kill in range(1, 4):
        wait_until(lambda: len(guest.log()) > len(whole) * kill // 5, 60)
        keeper = own_daemon.keepers()[guest.name]
        if kill == 2:
            os.kill(keeper, signal.SIGKILL)
            own_daemon.kill()
        else:
            own_daemon.kill()
            os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not alive(keeper), 10)
        assert alive(pid)
        own_daemon.start()
        guest.wait_status(RUNNING)
    wait_until(lambda: len(guest.log()) >= len(b"ready\n" + whole), 120, "all of the flood")
    assert guest.log() == b"ready\n" + whole
    assert guest.pid == pid
    open_session(guest).type("x").expect("x")


def test_keeper_killed_while_frozen(booted, own_daemon, open_session):
    """Promise 10: the next keeper knows that it stands still."""
    booted.freeze()
    kill_keeper(own_daemon, booted.name)
    assert booted.status == FROZEN
    booted.unfreeze()
    shell_works(open_session, booted)


@pytest.mark.parametrize("end", ["poweroff -f", "reboot -f"])
def test_end_while_the_keeper_is_away(own_daemon, container, end):
    """Promise 10: the guest ends, or reboots, while there is neither keeper nor daemon."""
    guest = container(on=own_daemon, init=ONCE + end)
    guest.wait_log(b"boot")
    pid, keeper = guest.pid, own_daemon.keepers()[guest.name]
    own_daemon.kill()
    os.kill(keeper, signal.SIGKILL)
    (guest.rootfs / "go").touch()
    wait_until(lambda: not alive(pid), 10)
    own_daemon.start()
    if end == "reboot -f":
        guest.wait_log(b"bye\r\nboot\r\n")
        wait_until(lambda: guest.status == RUNNING and guest.pid not in (0, pid))
    else:
        guest.wait_status(STOPPED)
        guest.assert_ended()
        guest.start()
        wait_until(lambda: guest.log().count(b"boot") == 2)


def test_stop_right_after_the_keeper_was_killed(own_daemon, container):
    """Promise 10: commands meant for a keeper that is gone reach its successor."""
    guest = container(on=own_daemon, start=False)
    for _ in range(KILLS):
        guest.start()
        os.kill(own_daemon.keepers()[guest.name], signal.SIGKILL)
        guest.stop()
        assert guest.status == STOPPED and not members(guest.name)


def test_keeper_killed_between_stop_and_end(own_daemon, container):
    """Promise 10: the next keeper too kills it when the time is up, though it has booted again since it was told to end."""
    guest = container(on=own_daemon, init=ONCE + "reboot -f")
    guest.wait_log(b"boot")
    first = guest.pid
    stop = guest.api.put(guest.url + "/state", {"action": "stop", "timeout": 3}).metadata["id"]
    (guest.rootfs / "go").touch()
    wait_until(lambda: guest.pid not in (0, first))
    kill_keeper(own_daemon, guest.name)
    assert guest.api.wait(stop, 20)["status_code"] == SUCCESS
    assert guest.status == STOPPED


def test_keeper_killed_while_it_starts(own_daemon, container):
    """Promise 10: a start whose keeper dies ends one way or the other, and leaves no half a container."""
    guest = container(on=own_daemon, start=False)
    for _ in range(rounds(20, 5)):
        starting = threading.Thread(target=guest.change, args=("start",))
        starting.start()
        keeper = wait_until(lambda: own_daemon.keepers().get(guest.name))
        try:
            os.kill(keeper, signal.SIGKILL)
        except ProcessLookupError:
            pass
        starting.join()
        guest.change("stop", force=True)
        assert guest.status == STOPPED
        guest.assert_ended()


# --- the monitor ---


def test_monitor_killed(booted, own_daemon, open_session):
    """Containers: kill -9 of liblxc's monitor is noticed: nothing of the container goes on, the session ends, and it can be
    started again."""
    listener = Listener(own_daemon.socket, "?type=lifecycle")
    session = open_session(booted).at_prompt()
    monitor = booted.monitor()
    pids = [*children(monitor), *members(booted.name)]
    assert booted.pid in pids
    os.kill(monitor, signal.SIGKILL)
    session.drain()
    assert session.end_mark and session.result()["status_code"] == SUCCESS
    booted.wait_status(STOPPED)
    wait_until(lambda: not any(map(alive, pids)), 5, "no process of the container")
    assert not listener.action("instance-shutdown", booted.url)["metadata"].get("requestor")
    listener.websocket.abort()
    booted.assert_ended()
    booted.start()
    shell_works(open_session, booted)


def test_monitor_killed_in_a_flood(flooded):
    """Containers: also in the midst of output; what had come is there, in order."""
    guest, session, whole = flooded()
    session.expect_bytes(len(whole) // 10)
    os.kill(guest.monitor(), signal.SIGKILL)
    output = session.drain(60)
    assert whole.startswith(output) and len(output) >= len(whole) // 10
    guest.wait_status(STOPPED)
    guest.assert_ended()


def test_monitor_killed_while_nobody_looks(booted, own_daemon, open_session):
    """Containers: with daemon and keeper gone too: the next daemon clears up."""
    monitor, keeper = booted.monitor(), own_daemon.keepers()[booted.name]
    own_daemon.kill()
    os.kill(keeper, signal.SIGKILL)
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not alive(monitor) and not alive(keeper), 10)
    own_daemon.start()
    booted.wait_status(STOPPED)
    wait_until(lambda: not members(booted.name), 5, "no process of the container")
    booted.start()
    shell_works(open_session, booted)


def test_init_killed(booted, open_session):
    """Promise 8: kill -9 of the container's first process from outside is an end like others."""
    session = open_session(booted).at_prompt()
    os.kill(booted.pid, signal.SIGKILL)
    session.drain()
    assert session.end_mark and session.result()["status_code"] == SUCCESS
    booted.wait_status(STOPPED)
    booted.start()
    shell_works(open_session, booted)


def test_everything_killed(booted, own_daemon, open_session):
    """Promise 10: after the worst of cases, the next daemon starts it as if it were new."""
    keeper, monitor, pid = own_daemon.keepers()[booted.name], booted.monitor(), booted.pid
    own_daemon.kill()
    for each in (pid, monitor, keeper):
        with contextlib.suppress(ProcessLookupError):  # the end of one may be that of the next
            os.kill(each, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, (keeper, monitor, pid))), 10)
    own_daemon.start()
    booted.wait_status(STOPPED)
    booted.start()
    shell_works(open_session, booted)
