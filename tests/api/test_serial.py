# SPDX-License-Identifier: Apache-2.0
"""Serial devices, played by pseudo-terminals: the test has the master, which is the other end of the line."""

import errno
import fcntl
import os
import pwd
import select
import signal
import struct
import termios
import threading
import time

import pytest

from consoled import Daemon, alive, cpu_seconds, descriptors
from rest import FAILURE, RUNNING, STOPPED, SUCCESS, elsewhere, wait_until
from test_input import type_in, typed

pytestmark = pytest.mark.timeout(120)

ALL_BYTES = bytes(range(256))


class Line:
    """A serial device at `path`, which is a link to a PTY, as udev makes them."""

    def __init__(self, path, owner=None):
        self.path, self.owner, self.master = str(path), owner, -1
        self.plug_in()

    def plug_in(self):
        """Another adapter in the same place."""
        self.master, slave = os.openpty()
        self.device = os.ttyname(slave)
        if self.owner is not None:
            os.chown(slave, self.owner, -1)
        os.close(slave)
        os.set_blocking(self.master, False)
        os.symlink(self.device, self.path + ".new")
        os.rename(self.path + ".new", self.path)

    def unplug(self):
        os.unlink(self.path)
        os.close(self.master)
        self.master = -1

    def remove(self):
        if self.master >= 0:
            self.unplug()

    def send(self, data, timeout=30):
        """What the board says."""
        deadline = time.monotonic() + timeout
        while data:
            assert select.select([], [self.master], [], deadline - time.monotonic())[1], "the line takes no more"
            data = data[os.write(self.master, data) :]

    def receive(self, count, timeout=30):
        """What the board hears."""
        deadline, data = time.monotonic() + timeout, b""
        while len(data) < count:
            ready = select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"{len(data)} of {count} bytes came: {data[-100:]!r}"
            data += os.read(self.master, count - len(data))
        return data

    def silent(self):
        return not select.select([self.master], [], [], 0)[0]

    def open(self):
        """Whether anybody has the device open."""
        poll = select.poll()
        poll.register(self.master, 0)
        return not poll.poll(0)

    def wait_open(self):
        """As an instance opens it: until then a terminal changes what passes."""
        wait_until(lambda: self.speed() == (115200, 115200))
        return self

    def settings(self):
        return termios.tcgetattr(self.master)

    def speed(self):
        """Of struct termios2: those that have no name as well."""
        return struct.unpack("4IB19B2I", fcntl.ioctl(self.master, 0x802C542A, bytes(44)))[-2:]


@pytest.fixture
def line(tmp_path):
    line = Line(tmp_path / "tty")
    yield line
    line.remove()


@pytest.fixture
def serial(make, line):
    """Makes instances on the line: serial(), serial(config={"serial.speed": "9600"})."""

    def create(on=None, start=True, config=None, **how):
        return make(None, on=on, start=start, config={"serial.device": line.path, **(config or {})}, **how)

    return create


@pytest.fixture
def attach(open_session, line):
    """Opens sessions that see all that comes from then on: the daemon has heard of them."""

    def open_one(instance, line=line):
        session = open_session(instance).type("?")
        assert line.receive(1) == b"?"
        return session

    return open_one


def fails(instance, action="start"):
    operation = instance.change(action)
    assert operation["status_code"] == FAILURE, operation
    return operation["err"]


# --- what is on the line ---


def test_every_byte_both_ways(serial, line, attach):
    """Sessions: a line is raw, whatever passes."""
    instance = serial()
    session = attach(instance)
    line.send(ALL_BYTES * 4)
    assert session.expect_bytes(1024) == ALL_BYTES * 4
    session.type(ALL_BYTES * 4)
    assert line.receive(1024) == ALL_BYTES * 4
    assert instance.log() == ALL_BYTES * 4


