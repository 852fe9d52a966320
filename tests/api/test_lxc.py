# SPDX-License-Identifier: Apache-2.0
"""LXD's own command-line client, every command that has to do with consoles: what it prints and how it exits."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import termios

import pytest
import yaml

from rest import RUNNING, STOPPED, SUCCESS, Instance, wait_until


ANSWER = "[\n ]42\r"  # to `echo $((40+2))`; behind a prompt if it was typed before the shell was there


@pytest.fixture
def new(daemon, name):
    """A name for an instance that lxc makes; the instance is gone after the test."""
    instance = Instance(daemon.api, name)
    yield instance
    if daemon.running():
        instance.discard()


def rows(text):
    return list(csv.reader(io.StringIO(text)))


# --- list and info ---


@pytest.mark.lxd
@pytest.mark.parametrize("form", ["table", "csv", "json", "yaml", "compact"])
def test_list_formats(guest, lxc, form):
    """Issue: `lxc list` in each of its formats."""
    shown = lxc("list", "--format", form)
    if form in ("json", "yaml"):
        found = json.loads(shown) if form == "json" else yaml.safe_load(shown)
        item = next(item for item in found if item["name"] == guest.name)
        assert (item["status"], item["type"], item["state"]["status"]) == ("Running", "container", "Running")
    else:
        assert re.search(rf"\b{guest.name}\b.*RUNNING.*CONTAINER", shown)


@pytest.mark.lxd
def test_list_columns(guest, lxc):
    """Issue: chosen columns, with the process id and the architecture."""
    (row,) = rows(lxc("list", guest.name, "--format", "csv", "--columns", "nstpS"))
    assert row == [guest.name, "RUNNING", "CONTAINER", str(guest.pid), row[4]]


@pytest.mark.lxd
def test_list_fast(guest, lxc):
    """Issue: `lxc list --fast`."""
    row = next(row for row in rows(lxc("list", "--fast", "--format", "csv")) if row[0] == guest.name)
    assert row[1] == "RUNNING" and row[-1] == "CONTAINER"


@pytest.mark.lxd
@pytest.mark.parametrize(
    "filter, shown",
    [
        (["status=running"], True),
        (["status=stopped"], False),
        (["type=container"], True),
        (["type=virtual-machine"], False),
        (["nosuch-.*"], False),
    ],
)
def test_list_filters(guest, lxc, filter, shown):
    """Issue: filters that the server applies, and those that lxc applies itself."""
    names = [row[0] for row in rows(lxc("list", *filter, "--format", "csv", "--columns", "n"))]
    assert (guest.name in names) == shown


@pytest.mark.lxd
def test_info(guest, lxc):
    """Issue: `lxc info X`."""
    shown = lxc("info", guest.name)
    assert f"Name: {guest.name}" in shown and "Status: RUNNING" in shown and f"PID: {guest.pid}" in shown


def test_info_stopped(make, lxc):
    """Issue: `lxc info` of a stopped one that has never run."""
    shown = lxc("info", make("true", start=False).name)
    assert "Status: STOPPED" in shown


@pytest.mark.lxd
def test_info_show_log(guest, lxc):
    """Protocol 11: `lxc info --show-log`, which lxc proposes after every failure."""
    assert "Log:" in lxc("info", guest.name, "--show-log")


@pytest.mark.lxd
def test_info_of_the_server(lxc):
    """Issue: `lxc info`, `lxc version`."""
    assert "api_version: \"1.0\"" in lxc("info")
    version = lxc("version")
    assert "Client version:" in version and "unreachable" not in version


@pytest.mark.lxd
@pytest.mark.parametrize(
    "command",
    [["info", "nosuch"], ["config", "show", "nosuch"], ["start", "nosuch"], ["console", "nosuch", "--show-log"]],
)
def test_unknown_instance(lxc, command):
    """Protocol 11: lxc prints what the server says, exit code 1."""
    assert lxc(*command, code=1).splitlines()[-1].endswith("Instance not found")


# --- init, start, stop, delete ---


def test_life(new, lxc):
    """Issue: init --empty, start, stop, restart, rename, delete, one after the other."""
    assert f"Creating {new.name}" in lxc("init", "--empty", new.name, "-c", "process.command=sh -i")
    assert new.read()["status"] == "Stopped"
    lxc("start", new.name)
    assert new.status == RUNNING
    lxc("restart", new.name)
    lxc("restart", "--force", new.name)
    lxc("stop", new.name)
    assert new.status == STOPPED
    renamed = new.name + "-b"
    lxc("rename", new.name, renamed)
    new.name = renamed
    assert new.read()["name"] == renamed
    lxc("delete", renamed)
    assert new.api.get(new.url).status == 404


def test_init_with_options(new, lxc):
    """Issue: keys and a description of YAML on stdin, as `lxc init` takes them."""
    lxc("init", "--empty", new.name, input="description: from yaml\nconfig: {user.a: b, process.command: sh -i}\n")
    found = new.read()
    assert found["config"]["user.a"] == "b"


def test_init_twice(new, lxc):
    """Protocol 11: the second fails in LXD's words."""
    lxc("init", "--empty", new.name)
    assert "already exists" in lxc("init", "--empty", new.name, code=1)


