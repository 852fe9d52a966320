# SPDX-License-Identifier: Apache-2.0
"""Virtual machines and their serial consoles: from their first byte to the last trace of them."""

import json
import os
import pwd
import signal
import time

import pytest

from consoled import alive, memory, rounds
from machine import FLOOD, FLOODED, HEAR_BUTTON, POWER_OFF, READY, REBOOT, MachineDaemon, make_disk, processes_in
from rest import FAILURE, FROZEN, RUNNING, STOPPED, SUCCESS, wait_until
from test_events import Listener
from test_restart import KILLS, kill_keeper

DAEMON = MachineDaemon
pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20


@pytest.fixture
def booted(machine):
    return machine().wait_boot()


@pytest.fixture
def killable(own_daemon, machine):
    """One on a daemon that may be killed."""
    return machine(on=own_daemon).wait_boot()


@pytest.fixture
def new(machine, lxc):
    """A virtual machine that lxc has made: `lxc init --empty X --vm ...`."""

    def init(*options, **how):
        guest = machine(create=False, **how)
        settings = [word for key, value in guest.config.items() for word in ("-c", f"{key}={value}")]
        disk = guest.body["devices"]["root"].items()
        root = ",".join(f"{key}={value}" for key, value in disk if key in ("source", "size", "readonly"))
        lxc("init", "--empty", guest.name, "--vm", "-d", f"root,{root}", *settings, *options)
        return guest

    return init


@pytest.fixture
def listen():
    listeners = []

    def start(daemon):
        listeners.append(Listener(daemon.socket, "?type=lifecycle"))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.websocket.abort()


def echoes(open_session, guest):
    """What is typed comes back."""
    session = open_session(guest)
    session.type("some text").expect("some text")
    session.detach()
    assert session.result()["status_code"] == SUCCESS


# --- made with lxc ---


def test_init(daemon, lxc, name):
    """Machines: as LXD's own tests write it; nothing is started, nothing takes space."""
    lxc("init", "--empty", name, "--vm", "-c", "limits.memory=128MiB", "-d", "root,size=64MiB")
    found = daemon.api.read(f"/1.0/instances/{name}")
    assert (found["status"], found["type"]) == ("Stopped", "virtual-machine")
    assert found["config"]["limits.memory"] == "128MiB"
    root = found["expanded_devices"]["root"]
    assert (root["type"], root["path"], root["size"]) == ("disk", "/", "64MiB")
    assert daemon.api.get(f"/1.0/instances/{name}/console").body == b""
    lxc("delete", name)
    assert daemon.api.get(f"/1.0/instances/{name}").status == 404


def test_life(new, lxc):
    """Machines: start, pause, start again, stop, restart, delete, one after the other with lxc."""
    guest = new()
    lxc("start", guest.name)
    first = guest.wait_boot().pid
    assert guest.status == RUNNING and alive(first)
    lxc("pause", guest.name)
    assert guest.status == FROZEN
    lxc("start", guest.name)
    assert (guest.status, guest.pid) == (RUNNING, first)
    lxc("restart", "--force", guest.name)
    assert guest.status == RUNNING and guest.pid != first and not alive(first)
    last = guest.wait_boot(2).pid
    assert "currently running" in lxc("delete", guest.name, code=1)
    lxc("stop", "--force", guest.name)
    assert guest.status == STOPPED and not alive(last)
    guest.assert_ended()
    lxc("delete", guest.name)
    guest.assert_gone()
    assert guest.disk.exists()


def test_delete_force(new, lxc):
    """Protocol 11: delete --force stops it first."""
    guest = new()
    lxc("start", guest.name)
    lxc("delete", "--force", guest.name)
    guest.assert_gone()


def test_list_and_info(new, lxc):
    """Machines: what lxc list and lxc info say, and pid, memory and processes are those of QEMU."""
    guest = new()
    lxc("start", guest.name)
    guest.wait_boot()
    (row,) = [row for row in json.loads(lxc("list", "--format", "json")) if row["name"] == guest.name]
    assert (row["status"], row["type"], row["state"]["pid"]) == ("Running", "virtual-machine", guest.pid)
    assert f"{guest.name},RUNNING," in lxc("list", guest.name, "--format", "csv", "--columns", "nst")
    assert "VIRTUAL-MACHINE" in lxc("list", guest.name, "--format", "csv", "--columns", "nst")
    assert f"PID: {guest.pid}" in lxc("info", guest.name)
    state = guest.state()
    assert processes_in(guest.run) == [state["pid"]] and state["processes"] == 1
    assert state["memory"]["usage"] == pytest.approx(memory(state["pid"]), rel=0.2)
    assert state["cpu"]["usage"] > 0 and state["network"] is None
    url = f"/1.0/virtual-machines/{guest.name}"
    assert url in guest.api.read("/1.0/virtual-machines")
    assert guest.api.get(f"/1.0/containers/{guest.name}").status == 404
    assert guest.url in guest.api.read("/1.0/instances?instance-type=virtual-machine")


