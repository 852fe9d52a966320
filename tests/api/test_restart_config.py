# SPDX-License-Identifier: Apache-2.0
"""What is configured while an instance runs means something from its next restart on: of all kinds of instances."""

import os
import signal
from pathlib import Path

import pytest

from consoled import Daemon, alive
from guest import Container, ContainerDaemon, cgroup_file
from machine import HEAR_BUTTON, REBOOT, Machine, MachineDaemon
from rest import FAILURE, RUNNING, STOPPED, SUCCESS, wait_until
from test_restart import kill_keeper

pytestmark = pytest.mark.timeout(120)

VALUES = range(16, 64)  # of the setting that these tests change


# --- one guest of each kind: a setting, and what there is of it in what runs ---


class Program:
    """A shell's environment."""

    daemon = Daemon

    def __init__(self, daemon, name):
        self.instance = daemon.create(name, "sh -c 'echo ready; exec cat'", config=self.config(VALUES[0]))

    @staticmethod
    def config(value):
        return {"environment.SETTING": str(value)}

    def process(self, file):
        """The words of a file of /proc; between two boots there is no process."""
        return Path(f"/proc/{wait_until(lambda: self.instance.pid)}/{file}").read_bytes().split(b"\0")

    def setting(self):
        words = self.process("environ")
        return int(dict(word.split(b"=", 1) for word in words if word)[b"SETTING"])

    def wait_boot(self, number=1):
        wait_until(lambda: self.instance.log().count(b"ready\r\n") >= number, what=f"boot {number}")
        return self

    def before_restart(self, session):
        """What has to be typed so that it will hear that it is to end."""

    def vanish(self):
        self.instance.discard()


class InContainer(Program):
    """A container's init's environment."""

    daemon = ContainerDaemon

    def __init__(self, daemon, name):
        self.instance = Container(daemon, name, config=self.config(VALUES[0])).create()

    def wait_boot(self, number=1):
        self.instance.wait_boot(number)
        return self

    def vanish(self):
        self.instance.vanish()


class InMachine(InContainer):
    """A virtual machine's memory."""

    daemon = MachineDaemon

    def __init__(self, daemon, name):
        self.instance = Machine(daemon, name, config=self.config(VALUES[0])).create()

    @staticmethod
    def config(value):
        return {"limits.memory": f"{value}MiB"}

    def setting(self):
        words = self.process("cmdline")
        return int(words[words.index(b"-m") + 1].removesuffix(b"M"))

    def before_restart(self, session):
        session.type(HEAR_BUTTON)


KINDS = {"program": Program, "container": InContainer, "machine": InMachine}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def shared_daemon(kind):
    daemon = kind.daemon()
    try:
        yield daemon.start()
    finally:
        daemon.close()


@pytest.fixture
def own_daemon(kind):
    daemon = kind.daemon()
    try:
        yield daemon.start()
    finally:
        daemon.close()


@pytest.fixture
def guest(kind, daemon, name):
    each = kind(daemon, name)
    yield started(each)
    each.vanish()


@pytest.fixture
def killable(kind, own_daemon, name):
    """On a daemon that may be killed."""
    each = kind(own_daemon, name)
    yield started(each)
    if own_daemon.running():
        each.vanish()


def started(guest):
    guest.instance.start()
    guest.wait_boot()
    assert guest.setting() == VALUES[0]
    return guest


def configure(guest, **body):
    answer = guest.instance.api.patch(guest.instance.url, body)
    assert answer.status == 200, answer


def change(guest, value):
    configure(guest, config=guest.config(value))


def echoes(session, text):
    session.type(text + "\n").expect(text)


def assert_fails(operation, *words):
    assert operation["status_code"] == FAILURE, operation
    for word in words:
        assert word in operation["err"], operation["err"]


# --- what is configured ---


@pytest.mark.parametrize("force", [True, False])
def test_restart(guest, open_session, force):
    """Restart: the new value holds, not before; promise 9: a session goes on over it."""
    first, session = guest.instance.pid, open_session(guest.instance)
    echoes(session, "before")
    change(guest, VALUES[1])
    assert (guest.instance.pid, guest.setting()) == (first, VALUES[0])
    guest.before_restart(session)
    guest.instance.restart(force=force)
    assert guest.instance.pid != first and not alive(first)
    assert guest.setting() == VALUES[1]
    guest.wait_boot(2)
    echoes(session, "after")
    assert session.operation()["status_code"] == RUNNING


def test_several_restarts(guest, open_session):
    """Restart: each one takes what is configured then, also where that is what was before."""
    session = open_session(guest.instance)
    for boot, value in enumerate([VALUES[1], VALUES[2], VALUES[2], VALUES[0]], start=2):
        change(guest, value)
        guest.instance.restart()
        assert guest.setting() == value
        guest.wait_boot(boot)
    echoes(session, "still here")


