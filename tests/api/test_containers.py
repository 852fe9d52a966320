# SPDX-License-Identifier: Apache-2.0
"""LXC containers: made with lxc, configured, started, stopped, and gone without a trace."""

import json
import os
import re
import signal
import statistics
import threading
import time
from pathlib import Path

import pytest

from consoled import alive, instrumented, rounds
from guest import FIRST_LINE, SUBORDINATE, ContainerDaemon, cgroup_file, leftovers, members, tree
from rest import FAILURE, FROZEN, RUNNING, STOPPED, SUCCESS, wait_until
from test_events import Listener
from test_lxc import attach, detach

DAEMON = ContainerDaemon
pytestmark = pytest.mark.timeout(120)

STUBBORN = "echo ready; while :; do sleep 0.05; done"  # the first process of a pid namespace need not hear SIGPWR


@pytest.fixture
def listen(daemon):
    listeners = []

    def start(query="?type=lifecycle"):
        listeners.append(Listener(daemon.socket, query))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.websocket.abort()


def refusal(answer, api):
    """What is said of a request that must not succeed, at once or by its operation."""
    if answer.status != 202:
        assert 400 <= answer.status < 500 or answer.status == 500, answer
        return answer.error
    operation = api.wait(answer.metadata["id"])
    assert operation["status_code"] == FAILURE, operation
    return operation["err"]


def assert_fails(operation, *words):
    assert operation["status_code"] == FAILURE, operation
    for word in words:
        assert word in operation["err"], operation["err"]


# --- made with lxc ---


@pytest.fixture
def new(container, lxc):
    """A container that lxc has made: `lxc init --empty X -d root,source=DIR`."""

    def init(*options, **how):
        guest = container(create=False, **how)
        settings = [word for key, value in guest.config.items() for word in ("-c", f"{key}={value}")]
        lxc("init", "--empty", guest.name, "-d", f"root,source={guest.rootfs}", *settings, *options)
        return guest

    return init


def test_init(new):
    """Containers: lxc init with a rootfs; nothing is started."""
    guest = new()
    found = guest.read()
    assert (found["status"], found["type"]) == ("Stopped", "container")
    root = found["expanded_devices"]["root"]
    assert (root["type"], root["path"], root["source"]) == ("disk", "/", str(guest.rootfs))
    assert guest.log() == b""


def test_life(new, lxc):
    """Containers: start, pause, start again, restart, stop, start, stop --force, delete, one after the other with lxc."""
    guest = new()
    lxc("start", guest.name)
    assert (guest.status, alive(guest.pid)) == (RUNNING, True)
    lxc("pause", guest.name)
    assert guest.status == FROZEN
    lxc("start", guest.name)
    assert guest.status == RUNNING
    first = guest.wait_boot().pid
    lxc("restart", guest.name)
    assert guest.status == RUNNING and guest.pid != first and not alive(first)
    guest.wait_boot(2)
    lxc("restart", "--force", guest.name)
    last = guest.wait_boot(3).pid
    lxc("stop", guest.name)
    assert guest.status == STOPPED and not alive(last)
    lxc("start", guest.name)
    lxc("stop", "--force", guest.name)
    assert guest.status == STOPPED
    lxc("delete", guest.name)
    assert guest.api.get(guest.url).status == 404
    guest.assert_gone()


def test_renamed(new, lxc):
    """Containers: a stopped container under another name; its log goes with it."""
    guest = new()
    lxc("start", guest.name)
    guest.wait_log(FIRST_LINE)
    lxc("stop", "--force", guest.name)
    old = guest.name
    guest.name += "-b"
    guest.daemon.containers.add(guest.name)
    lxc("rename", old, guest.name)
    assert FIRST_LINE in guest.log()
    lxc("start", guest.name)
    wait_until(lambda: guest.log().count(FIRST_LINE) == 2)
    assert leftovers(guest.daemon, old) == []


def test_delete_running(new, lxc):
    """Protocol 11: refused; with --force it is stopped and deleted."""
    guest = new()
    lxc("start", guest.name)
    assert "currently running" in lxc("delete", guest.name, code=1)
    lxc("delete", "--force", guest.name)
    guest.assert_gone()


