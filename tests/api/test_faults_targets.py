# SPDX-License-Identifier: Apache-2.0
"""As test_faults.py: no memory and no descriptors for what is no program: containers, virtual machines, serial devices."""

import pytest

from faults import FaultyDaemon
from guest import ContainerDaemon
from machine import MachineDaemon
from rest import FAILURE, STOPPED, SUCCESS, wait_until
from sweeps import HARDSHIPS, TIMEOUT, endure, quiet, say, told
from test_screenshot import Picture
from test_serial import Line

pytestmark = pytest.mark.timeout(TIMEOUT)
hardships = pytest.mark.parametrize("hardship", [each for each in HARDSHIPS if each != "disk"])


class FaultyContainerDaemon(FaultyDaemon, ContainerDaemon):
    pass


class FaultyMachineDaemon(FaultyDaemon, MachineDaemon):
    pass


def daemon_of(kind):
    """A fixture: a daemon for all tests of a kind."""

    @pytest.fixture(scope="module")
    def daemon():
        made = kind()
        try:
            yield made.start()
        finally:
            made.close()

    return daemon


container_daemon = daemon_of(FaultyContainerDaemon)
machine_daemon = daemon_of(FaultyMachineDaemon)


def try_starts(instance, hardship, ready):
    """It starts, or it is said why not; it can be started then. ready() waits until it works."""
    api = instance.api

    def act():
        """Where there is lastingly nothing, it may not end before there is something again."""
        answer = say(api, "PUT", f"{instance.url}/state", {"action": "start"})
        if answer is None or answer.status != 202:
            return answer
        return say(api, "GET", f"/1.0/operations/{answer.metadata['id']}/wait?timeout=1")

    def stop():
        def stopped():
            quiet(instance.daemon)
            instance.change("stop", force=True)
            return instance.status == STOPPED

        wait_until(stopped)

    def check(answer, failed, words):
        if answer is None or answer.status != 200:
            assert failed
            told(answer, words)
        elif answer.metadata["status_code"] == FAILURE:
            assert failed and any(word in answer.metadata["err"] for word in words), answer.metadata["err"]
        elif answer.metadata["status_code"] == SUCCESS:
            ready()
        else:
            assert failed
        stop()
        instance.clear_log()
        instance.start()
        ready()
        stop()
        instance.clear_log()

    endure(instance.daemon, act, check, hardship)


@hardships
def test_start_of_a_container(container_daemon, container, hardship):
    """A container starts, or it is said why not; it can be started then."""
    guest = container(init="echo ready; exec cat", on=container_daemon, start=False)
    try_starts(guest, hardship, lambda: guest.wait_log(b"ready"))
    guest.assert_ended()


@hardships
def test_start_of_a_machine(machine_daemon, machine, hardship):
    """A virtual machine starts, or it is said why not; it can be started then."""
    guest = machine(on=machine_daemon, start=False)
    try_starts(guest, hardship, guest.wait_boot)
    guest.assert_ended()


@hardships
def test_start_of_a_serial_device(machine_daemon, make, tmp_path, hardship):
    """A serial device is opened, or it is said why not; it can be opened then."""
    line = Line(tmp_path / "tty")
    instance = make(None, on=machine_daemon, start=False, config={"serial.device": line.path})
    instance.daemon = machine_daemon

    def ready():
        line.wait_open().send(b"board")
        instance.wait_log(b"board")

    try_starts(instance, hardship, ready)
    line.remove()


@hardships
def test_screenshot(machine_daemon, machine, hardship):
    """A picture is whole, or it is said why there is none."""
    guest = machine(on=machine_daemon).wait_boot()

    def check(answer, failed, words):
        if answer is not None and answer.status == 200:
            assert Picture(answer.body).shows_something()
        else:
            assert failed
            told(answer, words)

    endure(machine_daemon, lambda: say(guest.api, "GET", f"{guest.url}/console?type=vga"), check, hardship)
    assert Picture(guest.api.get(f"{guest.url}/console?type=vga").body).shows_something()
