# SPDX-License-Identifier: Apache-2.0
"""Graphical consoles with the viewers that people use, through lxc as they use it."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from consoled import cmdline, parent, processes_of
from machine import READY
from rest import CANCELLED, RUNNING, SUCCESS, wait_until
from terminal import Terminal
from test_restart import kill_keeper
from viewer import LXC, SCREEN, TITLE, Display, SpiceClient, ViewerDaemon, take_picture

DAEMON = ViewerDaemon
pytestmark = pytest.mark.timeout(120)


class Console:
    """`lxc console --type=vga` where there is no viewer in the PATH: it prints the path of its socket and waits."""

    def __init__(self, guest, *command):
        self.daemon = guest.daemon
        self.others = self._operations()
        nothing = self.daemon.directory / "no-viewers"
        nothing.mkdir(exist_ok=True)
        self.terminal = Terminal(
            [shutil.which("lxc"), *(command or ("console", guest.name, "--type=vga"))],
            {**self.daemon.environment(), **LXC, "PATH": str(nothing)},
        )

    def _operations(self):
        return set(self.daemon.api.read("/1.0/operations").get("running", []))

    def open(self):
        self.uri = self.terminal.expect(r"(spice\+unix://\S+)\r\n").group(1).decode()
        self.socket = Path(self.uri.removeprefix("spice+unix://"))
        assert self.socket.is_socket()
        (operation,) = self._operations() - self.others
        self.operation = operation.rsplit("/", 1)[1]
        return self

    def result(self):
        return self.daemon.api.wait(self.operation)["status_code"]

    def assert_ended(self):
        """lxc has ended well, its socket is gone, the operation is final."""
        assert self.terminal.wait() == 0
        assert not self.socket.exists()
        assert self.result() == SUCCESS


def look(guest):
    """What the guest's screen shows, past the daemon: a picture."""
    return take_picture(guest.daemon, f"spice+unix://{guest.run}/spice")


MANY = {"consoled.viewers": "many"}


@pytest.fixture
def booted(machine):
    """One that looks from beside the daemon do not disturb."""
    return machine(config=MANY).wait_boot()


@pytest.fixture
def killable(own_daemon, machine):
    """One on a daemon that may be killed."""
    return machine(on=own_daemon, config=MANY).wait_boot()


@pytest.fixture
def console():
    """Runs lxc: console(guest), or console(guest, "start", "--console=vga", guest.name)."""
    consoles = []

    def run(guest, *command):
        consoles.append(Console(guest, *command))
        return consoles[-1].open()

    yield run
    for each in consoles:
        each.terminal.close()


@pytest.fixture
def client():
    """Connects SPICE clients with a console's socket: client(console) has its screen and its keyboard."""
    clients = []

    def connect(console):
        clients.append(SpiceClient(console.daemon, console.uri))
        return clients[-1].open()

    yield connect
    for each in clients:
        each.close()


def test_screenshot(booted, console):
    """Machines: LXD's own test: the socket is printed, a client sees the guest's screen and exits, then lxc does, and
    its socket is gone; as often as one likes."""
    wait_until(lambda: look(booted).text() == TITLE)
    for _ in range(2):
        graphical = console(booted)
        assert take_picture(booted.daemon, graphical.uri).text() == TITLE
        graphical.assert_ended()
    assert booted.status == RUNNING


def test_look_and_type(booted, console, client):
    """Machines: a viewer has the guest's screen, in its size, and its keyboard."""
    graphical = console(booted)
    viewer = client(graphical)
    assert viewer.size == SCREEN
    viewer.wait_text(TITLE)
    viewer.type("year")
    booted.wait_log(READY + b"year")
    viewer.wait_text("ready\nyear")
    viewer.leave()
    graphical.assert_ended()


def test_start_console(machine, console, client):
    """Machines: lxc start --console=vga."""
    guest = machine(start=False)
    graphical = console(guest, "start", "--console=vga", guest.name)
    viewer = client(graphical)
    viewer.wait_text(TITLE)
    viewer.leave()
    graphical.assert_ended()
    assert guest.status == RUNNING