def test_start_console(new, terminal):
    """Promise 1: start --console shows the boot from its first line on."""
    guest = new()
    console = terminal("lxc", "start", "--console", guest.name)
    console.expect("To detach.*first line of the boot\r\n")
    console.expect("[#$] ")
    console.type("echo $((40+2))\r")
    console.expect("\n42\r")
    detach(console)
    assert guest.status == RUNNING


def test_first_line_is_in_the_log(container):
    """Promise 1: the log begins with the first byte of the boot, and nobody was attached."""
    guest = container()
    assert guest.wait_log(FIRST_LINE).startswith(FIRST_LINE)


def test_console_and_stop(new, lxc, terminal):
    """Containers: lxc console of a container; its clean end is the end of the console, exit code 0."""
    guest = new()
    lxc("start", guest.name)
    console = attach(terminal, guest)
    console.type("echo $((40+2))\r")
    console.expect("\n42\r")
    lxc("stop", guest.name)
    assert console.wait() == 0
    assert b"Error" not in console.output


def test_list_and_info(new, lxc):
    """Containers: what lxc list and lxc info say of a running container."""
    guest = new()
    lxc("start", guest.name)
    (row,) = [row for row in json.loads(lxc("list", "--format", "json")) if row["name"] == guest.name]
    assert (row["status"], row["type"], row["state"]["pid"]) == ("Running", "container", guest.pid)
    shown = lxc("info", guest.name)
    assert f"PID: {guest.pid}" in shown and "Status: RUNNING" in shown
    for what in ("Processes: ", "Memory usage:", "CPU usage"):
        assert what in shown


# --- stopping ---


@pytest.mark.parametrize("how", [["--force"], ["--timeout", "1"]])
def test_stubborn(container, lxc, how):
    """Containers: a guest that does not hear SIGPWR is killed, at once or when the time is up."""
    guest = container(init=STUBBORN)
    guest.wait_log(b"ready")
    started = time.monotonic()
    lxc("stop", *how, guest.name)
    took = time.monotonic() - started
    assert guest.status == STOPPED and (took > 0.9) == ("--timeout" in how), took


def test_force_while_a_stop_waits(container):
    """Protocol 11: a stop that may take for ever can be followed by one that does not."""
    guest = container(init=STUBBORN)
    guest.wait_log(b"ready")
    waiting = guest.api.put(guest.url + "/state", {"action": "stop", "timeout": -1}).metadata["id"]
    guest.stop(force=True)
    assert guest.api.wait(waiting)["status_code"] == SUCCESS


def test_halt_signal(container):
    """Design: raw.lxc says by which signal a guest is told to end."""
    guest = container(
        init="trap 'echo got it; exit' USR1; echo ready; while :; do sleep 0.02; done",
        config={"raw.lxc": "lxc.signal.halt = SIGUSR1"},
    )
    guest.wait_log(b"ready")
    guest.stop(force=False)
    assert guest.log() == b"ready\r\ngot it\r\n"


def test_stop_of_a_frozen_container(container):
    """Protocol 11: by force, a frozen one too."""
    guest = container().freeze()
    guest.stop(force=True)
    assert guest.status == STOPPED


def test_frozen_does_not_run(container):
    """Containers: no process of it does anything while it is frozen."""
    guest = container(init="while :; do echo tick; sleep 0.01; done")
    guest.wait_log(b"tick")
    guest.freeze()
    before = guest.log()
    wait_until(lambda: guest.state()["status"] == "Frozen")
    assert guest.log() == before == guest.log()
    guest.unfreeze()
    wait_until(lambda: len(guest.log()) > len(before))


def test_matrix(container):
    """Protocol 11: what does not fit the state fails, in LXD's words."""
    guest = container(start=False)
    for action, text in (
        ("stop", "The instance is already stopped"),
        ("restart", "The instance is already stopped"),
        ("freeze", "The container isn't running"),
        ("unfreeze", "The container isn't running"),
    ):
        assert guest.change(action, force=True)["err"] == text
    guest.start()
    assert guest.change("start")["err"] == "The instance is already running"
    assert guest.change("unfreeze")["err"] == "The container is already running"
    guest.freeze()
    assert guest.change("freeze")["err"] == "The container is already frozen"


# --- the rootfs is the user's ---


def test_delete_does_not_touch_the_rootfs(container):
    """Containers: delete removes what is ours, and not one byte of the rootfs."""
    guest = container()
    guest.wait_log(FIRST_LINE)
    guest.execute("echo kept >/root/file")
    wait_until((guest.rootfs / "root/file").exists)
    guest.stop()
    before = tree(guest.rootfs)
    guest.delete()
    guest.assert_gone()
    assert tree(guest.rootfs) == before and str(guest.rootfs / "root/file") in before