def test_state(serial, line, lxc):
    """Sessions: it runs, without a process of its own."""
    instance = serial()
    state = instance.state()
    assert (state["status"], state["pid"], state["processes"]) == ("Running", 0, 0)
    assert f"{instance.name},RUNNING" in lxc("list", "--format", "csv", "-c", "ns")
    assert "RUNNING" in lxc("info", instance.name)


def test_lxc_console(serial, line, terminal):
    """Sessions: the stock client attaches, types, is resized and detaches; a line has no size."""
    instance = serial()
    client = terminal("lxc", "console", instance.name)
    client.expect("To detach")
    client.type("root\r")
    assert line.receive(5) == b"root\r"
    line.send(b"Password: ")
    client.expect("Password: ")
    client.resize(100, 30)
    client.type("x")
    assert line.receive(1) == b"x"
    client.detach()
    assert client.wait() == 0
    assert struct.unpack("HHHH", fcntl.ioctl(line.master, termios.TIOCGWINSZ, bytes(8)))[:2] == (0, 0)


@pytest.mark.parametrize(
    "value, speed, flag",
    [
        ("", 115200, termios.B115200),
        ("9600", 9600, termios.B9600),
        ("4000000,8N1", 4000000, termios.B4000000),
        ("74880", 74880, 0o10000),  # BOTHER
    ],
)
def test_speed(serial, line, value, speed, flag):
    """Sessions: serial.speed, any number; those that have a name are called by it."""
    serial(config={"serial.speed": value})
    assert line.speed() == (speed, speed)
    assert line.settings()[2] & 0o10017 == flag


def test_settings(serial, line):
    """Sessions: raw, no modem lines, and no drop of DTR at a close. Afterwards it is as it was, but for the last."""
    before = line.settings()
    assert before[2] & termios.HUPCL == 0  # a PTY's own
    with_hupcl = [*before[:2], before[2] | termios.HUPCL, *before[3:]]
    termios.tcsetattr(line.master, termios.TCSANOW, with_hupcl)
    instance = serial(config={"serial.flow": "xonxoff", "serial.speed": "9600,8o2"})
    flags, output, control, local = line.settings()[:4]
    assert (flags, output, local) == (termios.IXON | termios.IXOFF, 0, 0)
    wanted = termios.CLOCAL | termios.CREAD | termios.PARODD | termios.CSTOPB  # PARENB is beyond a PTY
    assert control & (wanted | termios.HUPCL) == wanted
    instance.stop()
    assert line.settings() == before


def test_rtscts(serial, line):
    """Sessions: serial.flow."""
    serial(config={"serial.flow": "rtscts"})
    assert line.settings()[2] & termios.CRTSCTS
    assert line.settings()[0] == 0


# --- who has it ---


def test_two_instances(serial, line):
    """Sessions: one line, one instance."""
    first, second = serial(), serial(start=False)
    assert fails(second) == f"serial.device: {line.path} is in use by another program"
    assert second.status == STOPPED
    line.send(b"first")
    first.wait_log(b"first")
    first.stop()
    second.start()
    line.send(b"second")
    second.wait_log(b"second")
    assert first.log() == b"first"


