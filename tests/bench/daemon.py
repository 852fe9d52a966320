# SPDX-License-Identifier: Apache-2.0
"""A consoled of our own, and what to wait for."""
import http.client
import json
import os
import signal
import socket
import subprocess
import time


class Failure(Exception):
    """Something does not work; the text says what."""


class Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("unix.socket", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def raw_get(path, target):
    """The whole answer to a GET, as bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: unix.socket\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return answer.replace(b"Connection: close\r\n", b"")


class Daemon:
    """A consoled of our own in a directory of its own."""

    def __init__(self, program, keeper, directory):
        self.directory = directory
        self.command = [program, "--dir", directory, "--keeper", keeper]
        self.socket = os.path.join(directory, "unix.socket")
        self.process = None

    def start(self):
        """Seconds until the daemon says that it is ready."""
        started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE)
        if b"ready" not in self.process.stdout.readline():
            raise Failure("consoled did not become ready")
        return time.monotonic() - started

    def terminate(self):
        """SIGTERM: the instances go on."""
        if not self.process:
            return
        self.process.terminate()
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "a timeout"
        self.process.stdout.close()
        self.process = None
        if status != 0:
            raise Failure(f"consoled ended with {status}")

    def call(self, method, target, body=None):
        """One request; waits for its operation, if it is one. Returns the metadata."""
        connection = Connection(self.socket)
        try:
            connection.request(method, target, json.dumps(body) if body is not None else None)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if answer["type"] == "error":
            raise Failure(f"{method} {target}: {answer['error']}")
        if answer["type"] == "async":
            metadata = self.call("GET", answer["operation"] + "/wait?timeout=60")
            if metadata["status_code"] != 200:
                raise Failure(f"{method} {target}: {metadata['err'] or metadata['status']}")
            return metadata
        return answer["metadata"]

    def create(self, name, **settings):
        self.call("POST", "/1.0/instances",
                  {"name": name, "type": "container", "source": {"type": "none"}, **settings})

    def start_instance(self, name):
        self.call("PUT", f"/1.0/instances/{name}/state", {"action": "start", "timeout": 30})

    def run(self, name, **settings):
        self.create(name, **settings)
        self.start_instance(name)

    def running(self):
        """How many instances run."""
        return sum(one["status"] == "Running" for one in self.call("GET", "/1.0/instances?recursion=1"))

    def stop_instances(self):
        self.call("PUT", "/1.0/instances", {"state": {"action": "stop", "force": True, "timeout": 30}})
        if self.running() != 0:
            raise Failure("instances go on after a forced stop of all")

    def end(self):
        """Stops everything, whatever state it is in; keepers and machines outlive their daemon on purpose."""
        try:
            if self.process and self.process.poll() is None:
                self.stop_instances()
                self.terminate()
        finally:
            if self.process:
                self.process.kill()
                self.process.wait()
            for pid in survivors(self.directory):
                os.kill(pid, signal.SIGKILL)


def survivors(directory):
    """The keepers that have a ring below `directory`, and the machines that run there: nobody else's processes."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            machine = os.readlink(f"/proc/{pid}/cwd").startswith(f"{directory}/run/")
            with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                keeper = comm.read().startswith("consoled-keeper")
            with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
                if machine or (keeper and f" {directory}/" in maps.read()):
                    found.append(int(pid))
        except OSError:
            pass  # it has ended meanwhile
    return found


def wait_until(condition, problem):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise Failure(problem)


def wait_for(path):
    """Until something listens there."""
    def listens():
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(path) == 0

    wait_until(listens, f"nothing listens on {path}")