def test_nothing_is_copied(container):
    """Containers: the guest writes where the user looks, and the other way round."""
    guest = container()
    (guest.rootfs / "from-outside").write_text("seen\n")
    guest.execute("cat /from-outside; echo inside >/from-inside")
    guest.wait_log(b"seen\r\n")
    wait_until(lambda: (guest.rootfs / "from-inside").exists())
    directory = guest.daemon.directory
    assert not [path for path in directory.rglob("*") if path.name in ("from-inside", "inittab")]


@pytest.mark.parametrize("source", ["/no/such/rootfs", "relative", ""])
def test_rootfs_that_cannot_be(container, source):
    """Promise 12: the path, or the key, is named, when it is made or when it is started."""
    guest = container(create=False)
    guest.body["devices"]["root"]["source"] = source
    body = {"name": guest.name, "source": {"type": "none"}, "config": guest.config, **guest.body}
    answer = guest.api.post("/1.0/instances", body)
    if answer.status == 202 and guest.api.wait(answer.metadata["id"])["status_code"] == SUCCESS:
        answer = guest.api.put(guest.url + "/state", {"action": "start"})
    assert (source or "source") in refusal(answer, guest.api)


# --- whom it belongs to ---


def test_unprivileged_by_default(container):
    """Containers: root in the guest is nobody in particular outside."""
    guest = container()
    guest.execute("echo uid-$(id -u); cat /proc/self/uid_map")
    guest.wait_log(b"uid-0")
    assert os.stat(f"/proc/{guest.pid}").st_uid == SUBORDINATE
    for kind in ("uid", "gid"):
        assert Path(f"/proc/{guest.pid}/{kind}_map").read_text().split()[:2] == ["0", str(SUBORDINATE)]


def test_privileged(container):
    """Containers: security.privileged=true as in LXD."""
    guest = container(privileged=True)
    guest.wait_log(FIRST_LINE)
    assert os.stat(f"/proc/{guest.pid}").st_uid == 0
    assert Path(f"/proc/{guest.pid}/uid_map").read_text().split() == ["0", "0", "4294967295"]


def test_owner_that_does_not_fit(container, lxc):
    """Containers: an unprivileged container on a rootfs of root's: the error says what is wrong, and what to do."""
    guest = container(privileged=True, start=False)
    guest.api.patch(guest.url, {"config": {"security.privileged": "false"}})
    operation = guest.change("start")
    assert_fails(operation, str(guest.rootfs), str(SUBORDINATE))
    assert "security.privileged" in operation["err"] or "chown" in operation["err"]
    assert guest.status == STOPPED
    assert str(guest.rootfs) in lxc("start", guest.name, code=1)
    guest.api.patch(guest.url, {"config": {"security.privileged": "true"}})
    guest.start()


def test_no_subordinate_ids(make_daemon, container):
    """Containers: without a line for root in /etc/subuid an unprivileged container cannot be; the error names the file."""
    daemon = make_daemon(subordinate="somebody:100000:65536\n")
    guest = container(on=daemon, start=False)
    assert_fails(guest.change("start"), "/etc/subuid")


# --- config ---


def test_environment(container):
    """Containers: environment.* is what init gets, and nothing of the daemon's own."""
    guest = container(config={"environment.FOO": "b a r", "environment.EMPTY": ""})
    guest.execute('echo "foo=$FOO=$EMPTY="; env | cut -d = -f 1 | sort | tr "\\n" " "; echo end')
    log = guest.wait_log(b"end\r\n")
    assert b"foo=b a r==\r\n" in log
    for name in (b"LISTEN_FDS", b"ASAN_OPTIONS", b"HOME=/root/.", b"XDG_"):
        assert name not in log


def test_environment_with_lines(container):
    """A value arrives as it was given, and is no more than a value."""
    value = "a = b\n# c\nlxc.uts.name = other\n  d\\\n\n"
    guest = container(config={"environment.LINES": value})
    guest.execute('printf "%s" "$LINES" >/root/lines; echo "name=$(hostname)="')
    guest.wait_log(f"name={guest.name}=".encode())
    assert (guest.rootfs / "root/lines").read_text() == value