def test_in_use(serial, line):
    """Sessions: by another program that asks, as picocom, tio and pyserial do."""
    instance = serial(start=False)
    descriptor = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
    try:
        before = line.settings()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert "is in use by another program" in fails(instance)
        assert line.settings() == before
    finally:
        os.close(descriptor)
    instance.start()
    descriptor = os.open(line.path, os.O_RDWR | os.O_NOCTTY)  # root may
    with pytest.raises(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_ordinary_user():
    """Sessions: where the device lets its user in; nobody else gets it then. A restart does."""
    uid = pwd.getpwnam("nobody").pw_uid
    daemon = Daemon()
    os.chown(daemon.directory, uid, -1)
    daemon.prefix = ["setpriv", f"--reuid={uid}", "--clear-groups"]
    line = Line(daemon.directory / "tty", owner=uid)
    try:
        instance = daemon.start().create("x", config={"serial.device": line.path}).start()

        def second_open():
            try:
                os.open(line.path, os.O_RDWR | os.O_NOCTTY)
            except OSError as error:
                return error.errno
            return 0

        assert elsewhere(second_open, uid) == errno.EBUSY
        instance.restart()
        line.send(b"still mine")
        instance.wait_log(b"still mine")
        instance.stop()
        os.chmod(line.device, 0)
        assert fails(instance) == f"serial.device: {line.path}: Permission denied"
    finally:
        daemon.close()
        os.close(line.master)


# --- errors ---


@pytest.mark.parametrize(
    "config, words",
    [
        ({"serial.device": "ttyS0"}, 'serial.device: an absolute path, not "ttyS0"'),
        ({"serial.device": "/dev/x", "serial.speed": "fast"}, "serial.speed: a speed such as 115200"),
        ({"serial.device": "/dev/x", "serial.speed": "9600,9n1"}, "serial.speed: a speed such as 115200"),
        ({"serial.device": "/dev/x", "serial.flow": "dtr"}, "serial.flow: one of none, rtscts, xonxoff"),
        ({"serial.device": "/dev/x", "serial.baud": "1"}, "Unknown configuration key: serial.baud"),
        ({"serial.device": "/dev/x", "process.command": "sh"}, "process.command: not for serial devices"),
        ({"serial.device": "/dev/x", "limits.memory": "1GiB"}, "limits.memory: not for serial devices"),
    ],
)
def test_config_errors(api, name, config, words):
    """Sessions: what is wrong is named."""
    body = {"name": name, "source": {"type": "none"}, "config": config}
    answer = api.post("/1.0/instances", body)
    assert answer.status == 400 and words in answer.error, answer


def test_not_two_things(api, name, tmp_path):
    """Sessions: a container's root is not on a line."""
    devices = {"root": {"type": "disk", "path": "/", "source": str(tmp_path)}}
    body = {"name": name, "source": {"type": "none"}, "config": {"serial.device": "/dev/x"}, "devices": devices}
    answer = api.post("/1.0/instances", body)
    assert answer.status == 400 and 'serial.device: device "root" has the root of a container already' in answer.error


def test_no_such_device(make, tmp_path):
    """Sessions: nothing to open, nothing to start."""
    missing, file, link = tmp_path / "missing", tmp_path / "file", tmp_path / "link"
    file.write_text("")
    link.symlink_to("/dev/null")
    for path, words in [
        (missing, f"{missing}: No such file or directory"),
        (file, f"{file} is not a serial device"),
        (link, f"{link} is not a serial device"),
    ]:
        instance = make(None, start=False, config={"serial.device": str(path)})
        assert fails(instance) == f"serial.device: {words}"
        assert instance.status == STOPPED


def test_no_freezing(serial):
    """Sessions: what is at the other end is not ours."""
    instance = serial()
    assert "A serial device cannot be frozen" in fails(instance, "freeze")
    assert instance.status == RUNNING


# --- always drained ---


def test_drained_while_nobody_looks(serial, own_daemon, line):
    """Promise 1: also while there is no daemon."""
    instance = serial(on=own_daemon)
    line.send(b"nobody is attached;")
    instance.wait_log(b"attached;")
    own_daemon.kill()
    line.send(ALL_BYTES * 1000)
    own_daemon.start()
    assert instance.status == RUNNING
    wait_until(lambda: instance.log() == b"nobody is attached;" + ALL_BYTES * 1000)


def test_flood(serial, line, attach):
    """Promise 3: a reader that is slow holds the line up, and misses nothing."""
    instance = serial(config={"console.buffer.size": "64KiB"})
    session = attach(instance)
    data = ALL_BYTES * 8192
    sender = threading.Thread(target=line.send, args=(data, 60))
    sender.start()
    assert session.expect_bytes(len(data)) == data
    sender.join()


def test_input_flood(serial, line, attach):
    """Promise 3: a line that does not take its input is waited for, and the rest of the daemon does not wait."""
    instance = serial()
    session = attach(instance)
    data = ALL_BYTES * 2048
    sender = threading.Thread(target=lambda: [session.type(data[at : at + 4096]) for at in range(0, len(data), 4096)])
    sender.start()
    line.send(b"full")
    instance.wait_log(b"full")
    assert line.receive(len(data)) == data
    sender.join()


def test_stop_while_full(serial, line, attach):
    """Sessions: what a line does not take does not keep it from being stopped."""
    instance = serial()
    session = attach(instance)
    session.type(bytes(100000))
    assert line.receive(1) == b"\0"
    began = time.monotonic()
    instance.stop(force=False)
    assert time.monotonic() - began < 5
    assert session.result()["status_code"] == SUCCESS
    wait_until(lambda: not line.open())


# --- unplugged ---


def refuses(instance):
    answer = type_in(instance, text="x")
    return answer.status != 200 and answer.error == "The serial device is unplugged"


def unplug(line, instance):
    """And waits until it is known: what is typed goes nowhere then."""
    line.unplug()
    wait_until(lambda: refuses(instance))


def test_unplugged(serial, line, attach):
    """Sessions: those that are attached stay, are told, and go on."""
    instance = serial()
    session = attach(instance)
    line.send(b"before")
    session.expect("before")
    unplug(line, instance)
    assert instance.status == RUNNING
    session.type("nobody hears this")
    line.plug_in()
    line.wait_open().send(b"after")
    session.expect(r"\r\n\[consoled: restarted, boot 2\]\r\nafter")
    session.type("again")
    assert line.receive(5) == b"again"
    assert line.speed() == (115200, 115200)
    assert instance.log() == b"beforeafter"


def test_back_soon(serial, line, attach):
    """Sessions: it is not polled for, but seen."""
    instance = serial()
    session = attach(instance)
    for number in range(2, 6):
        unplug(line, instance)
        began = time.monotonic()
        line.plug_in()
        line.wait_open().send(b"here")
        session.expect(r"boot %d\]\r\nhere" % number)
        assert time.monotonic() - began < 2


def test_directories_come_and_go(make, attach, tmp_path):
    """Sessions: udev removes /dev/serial with the last device in it."""
    directory = tmp_path / "serial" / "by-id"
    directory.mkdir(parents=True)
    line = Line(directory / "usb-x")
    try:
        instance = make(None, config={"serial.device": line.path})
        session = attach(instance, line)
        unplug(line, instance)
        directory.rmdir()
        directory.parent.rmdir()
        began = time.monotonic()
        directory.mkdir(parents=True)
        line.plug_in()
        line.wait_open().send(b"here")
        session.expect("boot 2")
        assert time.monotonic() - began < 10
    finally:
        line.remove()


def test_behind_a_link(make, tmp_path):
    """Sessions: the device that the link names comes later than the link."""
    line = Line(tmp_path / "dev")
    (tmp_path / "by-id").mkdir()
    (tmp_path / "by-id" / "x").symlink_to("../dev")
    try:
        instance = make(None, config={"serial.device": str(tmp_path / "by-id" / "x")})
        unplug(line, instance)
        line.plug_in()
        line.wait_open().send(b"here")
        instance.wait_log(b"here", 3)
    finally:
        line.remove()


def test_something_else_in_its_place(serial, line, tmp_path):
    """Sessions: what comes back is looked at as what was there first."""
    instance = serial()
    unplug(line, instance)
    os.symlink("/dev/null", line.path)
    wrong = Line(tmp_path / "other")
    holder = os.open(wrong.path, os.O_RDWR | os.O_NOCTTY)
    fcntl.flock(holder, fcntl.LOCK_EX)  # another program has it
    os.unlink(line.path)
    os.symlink(wrong.device, line.path)
    assert refuses(instance)
    os.close(holder)
    os.unlink(line.path)
    wrong.remove()
    line.plug_in()
    line.wait_open().send(b"right")
    instance.wait_log(b"right")
    assert instance.status == RUNNING


def test_no_polling(serial, line, daemon):
    """Sessions: one that is away costs nothing, and no descriptor of the dead device is kept."""
    instance = serial()
    open_ones = descriptors(daemon.pid)
    unplug(line, instance)
    keeper = daemon.keepers()[instance.name]
    wait_until(lambda: descriptors(daemon.pid) < open_ones)
    assert not [fd for fd in os.listdir(f"/proc/{keeper}/fd") if "pts" in os.readlink(f"/proc/{keeper}/fd/{fd}")]
    before = cpu_seconds(keeper), cpu_seconds(daemon.pid)
    threading.Event().wait(1)  # the time that is measured
    assert cpu_seconds(keeper) - before[0] < 0.05 and cpu_seconds(daemon.pid) - before[1] < 0.2


def test_stop_while_unplugged(serial, line, attach):
    """Sessions: and a restart is refused, with the reason."""
    instance = serial()
    session = attach(instance)
    unplug(line, instance)
    assert fails(instance, "restart") == f"serial.device: {line.path}: No such file or directory"
    assert instance.status == RUNNING
    instance.stop(force=False)
    assert session.result()["status_code"] == SUCCESS
    assert "No such file" in fails(instance)


@pytest.mark.parametrize("who", ["daemon", "keeper"])
def test_unplugged_and_killed(serial, own_daemon, line, who):
    """Promise 10: who comes after the dead waits on."""
    instance = serial(on=own_daemon)
    unplug(line, instance)
    if who == "daemon":
        own_daemon.kill()
        own_daemon.start()
    else:
        kill_keeper(own_daemon, instance)
    assert instance.status == RUNNING
    line.plug_in()
    line.wait_open().send(b"back")
    instance.wait_log(b"back")
    wait_until(lambda: type_in(instance, text="y").status == 200)
    assert line.receive(1) == b"y"


def test_plugged_in_while_there_is_no_daemon(serial, own_daemon, line):
    """Promise 10: the keeper opens it."""
    instance = serial(on=own_daemon)
    unplug(line, instance)
    own_daemon.kill()
    line.plug_in()
    line.wait_open().send(b"back")
    own_daemon.start()
    instance.wait_log(b"back")
    assert typed(instance, text="z") == {"bytes": 1}
    assert line.receive(1) == b"z"


# --- killed ---


def kill_keeper(daemon, instance):
    """Waits for the next."""
    pid = daemon.keepers()[instance.name]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))
    return wait_until(lambda: daemon.keepers().get(instance.name))


