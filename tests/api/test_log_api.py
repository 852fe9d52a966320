# SPDX-License-Identifier: Apache-2.0
"""GET of the console with parameters: which part of the log, and in which form; and its boots."""

import json
import re
import threading
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from guest import ContainerDaemon
from machine import READY, MachineDaemon
from rest import RUNNING, STOPPED, UnixConnection, wait_until
from test_events import Listener

CAT = "sh -c 'stty raw -echo; echo ready; exec cat'"
MARK = 0.011  # seconds; times are exact to 10 ms
COLOURED = (
    rb"plain \033[1;31mred\033[0m \033]0;title\007tab\tend\r\n"
    rb"progress 10%%\rprogress 20%%\r\n\377\000\b caf\303\251\r\n"
)


@pytest.fixture
def printed(make):
    """Makes a stopped instance that has printed this (a format of printf)."""

    def run(text, **how):
        text = text.decode() if isinstance(text, bytes) else text
        instance = make(f"sh -c \"stty raw; printf '{text}'\"", **how)
        instance.wait_status(STOPPED)
        return instance

    return run


@pytest.fixture
def typist(make, open_session):
    """An instance that prints what is typed, and what types: type("text"), which returns when it is in the log."""
    instance = make(CAT)
    instance.wait_log(b"ready\n")
    session = open_session(instance)

    def type_text(text):
        session.type(text)
        instance.wait_log(text.encode())

    instance.type = type_text
    return instance


def get(instance, query="", **how):
    return instance.api.get(instance.url + "/console" + query, **how)


def read(instance, query, **how):
    answer = get(instance, query, **how)
    assert answer.status == 200, answer
    return answer.body


def wait_for_date(instance, query=""):
    """Waits until what was printed last has a date, that of a second which is over; returns it."""

    def dated():
        now = time.time() // 1
        date = get(instance, query).headers["Last-Modified"]
        return date if now > parsedate_to_datetime(date).timestamp() + 1 else None

    return wait_until(dated)


def parse_time(text):
    """RFC 3339 with nanoseconds, in seconds since 1970."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{9})?Z", text), text
    whole, _, fraction = text[:-1].partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float("0." + (fraction or "0"))


def rfc3339(seconds, zone=timezone.utc):
    return datetime.fromtimestamp(seconds, zone).isoformat()


def escaped(text):
    return text.replace("+", "%2B")


def events_of(recording):
    """The header, and the events as (seconds since 1970, code, data)."""
    header, *events = [json.loads(line) for line in recording.decode().split("\n")[:-1]]
    return header, [(header["timestamp"] + when, code, data) for when, code, data in events]


def output_of(recording):
    return "".join(data for _, code, data in events_of(recording)[1] if code == "o")


# --- what a stock client sees ---


def test_without_parameters_nothing_is_new(printed):
    """Log: byte for byte what LXD's clients have always got, headers included."""
    instance = printed("hello\\n")
    for query in ("", "?project=default", "?type=log"):
        answer = get(instance, query)
        assert [name for name, _ in answer.headers.items() if name != "Connection"] == [
            "Date",
            "Content-Type",
            "Accept-Ranges",
            "Content-Disposition",
            "X-Content-Type-Options",
            "Last-Modified",
            "Content-Length",
        ]
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"] == "inline;filename="
        assert (answer.status, answer.body) == (200, b"hello\n")


@pytest.mark.parametrize(
    "query, name",
    [
        ("tail=x", "tail"),
        ("tail=-1", "tail"),
        ("tail_bytes=", "tail_bytes"),
        ("tail=1&tail_bytes=1", "tail and tail_bytes"),
        ("since=soon", "since"),
        ("since=2026-02-30T00:00:00Z", "since"),
        ("boot=0", "boot"),
        ("boot=last", "boot"),
        ("follow=maybe", "follow"),
        ("timestamps=", "timestamps"),
        ("notices=2", "notices"),
        ("format=pdf", "format"),
        ("format=screen&follow=1", "follow"),
        ("format=asciicast&timestamps=1", "timestamps"),
    ],
)
def test_bad_parameters(shell, query, name):
    """Promise 12: a clear error that names the parameter."""
    answer = get(shell, "?" + query)
    assert answer.status == 400 and answer.json["type"] == "error"
    assert name in answer.error


