# SPDX-License-Identifier: Apache-2.0
"""GET console?wait=: answers when the output matches."""

import json
import re
import socket
import threading
import time
from datetime import datetime, timezone
from urllib.parse import urlencode

import pytest

from consoled import instrumented, memory, rounds
from rest import STOPPED, Answer, UnixConnection, wait_until

TALKER = "sh -c 'stty -echo; echo ready; while read -r line; do eval \"$line\"; done'"
SLOW = "(a?){190}c"  # RE2 simulates its NFA: ten milliseconds and more for a line of 4096 letters
MANY_LETTERS = "sh -c 'stty raw; yes aaaaaaaaaaaaaaa | head -c %d | tr -d \"\\n\"'"


def target(instance, pattern, **query):
    return instance.url + "/console?" + urlencode({"wait": pattern, **query})


def wait(instance, pattern, **query):
    return instance.api.get(target(instance, pattern, **query))


def matched(instance, pattern, **query):
    answer = wait(instance, pattern, **query)
    assert answer.status == 200, answer
    return answer.metadata


class Waiting:
    """A wait under way: the daemon has its request, for it has answered one that came later."""

    def __init__(self, instance, pattern, **query):
        self.connection = UnixConnection(instance.api.path)
        self.connection.request("GET", target(instance, pattern, **query), headers={"Connection": "close"})
        assert instance.api.get("/1.0").status == 200

    def answer(self):
        with self.connection.getresponse() as response:
            return Answer(response.status, response.headers, response.read())

    def match(self):
        answer = self.answer()
        assert answer.status == 200, answer
        return answer.metadata

    def leave(self):
        self.connection.close()


@pytest.fixture
def talker(make):
    """An instance that runs each line that is typed into it as a command."""
    instance = make(TALKER)
    instance.wait_log(b"ready\r\n")
    return instance


def tell(instance, command):
    answer = instance.api.post(instance.url + "/console/input", {"text": command + "\n"})
    assert answer.status == 200, answer


# --- what it answers ---


def test_a_line_that_comes(talker):
    """Log: the line, where it is, when it was printed, and what the groups have matched."""
    begun = datetime.now(timezone.utc)
    waiting = Waiting(talker, r"(\w+)@(\w+)")
    tell(talker, "echo one; echo root@debian; echo two")
    match = waiting.match()
    log = talker.log()
    assert match["line"] == "root@debian" and match["matches"] == ["root@debian", "root", "debian"]
    assert log[match["offset"] : match["end"]] in (b"root@debian\r\n", b"root@debian\r", b"root@debian")
    printed = datetime.fromisoformat(match["time"][:26] + "+00:00")
    assert -0.1 < (printed - begun).total_seconds() < 20


def test_a_prompt_that_is_shown_already(talker):
    """Log: a line that has no end yet counts whole, with what was printed of it before the request."""
    tell(talker, "printf 'debian log'; printf 'in: '")
    talker.wait_log(b"login: ")
    match = matched(talker, "^debian login: $")
    assert match["line"] == "debian login: "
    assert match["end"] == len(talker.log()) == match["offset"] + 14


def test_a_prompt_that_grows(talker):
    """Log: a line that has no end yet is tried whenever it has grown."""
    waiting = Waiting(talker, "abc$")
    for letter in "abc":
        tell(talker, f"printf {letter}")
    assert waiting.match()["line"] == "abc"


def test_what_was_printed_before_does_not_count(talker):
    """Log: without `since` only lines that end after the request."""
    answer = wait(talker, "ready", timeout=0.3)
    assert (answer.status, answer.error) == (408, "Nothing matched within 0.3 seconds")


def test_from_an_offset(talker):
    """Log: `since` names the first byte that counts, and `end` is the next `since`."""
    tell(talker, "printf 'a1 b2\\na3\\n'; printf 'a4 '")
    talker.wait_log(b"a4 ")
    assert matched(talker, "ready", since=0)["offset"] == 0
    found, since = [], 0
    for _ in range(3):
        match = matched(talker, r"a\d", since=since)
        found.append((match["line"], match["offset"]))
        since = match["end"]
    assert found == [("a1 b2", 7), ("a3", 14), ("a4 ", 18)]
    assert wait(talker, "a", since=since, timeout=0).status == 408
    assert matched(talker, "^b2$", since=10)["offset"] == 10  # from the middle of a line
    assert matched(talker, "^$", since=12)["offset"] == 12  # of which nothing is left
    waiting = Waiting(talker, "^a?b5", since=since)
    tell(talker, "echo b5")
    assert waiting.match()["offset"] == 21  # the rest of the line that had no end


