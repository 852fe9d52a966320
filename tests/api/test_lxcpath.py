# SPDX-License-Identifier: Apache-2.0
"""Containers below lxc.lxcpath, which are not consoled's: listed, started, taken on, and let go."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import fresh_name
from consoled import MARKER, alive
from guest import BUSYBOX, FIRST_LINE, SUBORDINATE, ContainerDaemon, cgroups, monitor_of
from rest import FAILURE, FROZEN, RUNNING, STOPPED, SUCCESS, Instance, wait_until
from test_events import Listener

DAEMON = ContainerDaemon
pytestmark = pytest.mark.timeout(120)

KEEPER_DEATHS = 5  # within some seconds: then another one is not tried


def set_lxcpath(daemon, path):
    answer = daemon.api.patch("/1.0", {"config": {"lxc.lxcpath": str(path)}})
    assert answer.status == 200, answer


class Foreign(Instance):
    """A container that LXC's own tools have made below `lxcpath`, and start and stop."""

    def __init__(self, daemon, lxcpath, name=None, config=""):
        super().__init__(daemon.api, name or fresh_name())
        self.daemon, self.lxcpath, self.directory = daemon, Path(lxcpath), Path(lxcpath, name or self.name)
        self.directory.mkdir(parents=True)
        self.rootfs = self.directory / "rootfs"
        subprocess.run([BUSYBOX, self.rootfs], check=True)
        self.config = self.directory / "config"
        self.config.write_text(
            f"lxc.rootfs.path = dir:{self.rootfs}\n"
            f"lxc.uts.name = {self.name}\n"
            "lxc.mount.auto = proc:mixed sys:mixed\n"
            f"lxc.environment = {MARKER}={daemon.directory}\n{config}\n"
        )

    def tool(self, tool, *options, check=True):
        argv = [tool, "-P", str(self.lxcpath), "-n", self.name, *options]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        assert not check or done.returncode == 0, done
        return done.stdout

    def lxc_start(self):
        self.tool("lxc-start")
        return self

    def lxc_stop(self):
        self.tool("lxc-stop", "--kill")
        return self

    def lxc_pid(self):
        return int(self.tool("lxc-info", "-p", "-H") or 0)

    def lxc_state(self):
        return self.tool("lxc-info", "-s", "-H").strip()

    def console(self, terminal):
        """lxc-console on its console, at the shell's prompt. What is typed while it starts is lost, so that is repeated."""
        console = terminal("lxc-console", "-P", str(self.lxcpath), "-n", self.name, "-t", "0")

        def answered():
            console.type("\n")
            try:
                return console.expect("# ", 0.5)
            except AssertionError:
                assert console.process.poll() is None, console.output
                return None

        wait_until(answered)
        return console

    def vanish(self):
        if self.directory.exists():
            self.tool("lxc-stop", "--kill", check=False)
            wait_until(lambda: self.lxc_state() == "STOPPED", 10)
            wait_until(lambda: not monitor_of(self.lxcpath, self.name), 10)
            shutil.rmtree(self.directory)
        for path in cgroups(self.name):  # what liblxc has left
            try:
                os.rmdir(path)
            except FileNotFoundError:
                pass
        if self.daemon.running():
            wait_until(lambda: self.api.get(self.url).status == 404, 10, f"{self.name} gone")


@pytest.fixture
def foreign(request):
    """Makes containers that are not ours, below the lxcpath of the module's daemon or of `on`."""
    made = []

    def make(on=None, **how):
        daemon = on or request.getfixturevalue("daemon")
        lxcpath = daemon.directory / "theirs"
        made.append(Foreign(daemon, lxcpath, **how))
        if daemon.running():
            set_lxcpath(daemon, lxcpath)
        return made[-1]

    yield make
    for each in made:
        each.vanish()


@pytest.fixture
def listen(request):
    listeners = []

    def start(on=None):
        daemon = on or request.getfixturevalue("daemon")
        listeners.append(Listener(daemon.socket, "?type=lifecycle"))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.websocket.abort()


# --- what is defined ---


