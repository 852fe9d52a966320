# SPDX-License-Identifier: Apache-2.0
"""What breaks consoles after a while or under load: the bugs of LXD, Incus and their peers, by number, as loops.

CONSOLED_TEST_QUICK=1 makes the loops shorter.
"""

import os
import random
import re
import select
import socket
import subprocess
import sys
import threading
import time

import pytest

from consoled import Daemon, alive, cpu_seconds, descriptors, instrumented, memory, processes_of, rounds
from frames import BINARY, PING, PONG, Refused, WebSocket, encode
from rest import RUNNING, STOPPED, SUCCESS, Instance, wait_until
from session import Session, refused

pytestmark = pytest.mark.timeout(300)

RAW_CAT = "sh -c 'stty raw -echo; echo ready; exec cat'"
MEBIBYTE = 1 << 20


def sequence(last):
    return b"".join(b"%d\n" % number for number in range(1, last + 1))


def ready(instance):
    instance.wait_log(b"ready")
    return instance


class Flat:
    """Asserts that a block leaves the daemon as it was: descriptors, processes, running operations."""

    def __init__(self, daemon):
        self.daemon = daemon

    def look(self):
        running = self.daemon.api.read("/1.0/operations").get("running", [])
        return descriptors(self.daemon.pid), len(processes_of(self.daemon.directory)), len(running)

    def __enter__(self):
        self.before = self.look()

    def __exit__(self, kind, *_):
        if kind is None:
            wait_until(self.no_more_than_before, 20, f"{self.before} again, not {self.look()}")

    def no_more_than_before(self):
        return all(now <= before for now, before in zip(self.look(), self.before))


# --- attach and lifetime ---


def test_t1_posts_that_nobody_connects_to(make_daemon):
    """T1: they expire, leave nothing behind, and the next attach works without force."""
    daemon = make_daemon("--attach-timeout", "1")
    instance = daemon.create("x", "sh -i").start()
    with Flat(daemon):
        sessions = [Session(instance) for _ in range(10)]
        for session in sessions:
            assert session.result()["status_code"] not in (RUNNING, SUCCESS)
    session = Session(instance).attach()
    session.run("echo fine")
    session.abort()


def test_t2_every_partial_session(shell, daemon):
    """T2, promise 7: data only, control only, cancelled between, each closed in each way, over and over."""

    def cancel(session):
        session.api.delete(f"/1.0/operations/{session.id}")

    def part(session, sockets, end):
        for name in sockets:
            getattr(session, f"connect_{name}")()
        if end is cancel:
            cancel(session)
        for websocket in filter(None, (session.data, session.control)):
            if end == "close":
                websocket.close(1000)
            else:
                websocket.abort()

    with Flat(daemon):
        for _ in range(rounds(20, 2)):
            for sockets in (["data"], ["control"], ["data", "control"], ["control", "data"]):
                for end in ("close", "abort", cancel):
                    session = Session(shell)
                    part(session, sockets, end)
                    session.result()
                    session.abort()
        last = Session(shell).attach()
        last.run("echo fine")
        last.detach()


def test_t2_resize_after_the_end(make):
    """T2: what comes on control when all is over hurts nobody."""
    instance = make("sh -c 'read line; exit'")
    session = Session(instance).attach().type("\n")
    session.drain()
    try:
        for _ in range(50):
            session.resize(100, 30)
    except OSError:
        pass  # closed already
    assert session.result()["status_code"] == SUCCESS
    session.abort()


