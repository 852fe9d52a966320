# SPDX-License-Identifier: Apache-2.0
"""The state of LXC containers as LXD tells it: what their processes use, their network, and liblxc's log."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from pylxd import Client

from consoled import descriptors
from guest import ContainerDaemon, cgroup_file, cgroups
from rest import FROZEN, STOPPED, wait_until

DAEMON = ContainerDaemon
pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20
ADDRESSES = ("198.51.100.9", "2001:db8::9")  # RFC 5737, RFC 3849
NETWORK = "\n".join(
    [
        "lxc.net.0.type=veth",
        "lxc.net.0.flags=up",
        "lxc.net.0.name=eth0",
        "lxc.net.0.hwaddr=00:16:3e:01:02:03",
        f"lxc.net.0.ipv4.address={ADDRESSES[0]}/24",
        f"lxc.net.0.ipv6.address={ADDRESSES[1]}/64",
    ]
)


@pytest.fixture
def connected(container):
    """A container with a veth(4), of which the other end is on this machine and goes nowhere."""
    if not os.access("/proc/sys/net/ipv6", os.F_OK):
        pytest.skip("there is no IPv6 here")
    guest = container(config={"raw.lxc": NETWORK})
    # An address is tentative at first, and there all the same.
    wait_until(lambda: len(addresses(guest, "eth0")) == 3, 20, "all addresses, with the one that the kernel makes")
    wait_until(lambda: guest.state()["processes"] >= 3, 20, "the processes that its init starts")
    return guest


def interface(guest, name):
    return guest.state()["network"][name]


def addresses(guest, name):
    return interface(guest, name)["addresses"]


# --- what processes use ---


def counted(pid, controller, *names):
    """A number, as the container's group has it."""
    return int(cgroup_file(pid, controller, *names))


def test_numbers_are_the_cgroups(container):
    """Containers: memory, cpu and processes; of a frozen container, so that nothing moves between the two readings."""
    guest = container()
    guest.execute("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 1000 & sleep 1000 & echo end")
    guest.wait_log(b"end\r\n")
    guest.freeze()
    state = guest.state()
    assert (state["status"], state["status_code"]) == ("Frozen", FROZEN)
    assert state["processes"] == counted(guest.pid, "pids", "pids.current") >= 5
    memory = counted(guest.pid, "memory", "memory.usage_in_bytes", "memory.current")
    assert abs(state["memory"]["usage"] - memory) < MIB  # the kernel counts in batches, one for each cpu
    assert 0 < state["memory"]["usage"] <= state["memory"]["usage_peak"] + MIB
    assert state["cpu"]["usage"] > 1_000_000
    assert 0 <= state["memory"]["swap_usage"] <= state["memory"]["swap_usage_peak"]
    before = state["cpu"]["usage"]
    assert guest.state()["cpu"]["usage"] - before < 100_000_000


def test_memory_peak(container):
    """The peak is of the whole container and stays when the memory has been given back."""
    guest = container()
    guest.execute("dd if=/dev/zero of=/dev/null bs=32M count=1 2>/dev/null; echo done")
    guest.wait_log(b"done\r\n")
    memory = wait_until(lambda: low(guest.state()["memory"]), 10, "the memory given back")
    assert memory["usage_peak"] >= 32 * MIB


def low(memory):
    return memory if memory["usage"] < 24 * MIB else None


def test_init_in_a_group_of_its_own(container):
    """systemd, as a container's init, moves into init.scope; the numbers are still those of the whole container."""
    guest = container()
    guest.execute("sleep 1000 & sleep 1000 & echo started")
    guest.wait_log(b"started\r\n")
    pid, before = guest.pid, guest.state()
    for path in cgroups(guest.name):
        if "lxc.payload" in path and any(part in path for part in ("/memory/", "/pids/", "/cpuacct", ",cpuacct")):
            os.mkdir(f"{path}/init.scope")
            Path(path, "init.scope", "cgroup.procs").write_text(str(pid))
    state = guest.state()
    assert state["processes"] >= before["processes"] >= 5
    assert state["cpu"]["usage"] >= before["cpu"]["usage"]


def test_pid_is_inits(container):
    """Protocol 11: the pid is that of the container's init, seen from outside."""
    guest = container()
    numbers = Path(f"/proc/{guest.pid}/status").read_text()
    assert re.search(r"^NSpid:\s+\d+\s+1$", numbers, re.M)
    before = guest.pid
    guest.restart()
    assert guest.pid not in (0, before)