def test_with_lxc(guest, lxc):
    """Restart: as a person does it."""
    (key, value), *_ = guest.config(VALUES[1]).items()
    lxc("config", "set", guest.instance.name, f"{key}={value}")
    lxc("restart", "--force", guest.instance.name)
    assert guest.setting() == VALUES[1]


def test_stop_and_start(guest):
    """Restart: it is no other than that."""
    change(guest, VALUES[1])
    guest.instance.restart()
    change(guest, VALUES[2])
    guest.instance.stop().start()
    assert guest.setting() == VALUES[2]


# --- what cannot be ---


def assert_runs_on(guest, pid, session):
    assert (guest.instance.status, guest.instance.pid) == (RUNNING, pid) and alive(pid)
    assert guest.setting() == VALUES[0]
    echoes(session, "here")
    assert session.operation()["status_code"] == RUNNING


@pytest.mark.parametrize("kind", ["container", "machine"], indirect=True)
@pytest.mark.parametrize("force", [True, False])
def test_not_startable(guest, open_session, force):
    """Promise 12: a restart with what cannot be started fails, with the reason, and nothing is stopped."""
    session, pid, before = open_session(guest.instance), guest.instance.pid, guest.instance.read()
    disk = {"type": "disk", "source": "/nonexistent/file"}
    if not isinstance(guest, InMachine):
        disk["path"] = "/mnt"
    configure(guest, config=guest.config(VALUES[1]), devices={**before["devices"], "extra": disk})
    for _ in range(2):
        assert_fails(
            guest.instance.change("restart", force=force),
            'Failed to start device "extra": source: /nonexistent/file: No such file or directory',
        )
        assert_runs_on(guest, pid, session)
    body = {"config": {**before["config"], **guest.config(VALUES[2])}, "devices": before["devices"]}
    guest.instance.api.do("PUT", guest.instance.url, body)
    guest.instance.restart()
    assert guest.setting() == VALUES[2]


@pytest.mark.parametrize("kind", ["program", "container"], indirect=True)
def test_nothing_to_run(guest, open_session):
    """Promise 12: nor with nothing to run."""
    session, pid = open_session(guest.instance), guest.instance.pid
    guest.instance.api.do("PUT", guest.instance.url, {"config": guest.config(VALUES[1]), "devices": {}})
    assert_fails(guest.instance.change("restart", force=True), "The instance has nothing to run")
    assert_runs_on(guest, pid, session)


@pytest.mark.parametrize("kind", ["container"], indirect=True)
def test_another_kind(guest, open_session):
    """Promise 12: what has become a program cannot take the container's place; stopped and started it can."""
    session, pid = open_session(guest.instance), guest.instance.pid
    body = {"config": {"process.command": "cat", **guest.config(VALUES[1])}, "devices": {}}
    guest.instance.api.do("PUT", guest.instance.url, body)
    assert_fails(
        guest.instance.change("restart", force=True),
        "The instance runs as a container and is configured as a program now: stop it, then start it",
    )
    assert_runs_on(guest, pid, session)
    guest.instance.stop().start()
    assert guest.setting() == VALUES[1]
    guest.instance.restart()


@pytest.mark.parametrize("kind", ["program"], indirect=True)
def test_program_that_cannot_be_executed(guest):
    """Restart: then it is stopped, for that is known when the old one has ended; the reason is told."""
    configure(guest, config={"process.command": "/nonexistent"})
    assert_fails(guest.instance.change("restart", force=True), 'exec "/nonexistent": No such file or directory')
    assert guest.instance.status == STOPPED


# --- what only some have ---


@pytest.mark.parametrize("kind", ["program"], indirect=True)
def test_other_command(guest, open_session):
    """Restart: another program, with another policy, which uses what was configured at the restart."""
    session = open_session(guest.instance)
    configure(guest, config={"process.command": "sh -c 'echo other; exec cat'", "process.restart": "always"})
    guest.instance.restart()
    session.expect("other")
    change(guest, VALUES[1])
    first = guest.instance.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: guest.instance.pid not in (0, first))
    session.expect("other")
    assert guest.setting() == VALUES[0]
    guest.instance.restart()
    assert guest.setting() == VALUES[1]


@pytest.mark.parametrize("kind", ["container"], indirect=True)
def test_reboot_of_a_container(guest):
    """Restart: when the guest itself boots again, it is with what was configured at the last restart."""
    change(guest, VALUES[1])
    guest.instance.restart()
    guest.wait_boot(2)
    change(guest, VALUES[2])
    guest.instance.execute("reboot")
    guest.wait_boot(3)
    assert guest.setting() == VALUES[1]


