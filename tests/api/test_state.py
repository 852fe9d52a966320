# SPDX-License-Identifier: Apache-2.0
"""States of instances: start, stop, restart, freeze, what a program is given, and how it ends (protocol 11)."""

import os
import pwd
import time

import pytest

from consoled import alive, process_state
from rest import FAILURE, FROZEN, RUNNING, STOPPED, SUCCESS, wait_until

STUBBORN = "sh -c 'trap \"\" HUP TERM INT; echo ready; while :; do read line || sleep 0.05; done'"


def assert_fails(operation, text):
    assert (operation["status_code"], operation["status"], operation["err"]) == (FAILURE, "Failure", text)


# --- the document ---


@pytest.mark.lxd
def test_state_of_a_running_instance(guest):
    """Protocol 11: every key of an InstanceState, rightly typed."""
    state = guest.state()
    assert (state["status"], state["status_code"]) == ("Running", RUNNING)
    assert state["pid"] > 0 and state["processes"] >= 1 and isinstance(state["disk"], dict)
    assert set(state["memory"]) >= {"usage", "usage_peak", "swap_usage", "swap_usage_peak"}
    assert all(isinstance(value, int) for value in state["memory"].values())
    assert isinstance(state["cpu"]["usage"], int) and state["network"] is None or isinstance(state["network"], dict)


def test_state_of_a_stopped_instance(make):
    """Protocol 11: no process, no network."""
    state = make("true", start=False).state()
    assert (state["status"], state["status_code"]) == ("Stopped", STOPPED)
    assert (state["pid"], state["processes"], state["network"], state["cpu"]["usage"]) == (0, 0, None, 0)


# --- bad requests ---


@pytest.mark.lxd
@pytest.mark.parametrize(
    "raw, text",
    [
        (b"", "EOF"),
        (b"{", "unexpected EOF"),
        (b"{}", "Unknown action: ''"),
        (b'{"action":"bogus"}', "Unknown action: 'bogus'"),
        (
            b'{"action":5}',
            "json: cannot unmarshal number into Go struct field InstanceStatePut.action of type string",
        ),
        (
            b'{"action":"stop","timeout":"1"}',
            "json: cannot unmarshal string into Go struct field InstanceStatePut.timeout of type int",
        ),
    ],
)
def test_bad_request(guest, raw, text):
    """Protocol 11: 400 in LXD's words, and nothing changes."""
    answer = guest.api.put(guest.url + "/state", raw=raw)
    assert (answer.status, answer.error) == (400, text)
    assert guest.status == RUNNING


@pytest.mark.lxd
def test_unknown_instance(api):
    """Protocol 11: 404."""
    answer = api.put("/1.0/instances/nosuch/state", {"action": "start"})
    assert (answer.status, answer.error) == (404, "Instance not found")


# --- the matrix: what is about the state itself is a 202 whose operation fails ---


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("action", ["stop", "restart"])
def test_not_running(make, action, force):
    """Protocol 11: stop and restart of a stopped instance."""
    assert_fails(make("true", start=False).change(action, force=force), "The instance is already stopped")


@pytest.mark.parametrize("action", ["freeze", "unfreeze"])
def test_not_running_for_freezing(make, action):
    """Protocol 11: freeze and unfreeze of a stopped instance."""
    assert_fails(make("true", start=False).change(action), "The container isn't running")


@pytest.mark.lxd
def test_start_running(guest):
    """Protocol 11: start of a running instance."""
    assert_fails(guest.change("start"), "The instance is already running")


@pytest.mark.lxd
def test_unfreeze_running(guest):
    """Protocol 11: unfreeze of a running instance."""
    assert_fails(guest.change("unfreeze"), "The container is already running")


@pytest.mark.lxd
def test_frozen(guest):
    """Protocol 11: what a frozen instance refuses, and the way back."""
    operation = guest.change("freeze")
    assert (operation["status_code"], operation["description"]) == (SUCCESS, "Freezing instance")
    try:
        assert guest.state()["status"] == "Frozen" and guest.status == FROZEN
        assert_fails(guest.change("freeze"), "The container is already frozen")
        assert_fails(guest.change("restart"), "Instance is not running")
    finally:
        operation = guest.change("unfreeze")
    assert (operation["status_code"], operation["description"]) == (SUCCESS, "Unfreezing instance")
    assert guest.status == RUNNING


