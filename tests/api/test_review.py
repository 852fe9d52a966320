# SPDX-License-Identifier: Apache-2.0
"""Ends and beginnings that come at an awkward moment."""

import pytest

from consoled import alive
from rest import RUNNING, STOPPED, SUCCESS, wait_until

pytestmark = pytest.mark.timeout(120)


def test_found_again_while_it_rests(own_daemon):
    """Promise 10: a daemon that is new while an instance waits for its next start can stop and delete it."""
    instance = own_daemon.create("x", "false", config={"process.restart": "always"}).start()
    wait_until(lambda: instance.state()["pid"] == 0, 20)
    keeper = own_daemon.keepers()["x"]
    own_daemon.kill()
    own_daemon.start()
    assert instance.status == RUNNING
    assert own_daemon.api.delete(instance.url).status == 400
    instance.stop()
    assert instance.status == STOPPED
    wait_until(lambda: not alive(keeper), 10)
    instance.delete()


def test_ephemeral_end(own_daemon, open_session):
    """Promise 8 for an ephemeral instance: it goes when its sessions have got everything, and their end is Success."""
    instance = own_daemon.create("x", "sh -c 'read go; seq 1 100000'", ephemeral=True).start()
    session = open_session(instance)
    session.type("\n")
    wait_until(lambda: own_daemon.api.get(instance.url).status == 404 or instance.status == STOPPED, 30)
    output = session.drain()
    assert output.endswith(b"100000\r\n") and len(output) > 600000
    assert session.end_mark
    assert session.result()["status_code"] == SUCCESS
    wait_until(lambda: own_daemon.api.get(instance.url).status == 404, 20)


def test_main_thread_gone(make, tmp_path):
    """A program whose first thread has ended is not a zombie: it hears of a stop, also while it has children."""
    script = tmp_path / "main.py"
    script.write_text(
        "import ctypes, subprocess, threading, time\n"
        "subprocess.Popen(['sh', '-c', 'trap \"\" HUP TERM; while :; do sleep 1; done'])\n"
        "threading.Thread(target=lambda: (print('ready', flush=True), time.sleep(600))).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)\n"
    )
    instance = make(f"/usr/bin/python3 {script}")
    instance.wait_log(b"ready")
    wait_until(lambda: open(f"/proc/{instance.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z", 10)
    assert instance.change("stop", timeout=-1)["status_code"] == SUCCESS