def test_from_where_the_log_would_begin(talker):
    """Log: boot, since as a time, tail and tail_bytes mean what they mean for the log; behind its end is its end."""
    talker.restart()
    wait_until(lambda: talker.log().count(b"ready\r\n") == 2)
    assert matched(talker, "ready", boot=1)["offset"] == 0
    assert matched(talker, "ready", boot=-1)["offset"] == 7
    assert matched(talker, "ready", since="1h")["offset"] == 0
    assert matched(talker, "ready", tail=1)["offset"] == 7
    assert matched(talker, "^y$", tail_bytes=3)["line"] == "y"
    assert wait(talker, "ready", boot=2, since=14, timeout=0).status == 408
    waiting = Waiting(talker, "ready|more", since=1000000)
    tell(talker, "echo more")
    assert waiting.match()["line"] == "more"
    assert wait(talker, "ready", boot=3).status == 404


def test_a_prompt_behind_a_line(talker):
    """Log: a waiter that has caught up looks at the line that has no end yet without waiting for more of it."""
    tell(talker, "printf 'Password: '")
    talker.wait_log(b"Password: ")
    begun = time.monotonic()
    assert matched(talker, "Password: $", since=0, timeout=20)["offset"] == 7
    assert time.monotonic() - begun < 10


def test_the_timeout(talker):
    """Log: `timeout` is in seconds, and fractions of them."""
    begun = time.monotonic()
    assert wait(talker, "never", timeout="0.4").status == 408
    assert 0.4 <= time.monotonic() - begun < 5


def test_a_timeout_of_nothing_is_a_look(talker):
    """Log: what is there already is looked at even if the time is up."""
    assert matched(talker, "ready", since=0, timeout=0)["line"] == "ready"
    answer = wait(talker, "never", since=0, timeout=0)
    assert (answer.status, answer.error) == (408, "Nothing matched within 0 seconds")
    tell(talker, "printf 'login: '")
    talker.wait_log(b"login: ")
    assert matched(talker, "login", timeout=0)["line"] == "login: "


@pytest.mark.parametrize(
    "printed, pattern, groups",
    [
        (r"na\303\257ve caf\303\251", r"^(\w+)? ?na.ve (.{4})$", ["naïve café", None, "café"]),
        (r"\033[1mlog\033[31min\033]0;title\007:\033[0m", "^login:$", ["login:"]),
        (r"10%%\r\033[K20%%\r\033[K100%%", "^(20|30)%$", ["20%", "20"]),
        (r"\344\270\255\346\226\207 \360\237\220\247", r"^\p{Han}+ (.)$", ["中文 🐧", "🐧"]),
        (r"broken \377 utf", "broken (.) utf", ["broken � utf", "�"]),
        (r"a\tb", r"^a\tb$", ["a\tb"]),
        (r"caf\303\251", r"(caf\C)", [None, None]),
    ],
)
def test_text_is_what_a_reader_sees(talker, printed, pattern, groups):
    """Log: escape sequences are no part of a line; characters count, not bytes; half characters are told as null."""
    waiting = Waiting(talker, pattern)
    tell(talker, f"printf '{printed}\\n'")
    match = waiting.match()
    assert match["matches"] == groups


def test_a_sequence_in_pieces(talker):
    """Log: an escape sequence may come in two reads."""
    waiting = Waiting(talker, "^login$")
    tell(talker, r"printf 'lo\033[3'")
    talker.wait_log(b"lo\x1b[3")
    tell(talker, r"printf '1mgin\n'")
    assert waiting.match()["line"] == "login"


def test_a_line_of_any_length(talker):
    """Log: a line that is longer than 4096 bytes counts as several."""
    waiting = Waiting(talker, "x+end$")
    tell(talker, "head -c 50000 /dev/zero | tr '\\0' x; echo end")
    match = waiting.match()
    assert 3 < len(match["line"]) <= 4096 and set(match["line"][:-3]) == {"x"}
    log = talker.log()
    assert log[match["offset"] : match["end"]].rstrip() == match["line"].encode()


