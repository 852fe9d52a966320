# SPDX-License-Identifier: Apache-2.0
"""Virtual machines: a daemon that may have some, small guests for them, and what is left of them on this machine."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from consoled import KEEPER, ROOT, Daemon, cmdline
from rest import Instance, wait_until

BOOTSECTOR = ROOT / "tests/guests/bootsector"
READY = b"ready\r\n"  # what its guest prints first; it echoes all but these:
HEAR_BUTTON, POWER_OFF, FLOOD, REBOOT = "\x01", "\x04", "\x06", "\x12"
FLOODED = b"".join(b"%04x abcdefghi\r\n" % number for number in range(4096))


def why_not():
    """Why no virtual machine can be started here, or None."""
    if os.uname().machine != "x86_64":
        return "virtual machines are only for x86_64"
    for program in ("qemu-system-x86_64", "as", "ld"):
        if not shutil.which(program):
            return f"there is no {program}"
    if not Path(KEEPER + "-qemu").exists():
        return f"there is no {KEEPER}-qemu"
    return None


class MachineDaemon(Daemon):
    """Skips where there can be no virtual machines; with CONSOLED_TEST_STRICT=1 that is a failure."""

    def __init__(self, *options, uid=None):
        reason = why_not()
        if reason:
            (pytest.fail if os.environ.get("CONSOLED_TEST_STRICT") == "1" else pytest.skip)(reason)
        super().__init__(*options)
        if uid is not None and uid != os.getuid():
            os.chown(self.directory, uid, -1)
            self.prefix = ["setpriv", f"--reuid={uid}", "--clear-groups"]


def make_disk(path):
    subprocess.run([BOOTSECTOR, path], check=True)
    return path


def processes_in(directory):
    """The pids of what runs in a directory, as QEMU does in run/NAME."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            where = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if where.removesuffix(" (deleted)") == str(directory) and cmdline(pid):
            found.append(int(pid))
    return found


class Machine(Instance):
    """A virtual machine of a daemon's, without KVM, that boots the guest of tests/guests/bootsector.S from a disk that
    is the user's. `disk` is what its root disk is instead."""

    def __init__(self, daemon, name, disk=None, config=None, **body):
        super().__init__(daemon.api, name)
        self.daemon = daemon
        # Below the daemon's directory, so that all that has to do with this daemon can be found by that name.
        self.disk = daemon.directory / f"{name}.disk"
        self.run = daemon.directory / "run" / name
        self.consoles = daemon.directory / "consoles" / name
        self.config = {"consoled.accel": "tcg", "limits.memory": "16MiB", **(config or {})}
        if disk is None:
            disk = {"source": str(make_disk(self.disk))}
            os.chown(self.disk, daemon.directory.stat().st_uid, -1)
        self.body = {"devices": {"root": {"type": "disk", "path": "/", **disk}}, **body}

    def create(self):
        body = {"name": self.name, "type": "virtual-machine", "source": {"type": "none"}, "config": self.config}
        self.api.do("POST", "/1.0/instances", {**body, **self.body})
        return self

    def wait_boot(self, number=1):
        wait_until(lambda: self.log().count(READY) >= number, what=f"boot {number} of {self.name}")
        return self

    def boots(self):
        """(number, first byte) of the boots that the log knows, the oldest first."""
        answer = self.api.get(self.url + "/logs/boots")
        assert answer.status == 200, answer
        return [(int(a), int(b)) for a, b in re.findall(rb"boot (\d+) begins at byte (\d+) ", answer.body)]

    def qemu_log(self):
        answer = self.api.get(self.url + "/logs/qemu.log")
        assert answer.status == 200, answer
        return answer.body.decode()

    def _left(self, deleted):
        found = [f"keeper {pid}" for name, pid in self.daemon.keepers().items() if name == self.name]
        found += [f"process {pid}" for pid in processes_in(self.run)]
        found += map(str, self.run.iterdir() if self.run.exists() else [])
        return found + [str(path) for path in (self.run, self.consoles) if deleted and path.exists()]

    def assert_ended(self):
        """Neither process nor FIFO nor socket is left; the log is."""
        self._assert_nothing(False)

    def assert_gone(self):
        self._assert_nothing(True)

    def _assert_nothing(self, deleted):
        try:
            wait_until(lambda: not self._left(deleted), 5)
        except AssertionError:
            raise AssertionError(f"left of {self.name}: {self._left(deleted)}") from None

    def vanish(self):
        """Deletes it and asserts that nothing is left of it, if its daemon runs."""
        if not self.daemon.running():
            return
        self.discard()
        assert self.api.get(self.url).status == 404, f"{self.name} could not be deleted"
        self.assert_gone()
