# SPDX-License-Identifier: Apache-2.0
"""GET and DELETE of the console: the log (protocol 10)."""

import time
from email.utils import parsedate_to_datetime

import pytest

from consoled import Daemon
from rest import STOPPED, wait_until

FLOOD = "sh -c 'stty raw -echo; seq 1 %d'"


def sequence(last):
    return b"".join(b"%d\n" % number for number in range(1, last + 1))


def test_never_started(make):
    """Design: 200 and nothing in it."""
    instance = make("true", start=False)
    answer = instance.api.get(instance.url + "/console")
    assert (answer.status, answer.body) == (200, b"")


def test_from_the_first_byte(make):
    """Promise 1: the log begins where the output begins, though nobody is attached."""
    instance = make("echo first")
    instance.wait_status(STOPPED)
    assert instance.log() == b"first\r\n"


@pytest.mark.lxd
def test_headers(guest, open_session):
    """Protocol 10: octet-stream, ranges, disposition, length, date."""
    session = open_session(guest).at_prompt()
    answer = guest.api.get(guest.url + "/console")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"].startswith("inline;filename=")
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp() <= time.time() + 2
    session.detach()
    session.result()


def test_content_is_not_sniffed(shell):
    """S13: a guest cannot make the log something that a browser runs."""
    answer = shell.api.get(shell.url + "/console")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_reading_does_not_consume(make, open_session):
    """Promise 2, T32: the same bytes however often, while running, attached, detached and stopped."""
    instance = make("sh -c 'echo one; read line; echo two'")
    first = instance.wait_log(b"one\r\n")
    assert [instance.log() for _ in range(3)] == [first] * 3
    session = open_session(instance)
    assert instance.log() == first
    session.type("\n").drain()
    instance.wait_status(STOPPED)
    log = instance.log()
    assert log.startswith(first) and log.endswith(b"two\r\n")
    assert [instance.log() for _ in range(3)] == [log] * 3


def test_grows_while_attached(shell, open_session):
    """T32: what an attached client sees is logged too."""
    session = open_session(shell)
    session.run("echo mark-$((7*6))")
    session.detach()
    shell.wait_log(b"mark-42\r\n")


@pytest.mark.parametrize("running", [True, False])
def test_clear(make, running):
    """Promise 2, T32: DELETE empties it; 200 with {}; what comes later is there."""
    instance = make("sh -c 'echo old; read line; echo new'")
    instance.wait_log(b"old")
    if not running:
        instance.stop()
    answer = instance.api.delete(instance.url + "/console")
    assert (answer.status, answer.metadata) == (200, {})
    assert instance.log() == b""
    if not running:
        instance.start()
        assert instance.wait_log(b"old") == b"old\r\n"


def test_clear_does_not_disturb_sessions(make, open_session):
    """Promise 2: a session is a cursor of its own."""
    instance = make("sh -c 'while read line; do echo got-$line; done'")
    session = open_session(instance).type("a\n")
    session.expect("got-a")
    instance.clear_log()
    session.type("b\n").expect("got-b")
    assert b"got-a" not in instance.log() and b"got-b" in instance.log()


def test_clear_never_started(make):
    """Protocol 10: nothing to empty is no server error."""
    instance = make("true", start=False)
    assert instance.api.delete(instance.url + "/console").status in (200, 404)


def test_unknown_instance(daemon):
    """Protocol 10: GET says less than DELETE, as in LXD."""
    answer = daemon.api.get("/1.0/instances/nosuch/console")
    assert (answer.status, answer.error) == (404, "Instance not found")
    answer = daemon.api.delete("/1.0/instances/nosuch/console")
    text = 'Failed to fetch instance "nosuch" in project "default": Instance not found'
    assert (answer.status, answer.error) == (404, text)


@pytest.mark.lxd
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_bad_name(api, method):
    """Protocol 8: a snapshot's name is none for a console."""
    answer = api.request(method, "/1.0/instances/c1%2Fsnap0/console")
    assert (answer.status, answer.error) == (400, "Invalid instance name")


def test_type_parameter(make):
    """Protocol 10: Incus's `type=log` is the log."""
    instance = make("echo hello")
    instance.wait_status(STOPPED)
    assert instance.api.get(instance.url + "/console?type=log").body == b"hello\r\n"


def test_grows_over_restarts(make):
    """Protocol 10: one log over all boots."""
    instance = make("echo boot")
    instance.wait_status(STOPPED)
    for _ in range(2):
        instance.start()
        instance.wait_status(STOPPED)
    assert instance.log() == b"boot\r\n" * 3


def test_every_byte_value(make):
    """T29, T32: NUL, escapes and broken UTF-8 are logged as they are."""
    instance = make("sh -c 'stty raw; i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %o $i)\"; i=$((i+1)); done'")
    instance.wait_status(STOPPED)
    assert instance.log() == bytes(range(256))


