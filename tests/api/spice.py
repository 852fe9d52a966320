# SPDX-License-Identifier: Apache-2.0
"""Graphical consoles: a viewer that speaks just enough SPICE, and a SPICE server that does what a test tells it.

Of SPICE there are the link (both sides introduce themselves, and the client sends its password, here an empty one) and,
on the main channel, the server's first message and a question that it answers.
"""

import hashlib
import os
import select
import socket
import struct
import threading
import time

from frames import BINARY, CLOSE, TEXT, WebSocket
from machine import processes_in
from session import Session

MAIN, DISPLAY, INPUTS, CURSOR = CHANNELS = (1, 2, 3, 4)  # types
HEADER = struct.Struct("<4sIII")  # SpiceLinkHeader: magic, version, size of what follows
LINK = struct.Struct("<IBBIII")  # SpiceLinkMess: connection, type and number of the channel, capabilities (none)
DATA = struct.Struct("<QHII")  # SpiceDataHeader: number, type and size of a message, its parts (none)
MESSAGE_INIT = 103  # SPICE_MSG_MAIN_INIT
MESSAGE_ATTACH_CHANNELS = MESSAGE_CHANNELS_LIST = 104  # of the client; what the server answers
MESSAGE_MARK = 102  # SPICE_MSG_DISPLAY_MARK: what was drawn so far may be shown
# SPICE_MSGC_DISPLAY_INIT: the client's caches and their sizes, its first message on a display channel.
DISPLAY_INIT = DATA.pack(1, 101, 14, 0) + struct.pack("<BqBi", 1, 1 << 20, 1, 1 << 20)


# --- SPICE ---


def link_message(kind, connection=0):
    """A client's first words on a connection."""
    return HEADER.pack(b"REDQ", 2, 2, LINK.size) + LINK.pack(connection, kind, 0, 0, 0, LINK.size)


def _xor(one, other):
    return bytes(a ^ b for a, b in zip(one, other))