@pytest.mark.parametrize("privileged", [False, True])
@pytest.mark.parametrize("kind", ["directory", "file"])
def test_disk_behind_a_link(container, privileged, kind, tmp_path):
    """A guest's symbolic link does not lead a disk out of its rootfs: nothing is made or mounted outside."""
    outside, source = tmp_path / "outside", tmp_path / "source"
    outside.mkdir()
    source.mkdir() if kind == "directory" else source.touch()
    tmp_path.parent.chmod(0o755), tmp_path.chmod(0o755)
    outside.chmod(0o777)
    guest = container(create=False, privileged=privileged)
    guest.body["devices"]["data"] = {"type": "disk", "source": str(source), "path": "/srv/link/new"}
    guest.create()
    (guest.rootfs / "srv").mkdir(exist_ok=True)
    (guest.rootfs / "srv/link").symlink_to(outside)
    assert_fails(guest.change("start"), "data", "/srv/link")
    assert os.listdir(outside) == []


def test_include_does_not_delete_the_rootfs(container, tmp_path):
    """What raw.lxc includes cannot say what raw.lxc cannot: the rootfs stays, whatever it is, and so does the console."""
    other = tmp_path / "other"
    included = tmp_path / "included"
    included.write_text(
        f"lxc.ephemeral = 1\nlxc.rootfs.path = dir:{other}\nlxc.console.logfile = {other}\n"
        "lxc.console.buffer.size = 1MB\nlxc.cgroup.dir = elsewhere\nlxc.uts.name = included\n"
    )
    guest = container(config={"raw.lxc": f"lxc.include = {included}"})
    guest.execute("echo name-$(hostname)-")
    guest.wait_log(b"name-included-")
    assert f"lxc.payload.{guest.name}" in Path(f"/proc/{guest.pid}/cgroup").read_text()
    guest.execute("poweroff -f")
    guest.wait_status(STOPPED)
    guest.assert_ended()
    assert (guest.rootfs / "etc/inittab").exists() and not other.exists()


def test_nothing_is_inherited(container):
    """S12: the first process holds no descriptor of ours but the console."""
    guest = container(init="ls -l /proc/self/fd | sed 's/.* -> //'; ls /proc/1/fd; echo end; exec cat")
    log = guest.wait_log(b"end\r\n").decode()
    assert not re.search(r"/dev/ptmx|socket:|eventfd|ring|/tmp/", log), log


def test_raw_lxc(container):
    """Containers: lines of raw.lxc are passed on, comments and blanks as they may be."""
    raw = "# a comment\n\nlxc.uts.name = somebody-else\n  lxc.environment=RAW=yes\n"
    guest = container(config={"raw.lxc": raw})
    guest.execute("echo $(hostname)-$RAW")
    guest.wait_log(b"somebody-else-yes\r\n")


def test_name_is_the_host_name(container):
    """LXD: a container is called as its instance is."""
    guest = container()
    guest.execute("echo name-$(hostname)-")
    guest.wait_log(f"name-{guest.name}-\r\n".encode())


@pytest.mark.parametrize(
    "line", ["lxc.console.path = /dev/tty1", "lxc.console.logfile=/tmp/x", "lxc.console.buffer.size=1MB"]
)
def test_raw_lxc_that_breaks_the_console(container, lxc, line):
    """Containers: refused, by name; nothing is made."""
    guest = container(create=False)
    key = line.split("=")[0].strip()
    for value in (line, f"lxc.uts.name=x\n{line}", f"   {line}"):
        assert key in lxc("init", "--empty", guest.name, "-c", f"raw.lxc={value}", code=1)
        assert guest.api.get(guest.url).status == 404
    guest.create()
    assert key in lxc("config", "set", guest.name, "raw.lxc", line, code=1)
    assert "raw.lxc" not in guest.read()["config"]


def test_raw_lxc_that_is_none(container):
    """Promise 12: what liblxc does not know is named, when it is set or when it is started; then it can be mended."""
    guest = container(create=False)
    guest.config["raw.lxc"] = "lxc.no.such.key = 1"
    body = {"name": guest.name, "source": {"type": "none"}, "config": guest.config, **guest.body}
    answer = guest.api.post("/1.0/instances", body)
    if answer.status == 202 and guest.api.wait(answer.metadata["id"])["status_code"] == SUCCESS:
        answer = guest.api.put(guest.url + "/state", {"action": "start"})
    assert "lxc.no.such.key" in refusal(answer, guest.api)


