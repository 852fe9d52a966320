#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What opens a descriptor says in the same breath that no program started later gets it. clang-tidy knows some of these
calls (android-cloexec-*); an exception says why behind the same NOLINT."""

import pathlib
import re
import sys

FLAGS = {
    "accept4": "SOCK_CLOEXEC",
    "epoll_create1": "EPOLL_CLOEXEC",
    "eventfd": "EFD_CLOEXEC",
    "inotify_init1": "IN_CLOEXEC",
    "memfd_create": "MFD_CLOEXEC",
    "open": "O_CLOEXEC",
    "openat": "O_CLOEXEC",
    "pipe2": "O_CLOEXEC",
    "posix_openpt": "O_CLOEXEC",
    "recvmsg": "MSG_CMSG_CLOEXEC",
    "signalfd": "SFD_CLOEXEC",
    "socket": "SOCK_CLOEXEC",
    "socketpair": "SOCK_CLOEXEC",
    "timerfd_create": "TFD_CLOEXEC",
    "dup3": "O_CLOEXEC",
}
NEVER = {"accept", "creat", "dup", "epoll_create", "inotify_init", "pipe", "popen", "system", "tmpfile"}
CALL = re.compile(r"(?<![\w>.])(" + "|".join(sorted([*FLAGS, *NEVER, "fopen", "fcntl", "ioctl"])) + r")\(")


def code_of(text):
    """The same text, with as many lines, without comments; but what exempts a line stays."""

    def blank(match):
        return match[0] if "NOLINT" in match[0] else re.sub(r"[^\n]", " ", match[0])

    return re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.S)


def arguments(code, start):
    """What is between the parenthesis that ends before `start` and its counterpart."""
    depth, at = 1, start
    while depth and at < len(code):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        at += 1
    return code[start : at - 1]


def fault(name, given):
    if name in NEVER:
        return f"{name}() cannot close on exec"
    if name == "fopen" and not re.search(r'"\w*e\w*"\s*$', given):
        return 'fopen() without "e"'
    if name == "fcntl" and re.search(r"\bF_DUPFD\b", given):
        return "F_DUPFD in place of F_DUPFD_CLOEXEC"
    if name == "ioctl" and "TIOCGPTPEER" in given and "O_CLOEXEC" not in given:
        return "TIOCGPTPEER without O_CLOEXEC"
    if name in FLAGS and FLAGS[name] not in given:
        return f"{name}() without {FLAGS[name]}"
    return None


def faults(path):
    code = code_of(path.read_text())
    for match in CALL.finditer(code):
        found = fault(match[1], arguments(code, match.end()))
        line = code.count("\n", 0, match.start())
        if found and "NOLINT(android-cloexec" not in code.splitlines()[line]:
            yield f"{path}:{line + 1}: {found}"


def main():
    root = pathlib.Path(sys.argv[1])
    folders = ["util", "bridge", "render", "pty", "operations", "spice", "instances", "api", "daemon"]
    paths = sorted(path for folder in folders for path in (root / folder).rglob("*.[ch]"))
    found = [text for path in paths for text in faults(path)]
    print("\n".join(found) or f"{len(paths)} files are as they should be")
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