def test_last_line_without_newline(make):
    """T33: no record is lost for want of a newline."""
    instance = make("printf 'a\\nb'")
    instance.wait_status(STOPPED)
    assert instance.log() == b"a\r\nb"


def test_the_last_bytes_are_kept(make):
    """S15: the log is as large as its ring and holds the newest bytes, all of them."""
    last = 400000
    instance = make(FLOOD % last)
    instance.wait_status(STOPPED, 60)
    log, whole = instance.log(), sequence(last)
    assert 1048576 * 9 // 10 <= len(log) <= 1048576
    assert whole.endswith(log)


@pytest.mark.parametrize("size, capacity", [("64KiB", 65536), ("4MiB", 4194304), ("131072", 131072)])
def test_buffer_size(make, size, capacity):
    """Design: console.buffer.size, a power of two."""
    last = 700000 if capacity > 1048576 else 60000
    instance = make(FLOOD % last, config={"console.buffer.size": size})
    instance.wait_status(STOPPED, 60)
    log = instance.log()
    assert capacity * 9 // 10 <= len(log) <= capacity and sequence(last).endswith(log)


def test_buffer_size_can_be_changed(make):
    """Design: a ring of another size is a new file; the next start makes it."""
    instance = make(FLOOD % 60000, config={"console.buffer.size": "64KiB"})
    instance.wait_status(STOPPED)
    instance.api.patch(instance.url, {"config": {"console.buffer.size": "1MiB"}})
    instance.start()
    instance.wait_status(STOPPED)
    assert instance.log().endswith(sequence(60000))


def test_disk_use_is_bounded(make, daemon):
    """S15: a guest cannot fill the disk."""
    instance = make(FLOOD % 1000000, config={"console.buffer.size": "64KiB"})
    instance.wait_status(STOPPED, 60)
    files = (daemon.directory / "consoles" / instance.name).rglob("*")
    assert sum(path.stat().st_blocks * 512 for path in files) < 65536 * 4


def test_log_is_private(make, daemon):
    """S9, S12: only the daemon's user may read what guests print."""
    instance = make("echo secret")
    instance.wait_status(STOPPED)
    for path in (daemon.directory / "consoles" / instance.name).rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_log_while_it_is_written(make):
    """Promise 2: a log read in a flood is an unbroken piece of it."""
    instance = make("sh -c 'stty raw -echo; while :; do seq 100000 999999; done'")
    wait_until(lambda: len(instance.log()) > 1000000)
    for _ in range(10):
        numbers = [int(line) for line in instance.log().split(b"\n")[1:-1]]
        assert len(numbers) > 10000
        assert all(b == a + 1 or (a, b) == (999999, 100000) for a, b in zip(numbers, numbers[1:]))


def test_kill_of_the_daemon_in_a_flood(own_daemon, open_session):
    """T34, promise 10: kill -9 in the midst of writing; a new daemon finds the log whole, and it goes on."""
    command = "sh -c 'stty raw -echo; echo ready; read go; seq 1 2000000; exec cat'"
    instance = own_daemon.create("x", command, config={"console.buffer.size": "16MiB"}).start()
    instance.wait_log(b"ready")
    session = open_session(instance).type("\n")
    session.expect_bytes(100000)
    own_daemon.kill()
    own_daemon.start()
    whole = b"ready\n" + sequence(2000000)
    wait_until(lambda: instance.log().endswith(b"2000000\n"), 50)
    assert instance.log() == whole
    instance.clear_log()
    open_session(instance).type("echo").expect("echo")


def test_survives_a_clean_restart_of_the_daemon(own_daemon):
    """Promise 10: logs of stopped instances are there after a restart."""
    instance = own_daemon.create("x", "echo kept").start()
    instance.wait_status(STOPPED)
    own_daemon.terminate()
    own_daemon.start()
    assert instance.log() == b"kept\r\n"


def test_damaged_ring_is_an_error_not_a_crash(own_daemon: Daemon):
    """Design: what is on disk is checked: a ring that is none costs its log, never the daemon."""
    instance = own_daemon.create("x", "echo hello").start()
    instance.wait_status(STOPPED)
    own_daemon.terminate()
    (ring,) = (own_daemon.directory / "consoles" / "x").glob("ring")
    ring.write_bytes(b"\xff" * 8192)
    own_daemon.start()
    assert own_daemon.api.get("/1.0").status == 200
    assert instance.api.get(instance.url).status in (200, 404)


# --- logs/lxc.log ---


@pytest.mark.lxd
def test_lxc_log(guest):
    """Protocol 11: `lxc info --show-log` reads logs/lxc.log."""
    answer = guest.api.get(guest.url + "/logs/lxc.log")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/octet-stream"
    assert "lxc.log" in answer.headers["Content-Disposition"]


@pytest.mark.lxd
def test_other_logs(guest):
    """Protocol 11: 400 by name."""
    answer = guest.api.get(guest.url + "/logs/nosuch")
    assert (answer.status, answer.error) == (400, "log file name nosuch not valid")