def test_listed(foreign, lxc):
    """Containers: a container that the user has already is in lxc list, as it is."""
    container = foreign()
    found = container.read()
    assert (found["status"], found["type"], found["profiles"]) == ("Stopped", "container", [])
    assert (found["config"], found["devices"]) == ({}, {})
    assert found["description"] == f"Defined in {container.lxcpath}"
    assert container.url in container.api.read("/1.0/instances")
    assert container.name in lxc("list", "--format", "csv", "-c", "n").split()
    assert container.log() == b""


def test_comes_and_goes(foreign, listen):
    """Containers: without anybody asking, and not before there is a config."""
    listener = listen()
    container = foreign()
    event = listener.action("instance-created", container.url)
    assert "requestor" not in event["metadata"]
    late = container.lxcpath / fresh_name()
    late.mkdir()
    assert container.api.get(f"/1.0/instances/{late.name}").status == 404
    (late / "config.new").touch()
    (late / "config.new").rename(late / "config")
    listener.action("instance-created", f"/1.0/instances/{late.name}")
    shutil.rmtree(late)
    listener.action("instance-deleted", f"/1.0/instances/{late.name}")
    assert not (container.daemon.directory / "consoles" / late.name).exists()


def test_seen_at_once(foreign):
    """Containers: whoever makes a container and asks then need not wait."""
    container = foreign()
    for number in range(20):
        other = container.lxcpath / f"{container.name}-{number}"
        other.mkdir()
        (other / "config").touch()
        assert container.api.get(f"/1.0/instances/{other.name}").status == 200
        shutil.rmtree(other)
        assert f"/1.0/instances/{other.name}" not in container.api.read("/1.0/instances")


def test_not_ours(foreign, make):
    """Containers: what is not ours is not changed nor deleted; the error says where that is done."""
    container = foreign()
    config = container.config.read_bytes()
    whose = f"The container is defined in {container.lxcpath}: "
    for method, body, instead in (
        ("PUT", {"config": {"user.x": "y"}}, "change its config there"),
        ("PATCH", {"config": {"user.x": "y"}}, "change its config there"),
        ("POST", {"name": fresh_name()}, "use lxc-copy --rename there"),
        ("DELETE", None, "use lxc-destroy there"),
    ):
        answer = container.api.request(method, container.url, body)
        assert (answer.status, answer.error) == (400, whose + instead)
    assert container.config.read_bytes() == config
    assert container.read()["config"] == {}
    taken = container.api.run("POST", "/1.0/instances", {"name": container.name, "source": {"type": "none"}})
    assert taken["status_code"] == FAILURE and "already exists" in taken["err"]
    other = make("cat", start=False)
    answer = container.api.post(other.url, {"name": container.name})
    assert answer.status == 409, answer


def test_left_out(foreign, make):
    """Containers: names that cannot be served, and those of our own instances, are left out; the log says so once."""
    container = foreign()
    ours = make("cat", start=False)
    names = [ours.name, "x" * 64, "a b", "caf\u00e9", "\udcff", "e\x1b[2J", "..x"]
    for name in names:
        (container.lxcpath / name).mkdir()
        (container.lxcpath / name / "config").touch()
    try:
        for _ in range(3):
            listed = container.api.read("/1.0/instances")
        assert sorted(listed) == sorted([ours.url, container.url])
        assert ours.read()["config"]["process.command"] == "cat"
        log = container.daemon.stderr()
        assert [log.count(f"{container.lxcpath}/{name} is left out") for name in names[:3]] == [1, 1, 1]
        assert log.count("is left out") == 6 and "\x1b" not in log
    finally:
        for name in names:
            shutil.rmtree(container.lxcpath / name)


def test_no_lxcpath_yet(own_daemon):
    """Containers: a directory that is not there is empty, and may come."""
    path = own_daemon.directory / "later"
    set_lxcpath(own_daemon, path)
    assert own_daemon.api.read("/1.0/instances") == []
    (path / "c").mkdir(parents=True)
    (path / "c/config").touch()
    assert own_daemon.api.read("/1.0/instances") == ["/1.0/instances/c"]
    shutil.rmtree(path)
    assert own_daemon.api.read("/1.0/instances") == []


# --- started by us ---