def test_unknown_instance(api):
    """Log: as without parameters."""
    for target in ("console?follow=1", "console?format=screen", "console/boots"):
        answer = api.get("/1.0/instances/nosuch/" + target)
        assert (answer.status, answer.error) == (404, "Instance not found")


def test_event(shell, daemon):
    """Log: every GET that succeeds is an event, and no other."""
    listener = Listener(daemon.socket, "?type=lifecycle")
    for query in ("", "?tail=1", "?format=plain", "?format=asciicast", "?format=screen"):
        assert get(shell, query).status == 200
    assert get(shell, "?tail=x").status == 400
    shell.stop()
    listener.action("instance-stopped", "/1.0/instances/" + shell.name)
    seen = [event["metadata"]["action"] for event in listener.seen if event["metadata"]["source"].endswith(shell.name)]
    assert seen == ["instance-console-retrieved"] * 5 + ["instance-stopped"]
    listener.websocket.abort()


# --- which part ---


def test_tail(printed):
    """Log: `tail` counts lines, the last one too if it has no end; `tail_bytes` bytes."""
    instance = printed("one\\r\\ntwo\\r\\n\\r\\nfour")
    whole = b"one\r\ntwo\r\n\r\nfour"
    lines = whole.splitlines(keepends=True)
    for count in range(7):
        assert read(instance, f"?tail={count}") == b"".join(lines[len(lines) - count :] if count < 4 else lines)
    for count in (0, 1, 5, len(whole), 10**12):
        assert read(instance, f"?tail_bytes={count}") == (whole[-count:] if count else b"")


def test_tail_of_much(make):
    """Log: lines are counted from the end of any log."""
    instance = make("sh -c 'stty raw; seq 1 100000'")
    instance.wait_status(STOPPED)
    for count in (1, 1000, 50000):
        expected = b"".join(b"%d\n" % number for number in range(100001 - count, 100001))
        assert read(instance, f"?tail={count}") == expected


def test_since_an_offset(typist):
    """Log: an offset is one of the console's life; the answer tells where it begins and ends, to go on from there."""
    typist.type("one\n")
    answer = get(typist, "?since=6")
    assert (answer.body, answer.headers["Consoled-Range"]) == (b"one\n", "6-10")
    typist.type("two\n")
    answer = get(typist, "?since=10")
    assert (answer.body, answer.headers["Consoled-Range"]) == (b"two\n", "10-14")
    assert read(typist, "?since=14") == read(typist, "?since=999999999999") == b""
    typist.clear_log()
    typist.type("three\n")
    answer = get(typist, "?since=10")
    assert (answer.body, answer.headers["Consoled-Range"]) == (b"three\n", "14-20")


def test_since_a_time(typist):
    """Log: a time of any zone, or so long ago; compared with the wall clock around each print."""
    times = []
    for number in range(3):
        wait_until(lambda: not times or time.time() > times[-1] + 2 * MARK)
        times.append(time.time())
        wait_until(lambda: time.time() > times[-1] + 2 * MARK)
        typist.type(f"line {number}\n")
    zone = timezone(timedelta(hours=5, minutes=30))
    for number, moment in enumerate(times):
        expected = b"".join(b"line %d\n" % n for n in range(number, 3))
        assert read(typist, "?since=" + rfc3339(moment).replace("+00:00", "Z")) == expected
        assert read(typist, "?since=" + escaped(rfc3339(moment, zone))) == expected
        assert read(typist, "?since=" + rfc3339(moment, zone)) == expected, "a + that is not escaped"
        assert read(typist, f"?since={int((time.time() - moment) * 1000)}ms") == expected
    assert read(typist, "?since=1h30m") == read(typist, "?since=1970-01-01T00:00:00Z") == typist.log()
    assert read(typist, "?since=2200-01-01T00:00:00Z") == read(typist, "?since=0s") == b""