def test_t3_sockets_in_any_order(shell, daemon):
    """T3: control first, data first, both at once: each of a thousand attaches works."""
    with Flat(daemon):
        for number in range(rounds(1000)):
            session = Session(shell)
            if number % 3 == 0:
                session.connect_control().connect_data()
            elif number % 3 == 1:
                session.connect_data().connect_control()
            else:
                threads = [threading.Thread(target=each) for each in (session.connect_control, session.connect_data)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            session.type(f"echo n-$(({number}))\n").expect(f"n-{number}\r\n")
            session.detach()
            assert session.result()["status_code"] == SUCCESS
            session.abort()


def test_t4_secret_used_again(shell, open_session):
    """T4: again and again, at every stage, never a second socket and never a disturbance of the first."""
    session = open_session(shell)
    for number in range(rounds(100)):
        assert refused(session, "0").status < 500 and refused(session, "control").status < 500
        session.type(f"echo n-$(({number}))\n").expect(f"n-{number}\r\n")


def test_t6_clients_that_vanish_in_the_handshake(shell, daemon):
    """T6: connections cut anywhere in the request or right behind it."""
    with Flat(daemon):
        for number in range(rounds(300)):
            session = Session(shell)
            head = (
                f"GET {session.target('0')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ).encode()
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(daemon.socket)
                connection.sendall(head[: number * 7 % (len(head) + 7)])
            session.api.delete(f"/1.0/operations/{session.id}")
            session.result()


def test_t6_clients_killed(shell, daemon, server):
    """T6: kill -9 of real clients, wherever they are."""
    with Flat(daemon):
        for number in range(rounds(40, 5)):
            session = Session(shell)
            program = (
                "import sys; sys.path.insert(0, sys.argv[1]); from frames import WebSocket\n"
                "control = WebSocket(sys.argv[2], sys.argv[3]); print(flush=True)\n"
                "data = WebSocket(sys.argv[2], sys.argv[4]); print(flush=True); data.frame(1000)\n"
            )
            here = os.path.dirname(os.path.abspath(__file__))
            arguments = [here, daemon.socket, session.target("control"), session.target("0")]
            client = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE)
            for _ in range(1 + number % 2):
                client.stdout.readline()
            client.kill()
            client.wait()
            client.stdout.close()
            assert session.result()["status_code"] >= 200


def test_t7_a_thousand_times(shell, daemon):
    """T7: attach and detach; nothing grows, and the console is live at the end."""

    def once(number):
        session = Session(shell).attach()
        session.type(f"echo n-$(({number}))\n").expect(f"n-{number}\r\n")
        session.detach()
        assert session.result()["status_code"] == SUCCESS
        session.abort()

    for number in range(50):
        once(number)
    before = memory(daemon.pid)
    with Flat(daemon):
        for number in range(rounds(1000)):
            once(number)
    if not instrumented(daemon.pid):
        assert memory(daemon.pid) < before + 4 * MEBIBYTE
    wait_until(lambda: daemon.api.read("/1.0/operations") == {}, 20, "no operation left")


def test_t7_instances_come_and_go(daemon, name):
    """T7: create, start, attach, stop, delete; nothing grows."""
    with Flat(daemon):
        for number in range(rounds(100)):
            instance = daemon.create(name, "sh -i").start()
            session = Session(instance).attach()
            session.run("echo here")
            instance.stop()
            session.drain()
            session.abort()
            instance.delete()


def test_t9_wait_early_late_and_twice(make):
    """T9: whoever asks, whenever: the final state, failure included."""
    instance = make("true", start=False)
    api = instance.api
    results = []
    for _ in range(rounds(50)):
        id = api.put(instance.url + "/state", {"action": "stop"}).metadata["id"]
        threads = [threading.Thread(target=lambda: results.append(api.wait(id))) for _ in range(3)]
        for thread in threads:
            thread.start()
        results.append(api.wait(id))
        for thread in threads:
            thread.join()
        results.append(api.wait(id))
    assert {result["err"] for result in results} == {"The instance is already stopped"}
    assert len(results) == rounds(50) * 5


def test_t10_frames_do_not_interleave(make, open_session):
    """T10: pings, data both ways, resizes and closes at once: every frame is whole, every byte there."""
    instance = ready(make(RAW_CAT, config={"console.buffer.size": "4MiB"}))
    session = open_session(instance)
    text = sequence(60000)
    pings = rounds(2000, 200)

    def send():
        for count, offset in enumerate(range(0, len(text), 200)):
            session.data.send_raw(encode(BINARY, text[offset : offset + 200]))
            if count < pings:
                session.data.send_raw(encode(PING, b"%d" % count))
            if count % 50 == 0:
                session.resize(80 + count % 40, 24)

    thread = threading.Thread(target=send)
    thread.start()
    pongs = 0
    while len(session.output) < len(text):
        frame = session.data.frame()
        assert frame.opcode in (BINARY, PONG) and frame.reserved == 0 and not frame.masked
        if frame.opcode == PONG:
            assert re.fullmatch(rb"\d+", frame.payload)
            pongs += 1
        else:
            session.output += frame.payload
    thread.join()
    assert session.output == text and pongs > 0


# --- last bytes, end of file, errors ---


def test_t11_last_words(make):
    """T11: what a program writes right before it exits always arrives before the close."""
    instance = make("sh -c 'read line; echo last; exit'", start=False)
    for _ in range(rounds(1000)):
        instance.start()
        session = Session(instance).attach().type("\n")
        assert session.drain().endswith(b"last\r\n")
        assert session.end_mark and session.data.closed == b""
        session.abort()
        instance.wait_status(STOPPED)


@pytest.mark.parametrize("size", [1, 4095, 4096, 65536, 1048576])
def test_t12_burst_and_exit(make, size):
    """T12, promise 8: a burst of any size right before the exit is delivered whole; the end of a PTY is no failure."""
    command = f"sh -c 'stty raw -echo; read go; head -c {size} /dev/zero; printf end'"
    instance = make(command, start=False, config={"console.buffer.size": "4MiB"})
    for _ in range(rounds(20, 3)):
        instance.start()
        session = Session(instance).attach().type("\n")
        output = session.drain(60)
        assert output.endswith(b"\0" * size + b"end") and session.result()["status_code"] == SUCCESS
        session.abort()
        instance.wait_status(STOPPED)


def test_t13_no_spinning_at_the_end(make, daemon):
    """T13: a client that does not take the last bytes costs no processor time."""
    instance = make("sh -c 'stty raw -echo; read go; seq 1 200000'", config={"console.buffer.size": "4MiB"})
    session = Session(instance).attach(receive_buffer=4096).type("\n")
    instance.wait_log(b"200000\n")
    before, start = cpu_seconds(daemon.pid), time.monotonic()
    other = Session(make("sh -i")).attach()
    daemon.api.get(f"/1.0/operations/{other.id}/wait?timeout=2")
    assert cpu_seconds(daemon.pid) - before < 0.5 * (time.monotonic() - start)
    assert session.drain().endswith(sequence(200000))
    other.abort()
    session.abort()


def test_t14_slow_client_at_the_end(make):
    """T14: a megabyte is queued for a slow client when the program ends: all of it arrives, then the close."""
    instance = make("sh -c 'stty raw -echo; read go; seq 1 150000'", config={"console.buffer.size": "2MiB"})
    session = Session(instance).attach(receive_buffer=4096).type("\n")
    instance.wait_status(STOPPED)
    assert session.drain(60).endswith(sequence(150000))
    assert session.end_mark and session.data.closed == b""
    session.abort()


def test_t15_half_close(make):
    """T15: input has ended, output goes on until the program ends."""
    instance = make("sh -c 'stty raw -echo; read go; seq 1 100000'")
    session = Session(instance).attach().type("\n")
    session.data.text("")
    assert session.drain().endswith(sequence(100000))
    assert session.result()["status_code"] == SUCCESS
    session.abort()


def test_t16_close_codes(make):
    """T16: the client is always told by a Close frame: 1005 for an end, something else, with a reason, for a takeover;
    also when it has connected just before."""
    instance = make("sh -i")
    for _ in range(rounds(100)):
        taken, session = Session(instance).attach(), Session(instance, {"force": True}).attach()
        for websocket in (taken.data, taken.control):
            websocket.wait_end()
            assert websocket.closed and len(websocket.closed) > 2
        taken.abort()
        session.abort()
    session = Session(instance).attach().type("exit\n")
    session.drain()
    assert session.data.closed == b""
    session.abort()


def test_t17_grandchild_holds_the_terminal(make):
    """T17: a grandchild that ignores SIGHUP and keeps the PTY open does not keep the session."""
    instance = make("sh -c '(trap \"\" HUP TERM; echo pid-$$-; exec sleep 1000) & sleep 0.1; read go; exit'")
    instance.wait_log(b"pid-")
    session = Session(instance).attach().type("\n")
    session.drain(20)
    assert session.end_mark and session.result()["status_code"] == SUCCESS
    instance.wait_status(STOPPED)
    session.abort()


# --- stuck writers, slow clients, memory ---


def test_t18_client_that_does_not_read(make, daemon):
    """T18, promise 3: the target runs on, others get every byte, state and stop work, memory is bounded."""
    last = rounds(5000000, 500000)
    instance = make(f"sh -c 'stty raw -echo; read go; seq 1 {last}; echo end; exec cat'")
    stuck = Session(instance).attach(receive_buffer=4096)
    fast = Session(instance).attach()
    before = memory(daemon.pid)
    expected = 0
    total = len(sequence(last))
    fast.type("\n")  # and from here on it must read: a second without is a second too much
    started = time.monotonic()
    while len(fast.output) < total:
        assert fast.read()
        if expected == 0 and len(fast.output) > total // 2:
            expected = 1
            assert instance.status == RUNNING and daemon.api.get("/1.0").status == 200
    fast.expect("end")
    assert time.monotonic() - started < 200
    assert fast.output.endswith(sequence(last) + b"end\n")
    assert memory(daemon.pid) < before + 64 * MEBIBYTE
    assert instance.log().endswith(b"%d\nend\n" % last)
    instance.stop()
    stuck.abort()
    fast.abort()


def test_t18_late_reader_is_told_what_it_missed(make):
    """Promise 3: who comes back gets a note in band, and from there on every byte."""
    last = 2000000
    instance = make(f"sh -c 'stty raw -echo; read go; seq 1 {last}; echo end; read again; echo over'")
    stuck = Session(instance).attach(receive_buffer=4096)
    stuck.type("\n")
    instance.wait_log(b"end\n", 60)
    stuck.expect("end\n", 30)
    assert re.search(rb"\d+ bytes", stuck.output), "not told of the loss"
    tail = [int(number) for number in re.findall(rb"\d+", stuck.output[-20000:-4])][1:]
    assert tail[-1] == last and all(b == a + 1 for a, b in zip(tail, tail[1:]))
    stuck.type("\n").drain()
    assert stuck.output.endswith(b"over\n") and stuck.end_mark
    stuck.abort()


def test_t18_slow_reader_gets_every_byte(make):
    """Promise 3: a reader that makes progress loses nothing, however slow; the target is held back for it."""
    last = rounds(600000, 300000)
    instance = make(
        f"sh -c 'stty raw -echo; echo ready; read go; seq 1 {last}; exec cat'",
        config={"console.buffer.size": "64KiB"},
    )
    slow = Session(ready(instance)).attach(receive_buffer=4096)
    slow.type("\n")
    whole = sequence(last)
    while len(slow.output) < len(whole):
        slow.read(60)
        if random.random() < 0.001:
            slow.api.get("/1.0")  # the time that a look at something else takes
    assert slow.output == whole
    slow.abort()


def test_t19_nobody_attached(make):
    """T19: the terminal is drained all the same; the target never blocks."""
    last = rounds(5000000, 500000)
    instance = make(f"sh -c 'stty raw -echo; seq 1 {last}; echo done'")
    instance.wait_status(STOPPED, 200)
    assert instance.log().endswith(b"%d\ndone\n" % last)


@pytest.fixture
def small_disk():
    """A daemon whose consoles lie on a file system of one megabyte."""
    daemon = Daemon()
    consoles = daemon.directory / "consoles"
    consoles.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "consoled-test", str(consoles)], check=True)
    try:
        yield daemon.start()
        daemon.terminate()
    finally:
        subprocess.run(["umount", "--lazy", str(consoles)], check=True)
        daemon.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_t20_disk_full(small_disk):
    """T20: no room for a log: that instance fails and says so; the others go on, and with room it works."""
    small = small_disk.create("small", "sh -i", config={"console.buffer.size": "64KiB"}).start()
    body = {
        "name": "large",
        "source": {"type": "none"},
        "config": {"process.command": "sh -i", "console.buffer.size": "4MiB"},
    }
    operation = small_disk.api.run("POST", "/1.0/instances", body)
    large = Instance(small_disk.api, "large")
    if operation["status_code"] == SUCCESS:
        operation = large.change("start")
    assert operation["status"] == "Failure" and "No space left on device" in operation["err"]
    session = Session(small).attach()
    session.run("echo fine")
    session.abort()
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk.directory / "consoles")], check=True)
    if large.api.get(large.url).status == 404:
        small_disk.api.do("POST", "/1.0/instances", body)
    large.start().stop()
    small.stop()


