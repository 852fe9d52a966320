# SPDX-License-Identifier: Apache-2.0
"""Instances that print numbered lines and echo what is typed, whose processes are killed; and what their logs must be."""

import collections
import itertools
import os
import re
import signal
import subprocess
import time

from consoled import alive
from guest import members
from machine import READY
from rest import RUNNING, STOPPED, SUCCESS, wait_until
from session import Session
from test_serial import Line

# Prints lines in bursts and waits for nobody. Each line is one write, and so is what cat echoes: they do not mix.
PRINTER = (
    "printf \"\\nboot\\n\"; (n=0; while :; do i=0; while [ $i -lt %d ]; do n=$((n + 1)); echo $n; i=$((i + 1)); done; "
    "sleep %s; done) & exec cat"
)
TYPED = re.compile(rb"[cp]\d+-\d+")
MARKS = itertools.count(1)
DEATHS, PERIOD = 3, 12  # so many keepers of one instance may die in so many seconds: five in ten are given up


class Journal:
    """A printer's log, read from where it was left the last time: each number follows the one before, and what is
    between them has been typed, once. `offset` is in the log."""

    def __init__(self, instance):
        self.instance, self.offset, self.rest = instance, 0, b""
        self.last, self.odd, self.boots = 0, None, 0
        self.typed = collections.Counter()
        self.lines = self.skipped = 0

    def fetch(self):
        """What is new, after a look at whether the ring still had all of it."""
        answer = self.instance.api.get(self.instance.url + "/console?tail_bytes=67108864")
        assert answer.status == 200, answer
        begin, end = map(int, answer.headers["Consoled-Range"].split("-"))
        assert end - begin == len(answer.body), f"{begin}-{end} has {len(answer.body)} bytes"
        assert end >= self.offset, f"the log ended at {self.offset}, and ends at {end} now"
        if begin > self.offset:  # it has been overwritten: from here on, then
            self.skipped += begin - self.offset
            self.restart()
            self.offset = begin
        new = answer.body[self.offset - begin :]
        self.offset = end
        return new

    def restart(self):
        self.rest, self.last, self.odd = b"", None, None

    def read(self):
        """Reads on, and complains."""
        began = self.offset
        *lines, self.rest = (self.rest + self.fetch()).split(b"\n")
        if self.last is None and lines:
            lines.pop(0)  # the end of one
        for line in lines:
            self.take(line, began)
        self.lines += len(lines)
        return self

    def take(self, line, began):
        # A boot begins with an empty line. What is there before it may have been cut off by the end of the one before.
        if line == b"boot":
            self.last, self.odd = 0, None
            self.boots += 1
            return
        assert self.odd is None, f"{self.instance.name}: {self.odd!r} behind {self.last}, read from {began} on"
        if line.isdigit() and (self.last is None or int(line) == self.last + 1):
            self.last = int(line)
        elif TYPED.fullmatch(line):
            self.typed[line] += 1
            assert self.typed[line] == 1, f"{self.instance.name}: {line!r} was typed once, and is there twice"
        else:
            self.odd = line


class MachineJournal(Journal):
    """The log of the guest in tests/guests/bootsector.S: `ready`, floods of 4096 lines, and x for each x typed."""

    def __init__(self, instance):
        super().__init__(instance)
        self.floods = 0

    def take(self, line, began):
        expected = b"%04x abcdefghi\r" % (self.last or 0)
        if line.endswith(READY.strip(b"\n")):
            cut = line[: -len(READY) + 1].lstrip(b"x")
            assert self.last is None or expected.startswith(cut), f"{self.instance.name}: {line!r}, read from {began} on"
            self.last = 0
            self.boots += 1
            return
        if not self.last:
            line = line.lstrip(b"x")
        if self.last is not None:
            assert line == expected, f"{self.instance.name}: {line!r} is not {expected!r}, read from {began} on"
        self.last = (int(line[:4], 16) + 1) % 4096
        self.floods += self.last == 0


