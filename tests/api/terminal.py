# SPDX-License-Identifier: Apache-2.0
"""A program on a real terminal: a PTY with a window size, typed to and read from as a person would."""

import errno
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time


class Terminal:
    """Runs `argv`; `output` is all that it has written so far."""

    def __init__(self, argv, env, width=80, height=24):
        self.argv = argv
        self.output = b""
        self.seen = 0  # how far expect() has looked
        # The slave stays open here: what the program had not read yet can be asked for, and the master never fails.
        self.master, self.slave = os.openpty()
        self._set_size(width, height)
        os.set_blocking(self.master, False)
        self.process = subprocess.Popen(
            argv,
            env=env,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            preexec_fn=self._become_session,
        )

    def _become_session(self):
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup(1) it is ignored, and Go leaves it so
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def _set_size(self, width, height):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width, height):
        """Gives the window another size; the kernel tells the program by SIGWINCH."""
        self._set_size(width, height)

    def type(self, data):
        """Types `data` and waits until the program has read it, so that the next type() is a read of its own."""
        data = data.encode() if isinstance(data, str) else data
        os.write(self.master, data)
        deadline = time.monotonic() + 10
        while self._unread() and self.process.poll() is None:
            self._read(0.005)
            assert time.monotonic() < deadline, f"{self.argv} does not read its terminal; output: {self.output!r}"

    def _unread(self):
        """Whether input lies in the terminal. poll(2) makes the kernel hand on what was written to the master first."""
        return bool(select.select([self.slave], [], [], 0)[0])

    def _read(self, timeout):
        if not select.select([self.master], [], [], timeout)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EAGAIN):
                raise
            return False
        self.output += data
        return bool(data)

    def expect(self, pattern, timeout=20):
        """Waits until `pattern` (a regular expression) appears behind what the last expect() found."""
        pattern = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.S)
        deadline = time.monotonic() + timeout
        while True:
            match = pattern.search(self.output, self.seen)
            if match:
                self.seen = match.end()
                return match
            ended = self.process.poll() is not None
            if not self._read(0.05) and ended:
                raise AssertionError(f"{self.argv} ended; {pattern.pattern!r} not in {self.output[self.seen:]!r}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{pattern.pattern!r} did not come; got {self.output[self.seen:]!r}")

    def detach(self):
        """Ctrl-a q, as two reads: that is how lxc wants it."""
        self.type(b"\x01")
        self.type(b"q")

    def wait(self, timeout=20):
        """The exit code; negative for a signal. Reads the rest of the output."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            self._read(0.01)
            assert time.monotonic() < deadline, f"{self.argv} does not end; output: {self.output!r}"
        while self._read(0):
            pass
        return self.process.returncode

    def signal(self, number):
        self.process.send_signal(number)

    def close(self):
        """Ends the program if it still runs, and the terminal."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        for descriptor in (self.master, self.slave):
            os.close(descriptor)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