def _mask(seed, length):
    """MGF1 (RFC 8017 appendix B.2.1)."""
    blocks = (hashlib.sha1(seed + struct.pack(">I", number)).digest() for number in range(length // 20 + 1))
    return b"".join(blocks)[:length]


def ticket(key):
    """An empty password for a server whose key (DER, RSA with 1024 bits) this is: RSAES-OAEP, RFC 8017 section 7.1."""
    modulus, exponent = int.from_bytes(key[29:157], "big"), int.from_bytes(key[-3:], "big")
    seed, password = os.urandom(20), b"\0"
    block = hashlib.sha1().digest() + bytes(128 - 2 * 20 - 2 - len(password)) + b"\1" + password
    block = _xor(block, _mask(seed, len(block)))
    message = _xor(seed, _mask(block, 20)) + block
    return pow(int.from_bytes(message, "big"), exponent, modulus).to_bytes(128, "big")


# --- the viewer ---


class Channel:
    """One connection of a viewer: a WebSocket whose messages are a stream of bytes."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.received = bytearray()  # and not yet taken by receive()
        self.end_mark = self.ended = False
        self.connection = 0  # of a main channel: what the others name to belong to it

    def send(self, data):
        self.websocket.binary(data)
        return self

    def read(self, timeout=20):
        """Takes in one message. False at the end."""
        message = self.websocket.message(timeout)
        if message is None or message[0] == CLOSE:
            self.ended = True
        elif message[0] == BINARY:
            assert not self.end_mark, f"data behind the end mark: {message[1][:100]!r}"
            self.received += message[1]
        else:
            assert message == (TEXT, b""), f"only an empty text frame means something: {message}"
            self.end_mark = True
        return not self.ended

    def receive(self, count, timeout=20):
        """The next `count` bytes."""
        deadline = time.monotonic() + timeout
        while len(self.received) < count:
            assert self.read(deadline - time.monotonic()), f"{len(self.received)} of {count} bytes, then the end"
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def drain(self, timeout=20):
        """All bytes to the end of the connection."""
        deadline = time.monotonic() + timeout
        while not self.ended and self.read(deadline - time.monotonic()):
            pass
        return bytes(self.received)

    def assert_closed(self):
        """Its end is a Close frame with nothing in it."""
        self.drain()
        assert self.websocket.closed == b"", f"close payload {self.websocket.closed!r}"

    def assert_clean_end(self):
        """And LXD's end mark before that."""
        self.assert_closed()
        assert self.end_mark, "no empty text frame before the end"

    def close(self, code=1000):
        """Leaves as a client of LXD's API does that minds its manners. Waits for the end."""
        self.websocket.close(code)
        self.websocket.wait_end()

    def send_end(self):
        """Leaves as lxc does: says so, and waits for the end."""
        self.websocket.text("")
        self.assert_closed()

    def abort(self):
        self.websocket.abort()

    def authenticate(self, kind):
        """The rest of the link, with a real server, which has been sent a link message of this kind."""
        magic, major, _, size = HEADER.unpack(self.receive(HEADER.size))
        assert (magic, major) == (b"REDQ", 2)
        reply = self.receive(size)
        assert reply[:4] == bytes(4), f"the server says error {reply[:4]}"
        self.send(ticket(reply[4:166]))
        assert self.receive(4) == bytes(4)
        if kind == DISPLAY:
            # Who leaves before this is the end of QEMU: libspice-server 0.15.1 does not expect it, and segfaults.
            self.send(DISPLAY_INIT).message(MESSAGE_MARK)
        return self

    def message(self, wanted):
        """The body of the next message of this type."""
        while True:
            _, kind, size, _ = DATA.unpack(self.receive(DATA.size))
            body = self.receive(size)
            if kind == wanted:
                return body

    def ask(self):
        """Of a main channel: the types of channels that the server has. Shows that it is alive."""
        self.send(DATA.pack(1, MESSAGE_ATTACH_CHANNELS, 0, 0))
        listed = self.message(MESSAGE_CHANNELS_LIST)
        return set(listed[4::2])


class Viewer(Session):
    """A graphical session, made by the POST as lxc makes it; `body` adds to that."""

    def __init__(self, instance, **body):
        self.channels = []
        super().__init__(instance, {"width": 0, "height": 0, "type": "vga", **body})

    def add(self, websocket):
        self.channels.append(Channel(websocket))
        return self.channels[-1]

    def channel(self, kind=None, connection=0, **how):
        """Opens another channel. With a `kind` it says what it is."""
        channel = self.add(self.connect("0", **how))
        return channel.send(link_message(kind, connection)) if kind else channel

    def main(self):
        """Opens the main channel with a real server, until the server has introduced itself."""
        channel = self.channel(MAIN).authenticate(MAIN)
        (channel.connection,) = struct.unpack("<I", channel.message(MESSAGE_INIT)[:4])
        return channel

    def attach(self):
        """Control and all channels, with a real server. The main channel."""
        main = self.connect_control().main()
        for kind in CHANNELS[1:]:
            self.channel(kind, main.connection).authenticate(kind)
        return main

    def abort(self):
        super().abort()
        for channel in self.channels:
            channel.abort()


class _Together:
    """A socket on which the first sendall() carries something more."""

    def __init__(self, connection, more):
        self.connection, self.more = connection, more

    def sendall(self, data):
        self.connection.sendall(data + self.more)
        self.more = b""

    def __getattr__(self, name):
        return getattr(self.connection, name)


class HastyWebSocket(WebSocket):
    """Sends something in one piece with the request for the upgrade."""

    def __init__(self, path, target, more):
        self.more = more
        super().__init__(path, target)

    def _handshake(self, target, headers):
        self.socket = _Together(self.socket, self.more)
        super()._handshake(target, headers)


# --- the server ---


class Server:
    """Takes the place of a machine's SPICE server until close(). With a `backlog` of None nobody listens."""

    def __init__(self, guest, backlog=64):
        self.guest = guest
        self.path = guest.run / "spice"
        self.away = guest.daemon.directory / f"{guest.name}.spice"  # QEMU's socket, meanwhile
        self.connections = []
        self.path.rename(self.away)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.inode = self.path.stat().st_ino
        if backlog is not None:
            self.listener.listen(backlog)
        self.listener.settimeout(20)

    def accept(self, hello=None):
        """The next connection. What it says first must be `hello`."""
        connection, _ = self.listener.accept()
        connection.settimeout(20)
        self.connections.append(connection)
        if hello is not None:
            assert receive(connection, len(hello)) == hello
        return connection

    def echo(self):
        """From here on sends back all that comes, on each connection."""

        def accept():
            while True:
                try:
                    connection = self.accept()
                except OSError:
                    return  # closed
                threading.Thread(target=send_back, args=(connection,), daemon=True).start()

        self.listener.settimeout(None)
        threading.Thread(target=accept, daemon=True).start()
        return self

    def fill(self):
        """Connects until the backlog is full; the connections."""
        waiting = []
        while True:
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            try:
                waiting[-1].connect(str(self.path))
            except BlockingIOError:
                waiting.pop().close()
                return waiting

    def close(self):
        for each in (self.listener, *self.connections):
            try:
                each.shutdown(socket.SHUT_RDWR)  # wakes the threads above
            except OSError:
                pass
            each.close()
        if not self.away.exists():
            return  # closed already
        another = self.path.exists() and self.path.stat().st_ino != self.inode
        if another or not processes_in(self.guest.run):
            self.away.unlink()  # its QEMU has ended
        else:
            self.away.rename(self.path)


def receive(connection, count):
    """The next `count` bytes of a socket; fewer at its end."""
    data = bytearray()
    while len(data) < count:
        more = connection.recv(min(count - len(data), 1 << 20))
        if not more:
            break
        data += more
    return bytes(data)


def send_back(connection):
    try:
        while data := connection.recv(1 << 18):
            connection.sendall(data)
    except OSError:
        pass  # gone


class Flood(threading.Thread):
    """Sends data on a socket, as much as it takes; `taken` of it so far. The socket has a timeout, so never blocks."""

    def __init__(self, connection, data):
        super().__init__(daemon=True)
        self.connection, self.data, self.taken, self.failed = connection, memoryview(data), 0, False
        self.start()

    def run(self):
        while self.taken < len(self.data):
            try:
                piece = self.data[self.taken : self.taken + 65536]
                self.taken += os.write(self.connection.fileno(), piece)
            except BlockingIOError:
                self._room(20)
            except OSError:
                self.failed = True
                return

    def stands_still(self, seconds=0.3):
        """Whether nothing more is taken, for so long."""
        return self.taken < len(self.data) and not self._room(seconds)

    def _room(self, timeout):
        poller = select.poll()
        poller.register(self.connection, select.POLLOUT)
        return poller.poll(timeout * 1000)
