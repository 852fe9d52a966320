# SPDX-License-Identifier: Apache-2.0
"""What the daemon and its keepers may do, as the kernel tells it; and that what they start may do what it always could."""

import contextlib
import os
import pwd
import re
import signal
import sqlite3
from pathlib import Path

import pytest

from consoled import Daemon, alive, cmdline, parent
from guest import ContainerDaemon
from machine import MachineDaemon
from rest import STOPPED, wait_until

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root has anything to give up"),
]

CAPABILITIES = {  # linux/capability.h
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYS_RESOURCE": 24,
}

# SECURITY.md says the same in words.
OF_DAEMON = {"CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETUID", "SYS_ADMIN", "SYS_PTRACE"}
OF_STARTER = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"}
OF_PROGRAM_KEEPER = set()
OF_SERIAL_KEEPER = {"DAC_OVERRIDE", "SYS_ADMIN"}
OF_MACHINE_KEEPER = {"DAC_OVERRIDE", "KILL", "SYS_PTRACE", "SYS_RESOURCE"}


def status(pid):
    """The fields of /proc/PID/status, hexadecimal numbers for sets."""
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(value, 16) if name.startswith("Cap") else value.strip() for name, value in fields.items()}


def bits(names):
    return sum(1 << CAPABILITIES[name] for name in names)


def check(pid, names, confined=False):
    """Exactly these capabilities, as far as we have them to give; and the filter, or no trace of one."""
    found, ours = status(pid), status(os.getpid())
    assert f"{found['CapPrm']:x}" == f"{bits(names) & ours['CapPrm']:x}"
    assert found["CapEff"] == found["CapPrm"]
    assert (found["CapInh"], found["CapAmb"]) == (0, 0)
    assert found["CapBnd"] == ours["CapBnd"]
    assert (found["NoNewPrivs"], found["Seccomp"]) == (("1", "2") if confined else ("0", "0"))


def check_free(pid, uid=0):
    """A program has what it would have without us."""
    found, ours = status(pid), status(os.getpid())
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")
    assert found["CapBnd"] == ours["CapBnd"]
    assert (found["CapInh"], found["CapAmb"]) == (0, 0)
    assert found["CapEff"] == found["CapPrm"] == (ours["CapBnd"] if uid == 0 else 0)
    assert found["Uid"].split() == [str(uid)] * 4


def starter_of(keeper):
    """The child of a keeper that goes by its name, until there is one."""

    def find():
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in pids if parent(pid) == keeper and cmdline(pid) == cmdline(keeper)]

    return wait_until(find)[0]


def keeper_of(daemon, instance):
    return daemon.keepers()[instance.name]


# --- the sets ---


def test_daemon(daemon):
    """Security: the daemon has no more capabilities than it uses."""
    check(daemon.pid, OF_DAEMON)


def test_keeper_of_a_program(daemon, make):
    """Security: it has none, can gain none, and has a filter; its starter has what starting takes."""
    keeper = keeper_of(daemon, make("sleep 1000"))
    check(keeper, OF_PROGRAM_KEEPER, confined=True)
    check(starter_of(keeper), OF_STARTER)


def test_keeper_of_a_serial_device(daemon, make):
    """Security: it can open devices, whoever's they are, and little else."""
    master, slave = os.openpty()
    try:
        instance = make(config={"serial.device": os.ttyname(slave)})
        keeper = keeper_of(daemon, instance)
        check(keeper, OF_SERIAL_KEEPER, confined=True)
        os.kill(keeper, signal.SIGKILL)  # one that adopts is confined, too
        wait_until(lambda: daemon.keepers().get(instance.name, keeper) != keeper)
        wait_until(lambda: status(keeper_of(daemon, instance))["Seccomp"] == "2")
        check(keeper_of(daemon, instance), OF_SERIAL_KEEPER, confined=True)
    finally:
        os.close(master)
        os.close(slave)


def test_keeper_of_a_machine(make_daemon_of, machine):
    """Security: it has what QEMU under another user takes; QEMU gets all of root's from elsewhere, and drops it."""
    daemon = make_daemon_of(MachineDaemon)
    keeper = keeper_of(daemon, machine(on=daemon))
    check(keeper, OF_MACHINE_KEEPER)


def test_keeper_of_a_container(make_daemon_of, container):
    """Security: it keeps all, for a container is what liblxc makes of its own rights; and a container may gain some."""
    daemon = make_daemon_of(ContainerDaemon)
    guest = container(on=daemon)
    found = status(keeper_of(daemon, guest))
    assert found["CapEff"] == found["CapPrm"] == status(os.getpid())["CapBnd"]
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")
    assert status(guest.pid)["NoNewPrivs"] == "0"


@pytest.fixture
def make_daemon_of():
    """Starts a daemon of another kind than the module's."""
    daemons = []

    def make(kind):
        daemons.append(kind())
        return daemons[-1].start()

    yield make
    for each in daemons:
        each.close()


# --- what programs may ---


