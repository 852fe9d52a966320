# SPDX-License-Identifier: Apache-2.0
"""
Many sessions on one console, and its log: replayed, followed, waited for, and read in all its formats. The limits are
the writer without the others, and the least HTTP server that gives consoled's own answer.
"""
import os
import subprocess
import sys

from daemon import Daemon, Failure, raw_get, wait_for, wait_until

LOG = 1 << 20  # what a console keeps
READY = b"ready\r\n"
WATCHERS = 98  # with the writer and one that does not read: a hundred
MANY = 100

# What a boot looks like: a kernel's lines, and those of an init system, in colours.
BOOT = ("[{0:5}.{0:06}] usb 1-{0}: new high-speed USB device number {0} using xhci_hcd\r\n"
        "[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39munit-{0}.service\x1b[0m - What the unit {0} is for.\r\n"
        "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39munit-{0}.service\x1b[0m.\r\n")

FORMATS = ("plain", "asciicast", "screen", "html")


def get_body(socket, target):
    return raw_get(socket, target).partition(b"\r\n\r\n")[2]


class Sessions:
    """The sides of the sections: an instance whose log is full, and one that echoes what it gets, byte by byte."""

    def __init__(self, bench, directory, cleanup):
        self.bench = bench
        self.directory = directory
        self.cleanup = cleanup
        self.daemon = Daemon(bench.options.consoled, bench.options.keeper, self.path("s"))

    def path(self, name):
        return os.path.join(self.directory, name)

    def run_program(self, name, text):
        """An instance that prints a text and then echoes, without a terminal's doing anything to that."""
        with open(self.path(name), "wb") as file:
            file.write(text)
        script = self.path(name + ".sh")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"stty raw -echo\ncat {self.path(name)}\nexec cat\n")
        self.daemon.run(name, config={"process.command": f"sh {script}"})
        wait_until(lambda: get_body(self.daemon.socket, f"/1.0/instances/{name}/console").endswith(READY),
                   f"{name} does not get ready")

    def start(self):
        self.cleanup.append(self.daemon.end)
        self.daemon.start()
        self.run_program("echo", READY)
        self.run_program("log", "".join(BOOT.format(number) for number in range(10000)).encode() + READY)
        if len(get_body(self.daemon.socket, "/1.0/instances/log/console")) < 0.95 * LOG:
            raise Failure("a log of 1 MiB is not full")
        answer = self.path("log.http")
        with open(answer, "wb") as file:
            file.write(raw_get(self.daemon.socket, "/1.0/instances/log/console"))
        server = subprocess.Popen([self.bench.options.bench, "answer", self.path("log.answer"), answer])
        self.cleanup.append(server.wait)
        self.cleanup.append(server.kill)
        wait_for(self.path("log.answer"))

    def measure(self, section, *arguments, side="consoled"):
        return self.bench.measure(section, side, *arguments)

    def measure_sharing(self):
        """The memory counts only once: the next crowd gets what the first has left."""
        figures = self.measure("sharing", "--socket", self.daemon.socket, "--instance", "echo", "--count",
                               str(WATCHERS))
        alone = self.bench.figures.setdefault(("sharing", "alone"), [])
        alone.append({figure.replace("alone", who): value for who in ("first", "last")
                      for figure, value in figures.items() if figure.startswith("alone")})
        if len(alone) > 1:
            figures.pop("each_kb", None)
        if figures.get("descriptors_left"):
            self.bench.note(f"consoled: {figures['descriptors_left']} descriptors stay open after a crowd", True)

    def measure_get(self, turn):
        options, log = self.bench.options, "/1.0/instances/{}/console"
        sides = {"answer": [self.path("log.answer"), log.format("log"), 1000],
                 "consoled": [self.daemon.socket, log.format("log"), 1000]}
        if options.lxd_socket and options.lxd_instance:
            sides["LXD"] = [options.lxd_socket, log.format(options.lxd_instance), 10]
        for side in sorted(sides, reverse=turn % 2 == 1):
            socket, target, count = sides[side]
            self.measure("get", "--socket", socket, "--target", target, "--count", str(count), side=side)
        for form in FORMATS:
            self.measure(f"get-{form}", "--socket", self.daemon.socket, "--target",
                         log.format("log") + f"?format={form}", "--count", "3")

    def run_round(self, number):
        count = "20" if self.bench.options.quick else "200"
        self.measure_sharing()
        for replay in ("screen", "log"):
            self.measure(f"replay-{replay}", "--socket", self.daemon.socket, "--instance", "log", "--replay", replay,
                         "--count", "5" if self.bench.options.quick else "20")
        for section in ("follow", "wait"):
            for connections in (1, MANY):
                self.measure(f"{section}-{connections}", "--socket", self.daemon.socket, "--instance", "echo",
                             "--connections", str(connections), "--count", count)
        self.measure_get(number)


def run(bench, directory, cleanup):
    if not bench.options.consoled:
        return
    print("sessions and the log", file=sys.stderr)
    sessions = Sessions(bench, directory, cleanup)
    sessions.start()
    for number in range(bench.options.rounds):
        sessions.run_round(number)
