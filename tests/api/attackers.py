# SPDX-License-Identifier: Apache-2.0
"""Crowds of connections that each send a byte a second and take nothing, in a process of their own."""

import base64
import http.client
import json
import os
import resource
import select
import signal
import socket
import time

KINDS = ("heads", "bodies", "typists", "listeners")
TICK = 0.02  # seconds; in each of them some have their turn
REST = 1.0  # between two bytes of one connection
HEAD = b"GET /1.0 HTTP/1.1\r\nHost: x\r\nX: "
BODY = b"PUT /1.0 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
MASKED = b"\0\0\0\0"
BINARY_BYTE, TEXT_BYTE, PONG = b"\x82\x81" + MASKED + b"x", b"\x81\x81" + MASKED + b"x", b"\x8a\x80" + MASKED


def connect(path, data):
    """None: the backlog is full."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connection.sendall(data)
    connection.setblocking(False)
    return connection


def handshake(target):
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()


def request(path, method, target, body):
    connection = http.client.HTTPConnection("unix.socket")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request(method, target, json.dumps(body), {"Connection": "close"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


class Drip:
    """A connection that begins with some bytes, and comes again when it is put out."""

    def __init__(self, path, begin, byte):
        self.path, self.begin, self.byte = path, begin, byte
        self.connection = connect(path, begin)

    def poke(self):
        try:
            self.connection.send(self.byte)
        except BlockingIOError:
            pass
        except OSError:
            self.connection.close()
            self.connection = connect(self.path, self.begin)


class Socket(Drip):
    """A WebSocket. It is there when the 101 has come, of which nothing more is read."""

    def __init__(self, path, target, frame):
        super().__init__(path, handshake(target), frame)
        select.select([self.connection], [], [], 20)
        assert self.connection.recv(12) == b"HTTP/1.1 101"


def make(kind, path, instance, count):
    if kind == "heads":
        return [Drip(path, HEAD, b"x") for _ in range(count)]
    if kind == "bodies":
        return [Drip(path, BODY, b"x") for _ in range(count)]
    if kind == "listeners":
        return [Socket(path, "/1.0/events", PONG) for _ in range(count)]
    made = []
    for _ in range(count // 2):  # of sessions, for each has two
        answer = request(path, "POST", f"/1.0/instances/{instance}/console", {})
        url, secrets = answer["operation"], answer["metadata"]["metadata"]["fds"]
        for name, frame in (("control", TEXT_BYTE), ("0", BINARY_BYTE)):
            made.append(Socket(path, f"{url}/websocket?secret={secrets[name]}", frame))
    return made


def live(path, instance, counts, ready):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    drips = [drip for kind, count in counts.items() for drip in make(kind, path, instance, count)]
    os.write(ready, b"ready")
    turns = int(REST / TICK)
    turn, due = 0, time.monotonic()
    while True:
        for drip in drips[turn % turns :: turns]:
            drip.poke()
        turn, due = turn + 1, due + TICK
        time.sleep(max(0.0, due - time.monotonic()))  # this is how fast they are


class Crowd:
    """Attacks the daemon at `path` while it is entered. `counts`: connections, by kind; `instance` is typed into."""

    def __init__(self, path, instance, counts):
        self.arguments = (str(path), instance, counts)

    def __enter__(self):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                live(*self.arguments, writing)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            ready = pipe.read(5)
        if ready != b"ready":
            self.__exit__()
            raise RuntimeError("the crowd did not get in")
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