@pytest.mark.parametrize("chunk", [1, 100, 4096, 131072])
def test_t21_paste_into_an_echo(make, chunk):
    """T21: a megabyte pasted into a program that echoes it: no deadlock, nothing lost, in order."""
    size = MEBIBYTE if chunk > 1 else rounds(MEBIBYTE, 65536) // 16
    text = sequence(size // 6)[:size]
    session = Session(ready(make(RAW_CAT, config={"console.buffer.size": "4MiB"}))).attach()

    def paste():
        for offset in range(0, len(text), chunk):
            session.data.binary(text[offset : offset + chunk])

    thread = threading.Thread(target=paste)
    thread.start()
    assert session.expect_bytes(len(text), 120) == text
    thread.join()
    session.abort()


def test_t22_program_that_does_not_read(make, daemon):
    """T22: input is bounded, by stopping that one client; others work, and detach, death and stop do too."""
    instance = ready(make("sh -c 'stty raw -echo; echo ready; exec sleep 1000'"))
    before = memory(daemon.pid)
    for end in ("detach", "abort"):
        session = Session(instance).attach()
        session.data.socket.setblocking(False)
        sent = 0
        frame = encode(BINARY, b"x" * 65536)
        with pytest.raises(BlockingIOError):
            while sent < 256 * MEBIBYTE:
                writable_within(session.data.socket, 1)
                sent += session.data.socket.send(frame)
        assert sent < 64 * MEBIBYTE
        other = Session(instance).attach()
        other.data.send(PING, b"?")
        assert other.data.frame().payload == b"?"
        other.abort()
        if end == "detach":
            session.detach()
        session.abort()
        assert session.result()["status_code"] == SUCCESS
    assert memory(daemon.pid) < before + 64 * MEBIBYTE
    instance.stop(force=True)


def writable_within(connection, seconds):
    """Waits until the socket takes more, at most so long."""
    select.select([], [connection], [], seconds)


def test_t23_many_stalled_clients(make, daemon):
    """T23: two hundred clients that do not read, in a flood: memory stays bounded."""
    instance = make("sh -c 'stty raw -echo; read go; while :; do seq 1 100000; done'")
    before = memory(daemon.pid)
    stalled = [Session(instance).attach(receive_buffer=4096) for _ in range(rounds(200, 50))]
    reader = Session(instance).attach().type("\n")
    reader.expect_bytes(8 * MEBIBYTE)
    assert memory(daemon.pid) < before + 128 * MEBIBYTE
    instance.stop()
    for session in [*stalled, reader]:
        session.abort()


# --- framing ---


def test_t26_control_that_is_never_read(make, open_session):
    """T26: a client that never reads control, and makes the server say much there, blocks nobody, itself included."""
    session = open_session(make("sh -i"))
    session.control.socket.setblocking(False)
    frame = encode(PING, b"x" * 125)
    try:
        for _ in range(100000):
            session.control.socket.send(frame)
    except BlockingIOError:
        pass  # the server has stopped reading: its right
    session.run("echo fine")
    assert session.api.get("/1.0").status == 200


def test_t29_bytes_as_they_are(make, open_session):
    """T29: UTF-8 split anywhere, broken UTF-8, NUL: byte for byte, both ways."""
    session = open_session(ready(make(RAW_CAT)))
    text = "häßlich ☃ \U0001f600 ".encode() * 20 + bytes(range(256)) + b"\xc3\x28\xf0\x28\x8c\xbc\xff\xfe\x00\x00"
    for number in range(len(text)):
        session.type(text[number : number + 1])
    assert session.expect_bytes(len(text)) == text
    session.type(text)
    assert session.expect_bytes(2 * len(text)) == text * 2


def test_t31_large_control_messages(make, daemon):
    """T31: messages of any size on control cost nothing."""
    instance = make("sh -i")
    before = memory(daemon.pid)
    with Flat(daemon):
        for size in (5000, 32768, MEBIBYTE, 8 * MEBIBYTE) * rounds(5, 1):
            session = Session(instance).attach()
            session.control.text("x" * size)
            session.run("echo fine")
            session.detach()
            assert session.result()["status_code"] == SUCCESS
            session.abort()
    assert memory(daemon.pid) < before + 32 * MEBIBYTE


def test_t30_random_frames(make, daemon):
    """T30, S11: noise after the handshake, on each socket."""
    instance = ready(make(RAW_CAT))
    noise = random.Random(30)
    with Flat(daemon):
        for number in range(rounds(300)):
            session = Session(instance).attach()
            websocket = session.data if number % 2 else session.control
            try:
                websocket.send_raw(noise.randbytes(noise.randrange(1, 3000)))
            except OSError:
                pass
            session.abort()
            assert session.result()["status_code"] >= 200


def test_s11_half_requests(daemon):
    """S11: clients that stop in the midst of a request hold nobody up."""
    request = b"GET /1.0/instances HTTP/1.1\r\nHost: x\r\n\r\n"
    with Flat(daemon):
        held = []
        for count in range(100):
            held.append(socket.socket(socket.AF_UNIX))
            held[-1].connect(daemon.socket)
            held[-1].sendall(request[: count % len(request)])
        assert daemon.api.get("/1.0").status == 200
        WebSocket(daemon.socket, "/1.0/events").abort()
        for connection in held:
            connection.close()


def test_s4_connections_without_end(daemon):
    """S4, S11: as many connections as the daemon may have files: it goes on when they are gone."""
    held = []
    try:
        for _ in range(3000):
            connection = socket.socket(socket.AF_UNIX)
            connection.setblocking(False)
            held.append(connection)
            try:
                connection.connect(daemon.socket)
                connection.send(b"GET /1.0 HTTP/1.1\r\n")
            except BlockingIOError:
                break  # the backlog is full: also an answer
            except OSError:
                pass
    finally:
        for connection in held:
            connection.close()

    def serves():
        try:
            return daemon.api.get("/1.0").status == 200
        except BlockingIOError:
            return False  # the backlog is still full

    wait_until(serves, 20)


def test_random_walk(make, daemon):
    """Promise 7: everything that clients do, in random order, from several at once; the end is as the beginning."""
    instance = ready(make("sh -c 'stty raw -echo; echo ready; exec cat'", config={"process.restart": "always"}))
    failures = []

    def client(seed):
        chance = random.Random(seed)
        try:
            for _ in range(rounds(60, 6)):
                walk(instance, chance)
        except Exception as error:  # told by the test, not by a thread nobody looks at
            failures.append(error)

    with Flat(daemon):
        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(rounds(20, 3)):
            assert instance.status == RUNNING
            instance.clear_log()
            instance.log()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    assert alive(daemon.pid) and instance.status == RUNNING


def walk(instance, chance):
    """One session with a random course."""
    session = Session(instance, {"width": chance.randrange(200), "height": chance.randrange(99)})
    steps = [
        lambda: session.data or session.connect_data(),
        lambda: session.control or session.connect_control(),
        lambda: session.data and session.type(b"x" * chance.randrange(5000)),
        lambda: session.control and session.resize(chance.randrange(300), chance.randrange(100)),
        lambda: session.data and session.data.pending() and session.data.frame(),
        lambda: session.data and session.data.text(""),
        lambda: session.data and session.data.close(1000),
        lambda: session.control and session.control.close(1000),
        lambda: session.api.delete(f"/1.0/operations/{session.id}"),
        lambda: session.api.get(f"/1.0/operations/{session.id}"),
    ]
    try:
        for _ in range(chance.randrange(12)):
            chance.choice(steps)()
    except (OSError, Refused):
        pass  # ended, by an earlier step
    session.abort()
    session.api.delete(f"/1.0/operations/{session.id}")
    assert session.result()["status_code"] >= 200