class Subject:
    """An instance that is to survive, or to end as it should. `holds`: it outlives both its keeper and the daemon."""

    kind, holds = "program", False
    journal_type = Journal

    def __init__(self, daemon, instance):
        self.daemon, self.instance, self.name = daemon, instance, instance.name
        self.journal = self.journal_type(instance)
        self.keepers_died = collections.deque()
        self.starts = 0

    def start(self):
        self.instance.start()
        return self.started()

    def started(self):
        self.starts += 1
        wait_until(self._has_booted, 30, f"boot {self.starts} of {self.name}")
        self.pid = self.instance.pid
        return self

    def _has_booted(self):
        return self.journal.read().boots == self.starts

    def keeper(self):
        return self.daemon.keepers().get(self.name)

    def may_lose_keeper(self):
        while self.keepers_died and self.keepers_died[0] < time.monotonic() - PERIOD:
            self.keepers_died.popleft()
        return len(self.keepers_died) < DEATHS

    def kill_keeper(self):
        pid = wait_until(self.keeper, 10, f"a keeper of {self.name}")
        self.keepers_died.append(time.monotonic())
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill(self):
        """Its main process."""
        os.kill(self.pid, signal.SIGKILL)

    def ended(self, watched=True):
        """It is Stopped, and nothing of it goes on. `watched`: it had a keeper, who has cleaned up."""
        self.instance.wait_status(STOPPED)
        wait_until(lambda: not alive(self.pid), 10, f"the end of {self.name}")
        wait_until(lambda: not self.keeper(), 10, f"the end of {self.name}'s keeper")

    def survived(self):
        """The same process runs, and it echoes; its log is whole."""
        wait_until(lambda: (self.instance.status, self.instance.pid) == (RUNNING, self.pid), 10, f"{self.name} runs still")
        wait_until(self.keeper, 10, f"a keeper of {self.name}")
        self.echoes()
        self.journal.read()
        assert self.journal.boots == self.starts

    def echoes(self):
        session = Session(self.instance)
        try:
            mark = f"p{next(MARKS)}-1\n"
            session.attach().type(mark)
            try:
                session.expect(mark, 30)
            except AssertionError as error:
                self.journal.read()
                logged = "is" if self.journal.typed[mark.strip().encode()] else "is not"
                raise AssertionError(f"{error}; it {logged} in the log") from None
            session.detach()
            assert session.result()["status_code"] == SUCCESS
        finally:
            session.abort()

    def vanish(self):
        self.instance.discard()


class ContainerSubject(Subject):
    kind, holds = "container", True

    def ended(self, watched=True):
        super().ended()
        wait_until(lambda: not members(self.name), 10, f"no process in the cgroups of {self.name}")
        if watched:
            self.instance.assert_ended()

    def kill_monitor(self):
        os.kill(self.instance.monitor(), signal.SIGKILL)


class MachineSubject(Subject):
    kind, holds = "machine", True
    journal_type = MachineJournal

    def ended(self, watched=True):
        super().ended()
        self.instance.assert_ended()

    def echoes(self):
        """After what it is about to print."""
        session = Session(self.instance)
        try:
            session.attach().type("x").expect("x", 30)
            session.detach()
            assert session.result()["status_code"] == SUCCESS
        finally:
            session.abort()


class SerialSubject(Subject):
    """A serial device; the board on its other end is a printer."""

    kind = "serial"

    def __init__(self, daemon, name, path, burst, pause):
        self.line = Line(path)
        self.holder = os.open(self.line.device, os.O_RDWR | os.O_NOCTTY)  # so that the board never sees a hangup
        self.script = PRINTER % (burst, pause)
        self.board = None
        super().__init__(daemon, daemon.create(name, config={"serial.device": self.line.path}))

    def start(self):
        self.stop_board()
        self.instance.start()
        self.line.wait_open()
        os.set_blocking(self.line.master, True)
        ends = {"stdin": self.line.master, "stdout": self.line.master}
        self.board = subprocess.Popen(["sh", "-c", self.script], start_new_session=True, **ends)
        return self.started()

    def stop_board(self):
        if self.board:
            os.killpg(self.board.pid, signal.SIGKILL)
            self.board.wait()
            self.board = None

    def ended(self, watched=True):
        self.instance.wait_status(STOPPED)
        wait_until(lambda: not self.keeper(), 10, f"the end of {self.name}'s keeper")

    def vanish(self):
        super().vanish()
        self.stop_board()
        os.close(self.holder)
        self.line.remove()