def test_type_by_collection(daemon, name):
    """Protocol 11: what /1.0/virtual-machines makes without a type is one."""
    daemon.api.do("POST", "/1.0/virtual-machines", {"name": name, "source": {"type": "none"}})
    assert daemon.api.read(f"/1.0/instances/{name}")["type"] == "virtual-machine"
    daemon.api.do("DELETE", f"/1.0/virtual-machines/{name}")


def test_renamed(new, lxc):
    """Machines: a stopped one under another name; its log and its disk go with it."""
    guest = new(disk={"size": "1MiB"})
    guest.start().stop()  # that makes the disk
    make_disk(guest.consoles / "root.img")
    guest.start().wait_boot()
    old = guest.name
    assert guest.api.run("POST", guest.url, {"name": old + "-b"})["status_code"] == FAILURE
    lxc("stop", "--force", old)
    guest.name += "-b"
    lxc("rename", old, guest.name)
    assert guest.log() == READY
    lxc("start", guest.name)
    guest.wait_boot(2)
    before = guest.consoles
    guest.run, guest.consoles = guest.run.with_name(guest.name), guest.consoles.with_name(guest.name)
    assert not before.exists() and (guest.consoles / "root.img").exists()


def test_own_disk(machine):
    """Machines: a disk of our own is as large as was said, takes no space, and goes with the instance."""
    guest = machine(disk={"size": "64MiB"})
    image = (guest.consoles / "root.img").stat()
    assert (image.st_size, image.st_mode & 0o777) == (64 * MIB, 0o600) and image.st_blocks * 512 < MIB
    guest.stop()
    guest.delete()
    guest.assert_gone()


def test_disk_of_the_user(booted):
    """Machines: the user's disk stays, as it was."""
    before = booted.disk.read_bytes()
    booted.stop()
    booted.delete()
    booted.assert_gone()
    assert booted.disk.read_bytes() == before


def test_ephemeral(machine, open_session):
    """LXD: an ephemeral one is deleted when it ends; the disk stays."""
    guest = machine(ephemeral=True).wait_boot()
    open_session(guest).type(POWER_OFF).drain()
    wait_until(lambda: guest.api.get(guest.url).status == 404)
    guest.assert_gone()
    assert guest.disk.exists()


# --- the console ---


def test_first_byte_is_in_the_log(machine):
    """Promise 1: the log begins with the first byte of the boot, and nobody was attached."""
    guest = machine()
    assert guest.wait_log(READY) == READY
    assert guest.boots() == [(1, 0)]


def test_lxc_console(booted, terminal):
    """Machines: attach, type, read, detach; exit code 0, and the machine goes on."""
    console = terminal("lxc", "console", booted.name)
    console.expect("To detach from the console, press: <ctrl>\\+a q")
    console.type("hello")
    console.expect("hello")
    console.detach()
    assert console.wait() == 0 and booted.status == RUNNING


def test_start_console(new, terminal):
    """Promise 1: start --console shows the boot from its first byte on."""
    guest = new()
    console = terminal("lxc", "start", "--console", guest.name)
    console.expect("To detach.*ready\r\n")
    console.type("typed")
    console.expect("typed")
    console.detach()
    assert console.wait() == 0 and guest.status == RUNNING


def test_show_log(booted, lxc, open_session):
    """Machines: GET and --show-log give the log of a virtual machine, attached or not, as often as one likes."""
    assert "ready" in lxc("console", booted.name, "--show-log")
    session = open_session(booted)
    session.type("abc").expect("abc")
    for _ in range(2):
        assert booted.log() == READY + b"abc"
        assert "ready\r\nabc" in lxc("console", booted.name, "--show-log").replace("ready\n", "ready\r\n")
    booted.clear_log()
    assert booted.log() == b""
    session.type("d").expect("d")
    assert booted.log() == b"d"
    booted.stop()
    assert booted.log() == b"d"