def test_program_is_free(own_daemon, make):
    """Programs are not confined: at first, after process.restart, after a restart, and after their keeper's death."""
    instance = make("sh -i", on=own_daemon, config={"process.restart": "always"})
    keeper = keeper_of(own_daemon, instance)
    pids = [instance.pid]

    def check_another():
        wait_until(lambda: instance.pid not in (0, *pids))
        pids.append(instance.pid)
        check_free(pids[-1])
        assert parent(pids[-1]) == keeper_of(own_daemon, instance)

    check_free(pids[0])
    os.kill(pids[0], signal.SIGKILL)
    check_another()
    instance.restart()
    check_another()
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: own_daemon.keepers().get(instance.name, keeper) != keeper)
    check_free(pids[-1])
    instance.restart()
    check_another()
    check(keeper_of(own_daemon, instance), OF_PROGRAM_KEEPER, confined=True)


def test_program_of_another_user(daemon, make):
    """Another user's program has nothing of root's, and what is setuid makes it root."""
    nobody = pwd.getpwnam("nobody").pw_uid
    instance = make("sh -i", config={"process.user": "nobody", "environment.PATH": os.environ["PATH"]})
    check_free(instance.pid, nobody)
    instance.restart()
    check_free(instance.pid, nobody)
    keeper = keeper_of(daemon, instance)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: daemon.keepers().get(instance.name, keeper) != keeper)
    instance.restart()
    check_free(instance.pid, nobody)
    instance.stop(force=False)  # its keeper may not signal it; the starter may
    assert instance.status == STOPPED


def test_setuid_program(make):
    """sudo and login are setuid programs: those of an instance's get what their mode says."""
    copy = Path("/var/tmp") / f"consoled-id-{os.getpid()}"  # /tmp may be nosuid
    copy.write_bytes(Path("/usr/bin/id").read_bytes())
    try:
        copy.chmod(0o4755)
        instance = make(f"sh -c '{copy} -u; exec sleep 1000'", config={"process.user": "nobody"})
        instance.wait_log(b"0\r\n")
        instance.restart()
        instance.wait_log(b"0\r\n0\r\n")
    finally:
        copy.unlink()


# --- starters ---


def test_starter_ends_with_its_keeper(daemon, make):
    """Promise 10: nothing is left of a keeper that is killed, but what it kept."""
    instance = make("sh -i")
    keeper, program = keeper_of(daemon, instance), instance.pid
    starter = starter_of(keeper)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not alive(starter))
    wait_until(lambda: daemon.keepers().get(instance.name, keeper) != keeper)
    assert instance.pid == program and alive(program)
    assert starter_of(keeper_of(daemon, instance)) != starter


def test_starter_killed(daemon, make, open_session):
    """Promise 10: a keeper without its starter is replaced; the program goes on, and can be restarted."""
    instance = make("sh -i")
    session = open_session(instance)
    keeper, program = keeper_of(daemon, instance), instance.pid
    os.kill(starter_of(keeper), signal.SIGKILL)
    wait_until(lambda: daemon.keepers().get(instance.name, keeper) != keeper)
    assert instance.pid == program
    session.type("echo still $((40 + 2))\r")
    session.expect(b"still 42")
    instance.restart()
    assert instance.pid not in (0, program)


def test_starter_killed_without_a_daemon(own_daemon, make):
    """Promise 10: its keeper goes on reading, as there is nobody to replace it, and is replaced by the next daemon."""
    instance = make("sh -c 'while read line; do echo got $line; done'", on=own_daemon)
    keeper, program = keeper_of(own_daemon, instance), instance.pid
    starter = starter_of(keeper)
    own_daemon.kill()
    os.kill(starter, signal.SIGKILL)
    wait_until(lambda: not alive(starter))
    own_daemon.start()
    assert instance.pid == program and alive(program)
    instance.restart()
    assert instance.pid not in (0, program)
    assert keeper_of(own_daemon, instance) != keeper


def test_keeper_says_nothing_about_what_is_started(own_daemon, make):
    """What is started anew is what the daemon has left in its own directory, which no keeper can write to."""
    instance = make("sh -i", on=own_daemon)
    target = own_daemon.directory / "run" / instance.name / "target"
    assert b"sh\0-i\0" in target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    instance.stop()
    wait_until(lambda: not target.exists())


# --- ordinary users ---


def test_ordinary_user():
    """Everything works as before; the keeper has a filter all the same, which takes no rights to have."""
    uid = pwd.getpwnam("nobody").pw_uid
    daemon = Daemon()
    os.chown(daemon.directory, uid, -1)
    daemon.prefix = ["setpriv", f"--reuid={uid}", "--clear-groups"]
    try:
        instance = daemon.start().create("x", "sh -i").start()
        assert status(daemon.pid)["Seccomp"] == "0"
        check(keeper_of(daemon, instance), set(), confined=True)
        check_free(instance.pid, uid)
        instance.restart()
        check_free(instance.pid, uid)
    finally:
        daemon.close()


# --- names ---