@pytest.mark.parametrize("kind", ["machine"], indirect=True)
def test_raw_qemu(guest, open_session):
    """Restart: any option of QEMU, and not when the guest resets itself."""
    configure(guest, config={"raw.qemu": "-name other"})
    session = open_session(guest.instance).type(REBOOT)
    guest.wait_boot(2)
    assert b"other" not in guest.process("cmdline")
    guest.instance.restart()
    assert b"other" in guest.process("cmdline")
    guest.wait_boot(3)
    echoes(session, "here")


@pytest.mark.parametrize("kind", ["machine"], indirect=True)
def test_option_that_qemu_refuses(guest):
    """Restart: then it is stopped, for that is known when the old one has ended; QEMU's words are told."""
    configure(guest, config={"raw.qemu": "-nonsense"})
    assert_fails(guest.instance.change("restart", force=True), "-nonsense: invalid option")
    assert guest.instance.status == STOPPED
    guest.instance.assert_ended()


@pytest.mark.parametrize("kind", ["container"], indirect=True)
def test_limits_of_a_container(guest):
    """Restart: the new one's cgroup has the new limit."""
    configure(guest, config={"limits.memory": "48MiB"})
    guest.instance.restart()
    assert cgroup_file(guest.instance.pid, "memory", "memory.limit_in_bytes", "memory.max") == str(48 << 20)


@pytest.mark.parametrize("kind", ["container"], indirect=True)
def test_interface_of_the_machine(daemon_with_interface, name):
    """Restart: an interface of the machine's that the running container has is there again for the next one."""
    nic = {"type": "nic", "nictype": "physical", "parent": "cd0", "name": "lan"}
    container = Container(daemon_with_interface, name)
    container.body["devices"]["net"] = nic
    container.create().start().wait_boot()
    try:
        for boot, force in enumerate([True, False], start=2):
            container.restart(force=force)
            container.wait_boot(boot)
            assert "lan" in container.state()["network"]
    finally:
        container.vanish()


@pytest.fixture
def daemon_with_interface(kind):
    """A daemon in a network namespace of its own, so that nothing happens to this machine's interfaces."""
    daemon = kind.daemon()
    make = 'ip link add cd0 type veth peer name cd1 && exec "$@"'
    daemon.prefix = ["unshare", "--net", "sh", "-c", make, "sh", *daemon.prefix]
    try:
        yield daemon.start()
    finally:
        daemon.close()


# --- deaths meanwhile ---


def test_keeper_killed_between(killable, own_daemon, open_session):
    """Promise 10: a keeper's successor knows what was configured at the last restart, and takes the next."""
    session = open_session(killable.instance)
    for boot, value in enumerate(VALUES[1:4], start=2):
        change(killable, value)
        killable.instance.restart()
        killable.wait_boot(boot)
        pid = killable.instance.pid
        kill_keeper(own_daemon, killable.instance.name)
        assert (killable.instance.pid, killable.setting()) == (pid, value)
    echoes(session, "still here")


@pytest.mark.parametrize("force", [True, False])
def test_keeper_killed_while_it_restarts(killable, own_daemon, open_session, force):
    """Promise 10: another one goes on with the restart."""
    session = open_session(killable.instance)
    for boot, value in enumerate(VALUES[1:4], start=2):
        change(killable, value)
        killable.before_restart(session)
        keeper = own_daemon.keepers()[killable.instance.name]
        body = {"action": "restart", "force": force, "timeout": 30}
        operation = killable.instance.api.put(killable.instance.url + "/state", body).metadata["id"]
        os.kill(keeper, signal.SIGKILL)
        assert killable.instance.api.wait(operation)["status_code"] == SUCCESS
        assert killable.setting() == value
        killable.wait_boot(boot)
    echoes(session, "still here")


def test_daemon_killed_while_it_restarts(killable, own_daemon):
    """Promise 10: a keeper restarts it without a daemon, with what that has told it."""
    for boot, value in enumerate(VALUES[1:4], start=2):
        change(killable, value)
        answer = killable.instance.api.put(killable.instance.url + "/state", {"action": "restart", "force": True})
        assert answer.status == 202
        own_daemon.kill()
        own_daemon.start()
        killable.wait_boot(boot)
        wait_until(lambda: killable.instance.status == RUNNING and killable.instance.pid)
        assert killable.setting() == value


def test_frozen_is_not_restarted(guest):
    """Protocol 11: LXD's words; and it stands still with what it had."""
    pid = guest.instance.pid
    guest.instance.freeze()
    change(guest, VALUES[1])
    assert_fails(guest.instance.change("restart", force=True), "Instance is not running")
    guest.instance.unfreeze()
    assert (guest.instance.pid, guest.setting()) == (pid, VALUES[0])