# --- network ---


def test_network(connected):
    """Containers: the network as LXD gives it."""
    eth0 = interface(connected, "eth0")
    local = {address["address"]: address for address in eth0["addresses"] if address["scope"] == "global"}
    assert local == {
        ADDRESSES[0]: {"family": "inet", "address": ADDRESSES[0], "netmask": "24", "scope": "global"},
        ADDRESSES[1]: {"family": "inet6", "address": ADDRESSES[1], "netmask": "64", "scope": "global"},
    }
    (link,) = [address for address in eth0["addresses"] if address["scope"] == "link"]
    assert (link["family"], link["netmask"]) == ("inet6", "64") and link["address"].startswith("fe80::")
    assert (eth0["hwaddr"], eth0["mtu"]) == ("00:16:3e:01:02:03", 1500)
    assert (eth0["state"], eth0["type"]) == ("up", "broadcast")
    lo = interface(connected, "lo")
    assert (lo["hwaddr"], lo["host_name"], lo["type"], lo["mtu"]) == ("", "", "loopback", 65536)
    assert all(address["scope"] == "local" for address in lo["addresses"])


def test_other_end(connected):
    """host_name is this machine's end of a veth."""
    table = Path(f"/proc/{connected.pid}/net/if_inet6").read_text().splitlines()
    indexes = {int(line.split()[1], 16) for line in table if line.split()[-1] == "eth0"}
    name = interface(connected, "eth0")["host_name"]
    assert {int(Path(f"/sys/class/net/{name}/iflink").read_text())} == indexes


def test_counters(connected):
    """Containers: network counters, and which end they are of."""
    here = Path("/sys/class/net", interface(connected, "eth0")["host_name"], "statistics")
    before = interface(connected, "eth0")["counters"]
    connected.execute("ping -c 1 -w 1 198.51.100.77 >/dev/null; echo pinged")  # nobody answers who that is
    connected.wait_log(b"pinged\r\n")
    after = interface(connected, "eth0")["counters"]
    assert after["packets_sent"] > before["packets_sent"] and after["bytes_sent"] > before["bytes_sent"]
    assert set(after) == {
        "bytes_received",
        "bytes_sent",
        "packets_received",
        "packets_sent",
        "errors_received",
        "errors_sent",
        "packets_dropped_outbound",
        "packets_dropped_inbound",
    }

    def same():
        sent = interface(connected, "eth0")["counters"]["packets_sent"]
        return sent == int((here / "rx_packets").read_text()) and sent > before["packets_sent"]

    wait_until(same, 10, "what it has sent to be what has been received here")


def test_interface_with_a_hostile_name(connected):
    """A guest may call its interfaces almost anything: what is told of them is text that drives no terminal."""
    connected.execute('ip link set eth0 down; ip link set eth0 name "$(printf \'a\\033\\377"z\')"; echo renamed')
    connected.wait_log(b"renamed\r\n")
    state = connected.state()
    assert set(state["network"]) == {"lo", 'a??"z'}
    assert state["network"]['a??"z']["state"] == "down"


def test_network_of_its_own_or_none(container):
    """Without a network a container has its own lo; with the machine's there is nothing to tell of it."""
    assert set(container().state()["network"]) == {"lo"}
    shared = container(privileged=True, config={"raw.lxc": "lxc.net.0.type=none"})
    assert os.stat(f"/proc/{shared.pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino
    assert shared.state()["network"] is None


def test_daemon_stays_in_its_own_network(connected, daemon):
    """The daemon goes to a container's network for a moment, and comes back with nothing left open."""
    connected.state()
    before, open_files = os.readlink(f"/proc/{daemon.pid}/ns/net"), descriptors(daemon.pid)
    for _ in range(100):
        assert interface(connected, "eth0")["mtu"] == 1500
    assert os.readlink(f"/proc/{daemon.pid}/ns/net") == before
    wait_until(lambda: descriptors(daemon.pid) <= open_files, 10, "no descriptor left open")


# --- whose state it is ---


def test_pid_of_another(container):
    """When the guest has ended, and its pid is another's before its keeper has said so, the other is not shown."""
    guest = container()
    pid, keeper = guest.pid, guest.daemon.keepers()[guest.name]
    os.kill(keeper, signal.SIGSTOP)
    others = []
    try:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), 10)

        def taken():
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
            others.append(subprocess.Popen(["sleep", "1000"]))
            return others[-1].pid == pid

        wait_until(taken, 10, f"another process {pid}")
        state = guest.state()
        assert (state["pid"], state["processes"], state["memory"]["usage"], state["network"]) == (0, 0, 0, None)
    finally:
        os.kill(keeper, signal.SIGCONT)
        for other in others:
            other.kill()
            other.wait()
    guest.wait_status(STOPPED)


