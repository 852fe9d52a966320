# SPDX-License-Identifier: Apache-2.0
"""Fixtures. A module's tests share one daemon; a test that ends or changes its daemon takes one of its own. A module
can name the kind of daemon that it needs: DAEMON = ContainerDaemon."""

import itertools
import os

import pytest

from consoled import Daemon, Foreign
from guest import Container
from machine import Machine
from rest import Instance
from session import Session
from terminal import Terminal

FOREIGN_SOCKET = os.environ.get("CONSOLED_TEST_SOCKET")
FOREIGN_INSTANCE = os.environ.get("CONSOLED_TEST_INSTANCE")
NAMES = itertools.count(1)


def pytest_collection_modifyitems(items):
    """A foreign server only gets the tests that are known to hold for it, and are safe."""
    if not FOREIGN_SOCKET:
        return
    skip = pytest.mark.skip(reason="only for a consoled of our own")
    for item in items:
        if not item.get_closest_marker("lxd"):
            item.add_marker(skip)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Shows with a failure what the daemon had to say."""
    report = (yield).get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Daemon) and value.directory.exists():
                report.sections.append(("stderr of consoled", value.stderr()[-20000:]))
                break


def kind_of_daemon(request):
    return getattr(request.module, "DAEMON", Daemon)


@pytest.fixture(scope="module")
def shared_daemon(request):
    daemon = kind_of_daemon(request)()
    try:
        yield daemon.start()
    finally:
        daemon.close()


@pytest.fixture
def daemon(shared_daemon):
    """The module's daemon. Tests leave it as they found it."""
    if not shared_daemon.running():
        shared_daemon.start()  # the test that it died in has failed
    yield shared_daemon
    assert shared_daemon.running(), "the daemon died during this test"


@pytest.fixture
def own_daemon(request):
    """A daemon for this test alone, which may kill it."""
    daemon = kind_of_daemon(request)()
    try:
        yield daemon.start()
    finally:
        daemon.close()


@pytest.fixture
def make_daemon(request):
    """Starts daemons with options: make_daemon("--attach-timeout", "1")."""
    daemons = []

    def make(*options, **how):
        daemons.append(kind_of_daemon(request)(*options, **how))
        return daemons[-1].start()

    yield make
    for daemon in daemons:
        daemon.close()


@pytest.fixture(scope="module")
def foreign_server():
    server = Foreign(FOREIGN_SOCKET)
    yield server
    server.close()


@pytest.fixture
def server(request):
    """The daemon, or the foreign server where one is named: for tests marked lxd."""
    return request.getfixturevalue("foreign_server" if FOREIGN_SOCKET else "daemon")


@pytest.fixture
def api(server):
    return server.api


def fresh_name():
    return f"t{os.getpid()}-{next(NAMES)}"


@pytest.fixture
def name():
    return fresh_name()


@pytest.fixture
def make(request):
    """Makes instances that are gone after the test: make("sh -i", config={...}), on the module's daemon or `on`."""
    made = []

    def create(command=None, on=None, name=None, start=True, **body):
        daemon = on or request.getfixturevalue("daemon")
        instance = daemon.create(name or fresh_name(), command, **body)
        made.append((daemon, instance))
        return instance.start() if start else instance

    yield create
    for daemon, instance in made:
        if daemon.running():
            instance.discard()


@pytest.fixture
def shell(make):
    """A running interactive shell."""
    return make("sh -i")


@pytest.fixture
def guest(request):
    """A running instance with a shell on its console, on our daemon or the foreign server."""
    if FOREIGN_SOCKET:
        return Instance(request.getfixturevalue("foreign_server").api, FOREIGN_INSTANCE)
    return request.getfixturevalue("shell")


@pytest.fixture
def container(request):
    """Makes containers that are gone after the test: container(init="exec cat"), on the module's daemon or `on`. A
    test that takes `own_daemon` names it before this."""
    made = []

    def make(on=None, name=None, create=True, start=True, **how):
        made.append(Container(on or request.getfixturevalue("daemon"), name or fresh_name(), **how))
        if create:
            made[-1].create()
        return made[-1].start() if create and start else made[-1]

    yield make
    for each in made:
        each.vanish()


@pytest.fixture
def machine(request):
    """Makes virtual machines that are gone after the test, as container() makes containers."""
    made = []

    def make(on=None, name=None, create=True, start=True, **how):
        made.append(Machine(on or request.getfixturevalue("daemon"), name or fresh_name(), **how))
        if create:
            made[-1].create()
        return made[-1].start() if create and start else made[-1]

    yield make
    for each in made:
        each.vanish()


@pytest.fixture
def open_session():
    """Opens sessions that vanish after the test: open_session(instance) is attached, with attach=False only POSTed."""
    sessions = []

    def open_one(instance, body=None, attach=True, **how):
        session = Session(instance, body)
        sessions.append(session)
        return session.attach(**how) if attach else session

    yield open_one
    for session in sessions:
        session.abort()


@pytest.fixture
def lxc(server):
    """Runs lxc against the server: lxc("list", "--format", "json") gives stdout and asserts success."""

    def run(*arguments, input=None, code=0):
        done = server.lxc(*arguments, input=input)
        assert done.returncode == code, f"lxc {arguments}: {done}"
        return done.stdout if code == 0 else done.stderr

    return run


@pytest.fixture
def terminal(server):
    """Runs a client on a terminal: terminal("lxc", "console", "x")."""
    terminals = []

    def run(*argv, width=80, height=24):
        terminals.append(Terminal(list(argv), server.environment(), width, height))
        return terminals[-1]

    yield run
    for each in terminals:
        each.close()