def test_many_attached(booted, open_session):
    """Promise: all see all, byte for byte."""
    sessions = [open_session(booted) for _ in range(3)]
    sessions[0].type(FLOOD)
    for session in sessions:
        assert session.expect_bytes(len(FLOODED)) == FLOODED
    assert booted.log() == READY + FLOODED


def test_resize(booted, open_session):
    """Protocol 8: a serial port has no size; who says one is served all the same."""
    session = open_session(booted, {"width": 100, "height": 30}).resize(120, 40)
    session.type("x").expect("x")


def test_stopped_while_attached(booted, terminal):
    """Machines: the end of the machine is the end of the console, exit code 0."""
    console = terminal("lxc", "console", booted.name)
    console.expect("To detach")
    console.type("x")
    console.expect("x")
    booted.stop()
    assert console.wait() == 0 and b"Error" not in console.output


def test_type(booted):
    """Machines: console is the serial port (vga: test_vga.py); what is neither is refused in words."""
    answer = booted.api.post(booted.url + "/console", {"type": "serial"})
    assert (answer.status, answer.error) == (400, 'Unknown console type "serial"')
    assert booted.api.post(booted.url + "/console", {"type": "console"}).status == 202


# --- stopping ---


def test_power_button(booted, open_session, lxc):
    """Machines: a stop presses the power button, which this guest hears when it is told to."""
    session = open_session(booted).type(HEAR_BUTTON + "x")
    session.expect("x")
    lxc("stop", booted.name)
    assert booted.status == STOPPED
    assert session.drain() == b"x" and session.end_mark
    assert session.result()["status_code"] == SUCCESS
    booted.assert_ended()


def test_restart_by_power_button(booted, open_session, lxc):
    """Machines: a restart as well; the log goes on."""
    pid = booted.pid
    open_session(booted).type(HEAR_BUTTON + "x").expect("x")
    lxc("restart", booted.name)
    assert booted.status == RUNNING and booted.pid != pid
    assert booted.wait_log(b"x" + READY) == READY + b"x" + READY
    assert booted.boots() == [(1, 0), (2, len(READY + b"x"))]


@pytest.mark.parametrize("how", [["--force"], ["--timeout", "1"]])
def test_deaf(booted, lxc, how):
    """Machines: a guest that does not hear the button is ended, at once or when the time is up."""
    started = time.monotonic()
    lxc("stop", *how, booted.name)
    took = time.monotonic() - started
    assert booted.status == STOPPED and (took > 0.9) == ("--timeout" in how), took


def test_force_while_a_stop_waits(booted):
    """Protocol 11: a stop that may take for ever can be followed by one that does not."""
    waiting = booted.api.put(booted.url + "/state", {"action": "stop", "timeout": -1}).metadata["id"]
    booted.stop(force=True)
    assert booted.api.wait(waiting)["status_code"] == SUCCESS


def test_stop_of_a_frozen_one(booted):
    """Protocol 11: by force, a frozen one too."""
    booted.freeze().stop(force=True)
    assert booted.status == STOPPED


def test_frozen_does_not_run(booted, open_session):
    """Machines: what is typed while it stands still is answered when it goes on."""
    session = open_session(booted)
    booted.freeze()
    session.type("later")
    assert booted.state()["status"] == "Frozen" and booted.log() == READY
    assert booted.api.post(booted.url + "/console", {}).error == "Instance is frozen"
    booted.unfreeze()
    session.expect("later")


def test_matrix(machine):
    """Protocol 11: what does not fit the state fails, in LXD's words."""
    guest = machine(start=False)
    assert guest.api.post(guest.url + "/console", {}).error == "Instance is not running"
    for action, text in (
        ("stop", "The instance is already stopped"),
        ("restart", "The instance is already stopped"),
        ("freeze", "The instance isn't running"),
        ("unfreeze", "The instance isn't running"),
    ):
        assert guest.change(action, force=True)["err"] == text
    guest.start()
    assert guest.change("start")["err"] == "The instance is already running"
    assert guest.change("unfreeze")["err"] == "The instance is already running"
    guest.freeze()
    assert guest.change("freeze")["err"] == "The instance is already frozen"


def test_bulk(own_daemon, machine, lxc):
    """Protocol 11: all at once."""
    guests = [machine(on=own_daemon, start=False) for _ in range(2)]
    for action, status in (("start", RUNNING), ("freeze", FROZEN), ("unfreeze", RUNNING), ("stop", STOPPED)):
        own_daemon.api.do("PUT", "/1.0/instances", {"state": {"action": action, "force": True, "timeout": -1}})
        assert [guest.status for guest in guests] == [status, status]