def test_start_and_stop(foreign, open_session):
    """Containers: it is started, attached and stopped as one of ours, from the first byte on."""
    container = foreign().start()
    assert container.status == RUNNING
    assert container.wait_log(FIRST_LINE).startswith(FIRST_LINE)
    assert container.pid == container.lxc_pid()
    session = open_session(container)
    assert "output" not in session.created["metadata"]
    assert b"42" in session.at_prompt().run("echo $((6 * 7))")
    container.freeze().unfreeze()
    container.stop()
    assert (container.status, container.lxc_state()) == (STOPPED, "STOPPED")


def test_reboot(foreign, open_session):
    """Promise 9: the session stays."""
    container = foreign().start()
    session = open_session(container).at_prompt()
    pid = container.pid
    session.type("reboot\n")
    session.expect("first line of the boot")
    wait_until(lambda: container.pid not in (0, pid))
    session.at_prompt()
    container.stop()


def test_stopped_by_others(foreign, listen):
    """Containers: it is noticed."""
    container = foreign().start()
    listener = listen()
    container.lxc_stop()
    listener.action("instance-shutdown", container.url)
    assert container.status == STOPPED


# --- started by others ---


def test_started_by_others(foreign, listen, open_session):
    """Containers: taken on without anybody asking, once it runs; with a buffer (lxc.console.buffer.size) from its first byte
    on. The session is as any."""
    container = foreign(config="lxc.console.buffer.size = 1MB")
    listener = listen()
    container.lxc_start()
    event = listener.action("instance-started", container.url)
    assert "requestor" not in event["metadata"]
    assert (container.status, container.pid) == (RUNNING, container.lxc_pid())
    assert f"{container.name}: not taken on" not in container.daemon.stderr()
    assert container.wait_log(FIRST_LINE).startswith(FIRST_LINE)
    session = open_session(container).at_prompt()
    assert b"42" in session.run("echo $((6 * 7))")
    session.resize(101, 37)
    wait_until(lambda: b"37 101" in session.run("stty size"))
    container.lxc_stop()
    listener.action("instance-shutdown", container.url)
    session.drain()
    assert session.result()["status_code"] == SUCCESS


def test_restarted_by_others(foreign, listen):
    """Containers: stopped and started at once, again and again."""
    container = foreign()
    listener = listen()
    for _ in range(5):
        container.lxc_start()
        listener.action("instance-started", container.url)
        wait_until(lambda: container.pid == container.lxc_pid(), 10)
        container.lxc_stop()
        listener.seen.clear()


def test_stopped_by_us(foreign):
    """Containers: one that others have started may be stopped, frozen and started here."""
    container = foreign().lxc_start()
    container.wait_status(RUNNING)
    wait_until(lambda: container.pid == container.lxc_pid(), 10)
    container.freeze()
    assert container.lxc_state() == "FROZEN"
    container.unfreeze()
    container.stop()
    assert container.lxc_state() == "STOPPED"
    container.start()
    assert container.pid == container.lxc_pid()
    container.stop()


def test_log_file(foreign):
    """Backends A: an unlimited log file is followed, from its first byte on, and the console's slot stays free."""
    container = foreign()
    path = container.directory / "console.log"
    with open(container.config, "a") as config:
        config.write(f"lxc.console.logfile = {path}\n")
    container.lxc_start()
    container.wait_log(FIRST_LINE)
    with open(container.rootfs / "commands", "w") as commands:
        commands.write("seq 1 20000; echo done-$((1 + 1))")
    log = container.wait_log(b"done-2")
    assert log == path.read_bytes()[: len(log)]
    assert b"19999\r\n20000\r\n" in log


def test_slot_taken(foreign, open_session, terminal, listen):
    """Backends A: somebody else has the console: the answer says so, and typing works."""
    container = foreign(config="lxc.console.buffer.size = 1MB")
    container.daemon.terminate()
    try:
        container.lxc_start()
        other = container.console(terminal)
    finally:
        container.daemon.start()
    wait_until(lambda: container.pid == container.lxc_pid(), 10)
    session = open_session(container)
    metadata = session.created["metadata"]
    assert metadata["output"] == "history" and "console" in metadata["reason"]
    assert FIRST_LINE in container.log()
    session.type("echo from-$((40 + 2))\n")
    other.expect("from-42")
    session.expect(r"\[consoled: [^]]*\]")


