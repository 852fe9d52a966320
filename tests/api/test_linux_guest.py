# SPDX-License-Identifier: Apache-2.0
"""A real Linux in a virtual machine: its boot, byte for byte, whatever happens meanwhile, and how it ends. A boot takes
seconds: each test has one, or two, and looks at all that can be seen of it."""

import re

import pytest

from consoled import cpu_seconds
from linux import BOOT_TIME, DOWN, FIRST, READY, RESTART, assert_whole, make_linux
from machine import MachineDaemon
from rest import FROZEN, RUNNING, STOPPED, SUCCESS, wait_until
from test_restart import kill_keeper

DAEMON = MachineDaemon
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def config(shared_daemon, tmp_path_factory):
    return make_linux(tmp_path_factory.mktemp("linux"))


@pytest.fixture
def linux(machine, config):
    """Makes virtual machines that boot Linux, as machine() does. One that takes `own_daemon` names it before this."""
    return lambda **how: machine(disk={}, config=config, **how)


def wait_middle(guest):
    """Waits until the guest is in the midst of its boot; what it has printed so far."""
    wait_until(lambda: b"Linux version" in guest.log(), BOOT_TIME)
    log = guest.log()
    assert READY not in log
    return log


def wait_cpu(pid, seconds):
    """Waits until a process has worked for that long."""
    until = cpu_seconds(pid) + seconds
    wait_until(lambda: cpu_seconds(pid) >= until, BOOT_TIME)


def test_boot_that_nobody_saw(linux, open_session, terminal, lxc):
    """Machines, promise 1: the log begins with the first byte and is whole; then there is a shell; a stop presses the
    power button, and the kernel's last words come before the end."""
    guest = linux()
    log = guest.wait_log(READY, BOOT_TIME)
    session = open_session(guest).at_prompt()
    assert_whole(log, session)
    assert guest.boots() == [(1, 0)]

    console = terminal("lxc", "console", guest.name)
    console.expect("To detach")
    console.type("echo $((40+2))\r")
    console.expect("\n42\r")
    session.expect("\n42\r")

    lxc("stop", guest.name)
    assert guest.status == STOPPED
    assert console.wait() == 0
    assert session.drain().endswith(DOWN) and session.end_mark
    assert session.result()["status_code"] == SUCCESS
    assert guest.log().endswith(bytes(session.output))
    guest.assert_ended()


def test_attached_from_the_start(linux, open_session):
    """Promises 1, 8, 9: who attaches right behind the start sees exactly what the log has, from the first byte to the
    last, and goes on through the guest's own reboot."""
    guest = linux()
    session = open_session(guest, {"notices": False})
    session.expect(READY, BOOT_TIME)
    session.at_prompt()
    assert_whole(session.output, session)

    pid = guest.pid
    session.type("reboot -f\n").expect(re.escape(RESTART + FIRST), BOOT_TIME)
    second = session.seen - len(FIRST)
    session.expect(READY, BOOT_TIME)
    session.at_prompt()
    assert_whole(bytes(session.output[second:]), session)
    assert guest.boots() == [(1, 0), (2, second)]
    assert (guest.status, guest.pid) == (RUNNING, pid)

    session.type("poweroff -f\n")
    assert session.drain().endswith(DOWN) and session.end_mark
    assert session.result()["status_code"] == SUCCESS
    guest.wait_status(STOPPED)
    assert guest.log() == session.output


def test_killed_in_the_middle_of_the_boot(own_daemon, linux, open_session):
    """Promise 10: kill -9 of the daemon, which is away for a while, and then of the keeper: the log is whole."""
    guest = linux(on=own_daemon)
    before = wait_middle(guest)
    pid = guest.pid
    own_daemon.kill()
    wait_cpu(pid, 0.3)
    own_daemon.start()
    assert (guest.status, guest.pid) == (RUNNING, pid)
    meanwhile = guest.log()
    assert meanwhile.startswith(before) and len(meanwhile) > len(before) and READY not in meanwhile
    kill_keeper(own_daemon, guest.name)
    log = guest.wait_log(READY, BOOT_TIME)
    assert log.startswith(meanwhile)
    assert_whole(log, open_session(guest).at_prompt())


def test_paused_in_the_middle_of_the_boot(linux, open_session):
    """Machines: it stands still, and goes on where it was: to the log and to who is attached."""
    guest = linux()
    session = open_session(guest)
    wait_middle(guest)
    guest.freeze()
    assert guest.status == FROZEN
    assert READY not in guest.log()
    guest.unfreeze()
    session.expect(READY, BOOT_TIME)
    session.at_prompt()
    assert_whole(session.output, session)
    assert guest.log().startswith(session.output)