# --- what the guest does ---


def test_guest_reboots_while_attached(booted, open_session):
    """Machines: the same QEMU, a boot of its own in the log, and the session goes on."""
    session = open_session(booted)
    pid = booted.pid
    session.type("a" + REBOOT).expect(r"a\r\n\[consoled: restarted, boot 2\]\r\n" + READY.decode())
    session.type("b").expect("b")
    assert (booted.status, booted.pid) == (RUNNING, pid)
    assert booted.log() == READY + b"a" + READY + b"b"
    assert booted.boots() == [(1, 0), (2, len(READY + b"a"))]


def test_guest_powers_off(booted, open_session):
    """Machines: all that it printed comes before the end, and the operation is a Success."""
    session = open_session(booted).type(FLOOD + POWER_OFF)
    assert session.drain() == FLOODED and session.end_mark
    assert session.result()["status_code"] == SUCCESS
    booted.wait_status(STOPPED)
    assert booted.log() == READY + FLOODED
    booted.assert_ended()


def test_qemu_killed(booted, open_session):
    """Promise: kill -9 of QEMU itself is the end of the machine, without harm to anything else."""
    session = open_session(booted)
    session.type("x").expect("x")
    os.kill(booted.pid, signal.SIGKILL)
    session.drain()
    assert session.end_mark
    booted.wait_status(STOPPED)
    assert booted.log() == READY + b"x"
    booted.assert_ended()
    booted.start().wait_boot(2)


def test_events(booted, listen, open_session):
    """Protocol 7: each change of state is told, those by the guest as well."""
    listener = listen(booted.daemon)
    source = booted.url
    booted.freeze()
    listener.action("instance-paused", source)
    booted.unfreeze()
    listener.action("instance-resumed", source)
    open_session(booted).type(REBOOT).expect(READY.decode())
    listener.action("instance-restarted", source)
    booted.stop()
    listener.action("instance-stopped", source)
    booted.start().wait_boot(3)
    listener.action("instance-started", source)
    open_session(booted).type(POWER_OFF).drain()
    listener.action("instance-shutdown", source)


# --- what QEMU has to say ---


def test_qemu_log(booted, lxc):
    """Machines: qemu.log is what `lxc info --show-log` asks for; a virtual machine has no lxc.log."""
    assert booted.api.read(booted.url + "/logs") == [f"{booted.url}/logs/qemu.log", f"{booted.url}/logs/boots"]
    assert booted.qemu_log() == (booted.consoles / "qemu.log").read_text()
    assert "Log:" in lxc("info", booted.name, "--show-log")
    answer = booted.api.get(booted.url + "/logs/lxc.log")
    assert (answer.status, answer.error) == (400, "log file name lxc.log not valid")


def test_no_qemu_log_of_others(make):
    """Protocol 11: nor has anything else a qemu.log."""
    shell = make("sh -i")
    answer = shell.api.get(shell.url + "/logs/qemu.log")
    assert (answer.status, answer.error) == (400, "log file name qemu.log not valid")


def test_start_that_fails(machine, lxc):
    """Machines: QEMU's own reason is in the operation and in the log, and the machine can be mended."""
    guest = machine(start=False, config={"raw.qemu": "-device nosuch"})
    operation = guest.change("start")
    reason = "'nosuch' is not a valid device model name"
    assert operation["status_code"] == FAILURE and reason in operation["err"], operation
    assert reason in lxc("start", guest.name, code=1)
    assert reason in lxc("info", guest.name, "--show-log") and reason in guest.qemu_log()
    assert guest.status == STOPPED and guest.log() == b""
    guest.assert_ended()
    guest.api.patch(guest.url, {"config": {"raw.qemu": ""}})
    guest.start().wait_boot()


def test_start_console_that_fails(new, terminal):
    """Machines: start --console of one that cannot start says so, and ends."""
    guest = new("-c", "raw.qemu=-device nosuch")
    console = terminal("lxc", "start", "--console", guest.name)
    assert console.wait() == 1 and b"not a valid device model name" in console.output


def test_disk_that_is_not_there(machine):
    """Promise 12: the path is named."""
    guest = machine(start=False)
    guest.disk.rename(guest.disk.with_suffix(".away"))
    operation = guest.change("start")
    assert operation["status_code"] == FAILURE and str(guest.disk) in operation["err"]
    assert guest.status == STOPPED


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_unprivileged(booted):
    """Design: where the daemon is root, QEMU is nobody."""
    assert os.stat(f"/proc/{booted.pid}").st_uid == pwd.getpwnam("nobody").pw_uid


