# SPDX-License-Identifier: Apache-2.0
"""Containers: a daemon that may have some, small guests for them, and what is left of them on this machine."""

import errno
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from consoled import KEEPER, MARKER, ROOT, Daemon
from rest import Instance, wait_until

BUSYBOX = ROOT / "tests/guests/busybox"
SUBORDINATE = 300000  # where the ids of unprivileged containers begin, of these daemons
FIRST_LINE = b"first line of the boot\r\n"


def why_not():
    """Why no container can be started here, or None."""
    if os.getuid() != 0:
        return "only root may start containers"
    if not shutil.which("busybox"):
        return "there is no busybox to make a guest of"
    if not Path(KEEPER + "-lxc").exists():
        return f"consoled was built without containers: there is no {KEEPER}-lxc"
    return None


class ContainerDaemon(Daemon):
    """A consoled that sees an /etc/subuid and /etc/subgid of its own, with these lines. Skips where there can be no
    containers; with CONSOLED_TEST_STRICT=1 that is a failure."""

    def __init__(self, *options, subordinate=f"root:{SUBORDINATE}:65536\n"):
        reason = why_not()
        if reason:
            (pytest.fail if os.environ.get("CONSOLED_TEST_STRICT") == "1" else pytest.skip)(reason)
        super().__init__(*options)
        self.containers = set()  # the names of all that were made
        self.directory.chmod(0o711)  # as consoled makes it
        ids = self.directory / "subordinate"
        ids.write_text(subordinate)
        mounts = 'mount --bind "$0" /etc/subuid && mount --bind "$0" /etc/subgid && exec "$@"'
        self.prefix = ["unshare", "--mount", "sh", "-c", mounts, str(ids)]

    def _end_instances(self):
        """As all daemons, and with what killed monitors leave behind."""
        monitors = [pid for pid in map(self.monitor, self.containers) if pid]
        inits = [child for pid in monitors for child in children(pid)]
        super()._end_instances()
        for pid in [*inits, *(pid for name in self.containers for pid in members(name))]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for name in self.containers:
            wait_until(lambda: not members(name), 10, f"no process in the cgroups of {name}")
            for path in cgroups(name):
                try:
                    os.rmdir(path)
                except OSError as error:
                    # Somebody else, the monitor or a late keeper, was faster.
                    assert error.errno == errno.ENOENT, f"{path}: {error}"
        shutil.rmtree(f"/run/lxc/lock{self.directory}", ignore_errors=True)

    def monitor(self, name):
        """The pid of liblxc's process for a container, or None."""
        return monitor_of(f"{self.directory}/lxc", name)


# --- what there is of a container on the machine ---


def monitor_of(lxcpath, name):
    """The pid of the monitor of `name`, or None: its command line is `[lxc monitor] LXCPATH NAME`."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().strip(b"\0").decode(errors="replace")
        except OSError:
            continue
        if words == f"[lxc monitor] {lxcpath} {name}":
            return int(pid)
    return None


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def cgroups(name):
    """The directories that are cgroups of container `name`, the innermost first; liblxc numbers them where there are
    leftovers of the same name."""
    ours = re.compile(r"lxc\.(monitor|payload|pivot)\.%s(-\d+)?(/|$)" % re.escape(name))
    found = glob.glob(f"/sys/fs/cgroup/**/lxc.*{glob.escape(name)}*/", recursive=True)
    below = [path for top in found for path, _, _ in os.walk(top)]
    return sorted({path.rstrip("/") for path in below if ours.search(path)}, key=len, reverse=True)


def members(name):
    """The pids of all processes in the cgroups of `name`."""
    found = set()
    for path in cgroups(name):
        try:
            found.update(map(int, Path(path, "cgroup.procs").read_text().split()))
        except OSError:
            continue
    return sorted(found)


def cgroup_file(pid, controller, *names):
    """What the first of `names` (v1's, v2's) says in the cgroup of `pid` that has the controller."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        for top in (f"/sys/fs/cgroup/{controllers}", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            for each in names:
                file = Path(top + path, each)
                if file.exists():
                    return file.read_text().strip()
    raise AssertionError(f"no {names} for {pid}")