def test_daemon_killed(serial, own_daemon, line, open_session):
    """Promise 10: not a byte is lost, and the line never closed."""
    instance = serial(on=own_daemon)
    for number in range(5):
        own_daemon.kill()
        line.send(b"%d;" % number)
        assert line.open()
        own_daemon.start()
        session = open_session(instance, {"replay": "log"})
        session.expect(b"%d;" % number)
        session.type("ok")
        assert line.receive(2) == b"ok"
    assert instance.log() == b"0;1;2;3;4;"


def test_keeper_killed(serial, own_daemon, line, attach):
    """Promise 10: nor with keepers; sessions notice nothing."""
    instance = serial(on=own_daemon, config={"serial.speed": "9600"})
    session = attach(instance)
    data = ALL_BYTES * 400
    sender = threading.Thread(target=line.send, args=(data, 60))
    sender.start()
    for _ in range(3):
        kill_keeper(own_daemon, instance)
    sender.join()
    assert session.expect_bytes(len(data)) == data
    session.type("typed")
    assert line.receive(5) == b"typed"
    assert line.speed() == (9600, 9600)
    instance.stop()
    assert session.result()["status_code"] == SUCCESS
    wait_until(lambda: not line.open())


def test_both_killed(serial, own_daemon, line):
    """Promise 10: then nobody has the line, and the next may."""
    instance = serial(on=own_daemon)
    keeper = own_daemon.keepers()[instance.name]
    own_daemon.kill()
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not line.open())
    own_daemon.start()
    assert instance.status == STOPPED
    instance.start()
    line.send(b"again")
    instance.wait_log(b"again")


