# SPDX-License-Identifier: Apache-2.0
"""Pictures of virtual machines' screens: GET /1.0/instances/NAME/console?type=vga."""

import http.client
import json
import os
import pwd
import random
import signal
import struct
import subprocess
import threading
import time
import zlib

import pytest

from consoled import ROOT, rounds
from machine import FLOOD, FLOODED, READY, MachineDaemon
from rest import FROZEN, STOPPED, UnixConnection, wait_until
from test_events import Listener
from test_loops import Flat

DAEMON = MachineDaemon
pytestmark = pytest.mark.timeout(120)

AT_ONCE = 4  # that one machine's daemon lets in
PATIENCE = 10  # seconds that it gives QEMU
TEXT_MODE = (720, 400)


class Picture:
    """A PNG, as QEMU writes it: 8 bits each of red, green and blue. Checks that it is whole."""

    def __init__(self, data):
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        chunks, at = [], 8
        while at < len(data):
            (length,) = struct.unpack_from(">I", data, at)
            kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
            (check,) = struct.unpack_from(">I", data, at + 8 + length)
            assert check == zlib.crc32(kind + body), kind
            chunks.append((kind, body))
            at += 12 + length
        assert chunks[0][0] == b"IHDR" and chunks[-1] == (b"IEND", b"")
        width, height, *how = struct.unpack(">IIBBBBB", chunks[0][1])
        assert how == [8, 2, 0, 0, 0], how
        self.size = (width, height)
        pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
        line = 1 + 3 * width
        assert len(pixels) == line * height
        # As PNG's filters have left them: a line that is like the one above it may be all zeros.
        self.lines = {pixels[begin + 1 : begin + line] for begin in range(0, len(pixels), line)}

    def shows_something(self):
        return len(self.lines) > 2


def shoot(guest):
    return guest.api.get(guest.url + "/console?type=vga")


def picture(guest):
    answer = shoot(guest)
    assert answer.status == 200, answer
    return Picture(answer.body)


class Shot:
    """A request whose answer is taken later, or never."""

    def __init__(self, guest):
        self.connection = UnixConnection(guest.api.path)
        self.connection.request("GET", guest.url + "/console?type=vga", headers={"Connection": "close"})

    def leave(self):
        self.connection.close()

    def answer(self):
        """Its status, and the picture or the error's words."""
        response = self.connection.getresponse()
        body = response.read()
        self.leave()
        return response.status, Picture(body) if response.status == 200 else json.loads(body)["error"]


def memfds(pid):
    """How many descriptors of pictures a process has."""
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("/memfd:screenshot")
        except FileNotFoundError:
            pass
    return count


def wait_visits(daemon, number):
    """Until so many are under way: each has its picture twice, once for QEMU."""
    wait_until(lambda: memfds(daemon.pid) == 2 * number, what=f"{number} screenshots under way")


@pytest.fixture
def stand_still():
    """Stops QEMU as a hung one stands; at the end of the test it goes on."""
    stopped = []

    def stop(guest):
        stopped.append(guest.pid)
        os.kill(guest.pid, signal.SIGSTOP)

    yield stop
    for pid in stopped:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


def go_on(guest):
    os.kill(guest.pid, signal.SIGCONT)


@pytest.fixture
def booted(machine):
    return machine().wait_boot()


@pytest.fixture
def killable(own_daemon, machine):
    """One on a daemon that may be killed."""
    return machine(on=own_daemon).wait_boot()


# --- the picture ---


def test_picture(booted):
    """Machines: a PNG of the screen, which nobody is to keep."""
    answer = shoot(booted)
    assert answer.status == 200 and Picture(answer.body).size == TEXT_MODE
    assert Picture(answer.body).shows_something()
    headers = answer.headers
    assert headers["Content-Type"] == "image/png" and headers["Content-Length"] == str(len(answer.body))
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert booted.api.get(f"/1.0/virtual-machines/{booted.name}/console?type=vga").status == 200


def test_extension(daemon):
    """Incus: its clients look for this before they ask."""
    assert "instance_console_screenshot" in daemon.api.read("/1.0")["api_extensions"]


def test_what_is_there_now(machine, daemon):
    """Machines: of the mode that the guest has set, each pixel."""
    disk = daemon.directory / "vbe.disk"
    subprocess.run([ROOT / "tests/guests/vbe", disk], check=True)
    os.chown(disk, daemon.directory.stat().st_uid, -1)
    guest = machine(disk={"source": str(disk)}).wait_boot()
    shown = picture(guest)
    assert shown.size == (1280, 800) and len(shown.lines) == 800  # noise: no line is like another


def test_event(booted):
    """Incus: that somebody has looked is told, and by whom; not of one that could not."""
    listener = Listener(booted.daemon.socket, "?type=lifecycle")
    picture(booted)
    event = listener.action("instance-console-retrieved", booted.url)
    assert event["metadata"]["context"] == {"type": "vga"}
    assert event["metadata"]["requestor"]["protocol"] == "unix"
    listener.websocket.abort()