def test_by_an_ordinary_user(make_daemon, machine):
    """Design: virtual machines need no root."""
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    daemon = make_daemon(uid=user.pw_uid)
    guest = machine(on=daemon).wait_boot()
    assert os.stat(f"/proc/{guest.pid}").st_uid == user.pw_uid
    guest.stop()
    guest.assert_ended()


def test_keys_of_all(machine):
    """Design: the size of the log, user.* and an ordinary change of the config, while it runs."""
    guest = machine(config={"console.buffer.size": "64KiB", "user.a": "b"}).wait_boot()
    assert guest.api.patch(guest.url, {"config": {"limits.cpu": "2"}}).status == 200
    assert guest.restart().wait_boot(2).read()["config"]["user.a"] == "b"


@pytest.mark.parametrize("config", [{"limits.memory": "1"}, {"consoled.accel": "warp"}, {"raw.qemu": "-daemonize"}])
def test_config_that_cannot_be(daemon, name, config):
    """Promise 12: the key is named."""
    body = {"name": name, "type": "virtual-machine", "source": {"type": "none"}, "config": config}
    answer = daemon.api.post("/1.0/instances", body)
    assert answer.status == 400 and next(iter(config)) in answer.error, answer


# --- whoever serves it dies ---


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_daemon_ends(killable, own_daemon, open_session, how):
    """Promise 10: after SIGTERM and after kill -9 it is found again: same process, same keeper, whole log."""
    pid, keeper = killable.pid, own_daemon.keepers()[killable.name]
    getattr(own_daemon, how)()
    assert alive(pid) and alive(keeper)
    own_daemon.start()
    assert (killable.status, killable.pid, killable.log()) == (RUNNING, pid, READY)
    echoes(open_session, killable)
    assert own_daemon.keepers()[killable.name] == keeper


def test_daemon_killed_in_a_flood(killable, own_daemon, open_session):
    """Promise 10: in the midst of output; the log is whole."""
    open_session(killable).type(FLOOD).expect_bytes(1000)
    own_daemon.kill()
    own_daemon.start()
    wait_until(lambda: len(killable.log()) >= len(READY + FLOODED))
    assert killable.log() == READY + FLOODED


def test_keeper_killed(killable, own_daemon, open_session):
    """Promise 10: the machine does not notice, the session goes on, a new keeper is there at once."""
    session = open_session(killable)
    pid = killable.pid
    for number in range(KILLS):
        kill_keeper(own_daemon, killable.name)
        session.type(f"typed {number}").expect(f"typed {number}")
    assert (killable.status, killable.pid) == (RUNNING, pid)
    killable.freeze()
    killable.unfreeze()
    session.type(HEAR_BUTTON)
    killable.stop(force=False)
    session.drain()
    assert session.end_mark


def test_keeper_killed_in_a_flood(killable, own_daemon, open_session):
    """Promise 10: not a byte is lost."""
    session = open_session(killable).type(FLOOD)
    for kill in range(1, KILLS + 1):
        session.expect_bytes(len(FLOODED) * kill // (KILLS + 2))
        kill_keeper(own_daemon, killable.name)
    assert session.expect_bytes(len(FLOODED)) == FLOODED
    assert killable.log() == READY + FLOODED


def kill_both(daemon, name, daemon_first):
    keeper = daemon.keepers()[name]
    if daemon_first:
        daemon.kill()
    os.kill(keeper, signal.SIGKILL)
    if not daemon_first:
        daemon.kill()

    def gone():
        """The daemon may have been quick enough to start another."""
        left = daemon.keepers().values()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not left

    wait_until(gone, 10)


@pytest.mark.parametrize("daemon_first", [True, False])
def test_keeper_and_daemon_killed(killable, own_daemon, open_session, daemon_first):
    """Promise 10: QEMU holds its FIFOs, what it prints waits there, and the next daemon takes it on, with all of it."""
    pid = killable.pid
    open_session(killable).type(FLOOD).expect_bytes(1000)
    kill_both(own_daemon, killable.name, daemon_first)
    assert alive(pid)
    own_daemon.start()
    wait_until(lambda: (killable.status, killable.pid) == (RUNNING, pid))
    wait_until(lambda: len(killable.log()) >= len(READY + FLOODED))
    assert killable.log() == READY + FLOODED
    echoes(open_session, killable)
    killable.freeze()
    killable.unfreeze()
    open_session(killable).type(HEAR_BUTTON)
    killable.stop(force=False)
    killable.assert_ended()


def test_frozen_one_is_taken_on(killable, own_daemon, open_session):
    """Promise 10: and it still stands still."""
    killable.freeze()
    kill_both(own_daemon, killable.name, True)
    own_daemon.start()
    killable.wait_status(FROZEN)
    killable.unfreeze()
    echoes(open_session, killable)


def test_all_killed(killable, own_daemon):
    """Promise 10: QEMU as well: it is stopped, what it had is cleared away, and it starts again."""
    for boot in (1, 2):
        pid = killable.pid
        kill_both(own_daemon, killable.name, True)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), 10)
        own_daemon.start()
        assert (killable.status, killable.pid, killable.log()) == (STOPPED, 0, READY * boot)
        if boot == 1:
            killable.start().wait_boot(2)
    killable.delete()
    killable.assert_gone()