def leftovers(daemon, name):
    """What is there of container `name` of that daemon, in words; nothing, once it has been deleted."""
    lxcpath = f"{daemon.directory}/lxc"
    found = [f"keeper {pid}" for keeper, pid in daemon.keepers().items() if keeper == name]
    found += [f"monitor {daemon.monitor(name)}"] if daemon.monitor(name) else []
    found += [f"process {pid}" for pid in members(name)]
    found += [f"cgroup {path}" for path in cgroups(name)]
    found += [f"mount {line}" for line in mounts(daemon) if f"{lxcpath}/{name}" in line or f"/{name}/" in line]
    found += [f"socket {line}" for line in Path("/proc/net/unix").read_text().split() if f"{lxcpath}/{name}/" in line]
    lock = f"/run/lxc/lock{lxcpath}"
    paths = [f"{daemon.directory}/{part}/{name}" for part in ("consoles", "run", "lxc")]
    return found + [path for path in [*paths, f"{lock}/{name}", f"{lock}/.{name}"] if os.path.lexists(path)]


def running_leftovers(daemon, name):
    """leftovers() without what a stopped container has on disk: its log."""
    kept = [f"{daemon.directory}/{part}/{name}" for part in ("consoles", "run")]
    return [each for each in leftovers(daemon, name) if each not in kept]


def mounts(daemon):
    """The mounts of this process and of the daemon."""
    pids = ["self", *([daemon.pid] if daemon.running() else [])]
    return [line for pid in pids for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]


def tree(directory):
    """Everything that can be seen of a directory's files: to be compared."""
    found = {}
    for path in sorted(Path(directory).rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_ino, content)
    return found


# --- guests ---


def script(rootfs, path, text):
    """Puts a shell script into a rootfs, executable, in place of what is there."""
    target = Path(rootfs, path)
    target.unlink(missing_ok=True)
    target.write_text(f"#!/bin/sh\n{text}\n")
    target.chmod(0o755)


class Container(Instance):
    """A container of a daemon's, on a busybox rootfs of its own. `init` is a shell script that takes the place of
    busybox's init, with the console as its input and output."""

    def __init__(self, daemon, name, init=None, privileged=False, config=None, **body):
        super().__init__(daemon.api, name)
        self.daemon = daemon
        daemon.containers.add(name)
        self.directory = Path(tempfile.mkdtemp(prefix="cg-", dir="/tmp"))
        self.directory.chmod(0o755)
        self.rootfs = self.directory / "rootfs"
        self.owner = 0 if privileged else SUBORDINATE
        subprocess.run([BUSYBOX, self.rootfs, "--owner", str(self.owner)], check=True)
        if init is not None:
            script(self.rootfs, "usr/bin/init", f"exec </dev/console >/dev/console 2>&1\n{init}")
        self.config = {f"environment.{MARKER}": str(daemon.directory)}
        if privileged:
            self.config["security.privileged"] = "true"
        self.config.update(config or {})
        self.body = {"devices": {"root": {"type": "disk", "path": "/", "source": str(self.rootfs)}}, **body}

    def create(self):
        self.daemon.create(self.name, config=self.config, **self.body)
        return self

    def execute(self, commands):
        """Has busybox's guest run a shell script; what it prints goes to the guest's /dev/console."""

        def open_pipe():
            try:
                return os.fdopen(os.open(self.rootfs / "commands", os.O_WRONLY | os.O_NONBLOCK), "wb")
            except OSError as error:
                assert error.errno == errno.ENXIO, error
                return None  # the guest is not reading yet

        with wait_until(open_pipe, 20, f"{self.name} reading commands") as pipe:
            pipe.write(commands.encode())
        return self

    def wait_boot(self, number=1):
        """Waits until busybox's init has come so far, for the `number`th time, that it hears signals."""
        wait_until(lambda: self.log().count(FIRST_LINE) >= number, what=f"boot {number} of {self.name}")
        return self

    def boots(self):
        """The numbers of the boots that the log knows, the oldest first."""
        answer = self.api.get(self.url + "/logs/boots")
        assert answer.status == 200, answer
        return [int(number) for number in re.findall(rb"boot (\d+) ", answer.body)]

    def monitor(self):
        return self.daemon.monitor(self.name)

    def vanish(self):
        """Deletes it and asserts that nothing is left of it, if its daemon runs; removes its rootfs."""
        try:
            if self.daemon.running():
                self.discard()
                assert self.api.get(self.url).status == 404, f"{self.name} could not be deleted"
                self.assert_gone()
        finally:
            shutil.rmtree(self.directory)

    def assert_ended(self):
        """Nothing but a log is left."""
        self._assert_nothing(running_leftovers)

    def assert_gone(self):
        self._assert_nothing(leftovers)

    def _assert_nothing(self, look):
        try:
            wait_until(lambda: not look(self.daemon, self.name), 5)
        except AssertionError:
            raise AssertionError(f"left of {self.name}: {look(self.daemon, self.name)}") from None
