# SPDX-License-Identifier: Apache-2.0
"""Real viewers of graphical consoles, and what can be seen in them."""

import json
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from machine import MachineDaemon
from rest import wait_until

TITLE = "ready"  # the first line that the guest shows
CELL = (9, 16)  # pixels of one character in its text mode
SCREEN = (720, 400)
# lxc leaves when its last connection has gone; and now and then, if its threads run side by side, when its first one has
# only just come.
LXC = {"GOMAXPROCS": "1"}
XWD_HEADER = struct.Struct(">25I")


def why_not():
    """Why no viewer can be run here, or None."""
    for program in ("spicy-screenshot", "remote-viewer", "Xvfb"):
        if not shutil.which(program):
            return f"there is no {program}"
    try:
        import gi

        gi.require_version("SpiceClientGLib", "2.0")
    except (ImportError, ValueError) as error:
        return str(error)
    return None


class ViewerDaemon(MachineDaemon):
    """Skips where there can be no viewers either."""

    def __init__(self, *options):
        reason = why_not()
        if reason:
            (pytest.fail if os.environ.get("CONSOLED_TEST_STRICT") == "1" else pytest.skip)(reason)
        super().__init__(*options)


# --- pictures ---


class Picture:
    """`rows` of pixels, each three bytes: red, green, blue."""

    def __init__(self, width, height, rows):
        self.width, self.height, self.rows = width, height, rows

    @property
    def size(self):
        return self.width, self.height

    def _cell(self, column, line):
        width, height = CELL
        rows = self.rows[line * height : (line + 1) * height]
        return b"".join(row[column * width * 3 : (column + 1) * width * 3] for row in rows)

    def text(self):
        """What a guest's screen in text mode shows, as lines; its first line is what the characters look like. None if
        there is no such line."""
        if self.size != SCREEN:
            return None
        looks = {self._cell(column, 0): character for column, character in enumerate(TITLE)}
        blank = bytes(CELL[0] * CELL[1] * 3)
        if blank in looks or len(looks) < len(TITLE):
            return None
        looks[blank] = " "
        columns, lines = range(self.width // CELL[0]), range(self.height // CELL[1])
        shown = ("".join(looks.get(self._cell(column, line), "?") for column in columns) for line in lines)
        return "\n".join(line.rstrip() for line in shown).rstrip()

    def find(self, part):
        """Where in this picture `part`, which must not be all black, is to be seen; None if nowhere."""
        marked = next(number for number, row in enumerate(part.rows) if any(row))
        for number, row in enumerate(self.rows):
            left, top = row.find(part.rows[marked]), number - marked
            right, bottom = left + 3 * part.width, top + part.height
            if left >= 0 <= top and [line[left:right] for line in self.rows[top:bottom]] == part.rows:
                return left // 3, top
        return None


def read_ppm(path):
    """A picture in the binary format of ppm(5), as our viewers write it."""
    _, size, _, pixels = Path(path).read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    assert len(pixels) == width * height * 3
    return Picture(width, height, [pixels[width * 3 * row : width * 3 * (row + 1)] for row in range(height)])


def read_xwd(path):
    """A picture as Xvfb has it, 24 bits deep: X11/XWDFile.h."""
    data = Path(path).read_bytes()
    header = XWD_HEADER.unpack_from(data)
    start, depth, width, height, order, bits, stride, colours = (header[n] for n in (0, 3, 4, 5, 7, 11, 12, 19))
    assert (depth, order, bits) == (24, 0, 32), header
    start += colours * 12
    rows = []
    for number in range(height):
        pixels = data[start + number * stride :][: width * 4]
        row = bytearray(width * 3)
        row[0::3], row[1::3], row[2::3] = pixels[2::4], pixels[1::4], pixels[0::4]
        rows.append(bytes(row))
    return Picture(width, height, rows)


# --- viewers ---


def take_picture(daemon, uri):
    """What spicy-screenshot, which connects and leaves at once, sees."""
    path = daemon.directory / "screenshot.ppm"
    command = ["spicy-screenshot", f"--uri={uri}", f"--out-file={path}"]
    done = subprocess.run(command, env=daemon.environment(), capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and path.exists(), done
    picture = read_ppm(path)
    path.unlink()
    return picture


class SpiceClient:
    """spice_client.py as a process."""

    def __init__(self, daemon, uri):
        self.path = Path(tempfile.mkdtemp(dir=daemon.directory)) / "picture.ppm"
        self.told = []
        self.unread = b""
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("spice_client.py"), uri],
            env=daemon.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def _command(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self

    def _read(self):
        data = os.read(self.process.stdout.fileno(), 65536)
        assert data, f"the client has ended; it told {self.told}"
        *lines, self.unread = (self.unread + data).split(b"\n")
        self.told += map(json.loads, lines)

    def wait(self, what):
        """Waits until it tells that, and forgets what it told before; all that it tells with that."""
        while True:
            while self.told:
                found = self.told.pop(0)
                if found["what"] == what:
                    return found
                assert found["what"] != "closed", found
            assert select.select([self.process.stdout], [], [], 20)[0], f"the client does not tell {what}"
            self._read()

    def open(self):
        """Waits for all that a person needs: the screen and the keyboard."""
        found = self.wait("open")
        self.size = found["width"], found["height"]
        return self

    def type(self, text):
        return self._command(f"type {text}")

    def text(self):
        """What the screen shows, as Picture.text()."""
        written = self._command(f"picture {self.path}").wait("picture")["written"]
        return read_ppm(self.path).text() if written else None

    def wait_text(self, text):
        wait_until(lambda: self.text() == text, what=f"{text!r} on the screen")

    def leave(self):
        """Disconnects as one does; waits for its end."""
        self._command("quit").wait("closed")
        assert self.process.wait(20) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.process.stdout.close()
        self.process.stdin.close()


class Display:
    """An X server of one's own, whose screen nobody else sees."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.directory = Path(tempfile.mkdtemp(dir=daemon.directory))
        reading, writing = os.pipe()
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-fbdir", self.directory]
        self.process = subprocess.Popen(
            [*command, "-nolisten", "tcp", "-noreset"],
            env=daemon.environment(),
            stderr=subprocess.DEVNULL,
            pass_fds=[writing],
        )
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.readline() if select.select([pipe], [], [], 20)[0] else ""
        if not said:
            self.close()
        assert said, "Xvfb does not start"
        self.number = int(said)

    def environment(self):
        """For viewers: this screen, and neither sound, desktop nor settings of the user's."""
        return {
            **self.daemon.environment(),
            "DISPLAY": f":{self.number}",
            "XDG_RUNTIME_DIR": str(self.directory),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.directory}/none",
            "PULSE_SERVER": f"unix:{self.directory}/none",
            "GSETTINGS_BACKEND": "memory",
            "NO_AT_BRIDGE": "1",
            "GDK_BACKEND": "x11",
            **LXC,
        }

    def picture(self):
        return read_xwd(self.directory / "Xvfb_screen0")

    def close(self):
        self.process.terminate()
        self.process.wait(20)
