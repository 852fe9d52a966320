# SPDX-License-Identifier: Apache-2.0
"""The REST API over a unix socket, and what tests do with instances through it."""

import http.client
import json
import os
import socket
import time
from urllib.parse import quote

RUNNING, STOPPED, FROZEN = 103, 102, 110
SUCCESS, FAILURE, CANCELLED = 200, 400, 401


def wait_until(condition, timeout=20, what=None):
    """Calls `condition` until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.01)  # the poll's interval; what is waited for is `condition`


def elsewhere(function, uid=None):
    """Runs `function` in a process of its own, as user `uid` if given; its JSON-able result."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            os.write(writing, json.dumps(function()).encode())
            code = 0
        except BaseException as error:
            os.write(writing, json.dumps(repr(error)).encode())
        finally:
            os._exit(code)  # whatever has happened: never back into pytest a second time
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = json.loads(pipe.read())
    _, status = os.waitpid(child, 0)
    assert status == 0, result
    return result


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("unix.socket", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Answer:
    """A response. `metadata` and `error` are the envelope's."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def metadata(self):
        return self.json["metadata"]

    @property
    def error(self):
        return self.json["error"]

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Api:
    """Requests to one server. Each has a connection of its own, as with lxc."""

    def __init__(self, path):
        self.path = path

    def request(self, method, target, body=None, headers=None, raw=None):
        """`body` goes as JSON, `raw` as it is."""
        connection = UnixConnection(self.path)
        try:
            data = raw if raw is not None else None if body is None else json.dumps(body).encode()
            fields = {"Connection": "close", **({"Content-Type": "application/json"} if data is not None else {})}
            try:
                connection.request(method, target, body=data, headers={**fields, **(headers or {})})
            except BrokenPipeError:
                pass  # answered before all of the body was sent: the answer is there to be read
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, target, **more):
        return self.request("GET", target, **more)

    def put(self, target, body=None, **more):
        return self.request("PUT", target, body, **more)

    def post(self, target, body=None, **more):
        return self.request("POST", target, body, **more)

    def patch(self, target, body=None, **more):
        return self.request("PATCH", target, body, **more)

    def delete(self, target, **more):
        return self.request("DELETE", target, **more)

    def read(self, target):
        """The metadata of a GET that must succeed."""
        answer = self.get(target)
        assert answer.status == 200 and answer.json["type"] == "sync", answer
        return answer.metadata

    def wait(self, operation, timeout=30):
        """Waits for an operation (its id) and returns it in its final state."""
        found = self.read(f"/1.0/operations/{operation}/wait?timeout={timeout}")
        assert found["status_code"] >= 200, f"still running: {found}"
        return found

    def run(self, method, target, body=None, **more):
        """A request that makes an operation; returns the operation in its final state."""
        answer = self.request(method, target, body, **more)
        assert answer.status == 202, answer
        return self.wait(answer.metadata["id"])

    def do(self, method, target, body=None, **more):
        """As run(), and the operation must succeed."""
        operation = self.run(method, target, body, **more)
        assert operation["status_code"] == SUCCESS, operation
        return operation


class Instance:
    """One instance, by name."""

    def __init__(self, api, name):
        self.api, self.name = api, name

    @property
    def url(self):
        return "/1.0/instances/" + quote(self.name, safe="")

    def read(self):
        return self.api.read(self.url)

    def state(self):
        return self.api.read(self.url + "/state")

    @property
    def status(self):
        return self.state()["status_code"]

    @property
    def pid(self):
        return self.state()["pid"]

    def change(self, action, force=False, timeout=30):
        """Changes the state; the operation in its final state."""
        return self.api.run("PUT", self.url + "/state", {"action": action, "force": force, "timeout": timeout})

    def _change(self, action, **how):
        operation = self.change(action, **how)
        assert operation["status_code"] == SUCCESS, operation
        return self

    def start(self):
        return self._change("start")

    def stop(self, force=True):
        return self._change("stop", force=force)

    def restart(self, force=True):
        return self._change("restart", force=force)

    def freeze(self):
        return self._change("freeze")

    def unfreeze(self):
        return self._change("unfreeze")

    def delete(self):
        self.api.do("DELETE", self.url)

    def discard(self):
        """Stops and deletes it, whatever state it is in, if it still exists."""
        answer = self.api.put(self.url + "/state", {"action": "stop", "force": True, "timeout": -1})
        if answer.status == 202:
            self.api.wait(answer.metadata["id"])
        answer = self.api.delete(self.url)
        if answer.status == 202:
            self.api.wait(answer.metadata["id"])

    def log(self):
        answer = self.api.get(self.url + "/console")
        assert answer.status == 200, answer
        return answer.body

    def clear_log(self):
        answer = self.api.delete(self.url + "/console")
        assert answer.status == 200, answer

    def wait_log(self, text, timeout=20):
        """Waits until the log holds `text`; the whole log."""
        holder = {}

        def holds():
            holder["log"] = self.log()
            return text in holder["log"]

        wait_until(holds, timeout, f"{text!r} in the log of {self.name}")
        return holder["log"]

    def wait_status(self, status, timeout=20):
        wait_until(lambda: self.status == status, timeout, f"{self.name} in status {status}")