def test_powered_off_while_the_daemon_is_away(killable, own_daemon, open_session):
    """Promise 10: what a guest prints and does meanwhile is known to the next daemon."""
    pid = killable.pid
    open_session(killable).type(FLOOD + POWER_OFF).expect_bytes(1000)
    own_daemon.kill()
    wait_until(lambda: not alive(pid), 20)
    own_daemon.start()
    killable.wait_status(STOPPED)
    assert killable.log() == READY + FLOODED


def test_autostart(own_daemon, machine):
    """Design: boot.autostart, for virtual machines too."""
    guest = machine(on=own_daemon, start=False, config={"boot.autostart": "true"})
    own_daemon.terminate()
    own_daemon.start()
    guest.wait_status(RUNNING)
    guest.wait_boot()


def test_killed_while_it_starts_and_stops(own_daemon, machine):
    """Promise 10: kill -9 in the midst of starts and stops: each one is whole, one way or the other."""
    guests = [machine(on=own_daemon, start=False) for _ in range(3)]
    for _ in range(rounds(20, 4)):
        for guest in guests:
            action = "start" if guest.status == STOPPED else "stop"
            guest.api.put(guest.url + "/state", {"action": action, "force": True})
        own_daemon.kill()
        own_daemon.start()
    for guest in guests:
        wait_until(lambda: guest.status in (RUNNING, STOPPED) and (guest.pid > 0) == (guest.status == RUNNING))
        guest.change("stop", force=True)
        assert guest.status == STOPPED
        wait_until(lambda: guest.name not in own_daemon.keepers() and not processes_in(guest.run), 5)
        guest.start().stop()  # which clears away the files of keepers that died
        guest.assert_ended()


def begin_to_start(guest):
    """The start's operation, and the keeper as soon as there is one."""
    operation = guest.api.put(guest.url + "/state", {"action": "start"}).metadata["id"]
    return operation, wait_until(lambda: guest.daemon.keepers().get(guest.name))


def test_keeper_killed_while_it_starts(own_daemon, machine):
    """Promise 10: another one takes over, and the start comes to an end."""
    guest = machine(on=own_daemon, start=False)
    for _ in range(KILLS):
        operation, keeper = begin_to_start(guest)
        os.kill(keeper, signal.SIGKILL)
        done = guest.api.wait(operation)["status_code"] == SUCCESS
        assert not done or processes_in(guest.run) == [guest.pid]
        guest.change("stop", force=True)
        assert guest.status == STOPPED
        guest.assert_ended()
    guest.start().wait_boot()


def test_both_killed_while_it_starts(own_daemon, machine):
    """Promise 10: it is found running, or it is not; either way it can be started."""
    guest = machine(on=own_daemon, start=False)
    for _ in range(KILLS):
        _, keeper = begin_to_start(guest)
        own_daemon.kill()
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not own_daemon.keepers(), 10)
        own_daemon.start()
        wait_until(lambda: (guest.pid > 0) == (guest.status == RUNNING))
        guest.change("start")
        assert guest.status == RUNNING and processes_in(guest.run) == [guest.pid]
        guest.stop()
        guest.assert_ended()


def test_stop_right_after_the_keeper_was_killed(own_daemon, machine):
    """Promise 10: commands meant for a keeper that is gone reach its successor."""
    guest = machine(on=own_daemon, start=False)
    for _ in range(KILLS):
        guest.start()
        os.kill(own_daemon.keepers()[guest.name], signal.SIGKILL)
        guest.stop()
        assert guest.status == STOPPED and not processes_in(guest.run)
