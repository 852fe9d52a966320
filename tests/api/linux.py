# SPDX-License-Identifier: Apache-2.0
"""A real Linux for virtual machines (tests/guests/linux): its files, how it is started, and what its boot is."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from consoled import ROOT

LINUX = ROOT / "tests/guests/linux"
BUILT = ROOT / "build-kernel"  # where ./check puts a kernel
KERNEL = Path(os.environ.get("CONSOLED_TEST_KERNEL", BUILT if BUILT.exists() else "/"))
BOOT_TIME = 60  # s; alone it takes 3
FIRST = b"Probing EDD (edd=off to disable)... ok\r\n"  # by the kernel's real-mode part
READY = b"init: ready\r\n"
BOOT = re.compile(
    re.escape(FIRST) + rb"(?P<kernel>.*?\r\n)"
    rb"init: (?P<version>[^\r]*\r\n)"
    rb"init: (?P<count>\d+) lines, (?P<size>\d+) bytes follow\r\n(?P<lines>.*?)" + READY,
    re.S,
)
# What is not in the kernel's own log: words of the early console alone, and what both consoles show of the hand-over.
ONLY_SHOWN = re.compile(rb"(?m)^(?:\w+ KASLR using [A-Z0-9 ]*\.\.\.\r\n|(\[.*console \[.*\n)(?=\1))")
DOWN, RESTART = b"] reboot: Power down\r\n", b"] reboot: Restarting system\r\n"


def make_linux(directory):
    """The config of virtual machines that boot a Linux, whose files are put into `directory`. Skips where there is no
    kernel; with CONSOLED_TEST_STRICT=1 that is a failure."""
    made = subprocess.run([LINUX, directory, KERNEL], capture_output=True, text=True)
    if made.returncode != 0:
        (pytest.fail if os.environ.get("CONSOLED_TEST_STRICT") == "1" else pytest.skip)(made.stderr.strip())
    words = ["-kernel", directory / "vmlinuz", "-initrd", directory / "initramfs"]
    append = "console=ttyS0 earlyprintk=ttyS0 loglevel=8"
    return {"limits.memory": "128MiB", "raw.qemu": " ".join(map(str, words)) + f' -append "{append}"'}


def assert_whole(text, session):
    """`text` begins with a whole boot: in order as far as it tells itself, and byte for byte all that the kernel knows
    that it has said, when it is asked in the session's shell."""
    boot = BOOT.match(text)
    assert boot, (len(text), text[:200], text[-200:])
    assert boot["kernel"].startswith(b"[    0.000000] " + boot["version"])
    lines = boot["lines"].splitlines(keepends=True)
    assert lines == [b"line %d\r\n" % number for number in range(1, int(boot["count"]) + 1)]
    assert len(boot["lines"]) == int(boot["size"]) + len(lines)  # the terminal puts a CR into each
    # Of what came after init had silenced it, the console shows nothing.
    said, known = ONLY_SHOWN.sub(b"", boot["kernel"]), dmesg(session)
    at = next((at for at, byte in enumerate(said) if known[at : at + 1] != b"%c" % byte), None)
    assert at is None, (at, said[at : at + 200], known[at : at + 200])


def dmesg(session):
    """All that the kernel knows that it has said."""
    begin = len(session.output)
    session.type("dmesg; echo behind-$((40+2))\n").expect("behind-42\r\n", BOOT_TIME)
    text = session.output[begin : session.seen]
    return text[text.index(b"[    0.000000] ") :]  # behind the echo of what was typed
