# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client (RFC 6455) that does exactly what it is told, wrong things included, and shows every frame.

Libraries refuse to send what a hostile client sends and hide how a peer ends; this one does neither. It is synchronous
and works on unix sockets only.
"""

import base64
import os
import select
import socket
import struct
import time
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Refused(Exception):
    """The handshake was answered with something else than 101."""

    def __init__(self, status, headers, body):
        super().__init__(f"{status} {body[:200]!r}")
        self.status, self.headers, self.body = status, headers, body


class Frame(NamedTuple):
    opcode: int
    payload: bytes
    final: bool = True
    reserved: int = 0
    masked: bool = False


def encode(opcode, payload=b"", final=True, masked=True, reserved=0, length=None):
    """One frame's bytes. `length` is what the header claims where that is not the truth."""
    claimed = len(payload) if length is None else length
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    if claimed < 126:
        head += bytes([mask_bit | claimed])
    elif claimed < 65536:
        head += bytes([mask_bit | 126]) + struct.pack(">H", claimed)
    else:
        head += bytes([mask_bit | 127]) + struct.pack(">Q", claimed)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + apply_mask(payload, mask)


def apply_mask(payload, mask):
    count = len(payload)
    key = int.from_bytes((mask * (count // 4 + 1))[:count], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(count, "big")


def close_payload(code=None, reason=""):
    return b"" if code is None else struct.pack(">H", code) + reason.encode()


class WebSocket:
    """One connection. Frames come by frame(), whole messages by message(), which also answers pings."""

    def __init__(self, path, target, headers=(), timeout=20, receive_buffer=None):
        self.timeout = timeout
        self.buffer = bytearray()
        self.closing = False  # we have sent a Close
        self.closed = None  # the payload of the peer's Close frame; None as long as there was none
        self.eof = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(path)
            self._handshake(target, headers)
        except BaseException:
            self.socket.close()
            raise

    def _handshake(self, target, headers):
        lines = [
            f"GET {target} HTTP/1.1",
            "Host: unix.socket",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(),
            *headers,
        ]
        self.socket.sendall("\r\n".join(lines + ["", ""]).encode())
        while b"\r\n\r\n" not in self.buffer:
            if not self._receive(time.monotonic() + self.timeout):
                raise Refused(0, {}, bytes(self.buffer))
        head, rest = bytes(self.buffer).split(b"\r\n\r\n", 1)
        first, *fields = head.decode("latin-1").split("\r\n")
        pairs = (line.split(":", 1) for line in fields)
        self.headers = {name.lower(): value.strip() for name, value in pairs}
        self.buffer[:] = rest
        status = int(first.split()[1])
        if status != 101:
            self._read_body()
            raise Refused(status, self.headers, bytes(self.buffer))

    def _read_body(self):
        length = int(self.headers.get("content-length", "0"))
        while len(self.buffer) < length and self._receive(time.monotonic() + self.timeout):
            pass

    def _readable(self, timeout):
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        return bool(poller.poll(max(0, timeout) * 1000))

    def _receive(self, deadline):
        """Reads what there is. False at the end of the connection."""
        if not self._readable(deadline - time.monotonic()):
            raise TimeoutError("nothing came from the WebSocket")
        try:
            data = self.socket.recv(262144)
        except ConnectionError:
            data = b""
        self.buffer += data
        self.eof = self.eof or not data
        return bool(data)

    def frame(self, timeout=None):
        """The next frame, or None at the end of the connection."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            frame = self._parse()
            if frame:
                if frame.opcode == CLOSE:
                    self.closed = frame.payload
                return frame
            if self.eof or not self._receive(deadline):
                return None

    def _parse(self):
        data = self.buffer
        if len(data) < 2:
            return None
        length, offset = data[1] & 0x7F, 2
        if length == 126:
            if len(data) < 4:
                return None
            (length,), offset = struct.unpack(">H", data[2:4]), 4
        elif length == 127:
            if len(data) < 10:
                return None
            (length,), offset = struct.unpack(">Q", data[2:10]), 10
        if len(data) < offset + length:
            return None
        frame = Frame(
            data[0] & 0x0F,
            bytes(data[offset : offset + length]),
            bool(data[0] & 0x80),
            data[0] >> 4 & 7,
            bool(data[1] & 0x80),
        )
        del data[: offset + length]
        return frame

    def message(self, timeout=None):
        """The next message or Close as (opcode, payload), or None at the end. Answers Ping and Close, skips Pong."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        opcode, payload = None, bytearray()
        while True:
            frame = self.frame(deadline - time.monotonic())
            if frame is None:
                return None
            if frame.opcode == PING:
                self._answer(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                self._answer(CLOSE, frame.payload[:2])
                return CLOSE, frame.payload
            elif frame.opcode != PONG:
                opcode = frame.opcode if opcode is None else opcode
                payload += frame.payload
                if frame.final:
                    return opcode, bytes(payload)

    def pending(self):
        """Whether frame() would not have to wait for the kernel's next bytes."""
        return bool(self.buffer) or self._readable(0)

    def send(self, opcode, payload=b"", **how):
        self.send_raw(encode(opcode, payload, **how))

    def send_raw(self, data):
        self.socket.sendall(data)

    def text(self, text):
        self.send(TEXT, text.encode() if isinstance(text, str) else text)

    def binary(self, data):
        self.send(BINARY, data)

    def close(self, code=None, reason=""):
        """Sends a Close frame; the answer is the caller's to read."""
        self.closing = True
        self.send(CLOSE, close_payload(code, reason))

    def wait_end(self, timeout=None):
        """Reads to the end of the connection. Returns the messages that came before it."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        messages = []
        while True:
            message = self.message(deadline - time.monotonic())
            if message is None:
                return messages
            if message[0] != CLOSE:
                messages.append(message)

    def _answer(self, opcode, payload):
        if self.closing:
            return  # nothing may follow a Close
        try:
            self.send(opcode, payload)
        except OSError:
            pass  # the peer is gone already

    def abort(self):
        """Closes the connection without a word, as a killed client does."""
        self.socket.close()