def test_frozen(booted):
    """Machines: one that stands still has a screen, too."""
    before = picture(booted)
    booted.freeze()
    assert picture(booted).lines == before.lines and booted.status == FROZEN
    booted.unfreeze()


def test_one_after_the_other(booted):
    """Machines: looking changes nothing, and leaves nothing."""
    files = sorted(booted.run.iterdir())
    for _ in range(10):
        assert picture(booted).size == TEXT_MODE
    assert sorted(booted.run.iterdir()) == files and memfds(booted.pid) == 0
    assert booted.log() == READY
    booted.stop()
    booted.assert_ended()


def test_flat(booted, daemon):
    """Promise 7: neither the daemon nor QEMU keeps anything of fifty."""
    picture(booted)
    with Flat(daemon):
        for _ in range(50):
            assert picture(booted).size == TEXT_MODE
    assert memfds(booted.pid) == memfds(daemon.pid) == 0


def test_at_once(booted):
    """Machines: each gets its picture, or is told that there are too many."""
    for _ in range(3):
        shots = [Shot(booted) for _ in range(10)]
        answers = [shot.answer() for shot in shots]
        good = [answer for status, answer in answers if status == 200]
        assert len(good) >= AT_ONCE and all(each.size == TEXT_MODE for each in good)
        for status, answer in answers:
            assert status == 200 or (status, answer) == (503, f"Too many screenshots of {booted.name} at once: limits.screenshots is 4")


def test_while_a_console_floods(booted, open_session):
    """Promise 3: nor does it cost the serial console a byte."""
    session = open_session(booted).type(FLOOD)
    session.expect_bytes(1000)
    shown = 0
    while len(booted.log()) < len(READY + FLOODED):
        shown += picture(booted).size == TEXT_MODE
    assert shown and session.expect_bytes(len(FLOODED)) == FLOODED
    assert booted.log() == READY + FLOODED


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_by_an_ordinary_user(make_daemon, machine):
    """Design: it needs no root."""
    daemon = make_daemon(uid=pwd.getpwnam("nobody").pw_uid)
    guest = machine(on=daemon).wait_boot()
    assert picture(guest).size == TEXT_MODE
    guest.stop()
    guest.assert_ended()


# --- where there is none ---


def test_stopped(machine):
    """Incus: a 400, before the first start and after the last."""
    guest = machine(start=False)
    for _ in range(2):
        answer = shoot(guest)
        assert (answer.status, answer.error) == (400, "Instance is not running")
        guest.start().stop()


def test_program(make):
    """Protocol 10: what has no screen gives its log; so does Incus of a container."""
    instance = make("sh -c 'echo hello; exec cat'")
    instance.wait_log(b"hello\r\n")
    answer = shoot(instance)
    assert (answer.status, answer.body) == (200, b"hello\r\n")
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_without_a_card(machine):
    """Machines: a machine without a screen is told by QEMU."""
    guest = machine(config={"raw.qemu": "-vga none"}).wait_boot()
    answer = shoot(guest)
    assert (answer.status, answer.error) == (500, "QEMU: There is no console to take a screendump from")
    assert memfds(guest.pid) <= 1  # until the next one


def test_without_a_monitor(booted):
    """Machines: who is to be asked may be gone, or have been started by a consoled that had no use for it."""
    (booted.run / "qmp").unlink()
    answer = shoot(booted)
    assert (answer.status, answer.error) == (500, "QEMU's monitor cannot be reached: No such file or directory")
    booted.restart()
    assert picture(booted.wait_boot(2)).size == TEXT_MODE


def test_monitor_that_is_a_link(machine):
    """S9: a QEMU that has been taken over cannot have us visit another."""
    theirs, ours = machine().wait_boot(), machine().wait_boot()
    (ours.run / "qmp").unlink()
    (ours.run / "qmp").symlink_to(theirs.run / "qmp")
    answer = shoot(ours)
    assert (answer.status, answer.error) == (500, "QEMU's monitor cannot be reached: Connection refused")
    assert picture(theirs).size == TEXT_MODE


# --- a QEMU that hangs, ends, is left ---


def test_hung(booted, make, stand_still):
    """Machines: a QEMU that does not answer costs its own client ten seconds, and nobody else anything."""
    other = make("sh -i")
    stand_still(booted)
    started = time.monotonic()
    shot = Shot(booted)
    wait_visits(booted.daemon, 1)
    while time.monotonic() < started + PATIENCE / 2:
        before = time.monotonic()
        other.state()
        assert time.monotonic() - before < 2
    assert shot.answer() == (500, "QEMU does not answer")
    assert PATIENCE - 1 < time.monotonic() - started < PATIENCE + 5
    go_on(booted)
    assert picture(booted).size == TEXT_MODE