def test_slot_free_again(foreign, open_session, terminal):
    """When the other one has left the console, what is printed arrives, in a session that began before that too."""
    container = foreign(config="lxc.console.buffer.size = 1MB")
    container.daemon.terminate()
    try:
        container.lxc_start()
        other = container.console(terminal)
    finally:
        container.daemon.start()
    wait_until(lambda: container.pid == container.lxc_pid(), 10)
    session = open_session(container)
    assert session.created["metadata"]["output"] == "history"
    session.type("echo seen-$((40 + 2))\n")
    other.expect("seen-42")
    session.expect("seen-42")  # late, from what liblxc keeps
    container.freeze()
    container.unfreeze()
    other.detach()
    assert other.wait() == 0

    def all_comes():
        another = open_session(container)
        another.detach()
        return "output" not in another.created["metadata"]

    wait_until(all_comes)
    session.run("echo here")


def test_stopped_while_it_starts(foreign):
    """A stop that comes before one that others have started is taken on stops it; it does not only give that up."""
    container = foreign(config="lxc.hook.pre-mount = /bin/sh -c 'sleep 1'")
    with subprocess.Popen(["lxc-start", "-P", container.lxcpath, "-n", container.name], stdin=subprocess.DEVNULL):
        container.wait_status(RUNNING)
        container.stop(force=True)
    assert (container.status, container.lxc_state()) == (STOPPED, "STOPPED")


def test_all_are_ours(foreign, make):
    """`lxc stop --all` and `lxc start --all` mean what consoled has made: others are left alone unless they are named."""
    running, stopped = foreign().lxc_start(), foreign()
    ours = make("cat")
    pid = running.lxc_pid()
    wait_until(lambda: running.pid == pid, 10)
    for action, force, expected in (("stop", True, STOPPED), ("start", False, RUNNING)):
        body = {"state": {"action": action, "force": force}}
        assert running.api.run("PUT", "/1.0/instances", body)["status_code"] == SUCCESS
        assert (ours.status, running.status, stopped.status) == (expected, RUNNING, STOPPED)
    assert running.lxc_pid() == pid
    running.stop()


# --- whom to trust ---


@pytest.mark.parametrize("what", ["lxcpath", "directory", "config"])
@pytest.mark.parametrize("how", ["owner", "group", "others"])
def test_not_only_roots(own_daemon, foreign, what, how):
    """Whoever may write a config says what root does: such a container is listed, but neither started nor taken on."""
    container = foreign(on=own_daemon)
    place = getattr(container, what)
    mode = place.stat().st_mode
    if how == "owner":
        os.chown(place, 65534, 0)
    elif how == "group":
        os.chown(place, 0, 65534)
        place.chmod(mode | 0o020)
    else:
        place.chmod(mode | 0o002)
    failed = container.change("start")
    assert failed["status_code"] == FAILURE and f"{place} " in failed["err"], failed
    container.lxc_start()
    assert container.status == STOPPED
    wait_until(lambda: f"{container.name}: runs, but cannot be taken on: {place} " in own_daemon.stderr())
    container.lxc_stop()
    os.chown(place, 0, 0)
    place.chmod(mode)
    container.start().stop()


def test_roots_own_ids_are_trusted(own_daemon, foreign):
    """lxc-create gives an unprivileged container's directory to root's subordinate ids; group root may write it."""
    container = foreign(on=own_daemon)
    os.chown(container.directory, SUBORDINATE, 0)
    container.directory.chmod(0o770)
    container.start().stop()


# --- found running, let go ---


def test_found_running(own_daemon, foreign, open_session):
    """Containers: what runs when the daemon starts is taken on."""
    container = foreign(on=own_daemon)
    own_daemon.terminate()
    container.lxc_start()
    own_daemon.start()
    wait_until(lambda: (container.status, container.pid) == (RUNNING, container.lxc_pid()), 10)
    open_session(container).at_prompt()


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_let_go(own_daemon, foreign, open_session, terminal, how):
    """Containers: the daemon's end and its keeper's leave it unharmed, and its console to others; then it is taken on again."""
    container = foreign(on=own_daemon).lxc_start()
    wait_until(lambda: container.pid == container.lxc_pid(), 10)
    open_session(container).at_prompt().run("marker=kept")
    pid, keeper = container.lxc_pid(), own_daemon.keepers()[container.name]
    getattr(own_daemon, how)()
    assert alive(keeper) and container.lxc_pid() == pid
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not alive(keeper), 10)
    console = container.console(terminal)
    console.detach()
    assert console.wait() == 0
    own_daemon.start()
    wait_until(lambda: container.pid == pid, 10)
    session = open_session(container).at_prompt()
    assert b"kept" in session.run("echo $marker")


