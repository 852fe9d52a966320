# SPDX-License-Identifier: Apache-2.0
"""
Virtual machines, without KVM: their life, their serial and their graphical consoles. The limits are QEMU alone, and for
what a viewer gets a bare unix socket, or two with the least relay between them, with the same SPICE server behind that
which takes the place of the machines' own.
"""
import os
import shutil
import subprocess
import sys

from daemon import Daemon, Failure, raw_get, wait_for, wait_until

QEMU = "qemu-system-x86_64"
MEMORY = 16  # MiB
READY = b"ready\r\n"  # what all guests print


def why_not(options):
    if not options.machines:
        return "no guests were named"
    if os.uname().machine != "x86_64":
        return "they are only for x86_64"
    for program in (QEMU, "as", "ld"):
        if not shutil.which(program):
            return f"there is no {program}"
    if options.consoled and not os.path.exists(options.keeper + "-qemu"):
        return "consoled was built without them"
    return None


def qemu(disk, *more):
    """QEMU with the devices that consoled gives a machine."""
    return [QEMU, "-nodefaults", "-no-user-config", "-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", str(MEMORY),
            "-display", "none", "-vga", "std", "-device", "virtio-tablet-pci", "-device", "virtio-rng-pci",
            "-device", "virtio-serial-pci", "-drive", f"if=virtio,format=raw,read-only=on,file={disk}", *more]


def create(daemon, name, disk):
    daemon.create(name, type="virtual-machine",
                  config={"consoled.accel": "tcg", "limits.memory": f"{MEMORY}MiB"},
                  devices={"root": {"type": "disk", "path": "/", "source": disk, "readonly": "true"}})


def boot(daemon, names, spice):
    """Starts machines, waits until their guests rest, and puts another SPICE server in the place of theirs."""
    for name in names:
        daemon.start_instance(name)
    for name in names:
        wait_until(lambda name=name: raw_get(daemon.socket, f"/1.0/instances/{name}/console").endswith(READY),
                   f"the guest of {name} does not get ready")
        own = os.path.join(daemon.directory, "run", name, "spice")
        if not os.path.exists(own):
            raise Failure("this QEMU has no SPICE")
        os.link(spice, own + ".new")
        os.rename(own + ".new", own)


class Machines:
    """The sides of the sections."""

    def __init__(self, bench, directory, cleanup):
        self.bench = bench
        self.options = bench.options
        self.directory = directory
        self.cleanup = cleanup
        self.disks = [self.path("console.disk"), self.path("screen.disk")]
        self.spice = self.path("spice")
        self.sides = {"machine": {}, "vga": {}, "screenshot": {}}

    def path(self, name):
        return os.path.join(self.directory, name)

    def spawn(self, *command):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.cleanup.append(process.wait)
        self.cleanup.append(process.kill)

    def start_limits(self):
        for program, disk in zip(self.options.machines, self.disks):
            subprocess.run([program, disk], check=True)
        self.spawn(self.options.bench, "spice", self.spice)
        wait_for(self.spice)
        console, screen = self.disks
        serial, monitor, ready = self.path("serial"), self.path("monitor"), self.path("ready")
        self.spawn(*qemu(screen, "-serial", f"file:{ready}", "-qmp", f"unix:{monitor},server=on,wait=off"))
        wait_until(lambda: os.path.exists(ready) and os.path.getsize(ready) == len(READY), "QEMU alone gets not ready")
        self.sides["machine"]["bare"] = [
            "--fifo", serial, "--", *qemu(console, "-chardev", f"pipe,id=console,path={serial}", "-serial",
                                          "chardev:console")]
        relay = self.path("spice.relay")
        self.spawn(self.options.bench, "forward", relay, self.spice)
        wait_for(relay)
        self.sides["vga"].update(bare=["--relay", self.spice], relay=["--relay", relay])
        self.sides["screenshot"]["bare"] = ["--relay", monitor, "--target", self.path("screen.png")]

    def start_ours(self):
        """Viewers come once and first, as a daemon's memory depends on what it has done before."""
        daemon = Daemon(self.options.consoled, self.options.keeper, self.path("m"))
        self.cleanup.append(daemon.end)
        daemon.start()
        console, screen = self.disks
        create(daemon, "console", console)
        create(daemon, "screen", screen)
        names = [f"viewer-{number}" for number in range(self.options.viewers + 1)]
        for name in names:
            create(daemon, name, screen)
        boot(daemon, names, self.spice)
        self.measure_viewers("consoled", "--socket", daemon.socket, "--instance", "viewer")
        daemon.stop_instances()
        boot(daemon, ["screen"], self.spice)
        for section, name in (("machine", "console"), ("vga", "screen"), ("screenshot", "screen")):
            self.sides[section]["consoled"] = ["--socket", daemon.socket, "--instance", name]

    def measure_viewers(self, side, *arguments):
        figures = self.bench.measure("viewers", side, "--count", str(self.options.viewers), *arguments)
        if figures.get("descriptors_left"):
            self.bench.note(f"{side}: {figures['descriptors_left']} descriptors stay open after viewers", True)

    def run_round(self, number):
        quick = self.options.quick
        counts = {"machine": "1" if quick else "5", "vga": "1024" if quick else "8192",
                  "screenshot": "3" if quick else "10"}
        for section, sides in self.sides.items():
            for side in sorted(sides, reverse=number % 2 == 1):
                self.bench.measure(section, side, "--count", counts[section], *sides[side])


def run(bench, directory, cleanup):
    reason = why_not(bench.options)
    if reason:
        bench.note(f"virtual machines are not measured: {reason}")
        return
    print("virtual machines", file=sys.stderr)
    machines = Machines(bench, directory, cleanup)
    machines.start_limits()
    machines.measure_viewers("bare", "--relay", machines.spice)
    if bench.options.consoled:
        machines.start_ours()
    for number in range(bench.options.rounds):
        machines.run_round(number)