def test_frozen_does_not_run(make):
    """Freeze stops every process of the instance's session; unfreeze lets them go on."""
    instance = make("sh -c 'sleep 1000 & echo $!; while :; do echo tick; sleep 0.01; done'")
    instance.wait_log(b"tick")
    pids = [instance.pid, int(instance.log().split()[0])]
    instance.freeze()
    # T is stopped; D is a shell whose vfork(2) waits for a child that is stopped.
    wait_until(lambda: all(process_state(pid) in "TD" for pid in pids), 5, "both processes stopped")
    frozen = instance.log()
    assert instance.state()["processes"] >= 2 and instance.log() == frozen
    instance.unfreeze()
    wait_until(lambda: len(instance.log()) > len(frozen))
    assert all(process_state(pid) in "SRD" for pid in pids)


def test_stop_frozen_by_force(make):
    """A frozen instance can be stopped by force."""
    instance = make("sh -i")
    instance.freeze()
    instance.stop(force=True)
    assert instance.status == STOPPED


def test_descriptions(make):
    """Protocol 4: what the operations are called."""
    instance = make("sh -i", start=False)
    actions = ("start", "restart", "freeze", "unfreeze", "stop")
    told = [instance.change(action, force=True)["description"] for action in actions]
    assert told == [
        "Starting instance",
        "Restarting instance",
        "Freezing instance",
        "Unfreezing instance",
        "Stopping instance",
    ]


# --- stopping ---


def test_stop_ends_the_process(make):
    """A stop by kindness: the program gets SIGHUP and SIGTERM, as from a terminal that goes away."""
    instance = make("sh -c 'trap \"echo bye; exit 0\" HUP TERM; echo ready; while :; do sleep 0.05; done'")
    instance.wait_log(b"ready")
    pid = instance.pid
    instance.stop(force=False)
    assert instance.status == STOPPED and not alive(pid)
    assert b"bye" in instance.log()


def test_stop_kills_when_the_time_is_up(make):
    """Stop: SIGHUP and SIGTERM, then SIGKILL after the timeout; one that ends by itself does not wait for it."""
    instance = make(STUBBORN)
    instance.wait_log(b"ready")
    started = time.monotonic()
    assert instance.change("stop", timeout=1)["status_code"] == SUCCESS
    assert time.monotonic() - started > 0.9
    assert instance.status == STOPPED


def test_stop_by_force_is_sigkill(make):
    """Force does not ask."""
    instance = make(STUBBORN)
    instance.wait_log(b"ready")
    pid = instance.pid
    instance.stop(force=True)
    assert not alive(pid) and instance.status == STOPPED


def test_stop_ends_the_whole_session(make):
    """Children of the program end with it."""
    instance = make("sh -c 'sleep 1000 & echo child-$!-; wait'")
    child = int(instance.wait_log(b"-\r\n").split(b"-")[1])
    assert alive(child)
    instance.stop(force=True)
    wait_until(lambda: not alive(child), 10, "the child's end")


def test_restart_is_another_process(make):
    """Restart: same instance, new process, same log."""
    instance = make("sh -c 'echo boot; exec cat'")
    instance.wait_log(b"boot")
    pid = instance.pid
    instance.restart(force=True)
    assert instance.status == RUNNING and instance.pid not in (0, pid)
    wait_until(lambda: instance.log().count(b"boot") == 2)


def test_no_keeper_is_left_after_a_stop(make, daemon):
    """Promise 7: a stopped instance has no process at all."""
    instance = make("sh -i")
    keeper = daemon.keepers()[instance.name]
    instance.stop()
    wait_until(lambda: not alive(keeper), 10, "the keeper's end")


# --- starting ---


def test_start_sets_last_used(make):
    """Protocol 11: last_used_at is no longer 1970."""
    assert not make("true").read()["last_used_at"].startswith("1970")


def test_start_without_a_command(make):
    """Promise 12: an instance that says nothing of what it is cannot be started, and the error says why."""
    operation = make(start=False).change("start")
    assert operation["status_code"] == FAILURE and "process.command" in operation["err"]


def test_command_that_does_not_exist(make):
    """Promise 12: the reason, with the command's name; the instance is stopped and can be tried again."""
    instance = make("/no/such/program --at-all", start=False)
    for _ in range(2):
        operation = instance.change("start")
        assert operation["status_code"] == FAILURE
        assert "/no/such/program" in operation["err"] and "No such file or directory" in operation["err"]
        assert instance.status == STOPPED
    instance.api.patch(instance.url, {"config": {"process.command": "sh -i"}})
    instance.start()


def test_directory_that_does_not_exist(make):
    """Promise 12: as for the command."""
    operation = make("true", start=False, config={"process.directory": "/no/such/directory"}).change("start")
    assert operation["status_code"] == FAILURE and "/no/such/directory" in operation["err"]