def test_autostart(serial, own_daemon, line):
    """Sessions: boot.autostart; one that cannot be is stopped, and the daemon serves."""
    instance = serial(on=own_daemon, start=False, config={"boot.autostart": "true"})
    own_daemon.terminate()
    own_daemon.start()
    instance.wait_status(RUNNING)
    instance.stop()
    own_daemon.terminate()
    line.unplug()
    own_daemon.start()
    wait_until(lambda: "No such file or directory" in own_daemon.stderr())
    assert instance.status == STOPPED


# --- stopped and started ---


def test_stop_and_start(serial, line, attach):
    """Sessions: open from the start to the stop, which ends sessions."""
    instance = serial(start=False)
    assert not line.open()
    for number in range(3):
        instance.start()
        assert line.open()
        session = attach(instance)
        line.send(b"%d" % number)
        session.expect(b"%d" % number)
        instance.stop(force=number == 1)
        assert session.result()["status_code"] == SUCCESS
        wait_until(lambda: not line.open())
    assert instance.log() == b"012"


def test_what_was_typed_last(serial, line):
    """Sessions: it is sent before the stop."""
    instance = serial()
    typed(instance, text="poweroff\n")
    instance.stop(force=False)
    assert line.receive(9) == b"poweroff\n"


def test_restart_with_another_speed(serial, line, attach):
    """Sessions: a restart starts what is configured now, on the same session."""
    instance = serial()
    session = attach(instance)
    instance.api.patch(instance.url, {"config": {"serial.speed": "57600"}})
    assert line.speed() == (115200, 115200)
    instance.restart()
    assert line.speed() == (57600, 57600)
    line.send(b"there")
    session.expect(r"boot 2\]\r\nthere")
    session.type("here")
    assert line.receive(4) == b"here"