def test_keepers_that_die(own_daemon, foreign):
    """One whose keepers die one after the other is given up, which is no reason to kill what is somebody else's."""
    container = foreign(on=own_daemon).lxc_start()
    wait_until(lambda: container.pid == container.lxc_pid(), 10)
    pid = container.lxc_pid()
    for _ in range(KEEPER_DEATHS):
        keeper = wait_until(lambda: own_daemon.keepers().get(container.name), 10)
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not alive(keeper), 10)
    wait_until(lambda: container.status == STOPPED or own_daemon.keepers().get(container.name), 10)
    assert container.lxc_pid() == pid and container.lxc_state() == "RUNNING"


def test_own_without_keeper(own_daemon, container, open_session):
    """Promise 10: one of ours whose keeper and daemon have both been killed goes on with the next daemon."""
    guest = container(on=own_daemon)
    open_session(guest).at_prompt().run("marker=kept")
    pid, keeper = guest.pid, own_daemon.keepers()[guest.name]
    own_daemon.kill()
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not alive(keeper), 10)
    assert alive(pid)
    own_daemon.start()
    wait_until(lambda: guest.pid == pid, 10)
    assert guest.status == RUNNING
    session = open_session(guest).at_prompt()
    assert b"kept" in session.run("echo $marker")
    assert FIRST_LINE in guest.log()


def test_found_frozen(own_daemon, foreign):
    """One that stands still when it is found is shown so, and can be made to go on."""
    container = foreign(on=own_daemon)
    own_daemon.terminate()
    container.lxc_start().tool("lxc-freeze")
    own_daemon.start()
    wait_until(lambda: container.pid == container.lxc_pid(), 10)
    assert container.status == FROZEN
    container.unfreeze()
    assert container.lxc_state() == "RUNNING"


def test_frozen_by_others(foreign, listen):
    """What lxc-freeze and lxc-unfreeze do is seen by looking, and told; what follows is as if consoled had done it."""
    container = foreign(config="lxc.console.buffer.size = 1MB").lxc_start()
    container.wait_log(FIRST_LINE)
    listener = listen()
    for tool, status, action in (("lxc-freeze", FROZEN, "paused"), ("lxc-unfreeze", RUNNING, "resumed")):
        container.tool(tool)
        wait_until(lambda: container.status == status)
        assert "requestor" not in listener.action(f"instance-{action}", container.url)["metadata"]
    container.tool("lxc-freeze")
    wait_until(lambda: container.status == FROZEN)
    container.unfreeze()
    assert (container.status, container.lxc_state()) == (RUNNING, "RUNNING")
    container.freeze().tool("lxc-unfreeze")
    wait_until(lambda: container.status == RUNNING)
    container.freeze()
    assert container.lxc_state() == "FROZEN"
    container.unfreeze().tool("lxc-freeze")
    wait_until(lambda: container.status == FROZEN)
    container.stop(force=False)


# --- another lxcpath ---


def test_other_lxcpath(own_daemon, foreign, listen):
    """Server key lxc.lxcpath: not while one of the containers runs; afterwards the others are there instead."""
    container = foreign(on=own_daemon).start()
    other = own_daemon.directory / "other"
    (other / "o").mkdir(parents=True)
    (other / "o/config").touch()
    answer = own_daemon.api.patch("/1.0", {"config": {"lxc.lxcpath": str(other)}})
    assert answer.status == 400 and container.name in answer.error, answer
    assert own_daemon.api.read("/1.0/instances") == [container.url]
    container.stop()
    listener = listen(on=own_daemon)
    set_lxcpath(own_daemon, f"{other}//")
    listener.action("instance-deleted", container.url)
    listener.action("instance-created", "/1.0/instances/o")
    assert own_daemon.api.read("/1.0/instances") == ["/1.0/instances/o"]
    assert os.listdir(own_daemon.directory / "consoles") == ["o"]
    own_daemon.terminate()
    own_daemon.start()
    assert own_daemon.api.read("/1.0/instances") == ["/1.0/instances/o"]
