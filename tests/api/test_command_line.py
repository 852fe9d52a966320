# SPDX-License-Identifier: Apache-2.0
"""consoled(8): its options, what it says when it cannot start, and what it tells the service manager."""

import os
import socket
import subprocess

import pytest
from consoled import CONSOLED, Daemon


def consoled(*arguments, **environment):
    """Runs consoled to its end, which has to come by itself."""
    return subprocess.run(
        [CONSOLED, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )


@pytest.mark.parametrize("option, shown", [("--help", "Usage: consoled"), ("-h", "--dir DIR"), ("--version", "consoled 0.")])
def test_says_and_exits(option, shown):
    """Command line: --help, --version."""
    result = consoled(option)
    assert (result.returncode, result.stderr) == (0, "")
    assert shown in result.stdout


@pytest.mark.parametrize(
    "arguments, shown",
    [
        (["--bogus"], "--bogus"),
        (["extra"], "unexpected argument: extra"),
        (["--attach-timeout", "0"], "--attach-timeout takes whole seconds"),
        (["--attach-timeout", "5x"], "--attach-timeout takes whole seconds"),
        (["--keeper", "/nonexistent/keeper"], "no keeper to start: /nonexistent/keeper"),
        (["--dir", ""], "not a path"),
    ],
)
def test_bad_arguments(tmp_path, arguments, shown):
    """Promise 12: named, with the way to help, and nothing is made."""
    result = consoled("--dir", str(tmp_path / "d"), *arguments)
    assert result.returncode == 1 and result.stdout == ""
    assert shown in result.stderr and "--help" in result.stderr
    assert not (tmp_path / "d").exists()


def test_directory_that_cannot_be(tmp_path):
    """Promise 12: a file where the directory should be, a path too long for a socket, a group that is not there."""
    (tmp_path / "file").write_text("")
    assert "Not a directory" in consoled("--dir", str(tmp_path / "file" / "d")).stderr
    long = tmp_path / ("d" * 120)
    result = consoled("--dir", str(long))
    assert result.returncode == 1 and str(long) in result.stderr
    result = consoled("--dir", str(tmp_path / "d"), "--group", "no-such-group")
    assert result.returncode == 1 and "no-such-group" in result.stderr


@pytest.mark.parametrize("abstract", [False, True])
def test_notify(tmp_path, monkeypatch, abstract):
    """sd_notify(3): READY=1 when it serves, STOPPING=1 when it ends; on a socket that may have no file, unix(7)."""
    path = f"{'@' * abstract}{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path.replace("@", "\0"))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        daemon = Daemon()
        daemon.start()
        assert manager.recv(100).split(b"\n")[0] == b"READY=1"
        assert daemon.api.get("/1.0").status == 200
        daemon.close()
        assert manager.recv(100).split(b"\n")[0] == b"STOPPING=1"
