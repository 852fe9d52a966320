# SPDX-License-Identifier: Apache-2.0
"""Under a service manager: its socket (sd_listen_fds(3)), what it is told (sd_notify(3)), and the units for systemd."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from consoled import CONSOLED, KEEPER, MARKER, ROOT, SANITIZERS, Daemon, alive
from rest import wait_until

UNITS = ROOT / "contrib/systemd"
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")

# Passes the descriptors $1, $2.. as 3, 4.. to what is behind the word `--`. For bash: dash knows those up to 9 only.
PASS = r"""
next=3
while [ "$1" != -- ]; do eval "exec $next<&$1"; next=$((next + 1)); shift; done
shift
[ -n "$LISTEN_PID" ] || export LISTEN_PID=$$
exec "$@"
"""


def passing(*sockets, count=None, pid=""):
    """How a service manager starts a program: a command to put before it, and more for Popen."""
    numbers = [each.fileno() for each in sockets]
    assert all(number > 9 for number in numbers) or not numbers, "would be overwritten on the way"
    environment = {"LISTEN_FDS": str(len(numbers)) if count is None else count, "LISTEN_PID": pid, "LISTEN_FDNAMES": "x"}
    return ["bash", "-c", PASS, "bash", *map(str, numbers), "--"], {"pass_fds": numbers}, environment


def high(made):
    """The socket, with a number out of the way of those that it will be passed as."""
    number = os.dup(made.fileno())
    spare = []
    while number < 10:
        spare.append(number)
        number = os.dup(made.fileno())
    for each in (*spare, made.detach()):
        os.close(each)
    return socket.socket(fileno=number)


def listening(path, mode=0o600):
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    if isinstance(path, Path):
        path.chmod(mode)
    made.listen(100)
    return high(made)


class Managed(Daemon):
    """A daemon that is started as a service manager does it: with its listening socket, and a socket to notify."""

    def __init__(self, *options):
        super().__init__(*options)
        self.listener = listening(self.directory / "unix.socket")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(self.directory / "notify"))
        self.manager.settimeout(20)

    def spawn(self):
        before, how, environment = passing(self.listener)
        with open(self.errors, "ab") as errors:
            return subprocess.Popen(
                [*before, CONSOLED, "--dir", str(self.directory), "--keeper", KEEPER, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={
                    **os.environ,
                    **SANITIZERS,
                    **environment,
                    MARKER: str(self.directory),
                    "NOTIFY_SOCKET": str(self.directory / "notify"),
                },
                start_new_session=True,
                **how,
            )

    def told(self):
        """The next message, as its lines."""
        return self.manager.recv(1000).decode().splitlines()

    def close(self):
        super().close()
        self.listener.close()
        self.manager.close()


@pytest.fixture
def managed():
    daemon = Managed()
    yield daemon
    daemon.close()


# --- the socket ---


def test_serves_the_socket_that_was_passed(managed):
    """Socket activation: a client that came before the daemon is answered; the socket stays when the daemon goes, and
    one who comes then is answered by the next."""
    answers = []

    def ask():
        answers.append(managed.api.get("/1.0").status)

    first = threading.Thread(target=ask)
    first.start()
    managed.start()
    first.join(20)
    assert answers == [200]
    managed.terminate()
    assert Path(managed.socket).is_socket()
    second = threading.Thread(target=ask)
    second.start()
    managed.start()
    second.join(20)
    assert answers == [200, 200]


def test_no_request_fails_while_the_daemon_is_replaced(managed, open_session):
    """Promise 10: under a service manager a daemon that is killed is not even missed: clients wait at the socket, and
    the instances go on."""
    managed.start()
    instance = managed.create("x", "sh -i").start()
    pid = instance.pid
    done = threading.Event()
    statuses = set()

    def ask():
        while not done.is_set():
            try:
                statuses.add(managed.api.get("/1.0/instances/x").status)
            except (ConnectionResetError, BrokenPipeError, http.client.HTTPException):
                pass  # it had been accepted by the one that was killed
            except OSError as error:
                statuses.add(repr(error))

    client = threading.Thread(target=ask)
    client.start()
    for _ in range(5):
        managed.kill()
        managed.start()
        assert managed.api.get("/1.0").status == 200
    done.set()
    client.join(20)
    assert statuses == {200}
    assert instance.pid == pid and alive(pid)
    session = open_session(instance)
    assert b"kept" in session.run("echo kept")


def test_passed_to_the_daemon_alone(managed):
    """S8, S12: neither the socket nor the variables that announce it reach keepers and programs."""
    managed.start()
    instance = managed.create("x", "sleep 1000").start()
    inode = os.fstat(managed.listener.fileno()).st_ino
    for pid in (managed.keepers()["x"], instance.pid):
        names = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        assert f"socket:[{inode}]" not in names
        assert b"LISTEN_" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert f"socket:[{inode}]" in [
        os.readlink(f"/proc/{managed.pid}/fd/{number}") for number in os.listdir(f"/proc/{managed.pid}/fd")
    ]


def test_passed_to_somebody_else(tmp_path):
    """sd_listen_fds(3): variables that name another process are not ours; the daemon makes its own socket."""
    daemon = Daemon()
    stranger = listening(tmp_path / "s")
    before, how, environment = passing(stranger, pid="1")
    daemon.prefix = ["env", *(f"{name}={value}" for name, value in environment.items())]
    try:
        daemon.start()
        assert daemon.api.get("/1.0").status == 200
        daemon.terminate()
        assert not Path(daemon.socket).exists()
    finally:
        daemon.close()
        stranger.close()


def datagram(path):
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(path))
    return [high(made)]


def deaf(path):
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    return [high(made)]


def internet(path):
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen()
    return [high(made)]


def plain_file(path):
    path.write_text("")
    return [open(os.dup2(os.open(path, os.O_RDONLY), 40))]


@pytest.mark.parametrize(
    "make, options, reason",
    [
        (datagram, [], "no listening unix socket"),
        (deaf, [], "no listening unix socket"),
        (internet, [], "no listening unix socket"),
        (plain_file, [], "no listening unix socket"),
        (lambda path: [listening(f"\0{path}")], [], "has no path"),
        (lambda path: [listening(path, 0o666)], [], "Everybody may connect"),
        (lambda path: [listening(path), listening(path.with_suffix(".2"))], [], "has passed 2 sockets"),
        (lambda path: [listening(path)], ["--group", "root"], "--group"),
    ],
    ids=["datagram", "deaf", "internet", "file", "abstract", "mode", "two", "group"],
)
def test_refuses_what_it_cannot_serve_safely(tmp_path, make, options, reason):
    """S8, S10: who can connect can have the daemon run anything, so no socket is served that is not a path's with a
    mode that keeps others out; it says why, and touches nothing."""
    sockets = make(tmp_path / "s")
    before, how, environment = passing(*sockets)
    result = subprocess.run(
        [*before, CONSOLED, "--dir", str(tmp_path / "d"), *options],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
        **how,
    )
    assert result.returncode == 1 and result.stdout == ""
    assert reason in result.stderr
    assert not (tmp_path / "d").exists()
    for each in sockets:
        each.close()


@needs_systemd
def test_started_by_systemds_own_tool(tmp_path):
    """Socket activation, by systemd-socket-activate(1): the first to connect brings the daemon up."""
    directory = Path(tempfile.mkdtemp(prefix="cd-", dir="/tmp"))
    daemon = Daemon()
    path = directory / "unix.socket"
    activator = subprocess.Popen(
        ["systemd-socket-activate", "--listen", path, CONSOLED, "--dir", str(daemon.directory), "--keeper", KEEPER],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **SANITIZERS, MARKER: str(daemon.directory)},
        umask=0o077,
    )
    try:
        wait_until(path.exists, what="systemd-socket-activate listens")
        daemon.api.path = str(path)
        assert wait_until(lambda: connects(path)) and daemon.api.get("/1.0").status == 200
        activator.send_signal(signal.SIGTERM)
        assert activator.wait(20) == 0
        assert path.is_socket() and not Path(daemon.socket).exists()
    finally:
        activator.kill()
        activator.communicate()
        daemon.close()
        shutil.rmtree(directory)


def connects(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


# --- what the manager is told ---


def test_told_what_goes_on(managed):
    """sd_notify(3): ready when it answers, with the socket's path as its status; then that it is stopping."""
    managed.start()
    assert managed.told() == ["READY=1", f"STATUS=Serving {managed.socket}"]
    assert managed.api.get("/1.0").status == 200
    managed.terminate()
    assert managed.told() == ["STOPPING=1", "STATUS=Ending; instances go on"]
    managed.start()
    assert managed.told()[0] == "READY=1"