# --- clients ---


def test_lxc_list(connected, lxc):
    """Containers: the columns of `lxc list`."""
    name, state, ipv4, ipv6, pid, processes, memory, cpu = (
        lxc("list", connected.name, "--format", "csv", "-c", "ns46pNmu").strip().split(",")
    )
    assert (name, state, pid) == (connected.name, "RUNNING", str(connected.pid))
    assert (ipv4, ipv6) == (f"{ADDRESSES[0]} (eth0)", f"{ADDRESSES[1]} (eth0)")
    assert int(processes) >= 3 and re.fullmatch(r"[\d.]+[kKM]i?B", memory) and re.fullmatch(r"\d+s", cpu)
    (row,) = json.loads(lxc("list", connected.name, "--format", "json"))
    assert row["state"]["network"]["eth0"]["hwaddr"] == "00:16:3e:01:02:03"
    assert row["state"]["memory"]["usage"] > 0


def test_lxc_info(connected, lxc):
    """Containers: `lxc info`."""
    shown = lxc("info", connected.name)
    for what in (
        f"PID: {connected.pid}",
        "Processes: ",
        "Memory (current): ",
        "Memory (peak): ",
        "Type: broadcast",
        "State: UP",
        f"Host interface: {interface(connected, 'eth0')['host_name']}",
        "MAC address: 00:16:3e:01:02:03",
        "MTU: 1500",
        "Bytes sent: ",
        f"inet:  {ADDRESSES[0]}/24 (global)",
        f"inet6: {ADDRESSES[1]}/64 (global)",
    ):
        assert what in shown, f"{what!r} in {shown}"


def test_pylxd(connected, daemon, monkeypatch):
    """Containers: pylxd's state()."""
    monkeypatch.setenv("LXD_DIR", str(daemon.directory))
    monkeypatch.setenv("HOME", str(daemon.home))
    state = Client().containers.get(connected.name).state()
    assert state.pid == connected.pid and state.processes >= 3
    assert state.memory["usage"] > 0 and state.cpu["usage"] > 0
    assert ADDRESSES[0] in [address["address"] for address in state.network["eth0"]["addresses"]]


# --- liblxc's log ---


def read_log(guest, name="lxc.log"):
    answer = guest.api.get(f"{guest.url}/logs/{name}")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/octet-stream"
    return answer.body


def log_of(guest):
    return guest.daemon.directory / "consoles" / guest.name / "lxc.log"


def test_show_log(container, lxc):
    """Containers: `lxc info --show-log` gives liblxc's own log."""
    guest = container()
    log = log_of(guest).read_bytes()
    assert read_log(guest) == log
    assert log.decode() in lxc("info", guest.name, "--show-log")
    listed = guest.api.read(guest.url + "/logs")
    assert listed == [f"{guest.url}/logs/lxc.log", f"{guest.url}/logs/boots"]


def test_log_before_the_first_start(container):
    """There is none, which is no error."""
    guest = container(start=False)
    assert not log_of(guest).exists()
    assert read_log(guest) == b"" and read_log(guest, "boots") == b""


def test_long_log(container):
    """Of a long log the end is given."""
    guest = container(start=False)
    log = b"".join(b"line %d\n" % number for number in range(400_000))
    log_of(guest).write_bytes(log)
    assert read_log(guest) == log[-MIB:]


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_log_that_is_no_file(container, kind):
    """What is no file is not read, and nothing waits for it."""
    guest = container(start=False)
    log = log_of(guest)
    {"link": lambda: log.symlink_to("/etc/passwd"), "fifo": lambda: os.mkfifo(log), "directory": log.mkdir}[kind]()
    answer = guest.api.get(guest.url + "/logs/lxc.log")
    (log.rmdir if kind == "directory" else log.unlink)()
    assert answer.status >= 400 and answer.error.startswith("Failed to read the log: ")