def test_boots(make):
    """Log: boots are numbered and dated, whether the instance was started again, restarted, or restarts itself."""
    before = time.time()
    instance = make("sh -c 'stty raw; echo boot; read line; exit 1'", config={"process.restart": "on-failure"})
    instance.wait_log(b"boot\n")
    instance.restart()
    wait_until(lambda: instance.log() == b"boot\n" * 2)
    instance.stop()
    instance.start()
    wait_until(lambda: instance.log() == b"boot\n" * 3)
    boots = instance.api.read(instance.url + "/console/boots")
    assert [(boot["number"], boot["offset"], boot["bytes"]) for boot in boots] == [(1, 0, 5), (2, 5, 5), (3, 10, 5)]
    times = [parse_time(boot["started_at"]) for boot in boots]
    assert times == sorted(times) and before < times[0] and times[2] < time.time()
    for boot, begin in ((1, 0), (2, 5), (3, 10), (-1, 10), (-2, 5), (-3, 0)):
        answer = get(instance, f"?boot={boot}")
        assert (answer.body, answer.headers["Consoled-Range"]) == (b"boot\n", f"{begin}-{begin + 5}")
    for boot in (4, -4):
        answer = get(instance, f"?boot={boot}")
        assert answer.status == 404 and f"boot {boot}" in answer.error
    assert read(instance, "?boot=2&tail_bytes=3") == b"ot\n"
    assert read(instance, "?boot=2&since=7") == b"ot\n"
    instance.clear_log()
    boots = instance.api.read(instance.url + "/console/boots")
    assert [(boot["number"], boot["bytes"]) for boot in boots] == [(1, 0), (2, 0), (3, 0)]
    assert read(instance, "?boot=1") == b""


def test_boots_of_a_program_that_fails(make, open_session):
    """Log: each time that process.restart starts it is a boot."""
    instance = make("sh -c 'stty raw; echo boot; read line; exit 1'", config={"process.restart": "on-failure"})
    instance.wait_log(b"boot\n")
    open_session(instance).type("\n").expect("boot\n")
    wait_until(lambda: read(instance, "?boot=2") == b"boot\n")
    assert read(instance, "?boot=-1") == b"boot\n"
    assert len(instance.api.read(instance.url + "/console/boots")) == 2


def test_never_started(make):
    """Log: nothing in any form."""
    instance = make("true", start=False)
    for query in ("?tail=5", "?since=0", "?format=plain", "?follow=1", "?timestamps=1", "?format=screen"):
        assert read(instance, query) == b""
    assert get(instance, "?boot=-1").status == 404
    assert instance.api.read(instance.url + "/console/boots") == []
    assert output_of(read(instance, "?format=asciicast")) == ""


# --- HTTP's own ---