# --- which waits end otherwise ---


@pytest.mark.parametrize(
    "query, error",
    [
        ({"wait": "log(in"}, "Invalid value for wait parameter: missing ): log(in"),
        ({"wait": "a**"}, "Invalid value for wait parameter: bad repetition operator: **"),
        ({"wait": r"(a)\1"}, r"Invalid value for wait parameter: invalid escape sequence: \1"),
        ({"wait": "x{1000}{1000}"}, "Invalid value for wait parameter: bad repetition operator: {1000}{1000}"),
        ({"wait": "(x{1000}){1000}"}, "Invalid value for wait parameter: invalid repetition size: {1000}"),
        ({"wait": "x" * 1025}, "Invalid value for wait parameter: pattern longer than 1024 bytes"),
        ({"wait": "(x?){1000}"}, "Invalid value for wait parameter: pattern too large"),
        ({"wait": "()" * 32}, "Invalid value for wait parameter: more than 31 groups"),
        ({"wait": b"\xff"}, "Invalid value for wait parameter: invalid UTF-8"),
        ({"wait": "x", "timeout": "-1"}, "Invalid value for timeout parameter: -1"),
        ({"wait": "x", "timeout": "86401"}, "Invalid value for timeout parameter: 86401"),
        ({"wait": "x", "timeout": ""}, "Invalid value for timeout parameter: "),
        ({"wait": "x", "timeout": "nan"}, "Invalid value for timeout parameter: nan"),
        ({"wait": "x", "timeout": "1e3"}, "Invalid value for timeout parameter: 1e3"),
        ({"wait": "x", "timeout": "0x10"}, "Invalid value for timeout parameter: 0x10"),
        ({"wait": "x", "timeout": "."}, "Invalid value for timeout parameter: ."),
        ({"wait": "x", "timeout": "1.2.3"}, "Invalid value for timeout parameter: 1.2.3"),
        ({"wait": "x", "since": "-1"}, "Invalid value for since parameter: -1"),
        ({"wait": "x", "since": ""}, "Invalid value for since parameter: "),
        ({"wait": "x", "follow": 1}, "The wait parameter goes with no form of the log"),
        ({"wait": "x", "format": "screen"}, "The wait parameter goes with no form of the log"),
        ({"wait": "x", "timestamps": 1}, "The wait parameter goes with no form of the log"),
        ({"wait": "x", "type": "vga"}, "The wait parameter goes with no form of the log"),
    ],
)
def test_what_cannot_be(talker, query, error):
    """Promise 12: RE2's words for a pattern that it refuses, ours for the rest."""
    answer = talker.api.get(talker.url + "/console?" + urlencode(query))
    assert (answer.status, answer.error) == (400, error)


