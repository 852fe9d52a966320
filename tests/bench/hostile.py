# SPDX-License-Identifier: Apache-2.0
"""
A key's echo beside a thousand connections of clients that mean harm: each sends a byte a second and reads nothing. The
limit is the same key while there is nobody else.
"""
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../api"))

from attackers import KINDS, Crowd  # noqa: E402: the API's tests have them, too
from daemon import Daemon

CROWDS = {"all": {"heads": 300, "bodies": 300, "typists": 300, "listeners": 100},
          **{kind: {kind: 1000} for kind in KINDS}}
CROWDS_IN_WORDS = {"all": "hostile clients", "heads": "half heads", "bodies": "half bodies",
                   "typists": "sockets of sessions", "listeners": "deaf listeners"}
ECHO = "sh -c 'stty raw -echo; exec cat'"


def run(bench, directory, cleanup):
    if not bench.options.consoled:
        return
    print("hostile clients", file=sys.stderr)
    daemon = Daemon(bench.options.consoled, bench.options.keeper, os.path.join(directory, "h"))
    cleanup.append(daemon.end)
    daemon.start()
    daemon.call("PATCH", "/1.0", {"config": {"limits.sessions": "1000"}})
    daemon.run("shell", config={"process.command": "sh"})
    daemon.run("victim", config={"process.command": ECHO})
    arguments = ["--socket", daemon.socket, "--instance", "shell", "--count",
                 "2000" if bench.options.quick else "50000"]
    for _ in range(bench.options.rounds):
        for name, counts in CROWDS.items():
            alone = bench.measure("echo-hostile", "hostile-alone", *arguments)
            bench.figures.setdefault((f"hostile-{name}", "alone"), []).append(alone)
            with Crowd(daemon.socket, "victim", counts):
                bench.figures.setdefault((f"hostile-{name}", "consoled"), []).append(
                    bench.measure("echo-hostile", "hostile", *arguments))