def test_limits(container):
    """Containers: limits.memory and limits.cpu are the cgroup's."""
    guest = container(config={"limits.memory": "64MiB", "limits.cpu": "1"})
    limit = cgroup_file(guest.pid, "memory", "memory.limit_in_bytes", "memory.max")
    assert int(limit) == 64 << 20
    cpus = re.search(r"Cpus_allowed_list:\s+(\S+)", Path(f"/proc/{guest.pid}/status").read_text()).group(1)
    assert re.fullmatch(r"\d+", cpus), f"one processor, not {cpus}"


@pytest.mark.parametrize("key, value", [("limits.memory", "lots"), ("limits.cpu", "-1"), ("security.privileged", "si")])
def test_bad_values(container, key, value):
    """Promise 12: the key is named, and nothing changes."""
    guest = container(start=False)
    answer = guest.api.patch(guest.url, {"config": {key: value}})
    assert key in refusal(answer, guest.api)
    assert guest.read()["config"].get(key) is None


def test_state(container):
    """Containers: the state as LXD gives it: processes, memory, processor time, network counters."""
    guest = container()
    guest.execute("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo end")
    guest.wait_log(b"end\r\n")
    state = guest.state()
    assert state["pid"] == guest.pid and state["processes"] >= 3
    assert state["memory"]["usage"] > 0 and state["cpu"]["usage"] > 0
    loopback = state["network"]["lo"]
    assert loopback["type"] == "loopback"
    assert set(loopback["counters"]) >= {"bytes_received", "bytes_sent", "packets_received", "packets_sent"}
    guest.stop()
    state = guest.state()
    assert (state["pid"], state["processes"], state["network"]) == (0, 0, None)


# --- starts that fail ---


def test_init_that_does_not_exist(container, lxc):
    """Containers: the operation's error says why, and `lxc info --show-log` has liblxc's own words."""
    guest = container(start=False)
    (guest.rootfs / "usr/bin/init").unlink()
    for _ in range(2):
        operation = guest.change("start")
        assert_fails(operation, "init")
        assert "No such file or directory" in operation["err"]
        assert guest.status == STOPPED
    shown = lxc("info", guest.name, "--show-log")
    assert "Log:" in shown and "No such file or directory" in shown and "ERROR" in shown
    (guest.rootfs / "usr/bin/init").symlink_to("busybox")
    guest.start()
    guest.wait_log(FIRST_LINE)


def test_init_that_cannot_run(container):
    """Promise 12: likewise for one that is no program."""
    guest = container(start=False)
    (guest.rootfs / "usr/bin/init").unlink()
    (guest.rootfs / "usr/bin/init").write_text("no program")
    operation = guest.change("start")
    assert_fails(operation, "init")
    assert re.search("Permission denied|Exec format", operation["err"]), operation["err"]


def test_init_that_ends_at_once(container):
    """Promise 8: a guest that ends right after its start has started, and all it printed is in the log."""
    guest = container(init="echo gone", start=False)
    for number in range(1, rounds(20, 3)):
        assert guest.change("start")["status_code"] == SUCCESS
        guest.wait_status(STOPPED)
        assert guest.log() == b"gone\r\n" * number


# --- events ---


def told(listener, guest, action):
    return listener.action(action, guest.url)["metadata"]


def test_events_of_what_is_asked_for(container, listen):
    """Protocol 7: each change of state is one event, of LXD's name, and says who asked."""
    listener = listen()
    guest = container()
    guest.freeze()
    guest.unfreeze()
    guest.restart(force=True)
    guest.wait_boot(2).stop(force=False)
    guest.start()
    guest.stop(force=True)
    told(listener, guest, "instance-stopped")
    events = [event["metadata"] for event in listener.seen if event["metadata"]["source"] == guest.url]
    changes = [event["action"] for event in events if event["action"] != "instance-console-retrieved"]
    assert changes == [
        "instance-created",
        "instance-started",
        "instance-paused",
        "instance-resumed",
        "instance-restarted",
        "instance-shutdown",
        "instance-started",
        "instance-stopped",
    ]
    assert all("requestor" in event for event in events)