def test_command_in_shell_words(make):
    """Design: process.command is split as sh quotes it, and no shell is run."""
    instance = make("printf '%s|' \"a b\" c\\ d $HOME ';' \"it's\"", start=False)
    instance.start()
    instance.wait_status(STOPPED)
    assert instance.log() == b"a b|c d|$HOME|;|it's|"


def test_environment_and_directory(make):
    """Design: environment.* and process.directory."""
    instance = make(
        "sh -c 'echo $FOO; pwd; echo $TERM; exit'",
        config={"environment.FOO": "b a r", "process.directory": "/usr/share"},
    )
    instance.wait_status(STOPPED)
    foo, directory, term = instance.log().decode().splitlines()
    assert (foo, directory) == ("b a r", "/usr/share") and term


def test_own_session_and_terminal(make):
    """S12: the program leads a session on a terminal of its own, and holds nothing of the daemon's."""
    instance = make("sh -c 'tty; ps -o sid= -p $$; echo $$; ls /proc/self/fd; stty size; exit'")
    instance.wait_status(STOPPED)
    tty, session, pid, *numbers = instance.log().decode().split()
    assert tty.startswith("/dev/pts/") and session == pid
    assert numbers[-2:] == ["24", "80"]
    assert set(numbers[:-2]) == {"0", "1", "2", "3"}  # 3 is ls reading the directory


@pytest.mark.skipif(os.getuid() != 0, reason="only root may start programs as others")
def test_user(make):
    """Design: process.user sets user, group and supplementary groups."""
    nobody = pwd.getpwnam("nobody")
    instance = make("sh -c 'id -u; id -g; id -G; exit'", config={"process.user": "nobody"})
    instance.wait_status(STOPPED)
    uid, gid, groups = instance.log().decode().split("\r\n")[:3]
    assert (int(uid), int(gid)) == (nobody.pw_uid, nobody.pw_gid) and "0" not in groups.split()


def test_signals_are_as_a_login_has_them(make):
    """S12: no signal is blocked or ignored by inheritance."""
    instance = make("sh -c 'grep -E \"^Sig(Blk|Ign)\" /proc/self/status; exit'")
    instance.wait_status(STOPPED)
    blocked, ignored = (int(line.split()[1], 16) for line in instance.log().decode().splitlines())
    internal = 1 << 31 | 1 << 32  # glibc's own two signals, which nobody can reset
    assert (blocked, ignored & ~internal) == (0, 0)


# --- ending ---


def test_exit_by_itself(make):
    """A program that ends is a stopped instance; all it wrote is in the log."""
    instance = make("sh -c 'echo one; echo two; exit 3'")
    instance.wait_status(STOPPED)
    assert instance.log() == b"one\r\ntwo\r\n" and instance.pid == 0


def test_restart_policy_no(make):
    """Design: process.restart=no, the default."""
    instance = make("sh -c 'echo boot; exit 1'")
    instance.wait_status(STOPPED)
    assert instance.log() == b"boot\r\n"


def test_restart_policy_always(make):
    """Design: process.restart=always starts it again after success too; a stop ends that."""
    instance = make("sh -c 'echo boot; exit 0'", config={"process.restart": "always"})
    wait_until(lambda: instance.log().count(b"boot") >= 3, 30)
    instance.stop(force=True)
    assert instance.status == STOPPED
    count = instance.log().count(b"boot")
    assert instance.change("stop")["err"] == "The instance is already stopped"
    assert instance.log().count(b"boot") == count


def test_restart_policy_on_failure(make, tmp_path):
    """Design: process.restart=on-failure starts it again until it ends well."""
    flag = tmp_path / "count"
    instance = make(
        f"sh -c 'echo boot; echo x >>{flag}; test $(wc -l <{flag}) -ge 3'", config={"process.restart": "on-failure"}
    )
    instance.wait_status(STOPPED, 30)
    assert instance.log().count(b"boot") == 3


def test_restart_policy_does_not_follow_a_stop(make):
    """Design: who stops an instance means it."""
    instance = make("sh -c 'echo boot; exec cat'", config={"process.restart": "always"})
    instance.wait_log(b"boot")
    instance.stop(force=False)
    assert instance.status == STOPPED and instance.log().count(b"boot") == 1


def test_killed_by_signal_is_a_failure(make):
    """Design: on-failure counts a death by signal."""
    instance = make("sh -c 'echo boot; exec cat'", config={"process.restart": "on-failure"})
    instance.wait_log(b"boot")
    os.kill(instance.pid, 9)
    wait_until(lambda: instance.log().count(b"boot") == 2, 30)
    instance.wait_status(RUNNING)