def test_not_ready_if_it_cannot_start(managed):
    """sd_notify(3): a daemon that does not start has never been ready."""
    managed.listener.close()
    managed.listener = listening(managed.directory / "other", 0o666)
    process = managed.spawn()
    assert process.wait(20) == 1
    process.stdout.close()
    managed.manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        managed.told()


# --- the units ---


@pytest.fixture
def units(tmp_path):
    """The units as they are installed, but for the program, which is the one under test."""
    text = (UNITS / "consoled.service.in").read_text()
    (tmp_path / "consoled.service").write_text(text.replace("@sbindir@/consoled", str(Path(CONSOLED).resolve())))
    shutil.copy(UNITS / "consoled.socket", tmp_path)
    return tmp_path


def settings(path):
    """The unit's lines, less comments."""
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


@needs_systemd
def test_units_are_right(units):
    """systemd-analyze verify finds nothing to say."""
    files = [str(units / name) for name in ("consoled.service", "consoled.socket")]
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, timeout=50
    )
    said = [line for line in result.stderr.splitlines() if "consoled" in line]  # of other units here it may have much
    assert (result.returncode, said) == (0, []), result.stderr


@needs_systemd
def test_exposure_is_what_we_say(units):
    """systemd-analyze security: the score in SECURITY.md is the unit's."""
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(units / "consoled.service")],
        capture_output=True,
        text=True,
        timeout=50,
    )
    score = result.stdout.split("Overall exposure level for consoled.service: ")[1].split()[0]
    assert f"exposure level {score}" in (ROOT / "SECURITY.md").read_text().replace("\n", " ")


def test_units_keep_instances_alive_and_strangers_out():
    """Promise 10, S8: what all depends on: only the daemon is killed, and the socket is not everybody's."""
    service, listener = settings(UNITS / "consoled.service.in"), settings(UNITS / "consoled.socket")
    assert {"KillMode=process", "OOMPolicy=continue", "Type=notify", "Requires=consoled.socket"} <= set(service)
    assert {"SocketMode=0660", "SocketGroup=consoled"} <= set(listener)
    assert settings(UNITS / "consoled.conf") == ["g consoled -"]
