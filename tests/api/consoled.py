# SPDX-License-Identifier: Apache-2.0
"""Starting, ending and looking at a consoled of one's own, in a directory of its own."""

import os
import re
import select
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

from rest import Api, Instance, wait_until

ROOT = Path(__file__).resolve().parents[2]
CONSOLED = os.environ.get("CONSOLED", str(ROOT / "build/daemon/consoled"))
KEEPER = os.environ.get("CONSOLED_KEEPER", str(Path(CONSOLED).parents[1] / "pty/consoled-keeper"))
KEEPERS = ("consoled-keeper", "consoled-keeper-lxc", "consoled-keeper-qemu", "consoled-keeper-serial")
MARKER = "CONSOLED_TEST_DIR"  # in the environment of everything that tests start, so that what is left can be found
SANITIZERS = {
    "ASAN_OPTIONS": "quarantine_size_mb=8",  # freed memory that is kept would look like a leak to tests of memory
    "UBSAN_OPTIONS": "print_stacktrace=1",
}
REPORTS = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion .* failed")


def rounds(count, least=10):
    """How often a test repeats: `count`, or a twentieth of it with CONSOLED_TEST_QUICK=1."""
    return max(least, count // 20) if os.environ.get("CONSOLED_TEST_QUICK") == "1" else count


# --- processes ---


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _mentions(pid, directory):
    for name in ("cmdline", "environ"):
        try:
            if directory.encode() in Path(f"/proc/{pid}/{name}").read_bytes():
                return True
        except OSError:
            continue
    return False


def processes_of(directory):
    """Pids whose command line or environment names `directory`: daemons, keepers, marked guests, clients."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]
    return sorted(pid for pid in pids if _mentions(pid, str(directory)) and cmdline(pid))


def process_state(pid):
    """The kernel's letter (S, R, T, Z ..), or "" where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def name_of(pid):
    """What the process calls itself; "" where there is no such process."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def parent(pid):
    """The parent's pid, 0 where there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def alive(pid):
    """Whether `pid` runs; a zombie does not."""
    return process_state(pid) not in ("", "Z")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid):
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def instrumented(pid):
    """Whether the process runs under AddressSanitizer, which keeps freed memory."""
    return b"__asan_" in Path(f"/proc/{pid}/exe").read_bytes()


# --- servers ---


class Server:
    """What tests can rely on, with a daemon of ours or a foreign one."""

    foreign = False

    def __init__(self, socket, home):
        self.socket, self.home = str(socket), Path(home)
        self.api = Api(self.socket)
        self.home.mkdir(parents=True, exist_ok=True)

    def environment(self):
        """For clients: they find this server and no other, and their settings are thrown away."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LXD_", "INCUS_"))}
        own = {
            "HOME": self.home,
            "XDG_CONFIG_HOME": self.home / ".config",
            "LXD_DIR": Path(self.socket).parent,
            MARKER: self.home,
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
        }
        return {**kept, **{name: str(value) for name, value in own.items()}}

    def lxc(self, *arguments, input=None, timeout=40):
        """Runs lxc to its end."""
        return subprocess.run(
            ["lxc", *arguments],
            env=self.environment(),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
        )


class Foreign(Server):
    """A server that somebody else runs (LXD): CONSOLED_TEST_SOCKET names its socket."""

    foreign = True

    def __init__(self, socket):
        self.directory = Path(tempfile.mkdtemp(prefix="cf-", dir="/tmp"))
        super().__init__(socket, self.directory / "home")

    def close(self):
        shutil.rmtree(self.directory)


class Daemon(Server):
    """A consoled of ours. close() ends it and everything it has started, and complains about what it finds."""

    def __init__(self, *options):
        self.directory = Path(tempfile.mkdtemp(prefix="cd-", dir="/tmp"))
        super().__init__(self.directory / "unix.socket", self.directory / "home")
        self.options = options
        self.prefix = []  # a command that runs consoled
        self.errors = self.directory / "stderr"
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def spawn(self):
        """Runs consoled on this directory and returns the process, ready or not."""
        with open(self.errors, "ab") as errors:
            return subprocess.Popen(
                [*self.prefix, CONSOLED, "--dir", str(self.directory), "--keeper", KEEPER, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **SANITIZERS, MARKER: str(self.directory)},
                start_new_session=True,
            )

    def start(self):
        self.process = self.spawn()
        line = b""
        while b"ready" not in line:
            readable, _, _ = select.select([self.process.stdout], [], [], 20)
            data = os.read(self.process.stdout.fileno(), 4096) if readable else b""
            if not data:
                self.kill()
                raise AssertionError(f"consoled did not get ready; stdout {line!r}, stderr:\n{self.stderr()}")
            line += data
        return self

    def terminate(self):
        """SIGTERM; asserts a clean end. Instances go on."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process.stdout.close()
        assert code == 0, f"consoled ended with {code}:\n{self.stderr()}"

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stderr(self):
        return self.errors.read_text(errors="replace") if self.errors.exists() else ""

    def keepers(self):
        """Pids of the keepers, by instance: a keeper's command line ends in the instance's name."""
        found = {}
        for pid in processes_of(self.directory):
            words = cmdline(pid).split()
            # By a keeper for containers: for a moment, or (pty/targets/relay.h) for as long as the container.
            forked = cmdline(parent(pid)).split() == words or name_of(pid) == "console-input"
            if words and Path(words[0]).name in KEEPERS and alive(pid) and not forked:
                found[words[-1]] = pid
        return found

    def close(self):
        try:
            self._end()
            report = REPORTS.search(self.stderr())
            assert not report, f"a report on stderr:\n{self.stderr()}"
        finally:
            shutil.rmtree(self.directory)

    def _end(self):
        try:
            if self.running():
                self.terminate()
        finally:
            if self.running():
                self.kill()
            self._end_instances()

    def _end_instances(self):
        """What a SIGTERM leaves running, by design, ends here: keepers first, then what they kept."""
        for pid in [*self.keepers().values(), *processes_of(self.directory)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not processes_of(self.directory), 10, f"no process of {self.directory} left")

    # --- instances ---

    def create(self, name, command=None, **body):
        """Makes an instance of `command`. config= adds keys; other keywords go into the body."""
        config = {f"environment.{MARKER}": str(self.directory), "environment.PS1": "$ ", **body.pop("config", {})}
        if command is not None:
            config["process.command"] = command
        body = {"name": name, "type": "container", "source": {"type": "none"}, "config": config, **body}
        self.api.do("POST", "/1.0/instances", body)
        return Instance(self.api, name)

    def open_to_all(self):
        """Lets every user of this machine connect, for tests with several of them."""
        self.directory.chmod(self.directory.stat().st_mode | stat.S_IXOTH)
        Path(self.socket).chmod(0o666)