def test_restart_with_another_device(serial, line, tmp_path):
    """Sessions: the first is let go."""
    other = Line(tmp_path / "other")
    try:
        instance = serial()
        instance.api.patch(instance.url, {"config": {"serial.device": other.path}})
        instance.restart()
        wait_until(lambda: not line.open())
        other.send(b"other")
        instance.wait_log(b"other")
        instance.stop()
    finally:
        other.remove()


def test_restart_as_something_else(serial, line):
    """Sessions: that needs another keeper."""
    instance = serial()
    config = {"serial.device": "", "process.command": "cat"}
    instance.api.patch(instance.url, {"config": config})
    assert "runs as a serial device and is configured as a program" in fails(instance, "restart")
    assert instance.status == RUNNING


# --- breaks ---


def test_break(serial, line):
    """Sessions: the key `break`. What is typed behind it waits until it is over; a PTY has none to show."""
    instance = serial()
    began = time.monotonic()
    assert typed(instance, text="a", keys=["break", "b", "break", "break", "c"]) == {"bytes": 3}
    assert time.monotonic() - began > 0.9
    assert line.receive(3) == b"abc"


def test_break_while_unplugged(serial, line):
    """Sessions: goes nowhere."""
    instance = serial()
    unplug(line, instance)
    assert type_in(instance, keys=["break"]).error == "The serial device is unplugged"


def test_unplugged_in_a_break(serial, line, attach):
    """Sessions: what waits for the end of the break does not wait for ever."""
    instance = serial()
    session = attach(instance)
    typed(instance, keys=["break"])
    session.type("lost")
    line.unplug()
    line.plug_in()
    line.wait_open().send(b"here")
    session.expect("boot 2")
    session.type("heard")
    assert line.receive(5) == b"heard"


def test_killed_in_a_break(serial, own_daemon, line):
    """Promise 10: the next daemon types."""
    instance = serial(on=own_daemon)
    typed(instance, keys=["break"])
    own_daemon.kill()
    own_daemon.start()
    typed(instance, text="next")
    assert line.receive(4) == b"next"