def test_event_of_a_forced_stop(container, listen):
    """The one who forces the end of a stop that waits is who stops it."""
    listener = listen()
    guest = container(init=STUBBORN)
    guest.wait_log(b"ready")
    waiting = guest.api.put(guest.url + "/state", {"action": "stop", "timeout": -1}).metadata["id"]
    guest.stop(force=True)
    assert guest.api.wait(waiting)["status_code"] == SUCCESS
    told(listener, guest, "instance-stopped")


@pytest.mark.parametrize(
    "command, action", [("poweroff", "shutdown"), ("poweroff -f", "shutdown"), ("reboot -f", "restarted")]
)
def test_events_of_the_guests_own_doing(container, listen, command, action):
    """Containers: a guest that ends or reboots by itself is an event too, and nobody asked for it."""
    listener = listen()
    guest = container()
    guest.execute(command)
    event = told(listener, guest, "instance-" + action)
    assert not event.get("requestor")
    if action == "shutdown":
        guest.wait_status(STOPPED)
    else:
        assert guest.status == RUNNING


# --- what is left ---


def test_nothing_is_left(container):
    """Containers: after each way to end, no process, cgroup, mount or file; the log stays until delete."""
    guest = container(start=False)
    ends = (
        lambda: guest.stop(force=True),
        lambda: guest.stop(force=False),
        lambda: guest.execute("poweroff -f"),
        lambda: os.kill(guest.pid, signal.SIGKILL),
    )
    for number, end in enumerate(ends, 1):
        guest.start().wait_boot(number)
        end()
        guest.wait_status(STOPPED)
        guest.assert_ended()
    guest.delete()
    guest.assert_gone()


def test_whole_container_ends(container):
    """Containers: nothing that runs in a container survives its stop, whatever it does."""
    guest = container()
    guest.execute("(trap '' HUP TERM INT PWR; setsid sleep 1000) & echo ready")
    guest.wait_log(b"ready")
    pids = members(guest.name)
    assert len(pids) >= 5
    guest.stop(force=True)
    wait_until(lambda: not any(map(alive, pids)), 5)


def test_ephemeral(container):
    """LXD: an ephemeral container is deleted when it ends; the rootfs stays."""
    guest = container(ephemeral=True)
    guest.execute("poweroff -f")
    wait_until(lambda: guest.api.get(guest.url).status == 404)
    guest.assert_gone()
    assert (guest.rootfs / "etc/inittab").exists()


# --- many ---


def started_in(guest):
    """Seconds that a start takes through the API."""
    begun = time.monotonic()
    guest.start()
    return time.monotonic() - begun


def report(name, seconds):
    """What was measured goes to the captured output: shown with -s or -rP, and when the test fails."""
    seconds = sorted(seconds)
    p50, p90, longest = statistics.median(seconds), seconds[len(seconds) * 9 // 10], seconds[-1]
    print(f"{name}: p50 {p50 * 1000:.0f} ms, p90 {p90 * 1000:.0f} ms, longest {longest * 1000:.0f} ms")
    return p50


@pytest.mark.timeout(300)
def test_boot_of_a_hundred(container):
    """Containers: a hundred containers one after another, each with its first line; a start takes under 100 ms (p50), with
    sanitizers, which fork slowly, under a second."""
    starts, stops = [], []
    for _ in range(rounds(100)):
        guest = container(start=False)
        starts.append(started_in(guest))
        guest.wait_log(FIRST_LINE)
        begun = time.monotonic()
        guest.stop(force=True)
        stops.append(time.monotonic() - begun)
        guest.delete()
    slow = instrumented(guest.daemon.pid)
    assert report("start", starts) < (1 if slow else 0.1)
    assert report("stop --force", stops) < (1 if slow else 0.1)


@pytest.mark.timeout(300)
def test_boot_of_twenty_at_once(container):
    """Containers: twenty at the same time, each with its own first line and its own console."""
    guests = [container(start=False) for _ in range(20)]
    seconds, failures = [], []

    def start(guest):
        try:
            seconds.append(started_in(guest))
        except Exception as error:  # told by the test, not by a thread nobody looks at
            failures.append(error)

    threads = [threading.Thread(target=start, args=(guest,)) for guest in guests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    report("start, twenty at once", seconds)
    for guest in guests:
        guest.execute("echo I am $(hostname)")
    for guest in guests:
        log = guest.wait_log(b"I am ")
        assert log.startswith(FIRST_LINE) and log.count(b"I am ") == 1
        guest.wait_log(f"I am {guest.name}\r\n".encode())