def test_init_unknown_key(new, lxc):
    """Promise 12: the key is named."""
    assert "bogus.key" in lxc("init", "--empty", new.name, "-c", "bogus.key=1", code=1)


def test_start_running(shell, lxc):
    """Protocol 11."""
    shown = lxc("start", shell.name, code=1)
    assert "Error: The instance is already running" in shown


def test_start_failing(make, lxc):
    """Promise 12: the reason reaches the person."""
    assert "/no/such/program" in lxc("start", make("/no/such/program", start=False).name, code=1)


def test_stop_stopped(make, lxc):
    """Protocol 11."""
    assert "Error: The instance is already stopped" in lxc("stop", make("true", start=False).name, code=1)


def test_stop_force(make, lxc):
    """Issue: a program that will not end is killed, at once with --force, or when --timeout is up."""
    for how in (["--force"], ["--timeout", "1"]):
        instance = make("sh -c 'trap \"\" HUP TERM; echo ready; while :; do sleep 0.1; done'")
        instance.wait_log(b"ready")
        lxc("stop", *how, instance.name)
        assert instance.status == STOPPED


def test_pause_and_start(shell, lxc):
    """Protocol 11: lxc start resumes a frozen instance."""
    lxc("pause", shell.name)
    assert shell.state()["status"] == "Frozen"
    assert "already frozen" in lxc("pause", shell.name, code=1)
    lxc("start", shell.name)
    assert shell.status == RUNNING


def test_delete_running(shell, lxc):
    """Protocol 11: refused; with --force it is stopped and deleted."""
    assert "currently running" in lxc("delete", shell.name, code=1)
    lxc("delete", "--force", shell.name)
    assert shell.api.get(shell.url).status == 404


def test_several_at_once(make, lxc):
    """Issue: commands that take several names."""
    one, two = make("sh -i", start=False), make("sh -i", start=False)
    lxc("start", one.name, two.name)
    assert (one.status, two.status) == (RUNNING, RUNNING)
    lxc("stop", "--force", one.name, two.name)
    assert (one.status, two.status) == (STOPPED, STOPPED)


def test_stop_all(own_daemon):
    """Protocol 11: stop --all is one bulk request."""
    instances = [own_daemon.create(f"x{number}", "sh -i").start() for number in range(3)]
    done = own_daemon.lxc("stop", "--all", "--force")
    assert done.returncode == 0, done
    assert [instance.status for instance in instances] == [STOPPED] * 3


# --- config ---


def test_config(make, lxc):
    """Issue: config set, get, unset, show."""
    instance = make("sh -i", start=False)
    lxc("config", "set", instance.name, "user.a", "b c")
    lxc("config", "set", instance.name, "environment.X=1")
    assert lxc("config", "get", instance.name, "user.a") == "b c\n"
    assert lxc("config", "get", instance.name, "user.nosuch") == "\n"
    shown = yaml.safe_load(lxc("config", "show", instance.name))
    assert shown["config"]["user.a"] == "b c" and shown["config"]["process.command"] == "sh -i"
    assert yaml.safe_load(lxc("config", "show", "--expanded", instance.name))["config"]["environment.X"] == "1"
    lxc("config", "unset", instance.name, "user.a")
    assert lxc("config", "get", instance.name, "user.a") == "\n"