def test_limit(booted, stand_still):
    """Machines: so many wait for one QEMU; one more is told so at once, and when it goes on all others have theirs."""
    stand_still(booted)
    shots = [Shot(booted) for _ in range(AT_ONCE)]
    wait_visits(booted.daemon, AT_ONCE)
    answer = shoot(booted)
    assert (answer.status, answer.error) == (503, f"Too many screenshots of {booted.name} at once: limits.screenshots is 4")
    go_on(booted)
    for shot in shots:
        assert shot.answer()[1].size == TEXT_MODE
    assert picture(booted).size == TEXT_MODE


def test_limit_is_of_each(machine, stand_still):
    """Machines: those who wait for one machine do not keep others out."""
    hung, other = machine().wait_boot(), machine().wait_boot()
    stand_still(hung)
    shots = [Shot(hung) for _ in range(AT_ONCE)]
    wait_visits(hung.daemon, AT_ONCE)
    assert picture(other).size == TEXT_MODE
    for shot in shots:
        shot.leave()
    wait_visits(hung.daemon, 0)


def test_client_leaves(booted, daemon, stand_still):
    """T6: nothing stays of those who have left, and their places are free."""
    with Flat(daemon):
        stand_still(booted)
        for _ in range(rounds(10, 3)):
            shots = [Shot(booted) for _ in range(AT_ONCE)]
            wait_visits(daemon, AT_ONCE)
            for shot in shots:
                shot.leave()
            wait_visits(daemon, 0)
        go_on(booted)
        assert picture(booted).size == TEXT_MODE
    assert memfds(booted.pid) == 0


def test_clients_leave_in_the_midst(booted, daemon):
    """T6: whatever QEMU has been given is taken back by the next one, or before: it does not pile up."""
    with Flat(daemon):
        for _ in range(rounds(200, 40)):
            shot = Shot(booted)
            time.sleep(random.uniform(0, 0.02))  # to leave at any time; nothing is waited for
            shot.leave()
            assert memfds(booted.pid) <= AT_ONCE
        wait_visits(daemon, 0)
        wait_until(lambda: shoot(booted).status == 200)
    assert memfds(booted.pid) == 0


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_machine_ends(booted, stand_still, how):
    """Machines: and with it the screenshot."""
    stand_still(booted)
    shot = Shot(booted)
    wait_visits(booted.daemon, 1)
    if how == "stop":
        booted.stop()
    else:
        os.kill(booted.pid, signal.SIGKILL)
    assert shot.answer() == (500, "QEMU has hung up")
    booted.wait_status(STOPPED)
    booted.assert_ended()


def test_deleted_meanwhile(booted, stand_still):
    """Machines: nothing of a screenshot needs the instance. Its answer comes from a QEMU that has gone."""
    stand_still(booted)
    shots = [Shot(booted) for _ in range(AT_ONCE)]
    wait_visits(booted.daemon, AT_ONCE)
    booted.discard()
    assert booted.api.get(booted.url).status == 404
    assert {shot.answer() for shot in shots} == {(500, "QEMU has hung up")}
    booted.assert_gone()


# --- the daemon ends ---


def test_daemon_ends_meanwhile(killable, own_daemon, stand_still):
    """Promise 10: at once, though QEMU does not answer; the machine goes on."""
    stand_still(killable)
    shot = Shot(killable)
    wait_visits(own_daemon, 1)
    started = time.monotonic()
    own_daemon.terminate()
    assert time.monotonic() - started < PATIENCE / 2
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        shot.answer()
    own_daemon.start()
    go_on(killable)
    assert picture(killable).size == TEXT_MODE


def test_daemon_killed_meanwhile(killable, own_daemon):
    """Promise 10: kill -9 at any time, and the next one sees the screen as if nothing had been."""
    for _ in range(rounds(20, 5)):
        shots = [Shot(killable) for _ in range(2)]
        time.sleep(random.uniform(0, 0.03))  # to be killed at any time; nothing is waited for
        own_daemon.kill()
        for shot in shots:
            shot.leave()
        own_daemon.start()
        assert picture(killable).size == TEXT_MODE
        assert memfds(killable.pid) == 0


def test_daemon_killed_while_qemu_hangs(killable, own_daemon, stand_still):
    """Promise 10: connections that wait in QEMU's queue with nobody at their other end are no harm."""
    stand_still(killable)
    for _ in range(3):
        shots = [Shot(killable) for _ in range(AT_ONCE)]
        wait_visits(own_daemon, AT_ONCE)
        own_daemon.kill()
        for shot in shots:
            shot.leave()
        own_daemon.start()
    go_on(killable)
    assert picture(killable).size == TEXT_MODE


def test_queue_that_is_full(killable, own_daemon, stand_still):
    """Machines: where QEMU's queue is full one waits to get in, and does when it goes on."""
    stand_still(killable)
    for _ in range(6):  # more than the queue holds
        shots = [Shot(killable) for _ in range(AT_ONCE)]
        wait_visits(own_daemon, AT_ONCE)
        own_daemon.kill()
        for shot in shots:
            shot.leave()
        own_daemon.start()
    shot = Shot(killable)
    wait_visits(own_daemon, 1)
    go_on(killable)
    assert shot.answer()[1].size == TEXT_MODE
