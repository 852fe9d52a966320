# SPDX-License-Identifier: Apache-2.0
"""Clients that keep a daemon busy, each a process of its own so that it can be killed. They go on when it is the daemon
that dies: what they are for is traffic, and what they may have done wrong the instances' logs show."""

import ctypes
import itertools
import os
import random
import re
import signal
import time

from frames import WebSocket
from machine import FLOOD
from rest import Api, Instance, UnixConnection
from session import Session

MARKS = itertools.count(1)
PR_SET_PDEATHSIG = 1
LIFE = 900  # seconds; more than a client is needed for


class Client:
    """A process that runs role(api, names, chance, mark) again and again, whatever comes of it."""

    def __init__(self, role, path, names, seed):
        self.role, self.mark = role, f"c{next(MARKS)}"
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._live(Api(path), list(names), random.Random(f"{seed} {self.mark}"))
            finally:
                os._exit(1)  # never back into pytest

    def _live(self, api, names, chance):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.alarm(LIFE)
        counter = itertools.count(1)
        while True:
            try:
                self.role(api, names, chance, lambda: f"{self.mark}-{next(counter)}\n")
            except Exception:
                time.sleep(0.02)  # no daemon, no instance, a session that ended: another try

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def end(session, chance):
    """One of the ways in which a client leaves."""
    way = chance.randrange(4)
    if way == 0:
        session.detach()
    elif way == 1:
        session.data.close(1000)
    elif way == 2:
        session.api.delete(f"/1.0/operations/{session.id}")


def read_some(session, seconds):
    """Reads for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not session.ended:
        try:
            session.read(max(0.001, deadline - time.monotonic()))
        except TimeoutError:
            return


def typist(api, names, chance, mark):
    """Types marks to a printer that is in raw mode: its numbers are on lines that end so."""
    session = Session(Instance(api, chance.choice(names)))
    try:
        session.attach()
        session.expect(r"\d\n", 5)
        for _ in range(chance.randrange(1, 20)):
            session.type(mark())
            read_some(session, chance.uniform(0, 0.02))
            if chance.random() < 0.2:
                session.resize(chance.randrange(20, 200), chance.randrange(10, 60))
        end(session, chance)
    finally:
        session.abort()


def slow_reader(api, names, chance, mark):
    """Takes little, late; at times nothing for more than the second that it is waited for."""
    session = Session(Instance(api, chance.choice(names)), {"mode": "watch"})
    try:
        session.attach(receive_buffer=4096)
        for _ in range(chance.randrange(1, 40)):
            read_some(session, 0.002)
            time.sleep(1.2 if chance.random() < 0.02 else chance.uniform(0, 0.05))
        end(session, chance)
    finally:
        session.abort()


def follower(api, names, chance, mark):
    """Follows a log."""
    connection = UnixConnection(api.path, 5)
    try:
        connection.request("GET", f"/1.0/instances/{chance.choice(names)}/console?follow=1")
        response = connection.getresponse()
        deadline = time.monotonic() + chance.uniform(0.05, 2)
        while time.monotonic() < deadline and response.read1(65536):
            pass
    finally:
        connection.close()


def listener(api, names, chance, mark):
    """Listens to events."""
    websocket = WebSocket(api.path, "/1.0/events")
    try:
        for _ in range(chance.randrange(1, 100)):
            websocket.message(2)
    finally:
        websocket.abort()


def asker(api, names, chance, mark):
    """Asks for this and that."""
    target = chance.choice(["/1.0", "/1.0/instances?recursion=2", "/1.0/operations?recursion=1"])
    api.get(target)
    instance = Instance(api, chance.choice(names))
    api.get(instance.url + chance.choice(["/console", "/state", "/logs/boots", "/console/history"]))
    if chance.random() < 0.1:
        Session(instance)  # that nobody ever connects to
    time.sleep(chance.uniform(0, 0.1))


def creator(api, names, chance, mark):
    """Makes instances, runs, renames and deletes them."""
    name = "x" + re.sub(r"\W", "x", mark().strip())
    body = {"name": name, "source": {"type": "none"}, "config": {"process.command": "echo hello"}}
    api.do("POST", "/1.0/instances", body)
    instance = Instance(api, name)
    instance.start()
    instance.change("stop", force=True)
    if chance.random() < 0.5:
        api.run("POST", instance.url, {"name": name + "x"})
        instance = Instance(api, name + "x")
    instance.change("stop", force=True)
    instance.delete()


def flooder(api, names, chance, mark):
    """Has the guest of a virtual machine print, and reads some of it."""
    session = Session(Instance(api, chance.choice(names)))
    try:
        session.attach().type(chance.choice([FLOOD, "x", FLOOD + "x"]))
        read_some(session, chance.uniform(0, 1))
        end(session, chance)
    finally:
        session.abort()