ODD_NAMES = [
    "..%2F..%2Fetc",
    "x%2F..%2F..%2Fconsoles",
    "%2Fetc%2Fpasswd",
    "x%2F.",
    "x%2F",
    "x%00y",
    ".hidden",
    "a%20b",
    "%C3%BC",
    "a" * 64,
    "-a",
    "a-",
]


@pytest.mark.parametrize("odd", ODD_NAMES)
def test_odd_name_in_a_url(daemon, make, odd):
    """A name that cannot be one leads to no path, whatever it is asked for."""
    make("sleep 1000", name="x", start=False)
    before, said = everything_below(daemon.directory), daemon.stderr()
    for path in ("", "/state", "/console", "/logs", "/logs/lxc.log", "/console/boots"):
        assert daemon.api.get(f"/1.0/instances/{odd}{path}").status in (400, 404)
    assert daemon.api.request("POST", f"/1.0/instances/{odd}/console", {}).status in (400, 404)
    assert daemon.api.request("POST", f"/1.0/instances/{odd}", {"name": "y"}).status in (400, 404)
    assert daemon.api.request("DELETE", f"/1.0/instances/{odd}").status in (400, 404)
    assert everything_below(daemon.directory) == before
    assert daemon.stderr() == said


def test_odd_names_below_lxcpath(own_daemon, tmp_path):
    """What a client asks for is no path below lxc.lxcpath: it is not looked up, noted or told of in the log."""
    (tmp_path / "c1").mkdir(mode=0o755)
    (tmp_path / "c1/config").write_text("lxc.uts.name = c1\n")
    assert own_daemon.api.request("PATCH", "/1.0", {"config": {"lxc.lxcpath": str(tmp_path)}}).status == 200
    wait_until(lambda: own_daemon.api.read("/1.0/instances") == ["/1.0/instances/c1"])
    for odd in ("c1%2F", "c1%2F.", "c1%2F%2F.%2F", "x%2F..%2Fc1", "c1%2F..%2Fc1", "..%2F" + tmp_path.name + "%2Fc1"):
        assert own_daemon.api.get(f"/1.0/instances/{odd}").status in (400, 404)
    assert "left out" not in own_daemon.stderr()


def everything_below(directory):
    """Paths, but for what tests and SQLite make of their own."""
    return {str(path) for path in directory.rglob("*") if not re.search(r"consoled\.db-|/home/|stderr$", str(path))}


@pytest.mark.parametrize("log", ["..%2F..%2Fconsoled.db", "..%2Fring", "ring", "%2Fetc%2Fpasswd", "root.img", "."])
def test_odd_name_of_a_log(daemon, make, log):
    """Two names of logs are known, and there is no way to another file of an instance's."""
    instance = make("sleep 1000", start=False)
    answer = daemon.api.get(f"{instance.url}/logs/{log}")
    assert answer.status in (400, 404), answer


@pytest.mark.parametrize("odd", ["../x", ".x", "a/b", "a b", "-a", "1", "", "\u00fc"])
def test_odd_name_in_the_database(own_daemon, make, odd):
    """A row whose name the API would not have taken is no instance, and all others are."""
    make("sleep 1000", on=own_daemon, name="changed", start=False)
    make("sleep 1000", on=own_daemon, name="sound", start=False)
    own_daemon.terminate()
    with contextlib.closing(sqlite3.connect(own_daemon.directory / "consoled.db")) as database, database:
        database.execute("UPDATE instances SET name = ? WHERE name = 'changed'", (odd,))
    before = everything_below(own_daemon.directory)
    own_daemon.start()
    assert own_daemon.api.read("/1.0/instances") == ["/1.0/instances/sound"]
    assert everything_below(own_daemon.directory) == before | {str(own_daemon.directory / "unix.socket")}
    assert "its name is damaged" in own_daemon.stderr()


@pytest.mark.parametrize("odd", ["../x", ".x", "a/b", "a b", "-a", "1", "", "\u00fc", "a" * 64])
def test_odd_name_in_a_body(daemon, make, odd):
    """Neither a new instance nor a renamed one can be called so."""
    instance = make("sleep 1000", start=False)
    before = everything_below(daemon.directory)
    body = {"name": odd, "source": {"type": "none"}, "config": {"process.command": "true"}}
    assert daemon.api.request("POST", "/1.0/instances", body).status == 400
    assert daemon.api.request("POST", instance.url, {"name": odd}).status == 400
    assert everything_below(daemon.directory) == before


def test_ring_behind_a_link(own_daemon, make):
    """What has become a link in the daemon's directory, by whatever mishap, is not followed."""
    instance = make("printf secret", on=own_daemon)
    instance.wait_log(b"secret")
    own_daemon.terminate()
    ring = own_daemon.directory / "consoles" / instance.name / "ring"
    elsewhere = own_daemon.directory / "ring-elsewhere"
    ring.rename(elsewhere)
    ring.symlink_to(elsewhere)
    own_daemon.start()
    assert own_daemon.api.get(f"/1.0/instances/{instance.name}").status == 404
    assert "not loaded" in own_daemon.stderr()
    assert "Too many levels of symbolic links" in own_daemon.stderr()