def test_config_edit(make, lxc):
    """Issue: config edit, from stdin as scripts do it."""
    instance = make("sh -i", start=False)
    text = lxc("config", "show", instance.name).replace("description: \"\"", "description: edited")
    lxc("config", "edit", instance.name, input=text)
    assert instance.read()["description"] == "edited"


def test_config_unknown_key(make, lxc):
    """Promise 12: the key is named, nothing is changed."""
    instance = make("sh -i", start=False)
    before = instance.read()
    assert "Unknown configuration key: bogus.key" in lxc("config", "set", instance.name, "bogus.key", "1", code=1)
    assert instance.read() == before


# --- console ---


def attach(terminal, instance, *more):
    """lxc console at the shell's prompt."""
    console = terminal("lxc", "console", instance.name, *more)
    console.expect("To detach from the console, press: <ctrl>\\+a q")

    def answered():
        console.type("\x15\r")
        try:
            console.expect(r"[#$] ", 0.5)
        except AssertionError:
            assert console.process.poll() is None, console.output
            return False
        return True

    wait_until(answered)
    return console


def detach(console):
    console.detach()
    assert console.wait() == 0


@pytest.mark.lxd
def test_console(guest, terminal):
    """Issue: attach, type, read, detach with ctrl-a q; exit code 0."""
    console = attach(terminal, guest)
    console.type("echo $((40+2))\r")
    console.expect(ANSWER)
    detach(console)


def test_console_gives_the_terminal_back(shell, terminal):
    """Issue: echo and canonical mode are as before."""
    console = terminal("lxc", "console", shell.name)
    before = termios.tcgetattr(console.slave)
    console.expect("To detach")
    console.type("echo $((40+2))\r")
    console.expect("42")
    detach(console)
    assert termios.tcgetattr(console.slave)[:4] == before[:4] or before[3] & termios.ECHO == 0


def test_console_types_early(shell, terminal):
    """Promise 4: what is typed before the attach is done is typed all the same."""
    console = terminal("lxc", "console", shell.name)
    console.expect("To detach")
    console.type("echo $((40+2))\r")
    console.expect(ANSWER)
    detach(console)


def test_console_of_a_stopped_instance(make, terminal):
    """Protocol 8: the error reaches the person."""
    console = terminal("lxc", "console", make("true", start=False).name)
    assert console.wait() == 1
    console.expect("Error: Instance is not running")


@pytest.mark.lxd
def test_console_without_a_terminal(guest, lxc):
    """Protocol 8: lxc refuses by itself."""
    assert "inappropriate ioctl" in lxc("console", guest.name, code=1)


@pytest.mark.lxd
def test_console_vga_of_a_container(guest, lxc):
    """Protocol 8."""
    assert "VGA console is only supported by virtual machines" in lxc(
        "console", guest.name, "--type", "vga", code=1
    )


def test_console_size(shell, terminal):
    """Issue: the window's size at the start, and after it changes."""
    console = terminal("lxc", "console", shell.name, width=91, height=33)
    console.expect("To detach")
    console.type("stty size\r")
    console.expect("33 91\r")
    console.resize(120, 40)

    def changed():
        console.type("stty size\r")
        return console.expect(r"(\d+ \d+)\r").group(1) == b"40 120"

    wait_until(changed)
    detach(console)


def test_console_escapes(make, terminal):
    """Protocol 8: ctrl-a ctrl-a sends one ctrl-a; ctrl-c, ctrl-d and arrows go to the guest."""
    instance = make("sh -c 'stty raw -echo; echo ready; exec cat -v'")
    instance.wait_log(b"ready")
    console = terminal("lxc", "console", instance.name)
    console.expect("To detach")
    for keys in ("\x01", "\x01", "x", "\x03", "\x04", "\x1b[A", "z"):
        console.type(keys)
    console.expect(re.escape("^Ax^C^D^[[Az"))
    detach(console)


