# SPDX-License-Identifier: Apache-2.0
"""A consoled whose calls fail on command: memory, the file system, the system's table of files and processes by a preloaded
library (../faults), descriptors by their limit."""

import ctypes
import errno
import mmap
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

import consoled
from consoled import CONSOLED, ROOT, Daemon

MEMORY, DISK, FILES, PROCESSES = range(4)
DAEMON, KEEPER = range(2)
EVER = 2**63


class Plan(ctypes.Structure):
    """As struct plan in faults.c."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("armed", "calls", "first", "last", "one_in", "seed", "error", "failed", "trace")
    ]


class Command(ctypes.Structure):
    _fields_ = [("plans", Plan * 4 * 2), ("directory", ctypes.c_char * 256)]


def _library_beside(consoled):
    return Path(consoled).parents[1] / "tests/faults/libfaults.so"


def faulty_build():
    """A consoled without AddressSanitizer, which suffers no other allocator: the one under test, or what ./check makes."""
    for path in (CONSOLED, str(ROOT / "build-plain/daemon/consoled")):
        if _library_beside(path).exists():
            return path
    strict = os.environ.get("CONSOLED_TEST_STRICT") == "1"
    return (pytest.fail if strict else pytest.skip)("no build without AddressSanitizer (meson setup build-plain)")


class FaultyDaemon(Daemon):
    """Nothing fails until it is told to."""

    def __init__(self, *options):
        super().__init__(*options)
        self.executable = faulty_build()
        self.command_file = self.directory / "faults"
        self.command_file.write_bytes(bytes(ctypes.sizeof(Command)))
        with open(self.command_file, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(Command))
        self.command = Command.from_buffer(self._map)
        self.command.directory = str(self.directory).encode()
        library = _library_beside(self.executable)
        self.prefix = [*self.prefix, "env", f"LD_PRELOAD={library}", f"CONSOLED_FAULTS={self.command_file}"]

    def spawn(self):
        keeper = str(Path(self.executable).parents[1] / "pty/consoled-keeper")
        self.options, options = ("--keeper", keeper, *self.options), self.options
        usual, consoled.CONSOLED = consoled.CONSOLED, self.executable
        try:
            return super().spawn()
        finally:
            self.options, consoled.CONSOLED = options, usual

    def plan(self, kind, program=DAEMON):
        return self.command.plans[program][kind]

    @contextmanager
    def failing(self, kind, first, last=None, program=DAEMON, error=errno.ENOMEM):
        """Within, calls `first` to `last` (from 1) of a kind fail. Yields the plan: `calls` and `failed` count."""
        plan = self.plan(kind, program)
        plan.first, plan.last, plan.error = first, first if last is None else last, error
        plan.calls = plan.failed = plan.one_in = 0
        plan.trace = os.environ.get("CONSOLED_TEST_TRACE") == "1"
        plan.armed = 1
        try:
            yield plan
        finally:
            plan.armed = 0

    @contextmanager
    def starved(self, spare):
        """Within, the daemon can open `spare` more descriptors."""
        before = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        taken = {int(name) for name in os.listdir(f"/proc/{self.pid}/fd")}
        free = [number for number in range(len(taken) + spare + 1) if number not in taken]
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (free[spare], before[1]))
        try:
            yield
        finally:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, before)
