# SPDX-License-Identifier: Apache-2.0
"""An attached console, as lxc attaches one: a POST, then the operation's two WebSockets."""

import json
import re
import time

from frames import BINARY, CLOSE, TEXT, Refused, WebSocket
from rest import wait_until

DETACHING = "Detaching from console"


class Session:
    """Made by the POST; nothing is connected before attach(), connect_data() or connect_control()."""

    def __init__(self, instance, body=None, headers=None):
        self.instance, self.api = instance, instance.api
        answer = self.api.post(instance.url + "/console", {} if body is None else body, headers=headers)
        assert answer.status == 202, answer
        self.created = answer.metadata
        self.id = answer.metadata["id"]
        self.secrets = answer.metadata["metadata"]["fds"]
        self.data = self.control = None
        self.output = bytearray()
        self.seen = 0  # how far expect() has looked
        self.end_mark = False  # the empty text frame has come
        self.ended = False  # a Close or the end of the connection has come

    def target(self, socket):
        return f"/1.0/operations/{self.id}/websocket?secret={self.secrets[socket]}"

    def connect(self, socket, **how):
        """Opens another WebSocket with the secret of `socket` ("0" or "control")."""
        return WebSocket(self.api.path, self.target(socket), **how)

    def connect_data(self, **how):
        self.data = self.connect("0", **how)
        return self

    def connect_control(self, **how):
        self.control = self.connect("control", **how)
        return self

    def attach(self, **how):
        """Control first, then data: every client's order."""
        return self.connect_control().connect_data(**how)

    def type(self, data):
        self.data.binary(data.encode() if isinstance(data, str) else data)
        return self

    def at_prompt(self):
        """Waits for a shell's prompt. LXD may lose what is typed first, so a newline is typed until something comes."""

        def answered():
            self.type("\x15\n")
            try:
                self.expect(r"[#$] ", 0.5)
            except AssertionError:
                assert not self.ended, "the session ended at once"
                return False
            return True

        wait_until(answered)
        return self

    def resize(self, width, height):
        message = {"command": "window-resize", "args": {"width": str(width), "height": str(height)}, "signal": 0}
        self.control.text(json.dumps(message) + "\n")
        return self

    def read(self, timeout=20):
        """Takes in one message of the data socket. False at the end."""
        try:
            message = self.data.message(timeout)
        except TimeoutError:
            notices = [bytes(notice) for notice in re.findall(rb"\[consoled: [^]]*\]", self.output)]
            raise TimeoutError(f"no message in {timeout} s after {len(self.output)} bytes; notices: {notices}") from None
        if message is None or message[0] == CLOSE:
            self.ended = True
        elif message[0] == BINARY:
            assert not self.end_mark, f"data behind the end mark: {message[1][:100]!r}"
            self.output += message[1]
        else:
            assert message == (TEXT, b""), f"only an empty text frame means something: {message}"
            self.end_mark = True
        return not self.ended

    def expect(self, pattern, timeout=20):
        """Waits until `pattern` (a regular expression) appears behind what the last expect() found."""
        pattern = re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.S)
        deadline = time.monotonic() + timeout
        while True:
            match = pattern.search(self.output, self.seen)
            if match:
                self.seen = match.end()
                return match
            got = bytes(self.output[self.seen :][-500:])
            assert not self.ended, f"the session ended; {pattern.pattern!r} not in {got!r}"
            try:
                self.read(deadline - time.monotonic())
            except TimeoutError:
                raise AssertionError(f"{pattern.pattern!r} did not come; got {got!r}") from None

    def expect_bytes(self, count, timeout=60):
        """Waits until `count` bytes have come in all."""
        deadline = time.monotonic() + timeout
        while len(self.output) < count:
            try:
                going_on = self.read(deadline - time.monotonic())
            except TimeoutError:
                going_on = False
            told = re.findall(rb"\[consoled: [^]]*\]", self.output) if not going_on else None
            assert going_on, f"{len(self.output)} of {count} bytes came; notices: {told}"
        return bytes(self.output)

    def run(self, command):
        """Types a line to a shell and waits until it has been executed; what it printed."""
        marker = f"done-{len(self.output)}"
        self.type(f"{command}; printf '%s%s\\n' {marker[:4]} {marker[4:]}\n")
        return self.expect(r"(.*?)" + re.escape(marker)).group(1)

    def drain(self, timeout=30):
        """Reads to the end of the data socket; all output of the session."""
        deadline = time.monotonic() + timeout
        while not self.ended and self.read(deadline - time.monotonic()):
            pass
        return bytes(self.output)

    def detach(self):
        """What ctrl-a q makes lxc do. Waits for the end of the control socket."""
        self.control.close(1000, DETACHING)
        self.control.wait_end()
        return self

    def abort(self):
        """Both sockets vanish, as with a killed client."""
        for websocket in (self.data, self.control):
            if websocket:
                websocket.abort()

    def operation(self):
        return self.api.read(f"/1.0/operations/{self.id}")

    def result(self, timeout=20):
        """The operation's final state."""
        return self.api.wait(self.id, timeout)


def refused(session, socket="0", **how):
    """The Refused of a WebSocket that must not open."""
    try:
        websocket = session.connect(socket, **how)
    except Refused as refusal:
        return refusal
    websocket.abort()
    raise AssertionError("the WebSocket was opened")