def test_two_at_once(booted, console, client):
    """Machines: both see all, both type; one leaves, or dies, the other goes on."""
    first, second = console(booted), console(booted)
    staying, leaving = client(first), client(second)
    staying.type("ready")
    leaving.wait_text("ready\nready")
    leaving.type("year")
    staying.wait_text("ready\nreadyyear")
    leaving.leave()
    second.assert_ended()
    third = console(booted)
    dying = client(third)
    dying.wait_text("ready\nreadyyear")
    dying.kill()
    third.assert_ended()
    staying.type("dear")
    staying.wait_text("ready\nreadyyeardear")
    assert booted.log() == READY + b"readyyeardear"
    staying.leave()
    first.assert_ended()


def test_second_takes_over(machine, console, client):
    """Machines: where SPICE serves one viewer only, that is who came last; the first one's lxc ends, as after a detach."""
    guest = machine().wait_boot()
    first, second = console(guest), console(guest)
    leaving = client(first)
    leaving.wait_text(TITLE)
    staying = client(second)
    leaving.wait("closed")
    assert first.terminal.wait() == 0 and first.result() == CANCELLED
    staying.type("ready")
    staying.wait_text("ready\nready")
    staying.leave()
    second.assert_ended()


def test_lxc_killed(booted, console, client):
    """Machines: the viewer loses its connection, the operation ends well, and the next one works."""
    graphical = console(booted)
    viewer = client(graphical)
    graphical.terminal.signal(signal.SIGKILL)
    viewer.wait("closed")
    assert graphical.result() == SUCCESS
    client(console(booted)).wait_text(TITLE)


@pytest.mark.parametrize("command", ["stop", "restart"])
def test_stopped_while_attached(booted, console, client, lxc, command):
    """Machines: the end of the machine is that of its graphical console: the viewer's, and lxc's, with 0."""
    graphical = console(booted)
    viewer = client(graphical)
    lxc(command, "--force", booted.name)
    viewer.wait("closed")
    graphical.assert_ended()
    assert b"Error" not in graphical.terminal.output


def test_daemon_killed(killable, own_daemon, console, client):
    """Promise 10: the machine goes on, and the next daemon serves its screen."""
    graphical = console(killable)
    viewer = client(graphical)
    viewer.type("dear")
    viewer.wait_text("ready\ndear")
    pid = killable.pid
    own_daemon.kill()
    viewer.wait("closed")
    graphical.terminal.wait()
    own_daemon.start()
    assert (killable.status, killable.pid) == (RUNNING, pid)
    graphical = console(killable)
    viewer = client(graphical)
    viewer.type("year")
    viewer.wait_text("ready\ndearyear")
    viewer.leave()
    graphical.assert_ended()
    assert killable.log() == READY + b"dearyear"


def test_keeper_killed(killable, own_daemon, console, client):
    """Promise 10: a viewer does not even notice."""
    graphical = console(killable)
    viewer = client(graphical)
    kill_keeper(own_daemon, killable.name)
    viewer.type("year")
    viewer.wait_text("ready\nyear")
    killable.wait_log(READY + b"year")
    another = console(killable)
    assert take_picture(own_daemon, another.uri).text() == "ready\nyear"
    another.assert_ended()
    viewer.leave()
    graphical.assert_ended()


# --- remote-viewer ---


@pytest.fixture
def display(daemon):
    screen = Display(daemon)
    yield screen
    screen.close()


def test_remote_viewer(booted, display):
    """Machines: `lxc console --type=vga` runs remote-viewer, in which the guest's screen is to be seen pixel by pixel;
    it is closed, and lxc ends with 0."""
    wait_until(lambda: look(booted).text() == TITLE)
    seen = look(booted)
    with Terminal(["lxc", "console", booted.name, "--type=vga"], display.environment()) as terminal:
        wait_until(lambda: display.picture().find(seen), what="the guest's screen in remote-viewer's window")
        viewer = next(pid for pid in processes_of(booted.daemon.directory) if parent(pid) == terminal.process.pid)
        assert "remote-viewer spice+unix://" in cmdline(viewer)
        os.kill(viewer, signal.SIGTERM)
        assert terminal.wait() == 0, terminal.output
