# SPDX-License-Identifier: Apache-2.0
"""Daemons, keepers, clients, QEMUs, and containers' monitors that are killed at random while all are busy: nothing is lost
that was to stay, and nothing stays that was to go.

CONSOLED_TEST_KILLS=N makes it N kills of each kind of instance; CONSOLED_TEST_ATTACHES=N as many sessions;
CONSOLED_TEST_SEED=N repeats the choices of a run that has failed, though not its timing.
"""

import collections
import http.client
import os
import random
import signal
import threading
import time

import pytest

from consoled import Daemon, alive, rounds
from guest import ContainerDaemon
from havoc import PRINTER, ContainerSubject, MachineSubject, SerialSubject, Subject
from load import Client, asker, creator, flooder, follower, listener, slow_reader, typist
from machine import MachineDaemon
from rest import CANCELLED, STOPPED, SUCCESS, Instance, wait_until
from session import Session
from terminal import Terminal
from traces import Traces

KILLS = int(os.environ.get("CONSOLED_TEST_KILLS", rounds(40, 8)))
ATTACHES = int(os.environ.get("CONSOLED_TEST_ATTACHES", rounds(2000, 200)))
SEED = int(os.environ.get("CONSOLED_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
LOOK = 20  # kills between two looks at what is left over

pytestmark = pytest.mark.timeout(120 + 10 * KILLS + ATTACHES // 10)

# Lines in a burst, and the seconds between two.
PACES = [(3, 0.01), (1000, 0.2), (40, 0.05)]


def in_raw_mode(pace):
    return "stty raw -echo; " + PRINTER % pace


def programs(daemon, request):
    return [
        Subject(daemon, daemon.create(f"p{number}", f"sh -c '{in_raw_mode(pace)}'"))
        for number, pace in enumerate(PACES)
    ]


def containers(daemon, request):
    container = request.getfixturevalue("container")
    return [
        ContainerSubject(daemon, container(on=daemon, name=f"t{os.getpid()}-c{number}", init=in_raw_mode(pace), start=False))
        for number, pace in enumerate(PACES[:2])
    ]


def machines(daemon, request):
    machine = request.getfixturevalue("machine")
    return [MachineSubject(daemon, machine(on=daemon, name="m0", start=False))]


def serials(daemon, request):
    directory = request.getfixturevalue("tmp_path")
    return [SerialSubject(daemon, f"s{number}", directory / f"tty{number}", *pace) for number, pace in enumerate(PACES)]


KINDS = {
    "programs": (Daemon, programs, (typist, typist)),
    "containers": (ContainerDaemon, containers, (typist, typist)),
    "machines": (MachineDaemon, machines, (flooder, flooder)),
    "serials": (Daemon, serials, (typist, typist)),
}
EVERYWHERE = (slow_reader, follower, listener, asker, creator)


class Havoc:
    """Instances, clients, and what kills them."""

    def __init__(self, daemon, subjects, roles, chance):
        self.daemon, self.subjects, self.chance = daemon, subjects, chance
        self.roles = (*roles, *EVERYWHERE)
        self.clients, self.terminal = [], None
        self.traces = Traces(daemon)
        self.done = []  # what was killed, in order
        self.kinds = {
            "daemon": self.daemon_alone,
            "daemon that starts": self.daemon_that_starts,
            "daemon and client": self.daemon_and_client,
            "client": self.client,
            "lxc console": self.lxc,
            "keeper": self.keeper,
            "keeper and client": self.keeper_and_client,
            "keeper and daemon": self.keeper_and_daemon,
        }
        if subjects[0].kind != "serial":
            self.kinds["main process"] = self.main_process
            self.kinds["main process and daemon"] = self.main_process_and_daemon
        if subjects[0].kind == "container":
            self.kinds["monitor"] = self.monitor
            self.kinds["monitor, keeper and daemon"] = self.monitor_keeper_and_daemon

    # --- the load ---

    def make_busy(self):
        names = [subject.name for subject in self.subjects]
        seed = self.chance.random()
        self.clients = [Client(role, self.daemon.api.path, names, seed) for role in self.roles]
        self.attach_lxc()

    def attach_lxc(self):
        if self.terminal:
            self.terminal.close()
        self.terminal = Terminal(["lxc", "console", self.chance.choice(self.subjects).name], self.daemon.environment())

    def calm_down(self):
        for client in self.clients:
            client.kill()
        if self.terminal:
            self.terminal.close()
        self.clients, self.terminal = [], None

    # --- what is killed ---

    def any(self):
        return self.chance.choice(self.subjects)

    def with_keepers_to_spare(self):
        """A subject that may lose a keeper, or None."""
        return self.chance.choice([each for each in self.subjects if each.may_lose_keeper()] or [None])

    def kill_client(self):
        number = self.chance.randrange(len(self.clients))
        old = self.clients[number]
        old.kill()
        self.clients[number] = Client(old.role, self.daemon.api.path, [each.name for each in self.subjects], self.chance.random())

    def daemon_alone(self):
        self.daemon.kill()
        self.daemon.start()

    def daemon_that_starts(self):
        self.daemon.kill()
        process = self.daemon.spawn()
        time.sleep(self.chance.uniform(0, 0.08))  # it gets so far
        process.kill()
        process.wait()
        process.stdout.close()
        self.daemon.start()

    def daemon_and_client(self):
        self.daemon.kill()
        self.kill_client()
        self.daemon.start()

    def client(self):
        self.kill_client()

    def lxc(self):
        self.terminal.process.kill()
        self.terminal.process.wait()
        self.attach_lxc()

    def keeper(self):
        subject = self.with_keepers_to_spare()
        if subject:
            subject.kill_keeper()

    def keeper_and_client(self):
        self.keeper()
        self.kill_client()

    def keeper_and_daemon(self):
        """A program's or a device's terminal is hung up then; containers and virtual machines wait."""
        subject = self.any()
        keeper_first = self.chance.random() < 0.5
        if keeper_first:
            keeper = subject.kill_keeper()
            self.daemon.kill()
        else:
            keeper = wait_until(subject.keeper, 10, f"a keeper of {subject.name}")
            self.daemon.kill()
            os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not alive(keeper), 10)
        self.daemon.start()
        if subject.holds:
            return
        if keeper_first and subject.instance.status != STOPPED:
            return  # the daemon was fast enough to start another keeper before it was killed
        subject.ended()
        subject.start()

    def main_process(self):
        subject = self.any()
        subject.kill()
        subject.ended()
        subject.start()

    def main_process_and_daemon(self):
        subject = self.any()
        if self.chance.random() < 0.5:
            subject.kill()
            self.daemon.kill()
        else:
            self.daemon.kill()
            subject.kill()
        self.daemon.start()
        subject.ended()
        subject.start()

    def monitor(self):
        subject = self.any()
        subject.kill_monitor()
        subject.ended()
        subject.start()

    def monitor_keeper_and_daemon(self):
        subject = self.any()
        keeper = wait_until(subject.keeper, 10, f"a keeper of {subject.name}")
        self.daemon.kill()
        os.kill(keeper, signal.SIGKILL)
        subject.kill_monitor()
        self.daemon.start()
        subject.ended(watched=False)
        subject.start()

    # --- a round ---

    def kill_something(self):
        what = self.chance.choice(list(self.kinds))
        self.done.append(what)
        time.sleep(self.chance.uniform(0, 0.15))  # at a random moment
        self.kinds[what]()

    def check(self):
        for subject in self.subjects:
            subject.survived()
        assert self.daemon.running()

    def clean(self):
        """Nobody attached, and nothing that `creator` has made: what is there then can be compared."""
        self.calm_down()
        wait_until(self.discard_others, 30, "no instance but ours")
        return self.traces.settled()

    def discard_others(self):
        """The last requests of those that were killed may be under way still."""
        self.traces.settled()
        ours = {subject.name for subject in self.subjects}
        names = {url.rsplit("/", 1)[1] for url in self.daemon.api.read("/1.0/instances")}
        for name in names - ours:
            Instance(self.daemon.api, name).discard()
        return names == ours


def havoc(daemon, request, make_subjects, roles):
    chance = random.Random(SEED)
    daemon.create("first", "true").start().discard()  # what a daemon opens once
    wait_until(lambda: not daemon.keepers(), 10, "no keeper")
    bare = Traces(daemon).look()
    subjects = make_subjects(daemon, request)
    for subject in subjects:
        subject.start()
    world = Havoc(daemon, subjects, roles, chance)
    try:
        world.make_busy()
        world.check()
        before, memory = world.clean().look(), world.traces.memory()
        world.make_busy()
        for number in range(1, KILLS + 1):
            world.kill_something()
            world.check()
            if number % LOOK == 0 or number == KILLS:
                world.clean().assert_no_more_than(before)
                world.traces.assert_memory(memory)
                world.check()
                world.make_busy()
        world.clean()
    except BaseException:
        print("killed so far:", world.done, "\n" + daemon.stderr()[-4000:])
        raise
    finally:
        world.calm_down()
    for subject in subjects:
        subject.vanish()
    return world, bare


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random(request, kind):
    """Promise 10: what is to survive does, byte for byte; what ends, ends; and no process, descriptor, file or operation
    is left over."""
    print(f"CONSOLED_TEST_SEED={SEED}")
    daemon_type, make_subjects, roles = KINDS[kind]
    daemon = daemon_type("--attach-timeout", "2")
    try:
        started = time.monotonic()
        world, bare = havoc(daemon.start(), request, make_subjects, roles)
        world.traces.assert_no_more_than(bare)
        print_figures(world, time.monotonic() - started)
    finally:
        daemon.close()


def print_figures(world, seconds):
    counts = {what: world.done.count(what) for what in world.kinds}
    lines = sum(subject.journal.lines for subject in world.subjects)
    overwritten = sum(subject.journal.skipped for subject in world.subjects)
    typed = sum(len(subject.journal.typed) for subject in world.subjects)
    print(f"{len(world.done)} kills in {seconds:.0f} s: {counts}; {lines} lines read, {typed} of them typed,"
          f" {overwritten} bytes overwritten before they were looked at")


# --- attach and detach ---


class Visitors:
    """Clients that come and go in all the ways there are, several at a time."""

    def __init__(self, instance, chance):
        self.instance, self.chance = instance, chance
        self.open = []
        self.sent, self.echoed = set(), set()
        self.ways = collections.Counter()
        self.operations = []
        self.comings = {
            self.attach: 8,
            self.attach_by_force: 1,
            self.watch: 2,
            self.data_only: 1,
            self.control_only: 1,
            self.never: 0.2,
        }
        self.goings = [self.detach, self.close_data, self.vanish, self.cancel]

    def next(self):
        coming = self.chance.choices(list(self.comings), list(self.comings.values()))[0]
        self.ways[coming.__name__] += 1
        coming()
        while len(self.open) > self.chance.randrange(5):
            session = self.open.pop(self.chance.randrange(len(self.open)))
            going = self.chance.choice(self.goings)
            self.ways[going.__name__] += 1
            try:
                going(session)
            finally:
                session.abort()

    def post(self, body=None):
        session = Session(self.instance, body)
        self.operations.append(session.id)
        return session

    def mark(self, session):
        mark = f"c0-{len(self.sent)}"
        self.sent.add(mark.encode())
        session.type(mark + "\n")
        return mark

    def attach(self):
        session = self.post().attach()
        if self.chance.random() < 0.5:
            mark = self.mark(session)
            session.expect(mark + "\n")
            self.echoed.add(mark.encode())
        else:
            self.mark(session)
        self.open.append(session)

    def attach_by_force(self):
        """All who can type end, and are told why."""
        session = self.post({"force": True}).attach()
        for other in self.open:
            if other.data:
                other.data.wait_end()
            other.abort()
            assert other.result()["status_code"] >= SUCCESS
        self.open = [session]

    def watch(self):
        session = self.post({"mode": "watch"}).attach()
        session.type("never\n")
        self.open.append(session)

    def data_only(self):
        session = self.post().connect_data()
        self.mark(session)
        self.open.append(session)

    def control_only(self):
        self.open.append(self.post().connect_control().resize(100, 30))

    def never(self):
        self.post()

    def detach(self, session):
        if not (session.data and session.control):
            return self.vanish(session)
        session.detach()
        assert session.result()["status_code"] == SUCCESS

    def close_data(self, session):
        if session.data:
            session.data.close(1000)

    def vanish(self, session):
        pass  # what a kill does: the kernel closes both

    def cancel(self, session):
        session.api.delete(f"/1.0/operations/{session.id}")
        assert session.result()["status_code"] in (SUCCESS, CANCELLED)


def test_attached_without_end(make_daemon):
    """T7, promises 6 and 7: clients come and go by the thousand, in every way: nothing grows, nothing is typed but what they
    sent, and the log has it all, once."""
    print(f"CONSOLED_TEST_SEED={SEED}")
    daemon = make_daemon("--attach-timeout", "1")
    command = f"sh -c '{in_raw_mode((2, 0.02))}'"
    subject = Subject(daemon, daemon.create("x", command, config={"console.buffer.size": "16MiB"})).start()
    visitors, traces = Visitors(subject.instance, random.Random(SEED)), Traces(daemon)
    started = time.monotonic()
    for number in range(-(ATTACHES // 4), ATTACHES):
        if number == 0:
            before, memory = leave(visitors, traces).look(), traces.memory()
        visitors.next()
    leave(visitors, traces).assert_no_more_than(before)
    now = traces.memory()
    traces.assert_memory(memory)
    subject.survived()
    typed = {mark for mark in subject.journal.typed if mark.startswith(b"c")}
    assert visitors.echoed <= typed <= visitors.sent and not subject.journal.skipped
    seconds = time.monotonic() - started
    print(f"{len(visitors.operations)} sessions in {seconds:.0f} s: {dict(visitors.ways)}; memory {memory}, then {now}")
    subject.vanish()


def leave(visitors, traces):
    for session in visitors.open:
        session.abort()
    visitors.open = []
    return traces.settled()


# --- what is on disk ---


def change_and_kill(daemon, chance, change):
    """kill -9 of the daemon in the midst of a request, at a random moment."""

    def ask():
        try:
            change()
        except (OSError, AssertionError, ValueError, http.client.HTTPException):
            pass  # how a request ends whose server is killed

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(chance.uniform(0, 0.006))
    daemon.kill()
    asking.join()
    daemon.start()


def assert_no_log_without_instance(daemon):
    names = [url.rsplit("/", 1)[1] for url in daemon.api.read("/1.0/instances")]
    assert sorted(os.listdir(daemon.directory / "consoles")) == names
    assert {path.name for path in daemon.directory.glob("run/*")} <= set(names)
    return names


def test_killed_while_it_creates(own_daemon):
    """Promise 10: kill -9 between what the database and what the file system are told of a new instance: both or none."""
    print(f"CONSOLED_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    for number in range(rounds(100, 10)):
        change_and_kill(own_daemon, chance, lambda: own_daemon.create(f"x{number}", "true"))
        for name in assert_no_log_without_instance(own_daemon):
            Instance(own_daemon.api, name).delete()


@pytest.mark.parametrize("what", ["rename", "delete"])
def test_killed_in_the_midst(own_daemon, what):
    """Promise 10: the same of one that is renamed or deleted: it has its log, under the one name or the other, or both are
    gone."""
    print(f"CONSOLED_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    api = own_daemon.api
    name, outcomes = None, []
    for number in range(rounds(100, 10)):
        if not name:
            name = f"x{number}"
            own_daemon.create(name, f"echo {number}").start().wait_status(STOPPED)
            log = Instance(api, name).log()
        other = f"y{number}"
        instance = Instance(api, name)
        if what == "rename":
            change_and_kill(own_daemon, chance, lambda: api.run("POST", instance.url, {"name": other}))
        else:
            change_and_kill(own_daemon, chance, instance.delete)
        there = assert_no_log_without_instance(own_daemon)
        assert len(there) == 1 if what == "rename" else len(there) < 2
        if there:
            assert there[0] in (name, other) and Instance(api, there[0]).log() == log
        outcomes.append(there == [name])
        name = there[0] if there else None
    print(f"{sum(outcomes)} of {len(outcomes)} had not been changed yet")