def test_range(printed):
    """Log: Range is of what the parameters leave, and of raw bytes only."""
    instance = printed("one\\ntwo\\nthree\\n")
    answer = get(instance, "?tail=2", headers={"Range": "bytes=4-7"})
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, b"thre", "bytes 4-7/10")
    answer = get(instance, "?tail=2", headers={"Range": "bytes=10-"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */10")
    for query in ("?follow=1&format=plain", "?format=plain", "?timestamps=1", "?format=screen", "?format=asciicast"):
        answer = get(instance, query, headers={"Range": "bytes=0-1"})
        assert answer.status == 200 and len(answer.body) > 2 and "Accept-Ranges" not in answer.headers, query


def test_if_range(typist):
    """RFC 9110 13.1.5: a part of a log that has changed since the client has its beginning is of no use."""
    typist.type("one\n")
    date = wait_for_date(typist)
    headers = {"Range": "bytes=6-", "If-Range": date}
    answer = get(typist, headers=headers)
    assert (answer.status, answer.body) == (206, b"one\n")
    typist.type("two\n")
    answer = get(typist, headers=headers)
    assert (answer.status, answer.body) == (200, b"ready\none\ntwo\n")
    assert get(typist, headers={**headers, "If-Range": '"tag"'}).status == 200


@pytest.mark.parametrize("query", ["", "?tail=1", "?format=plain", "?timestamps=1", "?boot=1"])
def test_if_modified_since(typist, query):
    """RFC 9110 13.1.3: what has not changed need not be sent again; a client never misses what has."""
    typist.type("one\n")
    date = get(typist, query).headers["Last-Modified"]
    typist.type("two\n")  # maybe in the same second
    assert get(typist, query, headers={"If-Modified-Since": date}).body.endswith(b"two\n")
    date = wait_for_date(typist, query)
    answer = get(typist, query, headers={"If-Modified-Since": date})
    assert (answer.status, answer.body, answer.headers["Last-Modified"]) == (304, b"", date)
    moved = [parsedate_to_datetime(date) + timedelta(seconds=seconds) for seconds in (-1, 3600)]
    for condition in (*(format_datetime(moment, usegmt=True) for moment in moved), "yesterday", ""):
        assert get(typist, query, headers={"If-Modified-Since": condition}).status == 200
    typist.type("three\n")
    assert get(typist, query, headers={"If-Modified-Since": date}).body.endswith(b"three\n")
    typist.clear_log()
    answer = get(typist, query, headers={"If-Modified-Since": format_datetime(datetime.now(timezone.utc), usegmt=True)})
    assert (answer.status, answer.body) == (200, b"")


def test_what_depends_on_the_present_has_no_date(printed):
    """Log: what was the latest boot, or within an hour, need not be any more, though nothing was printed."""
    instance = printed("hello")
    headers = {"If-Modified-Since": format_datetime(datetime.now(timezone.utc), usegmt=True)}
    for query in ("?boot=-1", "?since=1h", "?format=asciicast", "?format=screen"):
        answer = get(instance, query, headers=headers)
        assert answer.status == 200 and "Last-Modified" not in answer.headers


def test_old_client(printed, daemon):
    """Log: HTTP/1.0 knows no chunks; there the end of the connection is the end."""
    instance = printed("hello")
    connection = UnixConnection(daemon.socket)
    connection.connect()
    connection.sock.sendall(f"GET {instance.url}/console?format=plain HTTP/1.0\r\n\r\n".encode())
    received = b"".join(iter(lambda: connection.sock.recv(4096), b""))
    connection.close()
    assert received.startswith(b"HTTP/1.") and received.endswith(b"\r\n\r\nhello")
    assert b"chunked" not in received


# --- plain, timestamps ---


def test_plain(printed):
    """Log: no escape sequence, no control byte, no broken character; lines as one would read them."""
    instance = printed(COLOURED)
    answer = get(instance, "?format=plain")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.body.decode() == "plain red tab\tend\nprogress 10%\nprogress 20%\n\ufffd café\n"


def test_plain_of_any_bytes(make):
    """S13: whatever an instance prints, what arrives is text."""
    instance = make("sh -c 'stty raw; head -c 300000 /dev/urandom'")
    instance.wait_status(STOPPED)
    text = read(instance, "?format=plain").decode()
    assert len(text) > 50000
    assert not set(text) & {chr(code) for code in [*range(9), *range(11, 32), 127]}


def test_timestamps(typist):
    """Log: a line has the time of its first byte; compared with the wall clock, and never running backwards."""
    around = []
    for number in range(20):
        before = time.time()
        typist.type(f"line {number}")
        around.append((before, time.time()))
        typist.type("-\n")
        typist.wait_log(f"line {number}-\n".encode())
    lines = read(typist, "?timestamps=1&since=6").decode().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [f"line {number}-" for number in range(20)]
    times = [parse_time(line.split(" ")[0]) for line in lines]
    assert times == sorted(times)
    for stamp, (before, after) in zip(times, around):
        assert before - MARK <= stamp <= after
    assert read(typist, "?timestamps=1&since=6&format=plain").decode().splitlines() == lines
    assert read(typist, "?timestamps=1&since=8&tail=1").decode() == lines[-1] + "\n"


def test_timestamps_of_much(make):
    """Log: every line of a full log has its time, in order, and within the instance's life."""
    before = time.time()
    instance = make("sh -c 'stty raw; seq 1 300000'")
    instance.wait_status(STOPPED)
    after = time.time()
    answer = read(instance, "?timestamps=1&format=plain").decode()
    lines = [line.split(" ") for line in answer.splitlines()]
    assert [number for _, number in lines] == read(instance, "?format=plain").decode().splitlines()
    stamps = [stamp for stamp, _ in lines]
    times = {stamp: parse_time(stamp) for stamp in set(stamps)}
    assert [times[stamp] for stamp in stamps] == sorted(times[stamp] for stamp in stamps)
    assert before - MARK <= times[stamps[0]] <= times[stamps[-1]] <= after


def test_plain_is_not_changed_by_time(own_daemon, open_session):
    """Promise 2: an answer does not change however slowly it is read: its bytes and times are those of the request."""
    command = "sh -c 'stty raw -echo; seq 1 140000; read go; seq 200000 400000; exec cat'"
    instance = own_daemon.create("x", command).start()
    instance.wait_log(b"140000\n")
    expected = read(instance, "?timestamps=1&format=plain")
    connection = UnixConnection(own_daemon.socket)
    connection.request("GET", instance.url + "/console?timestamps=1&format=plain")
    response = connection.getresponse()
    first = response.read(10)
    open_session(instance).type("\n")
    instance.wait_log(b"400000\n")
    assert first + response.read() == expected
    connection.close()


# --- asciicast ---


def test_asciicast(typist):
    """Log: a version 2 recording: what was printed, when, and the boots."""
    before = time.time()
    for number in range(5):
        wait_until(lambda: time.time() > before + 0.03 * number)
        typist.type(f"né {number}\r\n")
    answer = get(typist, "?format=asciicast")
    assert answer.headers["Content-Type"] == "application/x-asciicast"
    header, events = events_of(answer.body)
    assert (header["version"], header["width"], header["height"], header["title"]) == (2, 80, 24, typist.name)
    assert [(code, data) for _, code, data in events if code != "o"] == [("m", "boot 1")]
    assert output_of(answer.body) == typist.log().decode()
    times = [when for when, _, _ in events]
    assert times == sorted(times) and times[-1] <= time.time() + 1
    for number in range(5):
        (when,) = [when for when, _, data in events if f"né {number}" in data]
        assert before + 0.03 * number - MARK - 1 <= when  # the header has whole seconds only
    gaps = [b - a for a, b in zip(times, times[1:]) if b > a]
    assert len(gaps) >= 4


def test_asciicast_of_boots(make):
    """Log: a marker at the beginning of each boot of the part asked for."""
    instance = make("sh -c 'stty raw; echo boot'")
    for number in (1, 2):
        instance.wait_status(STOPPED)
        instance.start()
    instance.wait_status(STOPPED)
    boot = ("o", "boot\n")
    expected = [("m", "boot 1"), boot, ("m", "boot 2"), boot, ("m", "boot 3"), boot]
    assert [event[1:] for event in events_of(read(instance, "?format=asciicast"))[1]] == expected
    assert [event[1:] for event in events_of(read(instance, "?format=asciicast&boot=2"))[1]] == expected[2:4]
    assert [event[1:] for event in events_of(read(instance, "?format=asciicast&since=7"))[1]] == [
        ("o", "ot\n"),
        *expected[4:],
    ]


def test_asciicast_of_any_bytes(make):
    """Log: a recording is UTF-8 and JSON whatever has been printed."""
    instance = make("sh -c 'stty raw; head -c 300000 /dev/urandom; echo'")
    instance.wait_status(STOPPED)
    assert output_of(read(instance, "?format=asciicast")) == instance.log().decode(errors="replace")


def test_asciinema(printed, terminal, tmp_path):
    """Log: asciinema takes it: `cat` prints what the instance printed, `play` plays it."""
    instance = printed(COLOURED)
    recording = tmp_path / "x.cast"
    recording.write_bytes(read(instance, "?format=asciicast"))
    for command in ("cat", "play"):
        player = terminal("asciinema", command, str(recording))
        player.expect("progress 20%")
        player.expect("café")
        assert player.wait() == 0


# --- screen ---


def test_screen(printed):
    """Log: what a terminal shows now: overwritten, moved to, cleared."""
    instance = printed("first\\r\\nsecond\\r\\n\\033[1Aover\\r\\n\\033[5;10Hthere\\033[2;1Hx")
    answer = get(instance, "?format=screen")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body == b"first\nxvernd\n\n\n         there\n"
    assert read(instance, "?format=screen&since=0&tail_bytes=1") == b"x\n"


def test_screen_as_html(printed):
    """S13: an HTML screen holds no script that an instance can have printed, and nothing would run it."""
    instance = printed("<script>alert(1)</script>\\033[31m&red\\033[0m")
    for query, headers in (("?format=html", {}), ("?format=screen", {"Accept": "text/html,*/*;q=0.8"})):
        answer = get(instance, query, headers=headers)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
        assert b"&lt;script&gt;" in answer.body and b"&amp;red" in answer.body
        assert b"<script" not in answer.body
    answer = get(instance, "?format=plain", headers={"Accept": "text/html"})
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_screen_of_much(make, api):
    """Log: nobody waits while a full log is drawn."""
    command = "sh -c 'stty raw; yes abcdefghijklmnopqrstuvwxyz | head -c 16M'"
    instance = make(command, config={"console.buffer.size": "16MiB"})
    instance.wait_status(STOPPED, 60)
    screens = []
    threads = [threading.Thread(target=lambda: screens.append(read(instance, "?format=screen"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    answered = 0
    while any(thread.is_alive() for thread in threads):
        assert api.get("/1.0/operations").status == 200
        answered += 1
    assert answered > 10
    assert len(screens) == 3 and len(set(screens)) == 1
    assert len(screens[0].splitlines()) == 24


def test_too_many_screens(own_daemon):
    """Log: the number of those who wait for a screen is bounded; one who leaves makes room."""
    config = {"console.buffer.size": "64MiB"}
    instance = own_daemon.create("x", "sh -c 'stty raw; yes | head -c 64M'", config=config).start()
    instance.wait_status(STOPPED, 60)
    waiting = []
    for _ in range(65):
        waiting.append(UnixConnection(own_daemon.socket))
        waiting[-1].request("GET", instance.url + "/console?format=screen")
    response = waiting[-1].getresponse()
    assert response.status == 503 and b"Too many screens" in response.read()
    for connection in waiting:
        connection.close()
    wait_until(lambda: get(instance, "?format=screen&tail=3").status == 200)


def test_screen_of_an_instance_that_goes(own_daemon):
    """Log: the instance may be deleted while its screen is drawn, and the daemon may end."""
    waiting = []
    for name in ("x", "y"):
        config = {"console.buffer.size": "64MiB"}
        instance = own_daemon.create(name, "sh -c 'stty raw; yes | head -c 64M'", config=config).start()
        instance.wait_status(STOPPED, 60)
        waiting.append(UnixConnection(own_daemon.socket))
        waiting[-1].request("GET", instance.url + "/console?format=screen")
        if name == "x":
            instance.delete()
            assert waiting[-1].getresponse().status == 404
    own_daemon.terminate()
    for connection in waiting:
        connection.close()


# --- containers and machines ---


class TestContainer:
    @pytest.fixture(scope="class")
    def shared_daemon(self):
        daemon = ContainerDaemon()
        try:
            yield daemon.start()
        finally:
            daemon.close()

    def test_log(self, container):
        """Log: a container's, over two boots."""
        guest = container(init="printf '\\033[1mhello\\033[0m\\n'; exec cat")
        guest.wait_log(b"hello")
        guest.restart()
        wait_until(lambda: guest.log().count(b"hello") == 2)
        assert read(guest, "?boot=-1&format=plain").startswith(b"hello\n")
        assert read(guest, "?boot=1&format=plain").startswith(b"hello\n")
        lines = read(guest, "?timestamps=1&format=plain").decode().splitlines()
        times = [parse_time(line.split(" ")[0]) for line in lines]
        assert len(lines) >= 2 and times == sorted(times)
        assert read(guest, "?format=screen").count(b"hello") == 2


class TestMachine:
    @pytest.fixture(scope="class")
    def shared_daemon(self):
        daemon = MachineDaemon()
        try:
            yield daemon.start()
        finally:
            daemon.close()

    def test_log(self, machine):
        """Log: a virtual machine's serial console."""
        guest = machine().wait_boot()
        assert read(guest, "?boot=-1&format=plain").startswith(READY.replace(b"\r", b""))
        assert output_of(read(guest, "?format=asciicast")).startswith(READY.decode())
        assert read(guest, "?format=screen").startswith(b"ready\n")
        assert guest.status == RUNNING
