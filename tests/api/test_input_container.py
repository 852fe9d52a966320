# SPDX-License-Identifier: Apache-2.0
"""POST console/input and the wait for output, of containers."""

from urllib.parse import urlencode

import pytest

from guest import ContainerDaemon

DAEMON = ContainerDaemon
pytestmark = pytest.mark.timeout(180)


def test_a_script_for_a_login(container):
    """Sessions: what people use expect for."""
    init = "printf 'login: '; read name; printf 'Password: '; read word; echo \"welcome $name\"; exec cat"
    guest = container(init=init)

    def step(pattern, since, **body):
        match = guest.api.read(guest.url + "/console?" + urlencode({"wait": pattern, "since": since, "timeout": 20}))
        if body:
            assert guest.api.post(guest.url + "/console/input", body).status == 200
        return match

    match = step("login: $", 0, text="root", keys=["enter"])
    match = step("Password: $", match["end"], text="secret\r")
    match = step(r"^welcome (\w+)$", match["end"])
    assert match["matches"] == ["welcome root", "root"]


def test_what_a_container_does_not_have(container):
    """Protocol 5: LXD's words for its screen; no serial line."""
    guest = container(init="exec cat")
    answer = guest.api.post(guest.url + "/console/input", {"type": "vga", "keys": ["ctrl-alt-delete"]})
    assert (answer.status, answer.error) == (400, "VGA console is only supported by virtual machines")
    answer = guest.api.post(guest.url + "/console/input", {"keys": ["break"]})
    assert (answer.status, answer.error) == (400, 'Key "break" is only for serial ports')