def test_console_paste(make, terminal):
    """T21: a paste of 64 KiB arrives whole."""
    instance = make("sh -c 'stty raw -echo; echo ready; exec cat'")
    instance.wait_log(b"ready")
    console = terminal("lxc", "console", instance.name)
    console.expect("To detach")
    text = b"".join(b"%06d," % number for number in range(9000)) + b"end"
    for offset in range(0, len(text), 1000):
        console.type(text[offset : offset + 1000])
    console.expect(b"end")
    assert text in console.output
    detach(console)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_console_client_killed(shell, terminal, number):
    """T6: the operation ends well, the next attach works at once."""
    console = attach(terminal, shell)
    (operation,) = shell.api.read("/1.0/operations")["running"]
    console.signal(number)
    console.wait()
    assert shell.api.wait(operation.rsplit("/", 1)[1])["status_code"] == SUCCESS
    detach(attach(terminal, shell))


@pytest.mark.parametrize("force", [["--force"], []])
def test_console_while_it_is_stopped(shell, terminal, lxc, force):
    """Design: exit code 0, for the end of an instance is no error (LXD 5.0.2 says `file already closed`)."""
    console = attach(terminal, shell)
    lxc("stop", shell.name, *force)
    assert console.wait() == 0
    assert b"Error" not in console.output


def test_console_while_it_ends(make, terminal):
    """Promise 8: the last words are shown, then lxc ends with 0."""
    instance = make("sh -c 'read line; echo last words'")
    console = terminal("lxc", "console", instance.name)
    console.expect("To detach")
    console.type("\r")
    assert console.wait() == 0
    console.expect("last words")


def test_console_while_it_is_restarted(shell, terminal, lxc):
    """Promise 9: the console goes on."""
    console = attach(terminal, shell)
    lxc("restart", "--force", shell.name)
    console.type("echo $((40+2))\r")
    console.expect(ANSWER)
    detach(console)


def test_console_twice(shell, terminal):
    """Promise 5: the second shares the first one's console."""
    one, two = attach(terminal, shell), attach(terminal, shell)
    one.type("echo $((40+2))\r")
    one.expect(ANSWER)
    two.expect(ANSWER)
    two.type("echo $((40+3))\r")
    one.expect("\n43\r")
    detach(one)
    two.type("echo $((40+4))\r")
    two.expect("\n44\r")
    detach(two)


def test_start_console(make, terminal):
    """Issue, promise 1: start --console shows the console of what it has started, from the first byte on."""
    instance = make("sh -c 'echo boot; exec sh -i'", start=False)
    console = terminal("lxc", "start", "--console", instance.name)
    console.expect("To detach.*boot\r\n")
    console.type("echo $((40+2))\r")
    console.expect(ANSWER)
    detach(console)
    assert instance.status == RUNNING


def test_show_log(make, lxc):
    """Issue: console --show-log, of a running, a stopped and a new instance."""
    instance = make("sh -c 'echo hello; read line'")
    instance.wait_log(b"hello")
    assert lxc("console", instance.name, "--show-log") == "\nConsole log:\n\nhello\n\n"
    instance.stop()
    assert "hello" in lxc("console", instance.name, "--show-log")
    assert lxc("console", make("true", start=False).name, "--show-log") == "\nConsole log:\n\n\n"


# --- operations ---


@pytest.mark.lxd
def test_operation_list_and_show(guest, lxc, terminal):
    """Issue: operation list in its formats, operation show."""
    console = attach(terminal, guest)
    id = next(
        item["id"]
        for item in json.loads(lxc("operation", "list", "--format", "json"))
        if item["resources"]["instances"] == [guest.url] and (item["class"], item["status"]) == ("websocket", "Running")
    )
    assert re.search(rf"{id}.*WEBSOCKET.*Showing console.*RUNNING", lxc("operation", "list"))
    shown = yaml.safe_load(lxc("operation", "show", id))
    assert (shown["id"], shown["description"], shown["status"]) == (id, "Showing console", "Running")
    detach(console)


