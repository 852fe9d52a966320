# SPDX-License-Identifier: Apache-2.0
"""One request again and again, with its first call failing, its second .. until it meets no failure; and what may be seen
of that.

CONSOLED_TEST_QUICK=1 takes every fifteenth of the calls, CONSOLED_TEST_EXHAUSTIVE=1 also two and three failures in a row,
CONSOLED_TEST_TRACE=1 shows on stderr where a call failed."""

import errno
import http.client
import os
import random
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late

from consoled import cpu_seconds, descriptors
from faults import DISK, EVER, FILES, MEMORY
from frames import Refused
from rest import wait_until

QUICK = os.environ.get("CONSOLED_TEST_QUICK") == "1"
EXHAUSTIVE = os.environ.get("CONSOLED_TEST_EXHAUSTIVE") == "1"
STRIDE = 15 if QUICK else 1
TIMEOUT = 600 if EXHAUSTIVE else 180
CLOSED = (ConnectionError, http.client.HTTPException, Refused)
WORDS = ("Cannot allocate memory", "out of memory")
# How many calls fail, from the one on that is tried.
RUNS = {"one": 1, "lasting": EVER, **({"two": 2, "three": 3} if EXHAUSTIVE else {})}
SPARES = range(0, 16, 3 if QUICK else 1)
FULL = {
    errno.ENOSPC: ("No space left on device", "database or disk is full"),
    errno.EDQUOT: ("Disk quota exceeded", "database or disk is full"),
    errno.EIO: ("Input/output error", "disk I/O error", "unable to open"),
}
ERRORS = [errno.ENOSPC] if QUICK else list(FULL)
# What can be lacking, besides memory: what is said of it.
LACKS = {
    "disk": FULL[errno.ENOSPC],
    "descriptors": ("Too many open files", "unable to open"),
    "files": ("Too many open files in system", "unable to open"),
}
HARDSHIPS = [*RUNS, *LACKS]


# Of the allocations for a WebSocket one is not checked, and its socket stays open.
LIBWEBSOCKETS_FORGETS = 1


# --- what is said ---


def say(api, method, target, body=None, **more):
    """An answer, or None where the connection was closed without one."""
    try:
        return api.request(method, target, body, **more)
    except CLOSED:
        return None


def shape(value):
    """A JSON value without what may differ from one time to the next."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return value if isinstance(value, str) and len(value) < 20 else type(value).__name__


def told(answer, words=WORDS):
    """Asserts that a failure was told as one of memory, or of what these words are said of."""
    if answer is None:
        return
    assert answer.status in (500, 503), answer
    if answer.body:
        assert answer.json["type"] == "error" and answer.json["error_code"] == answer.status
        assert any(word in answer.error for word in words), answer


def follow_up(api, answer):
    """Of an operation, its end; None where the connection was closed."""
    if answer is None or answer.status != 202:
        return answer
    return say(api, "GET", f"/1.0/operations/{answer.metadata['id']}/wait?timeout=20")


def picture(daemon, volatile=("last_used_at", "created_at")):
    """What a client sees of all instances, by name."""
    found = daemon.api.read("/1.0/instances?recursion=1")
    return {each["name"]: {key: value for key, value in each.items() if key not in volatile} for each in found}


def forget_unattached(instance):
    """Ends sessions that wait for their sockets, as their answer was lost on the way: they would expire."""
    for session in instance.api.read(f"{instance.url}/console/sessions"):
        if not session["attached"]:
            instance.api.delete(f"/1.0/operations/{session['id']}")


# --- what fails ---


def quiet(daemon):
    """Waits until no operation is under way, but for sessions."""

    def idle():
        found = daemon.api.read("/1.0/operations?recursion=1")
        under_way = [each for status in ("pending", "running", "cancelling") for each in found.get(status, [])]
        return all(each["class"] == "websocket" for each in under_way)

    wait_until(idle)


def nothing():
    pass


def sweep(daemon, act, check, run="one", kind=MEMORY, before=nothing, after=nothing, stride=STRIDE, sockets=0, **how):
    """Calls act() with one call after the other failing, until none does. check() gets what it has returned, and whether
    something failed. In the end nothing may be left behind, but for one descriptor for each WebSocket that act() opens."""
    quiet(daemon)
    usual = descriptors(daemon.pid) + sockets * LIBWEBSOCKETS_FORGETS
    call = random.randint(1, stride)
    failed = True
    while failed:
        before()
        with daemon.failing(kind, call, call + RUNS[run] - 1, **how) as plan:
            result = act()
        failed = plan.failed > 0
        assert daemon.running(), f"the daemon died of call {call}"
        check(result, failed)
        after()
        call += stride
        assert call < 20000, "it does not end"
    quiet(daemon)
    wait_until(lambda: descriptors(daemon.pid) <= usual, what=f"{usual} descriptors as before")


def meanwhile(daemon, lack, act):
    """What act() returns while something is lacking, or when that is over. The daemon waits meanwhile; it does not spin."""
    with ThreadPoolExecutor(1) as pool:
        with lack:
            busy = cpu_seconds(daemon.pid)
            result = pool.submit(act)
            try:
                return result.result(0.5)
            except Late:
                assert cpu_seconds(daemon.pid) - busy < 0.2, "it does not sleep"
        return result.result(20)


def starve(daemon, act, spare):
    """meanwhile() the daemon can open only so many more descriptors."""
    return meanwhile(daemon, daemon.starved(spare), act)


def endure(daemon, act, check, hardship, sockets=0, before=nothing, after=nothing):
    """Calls act() under each form of one of HARDSHIPS, from before() to after(). check() gets what it has returned, whether
    something failed, and what may be said of it."""
    words = LACKS.get(hardship, WORDS)
    how = {"before": before, "after": after, "sockets": sockets}

    def check_words(result, failed):
        check(result, failed, words)

    if hardship == "disk":
        sweep(daemon, act, check_words, "lasting", DISK, stride=1, error=errno.ENOSPC, **how)
    elif hardship == "files":
        sweep(daemon, act, check_words, "one", FILES, stride=STRIDE, error=errno.ENFILE, **how)
    elif hardship != "descriptors":
        sweep(daemon, act, check_words, hardship, MEMORY, **how)
    else:
        for spare in SPARES:
            before()
            check_words(starve(daemon, act, spare), True)
            after()
