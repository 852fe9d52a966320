# SPDX-License-Identifier: Apache-2.0
"""What a daemon and its instances are on this machine: processes, descriptors, files, operations, memory. Taken twice,
it shows what has been left over meanwhile."""

import collections
import os
import re
from pathlib import Path

from consoled import cmdline, instrumented, parent, process_state, processes_of
from guest import mounts
from rest import wait_until

FINAL = {"success", "failure", "cancelled"}  # what GET /1.0/operations calls operations that have ended
GROWTH = 4 << 20  # bytes that are nothing: SQLite's cache alone becomes 2 MB in time


def kinds_of_descriptors(pid, directory):
    """How many descriptors of each kind a process has: {"socket:[N]": 3, ..}."""
    found = collections.Counter()
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError:
        return found  # it has ended
    for name in names:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        found[re.sub(r"\d+", "N", target.replace(str(directory), ""))] += 1
    return found


def own_memory(pid):
    """Resident bytes that are no file's."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^RssAnon:\s*(\d+) kB$", status, re.M).group(1)) * 1024


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def zombies_of(pids):
    """Children of these processes that have ended and that nobody has waited for."""
    return [pid for pid in processes() if process_state(pid) == "Z" and parent(pid) in pids]


def working_in(directory):
    """The processes that have their working directory in `directory`, as QEMU does."""
    found = []
    for pid in processes():
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(f"{directory}/"):
                found.append(pid)
        except OSError:
            continue
    return found


def files(directory):
    """The names in run/ and consoles/, but for files that come and go with a terminal's holder."""
    found = set()
    for part in ("run", "consoles"):
        top = Path(directory, part)
        found.update(str(path.relative_to(directory)) for path in top.rglob("*"))
    return found


class Traces:
    """A look at a daemon that serves nobody. `passing` matches the command lines of processes that come and go."""

    def __init__(self, daemon, passing=r"^sleep "):
        self.daemon, self.passing = daemon, re.compile(passing)

    def settled(self):
        """Waits until no operation goes on."""
        wait_until(lambda: set(self.daemon.api.read("/1.0/operations")) <= FINAL, 30, "all operations final")
        return self

    def processes(self):
        lines = map(cmdline, {*processes_of(self.daemon.directory), *working_in(self.daemon.directory)})
        return collections.Counter(line for line in lines if line and not self.passing.match(line))

    def look(self):
        daemon, directory = self.daemon, self.daemon.directory
        keepers = daemon.keepers()
        return {
            "instances": collections.Counter(daemon.api.read("/1.0/instances")),
            "processes": self.processes(),
            "zombies": collections.Counter(zombies_of({daemon.pid, *keepers.values()})),
            "descriptors of the daemon": kinds_of_descriptors(daemon.pid, directory),
            **{f"descriptors of {name}": kinds_of_descriptors(pid, directory) for name, pid in keepers.items()},
            "files": collections.Counter(files(directory)),
            "mounts": collections.Counter(line.split()[4] for line in mounts(daemon) if f"{directory}/" in line),
        }

    def more_than(self, before):
        """What there is now that was not there at the time of an earlier look()."""
        found = {}
        for what, now in self.look().items():
            more = now - before.get(what, collections.Counter())
            if more:
                found[what] = dict(more)
        return found

    def assert_no_more_than(self, before):
        holder = {}

        def nothing():
            holder["more"] = self.more_than(before)
            return not holder["more"]

        try:
            wait_until(nothing, 15)
        except AssertionError:
            raise AssertionError(f"left over: {holder['more']}") from None

    def memory(self):
        """Bytes that are the daemon's and each keeper's own, without the logs' files; none of those under
        AddressSanitizer, which keeps freed memory."""
        pids = {"daemon": self.daemon.pid, **self.daemon.keepers()}
        return {name: own_memory(pid) for name, pid in pids.items() if not instrumented(pid)}

    def assert_memory(self, before):
        grown = {name: (before[name], now) for name, now in self.memory().items() if now > before.get(name, now) + GROWTH}
        assert not grown, f"resident memory has grown: {grown}"