def test_a_pattern_of_a_mebibyte(talker):
    """Promise 12: that is no request line."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(talker.api.path)
    sock.settimeout(20)
    try:
        sock.sendall(f"GET {talker.url}/console?wait={'x' * 1048576} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    except OSError:
        pass  # refused before all of it was sent
    try:
        assert b" 200 " not in sock.recv(4096)
    except ConnectionResetError:
        pass
    sock.close()
    assert talker.api.get("/1.0").status == 200


def test_an_unknown_instance(daemon):
    """Protocol 10: as for its log."""
    answer = daemon.api.get("/1.0/instances/nosuch/console?wait=x")
    assert (answer.status, answer.error) == (404, "Instance not found")


def test_a_stopped_instance(make):
    """Log: with `since` what it has printed is looked at; nothing else will come."""
    instance = make("echo bye")
    instance.wait_status(STOPPED)
    answer = wait(instance, "bye")
    assert (answer.status, answer.error) == (400, "Instance is not running")
    assert matched(instance, "bye", since=0)["line"] == "bye"
    answer = wait(instance, "hello", since=0)
    assert (answer.status, answer.error) == (410, "The instance has ended, and nothing matched")


def test_the_end_of_the_instance(talker):
    """Promise 8: all that it printed is looked at before its end is told."""
    found, not_found = Waiting(talker, "^last words$"), Waiting(talker, "never")
    tell(talker, "seq 1 20000; printf 'last words'; exit")
    assert found.match()["line"] == "last words"
    answer = not_found.answer()
    assert (answer.status, answer.error) == (410, "The instance has ended, and nothing matched")


def test_the_next_boot_does_not_answer_for_the_last(make):
    """Log: who waited when an instance ended is told so, even if it is started again at once."""
    instance = make(TALKER)
    instance.wait_log(b"ready")
    waiting = Waiting(instance, "^ready$", since=7)
    instance.stop()
    instance.start()
    instance.wait_log(b"ready\r\nready\r\n")
    assert waiting.answer().status == 410


def test_a_restart_does_not_end_it(talker):
    """Promise 9: a wait survives a restart through the API."""
    waiting = Waiting(talker, "^ready$")
    talker.restart()
    match = waiting.match()
    assert match["line"] == "ready" and match["offset"] >= 7


def test_a_clear_does_not_end_it(talker):
    """Promise 2: DELETE empties the log; offsets go on."""
    waiting = Waiting(talker, "after")
    talker.clear_log()
    tell(talker, "echo after")
    assert waiting.match()["offset"] == 7
    assert matched(talker, "after", since=0)["offset"] == 7  # where the log begins now


def test_a_delete_ends_it(make):
    """Log: an instance that is deleted while its log is looked at."""
    instance = make(MANY_LETTERS % 1000000)
    instance.wait_status(STOPPED)
    waiting = Waiting(instance, SLOW, since=0)
    instance.delete()
    answer = waiting.answer()
    assert (answer.status, answer.error) == (410, "The instance is no longer there")


def test_the_daemon_ends(own_daemon):
    """Promise 10: SIGTERM ends the daemon at once; who waits sees the connection close."""
    instance = own_daemon.create("x", TALKER).start()
    instance.wait_log(b"ready")
    waits = [Waiting(instance, f"never{number}", timeout=1000) for number in range(20)]
    own_daemon.terminate()
    for each in waits:
        with pytest.raises((ConnectionError, OSError)):
            each.answer()


# --- many, and large ---


def test_a_hundred_waiters(talker):
    """Log: each is answered with its own line, by what was printed once."""
    waits = [Waiting(talker, f"^line ({number})$") for number in range(100)]
    tell(talker, "for i in $(seq 0 99); do echo line $i; done")
    for number, each in enumerate(waits):
        assert each.match()["matches"] == [f"line {number}", str(number)]


def test_all_of_one_line(talker):
    """Log: a line answers all whom it matches."""
    waits = [Waiting(talker, pattern) for pattern in ("^boot", "boot", "done$", "b.*e", "(?i)BOOT")]
    tell(talker, "echo boot done")
    assert {each.match()["line"] for each in waits} == {"boot done"}


def test_how_many_may_wait(talker):
    """Promise 12: 256 at one console; those that leave make room."""
    waits = [Waiting(talker, "never") for _ in range(256)]
    answer = wait(talker, "never")
    assert (answer.status, answer.error) == (503, f"Too many wait for output of {talker.name}: limits.waits_per_instance is 256")
    for each in waits:
        each.leave()
    wait_until(lambda: wait(talker, "never", timeout=0).status == 408)


def test_clients_that_leave(talker, daemon):
    """Promise 7: nothing is left of a wait whose client has gone."""

    def come_and_go(count):
        for number in range(count):
            Waiting(talker, f"never{number}", since=0).leave()
        tell(talker, "echo more")

    come_and_go(rounds(200, 20))
    before = memory(daemon.pid)
    come_and_go(rounds(1000, 50))
    if not instrumented(daemon.pid):
        assert memory(daemon.pid) - before < 1048576
    assert wait(talker, "never", timeout=0).status == 408


def test_none_is_missed(talker):
    """Log: from one match to the next nothing escapes, however the printing and the asking coincide."""
    last = rounds(400, 40)
    tell(talker, f"(for i in $(seq 1 {last}); do echo mark $i; printf x; done) &")
    since = 0
    for number in range(1, last + 1):
        match = matched(talker, r"mark (\d+)$", since=since)
        assert match["matches"][1] == str(number)
        since = match["end"]


def test_the_request_decides(talker):
    """Log: what is printed after the request counts, at whatever moment."""
    for number in range(rounds(100, 10)):
        waiting = Waiting(talker, f"^mark {number}$")
        tell(talker, f"echo mark {number}")
        assert waiting.match()["line"] == f"mark {number}"
        assert wait(talker, f"mark {number}", timeout=0).status == 408


def stalls(api, under_way, most=0.5):
    """Asks for something else as long as a thread runs; nobody may wait for longer than `most` seconds."""
    worst, asked = 0, 0
    while under_way.is_alive():
        begun = time.monotonic()
        assert api.get("/1.0").status == 200
        worst, asked = max(worst, time.monotonic() - begun), asked + 1
    assert worst < most, f"{worst} s, {asked} asked"
    return asked


def test_a_large_log_stalls_nobody(make):
    """Log: 64 MiB are looked at in slices."""
    instance = make("sh -c 'stty raw; seq 1 8000000; echo needle'", config={"console.buffer.size": "64MiB"})
    instance.wait_status(STOPPED, 100)
    found = []
    thread = threading.Thread(target=lambda: found.append(wait(instance, "^needle$", since=0, timeout=0)))
    thread.start()
    stalls(instance.api, thread)
    thread.join()
    assert found[0].status == 200, found[0]
    assert found[0].metadata["line"] == "needle"


def test_hostile_patterns_stall_nobody(make):
    """Log: patterns and lines that cost the most there is; others are served all the same."""
    instance = make(MANY_LETTERS % 200000)
    instance.wait_status(STOPPED)
    patterns = [SLOW, "(a*)*b", "(a+)+$b", "(.*)(.*)(.*)(.*)(.*)(.*)z", "(a|a)*b", "[ab]*a[ab]{200}c", SLOW + "d"]
    found = []

    def ask(pattern):
        found.append(wait(instance, pattern, since=0).status)

    threads = [threading.Thread(target=ask, args=(pattern,)) for pattern in patterns]
    for thread in threads:
        thread.start()
    for thread in threads:
        stalls(instance.api, thread, 1)
        thread.join()
    assert found == [410] * len(patterns)


def test_a_flood(make):
    """Log: nothing in a flood is missed as long as the log holds it."""
    instance = make(TALKER, config={"console.buffer.size": "16MiB"})
    instance.wait_log(b"ready")
    waits = [Waiting(instance, f"^{number}$") for number in range(100000, 1000000, 100000)]
    last = Waiting(instance, "^done$")
    tell(instance, "seq 1 1000000; echo done")
    assert [each.match()["line"] for each in waits] == [str(number) for number in range(100000, 1000000, 100000)]
    assert last.match()["line"] == "done"


def test_what_is_lost_is_told(make):
    """Log: who has waited in vain is told how much could not be looked at."""
    instance = make(TALKER, config={"console.buffer.size": "64KiB"})
    instance.wait_log(b"ready")
    waits = [Waiting(instance, SLOW + str(number), timeout=1) for number in range(20)]
    tell(instance, "yes aaaaaaaaaaaaaaa | head -c 2000000 | tr -d '\\n'")
    for each in waits:
        answer = each.answer()
        assert answer.status == 408
        lost = re.fullmatch(r"Nothing matched within 1 seconds; (\d+) bytes were printed faster than .*", answer.error)
        assert lost and 0 < int(lost[1]) < 2000000


def test_two_consoles(make, talker):
    """Log: each has waiters of its own."""
    other = make(TALKER)
    other.wait_log(b"ready")
    here, there = Waiting(talker, "mark"), Waiting(other, "mark")
    tell(talker, "echo mark here")
    assert here.match()["line"] == "mark here"
    tell(other, "echo mark there")
    assert there.match()["line"] == "mark there"


def test_it_is_announced(daemon):
    """Protocol: extensions of our own have names of our own."""
    assert "consoled_console_wait" in daemon.api.read("/1.0")["api_extensions"]


def test_the_answer_is_an_envelope(talker):
    """Protocol: sync, as everywhere."""
    answer = wait(talker, "ready", since=0)
    assert answer.json["type"] == "sync" and json.loads(answer.body)["metadata"]["line"] == "ready"