def test_operation_delete(shell, lxc, terminal):
    """Design: operation delete ends the console; lxc console ends with it."""
    console = attach(terminal, shell)
    (url,) = shell.api.read("/1.0/operations")["running"]
    id = url.rsplit("/", 1)[1]
    assert f"Operation {id} deleted" in lxc("operation", "delete", id)
    assert console.wait() == 0
    assert shell.api.read(url)["status"] == "Cancelled"


@pytest.mark.lxd
def test_operation_unknown(lxc):
    """Protocol 5."""
    assert "Operation not found" in lxc("operation", "show", "nosuch", code=1)
    assert "Operation not found" in lxc("operation", "delete", "nosuch", code=1)


# --- monitor ---


def monitor(daemon, instance, wanted, *options):
    """Runs lxc monitor until it has shown `wanted`, poking the instance meanwhile; what it printed."""
    process = subprocess.Popen(
        ["lxc", "monitor", *options], env=daemon.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    os.set_blocking(process.stdout.fileno(), False)
    shown = bytearray()

    def poked():
        assert process.poll() is None, bytes(shown)
        instance.api.patch(instance.url, {"config": {"user.poke": str(len(shown))}})
        instance.change("stop")
        shown.extend(process.stdout.read() or b"")
        return wanted in shown and shown.endswith(b"\n")

    try:
        wait_until(poked)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return bytes(shown)


def test_monitor_json(make, daemon):
    """Issue: monitor --type --format json."""
    instance = make("true", start=False)
    lines = monitor(daemon, instance, b"instance-updated", "--type", "lifecycle", "--format", "json").splitlines()
    events = [json.loads(line) for line in lines if line]
    assert {event["type"] for event in events} == {"lifecycle"}
    assert "instance-updated" in {event["metadata"]["action"] for event in events}


def test_monitor_yaml(make, daemon):
    """Issue: monitor as it comes, in YAML documents."""
    shown = monitor(daemon, make("true", start=False), b"description: Stopping instance", "--type", "operation")
    assert b"class: task" in shown


def test_monitor_pretty(make, daemon):
    """Issue: monitor --pretty."""
    wanted = b"Action: instance-updated"
    assert wanted in monitor(daemon, make("true", start=False), wanted, "--pretty")


# --- query ---


@pytest.mark.lxd
def test_query_get(guest, lxc):
    """Issue: query GET, and --raw with the envelope."""
    assert guest.url in json.loads(lxc("query", "/1.0/instances"))
    assert json.loads(lxc("query", guest.url + "/state"))["status"] == "Running"
    assert json.loads(lxc("query", "--raw", "/1.0/instances"))["type"] == "sync"
    assert "not found" in lxc("query", "/1.0/nosuch", code=1)


def test_query_post_and_wait(shell, lxc):
    """Issue: query POST, --wait."""
    shown = json.loads(lxc("query", "-X", "POST", "-d", '{"type":"console"}', shell.url + "/console"))
    assert shown["class"] == "websocket"
    lxc("query", "--wait", "-X", "PUT", "-d", '{"action":"freeze"}', shell.url + "/state")
    assert shell.state()["status"] == "Frozen"
    shown = lxc("query", "--wait", "-X", "PUT", "-d", '{"action":"freeze"}', shell.url + "/state", code=1)
    assert "already frozen" in shown


def test_query_delete(make, lxc):
    """Issue: the log is emptied with query -X DELETE, for lxc has no command for it."""
    instance = make("sh -c 'echo old; read line'")
    instance.wait_log(b"old")
    lxc("query", "-X", "DELETE", instance.url + "/console")
    assert instance.log() == b""


@pytest.mark.lxd
@pytest.mark.parametrize(
    "body, text",
    [
        ('{"type":"serial"}', 'Unknown console type "serial"'),
        ('{"width":"80"}', "json: cannot unmarshal string into Go struct field InstanceConsolePost.width of type int"),
        ('{"type":', "json: cannot unmarshal string into Go value of type api.InstanceConsolePost"),
    ],
)
def test_query_bad_body(guest, lxc, body, text):
    """Protocol 8: what is not JSON goes out as a JSON string."""
    assert text in lxc("query", "-X", "POST", "-d", body, guest.url + "/console", code=1)
