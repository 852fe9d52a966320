# SPDX-License-Identifier: Apache-2.0
"""Instances: create, list, filter, read, change, rename, delete (protocol 11)."""

import re

import pytest

from consoled import descriptors
from rest import FAILURE, STOPPED, wait_until

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
NEVER = "1970-01-01T00:00:00Z"


def assert_error(answer, status, text):
    assert (answer.status, answer.json["error_code"], answer.error) == (status, status, text)


# --- create ---


def test_create_as_lxc_does(daemon, name):
    """Protocol 11: the whole body of `lxc init --empty`; the operation names instance and container."""
    body = {
        "architecture": "",
        "config": {},
        "devices": {},
        "ephemeral": False,
        "profiles": None,
        "stateful": False,
        "description": "",
        "name": name,
        "source": {"type": "none", "certificate": "", "allow_inconsistent": False},
        "instance_type": "",
        "type": "container",
    }
    operation = daemon.api.do("POST", "/1.0/instances", body)
    assert (operation["class"], operation["description"]) == ("task", "Creating instance")
    assert operation["resources"] == {
        "containers": [f"/1.0/containers/{name}"],
        "instances": [f"/1.0/instances/{name}"],
    }
    daemon.api.do("DELETE", f"/1.0/instances/{name}")


def test_create_as_pylxd_does(daemon, name):
    """Protocol 11: pylxd sends name and source only; the type is container."""
    daemon.api.do("POST", "/1.0/containers", {"name": name, "source": {"type": "none"}})
    assert daemon.api.read(f"/1.0/instances/{name}")["type"] == "container"
    daemon.api.do("DELETE", f"/1.0/containers/{name}")


def test_new_instance_in_full(make):
    """Protocol 11: every key of an Instance, rightly typed."""
    instance = make("true", start=False, description="a box", config={"user.colour": "blue"})
    found = instance.read()
    assert found["name"] == instance.name and found["description"] == "a box"
    assert found["config"]["process.command"] == "true" and found["config"]["user.colour"] == "blue"
    assert found["expanded_config"] == found["config"] and found["devices"] == found["expanded_devices"] == {}
    assert (found["status"], found["status_code"], found["type"]) == ("Stopped", STOPPED, "container")
    assert (found["ephemeral"], found["stateful"], found["location"], found["project"]) == (
        False,
        False,
        "none",
        "default",
    )
    assert isinstance(found["profiles"], list) and isinstance(found["architecture"], str)
    assert RFC3339.fullmatch(found["created_at"]) and found["last_used_at"] == NEVER


def test_duplicate_name(shell):
    """Protocol 11: a taken name is a 202 whose operation fails, in LXD's words."""
    operation = shell.api.run("POST", "/1.0/instances", {"name": shell.name, "source": {"type": "none"}})
    assert operation["status_code"] == FAILURE
    assert operation["err"] == (
        "Failed creating instance record: Add instance info to the database: "
        'This "instances" entry already exists'
    )


@pytest.mark.lxd
@pytest.mark.parametrize(
    "body, text",
    [
        ({}, "Unknown source type "),
        ({"name": "x1", "source": {"type": "bogus"}}, "Unknown source type bogus"),
        ({"name": "x1", "type": "bogus", "source": {"type": "none"}}, "Invalid instance type"),
        (
            {"name": "bad name", "source": {"type": "none"}},
            "Invalid instance name: Name can only contain alphanumeric and hyphen characters",
        ),
    ],
)
def test_bad_creation(api, body, text):
    """Protocol 11: bad input is 400 in LXD's words, and creates nothing."""
    before = api.read("/1.0/instances")
    assert_error(api.post("/1.0/instances", body), 400, text)
    assert api.read("/1.0/instances") == before


@pytest.mark.lxd
@pytest.mark.parametrize("raw", [b"{", b'{"name":'])
def test_broken_json(api, raw):
    """Protocol 11: `unexpected EOF`."""
    assert_error(api.post("/1.0/instances", raw=raw), 400, "unexpected EOF")


@pytest.mark.parametrize("bad", ["../x", "a/b", "a b", "-a", "a-", "1a_", "ä", "a" * 64, ".", "a\n", "a\x00b", "x;y", "12"])
def test_bad_names(daemon, bad):
    """S9: names follow LXD's grammar; nothing else can become a path."""
    answer = daemon.api.post("/1.0/instances", {"name": bad, "source": {"type": "none"}})
    assert answer.status == 400 and answer.json["type"] == "error"


def test_image_source(daemon, name):
    """Protocol 11: there are no images."""
    body = {"name": name, "source": {"type": "image", "alias": "nosuch"}}
    assert daemon.api.post("/1.0/instances", body).status in (400, 404)


@pytest.mark.parametrize(
    "key, value",
    [
        ("bogus.key", "1"),
        ("process.command", "sh 'unfinished"),
        ("process.restart", "sometimes"),
        ("process.directory", "relative/path"),
        ("process.user", "no-such-user-here"),
        ("console.buffer.size", "17"),
        ("console.buffer.size", "lots"),
        ("boot.autostart", "perhaps"),
        ("environment.A=B", "1"),
    ],
)
def test_bad_config(daemon, name, key, value):
    """Promise 12: a key that does not exist, or a value that cannot work, is refused by name and nothing is made."""
    answer = daemon.api.post("/1.0/instances", {"name": name, "source": {"type": "none"}, "config": {key: value}})
    if answer.status == 202:
        operation = daemon.api.wait(answer.metadata["id"])
        assert operation["status_code"] == FAILURE
        text = operation["err"]
    else:
        assert 400 <= answer.status <= 500
        text = answer.error
    assert key.split("=")[0] in text
    assert daemon.api.get(f"/1.0/instances/{name}").status == 404


def test_body_of_megabytes_is_refused(daemon):
    """S11: what no client sends is not read into memory; the daemon goes on."""
    try:
        status = daemon.api.post("/1.0/instances", raw=b'{"name":"' + b"a" * (4 << 20) + b'"}').status
    except (BrokenPipeError, ConnectionError):
        status = 413
    assert 400 <= status < 500
    assert daemon.api.get("/1.0").status == 200


@pytest.mark.parametrize("depth", [10, 100000])
def test_deep_json_is_refused(daemon, depth):
    """S11: nesting without end."""
    assert daemon.api.post("/1.0/instances", raw=b"[" * depth + b"]" * depth).status == 400


# --- lists ---


def test_list_urls(shell):
    """Protocol 11: without recursion, URLs; the aliases list theirs."""
    assert shell.url in shell.api.read("/1.0/instances")
    assert f"/1.0/containers/{shell.name}" in shell.api.read("/1.0/containers")
    assert not any(url.endswith("/" + shell.name) for url in shell.api.read("/1.0/virtual-machines"))


@pytest.mark.lxd
@pytest.mark.parametrize("recursion, kind", [("0", str), ("abc", str), ("1", dict), ("2", dict), ("9", dict)])
def test_recursion(guest, recursion, kind):
    """Protocol 11: 0 and nonsense are URLs, 1 instances, 2 and more whole ones."""
    found = guest.api.read(f"/1.0/instances?recursion={recursion}")
    assert found and all(isinstance(item, kind) for item in found)
    if kind is dict:
        item = next(item for item in found if item["name"] == guest.name)
        assert ("state" in item and "backups" in item and "snapshots" in item) == (recursion in "29")


@pytest.mark.lxd
def test_instance_in_full(guest):
    """Protocol 11: recursion=1 on one instance adds state, snapshots and backups; `lxc info` needs them."""
    found = guest.api.read(guest.url + "?recursion=1")
    assert found["state"]["status_code"] == 103 and found["state"]["pid"] > 0
    assert found["snapshots"] in (None, []) and found["backups"] in (None, [])


@pytest.mark.lxd
def test_filter_matches(guest):
    """Protocol 11: eq, ne and and, values without regard to case, dotted paths."""

    def names(expression):
        found = guest.api.read("/1.0/instances?recursion=0&filter=" + expression.replace(" ", "%20"))
        return {url.rsplit("/", 1)[1] for url in found}

    assert names(f"name eq {guest.name}") == {guest.name}
    assert names(f"name eq {guest.name.upper()}") == {guest.name}
    assert guest.name in names("status eq running") and guest.name in names("status eq Running")
    assert guest.name in names("type eq container")
    assert names(f"name eq {guest.name} and status eq stopped") == set()
    assert guest.name not in names(f"name ne {guest.name}")
    assert names("name eq nosuch") == set()


def test_filter_or_and_config(make):
    """Protocol 11: or, and keys of the config."""
    one = make("true", start=False, config={"user.fruit": "apple"})
    two = make("true", start=False, config={"user.fruit": "pear"})
    get = one.api.read
    assert get("/1.0/instances?filter=config.user.fruit+eq+apple") == [one.url]
    either = get("/1.0/instances?filter=config.user.fruit+eq+apple+or+config.user.fruit+eq+pear")
    assert sorted(either) == sorted([one.url, two.url])


@pytest.mark.lxd
@pytest.mark.parametrize(
    "expression, text",
    [
        ("bogus", "Invalid filter: clause has no operator"),
        ("name%20eq", "Invalid filter: clause has no value"),
    ],
)
def test_bad_filter(api, expression, text):
    """Protocol 11: LXD answers 500."""
    assert_error(api.get("/1.0/instances?filter=" + expression), 500, text)


@pytest.mark.lxd
def test_list_parameters(guest):
    """Protocol 11: empty filter, projects and types as lxc sends them."""
    read = guest.api.read
    everything = sorted(read("/1.0/instances"))
    assert guest.url in everything
    assert sorted(read("/1.0/instances?filter=")) == everything
    assert sorted(read("/1.0/instances?all-projects=true")) == everything
    assert sorted(read("/1.0/instances?project=default")) == everything
    assert read("/1.0/instances?project=nosuch") == []
    assert guest.url in read("/1.0/instances?instance-type=container")
    assert guest.url not in read("/1.0/instances?instance-type=virtual-machine")
    assert_error(guest.api.get("/1.0/instances?instance-type=bogus"), 500, "Invalid instance type")
    assert_error(
        guest.api.get("/1.0/instances?all-projects=true&project=default"),
        400,
        "Cannot specify a project when requesting all projects",
    )


@pytest.mark.lxd
@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/1.0/instances/nosuch"),
        ("GET", "/1.0/containers/nosuch"),
        ("GET", "/1.0/instances/nosuch/state"),
        ("PUT", "/1.0/instances/nosuch"),
        ("DELETE", "/1.0/instances/nosuch"),
        ("POST", "/1.0/instances/nosuch"),
        ("PATCH", "/1.0/instances/nosuch"),
    ],
)
def test_unknown_instance(api, method, path):
    """Protocol 11: 404 `Instance not found`."""
    body = {"name": "x"} if method in ("POST", "PUT", "PATCH") else None
    assert_error(api.request(method, path, body), 404, "Instance not found")


def test_alias_containers_does_everything(make):
    """Protocol 11: /1.0/containers is a full alias; it is all that Debian's pylxd knows."""
    instance = make("sh -i")
    url = instance.url.replace("/instances/", "/containers/")
    assert instance.api.read(url)["name"] == instance.name
    assert instance.api.read(url + "/state")["status"] == "Running"
    assert instance.api.get(url + "/console").status == 200
    assert instance.api.patch(url, {"description": "x"}).status == 200
    instance.api.do("PUT", url + "/state", {"action": "stop", "force": True, "timeout": 30})
    instance.api.do("DELETE", url)


# --- change ---


def test_put_replaces_the_config(make):
    """Protocol 11: PUT is a 202; keys that it does not name are gone."""
    instance = make("true", start=False, config={"user.a": "1"})
    body = {**instance.read(), "config": {"process.command": "false", "user.b": "2"}, "description": "new"}
    operation = instance.api.do("PUT", instance.url, body)
    assert operation["description"] == "Updating instance"
    found = instance.read()
    config = {key: value for key, value in found["config"].items() if not key.startswith("volatile.")}
    assert config == {"process.command": "false", "user.b": "2"} and found["description"] == "new"


def test_patch_merges_the_config(make):
    """Protocol 11: PATCH is a 200 with {}; what it does not name stays."""
    instance = make("true", start=False, config={"user.a": "1"})
    answer = instance.api.patch(instance.url, {"config": {"user.b": "2"}, "description": "d"})
    assert (answer.status, answer.metadata) == (200, {})
    found = instance.read()
    assert (found["config"]["user.a"], found["config"]["user.b"], found["description"]) == ("1", "2", "d")
    assert found["config"]["process.command"] == "true"


def test_unknown_key_changes_nothing(make):
    """Promise 12, protocol 11: an unknown key is named and nothing else of the request is done."""
    instance = make("true", start=False)
    before = instance.read()
    answer = instance.api.patch(instance.url, {"config": {"bogus.key": "1"}, "description": "changed"})
    assert_error(answer, 500, "Invalid config: Unknown configuration key: bogus.key")
    assert instance.read() == before


@pytest.mark.parametrize("given", ['"bad"', "bad", "*"])
def test_if_match_mismatch(make, given):
    """Protocol 11: 412 with both etags, quotes stripped; * is no wildcard; nothing is changed."""
    instance = make("true", start=False)
    etag = instance.api.get(instance.url).headers["Etag"].strip('"')
    for method in ("PUT", "PATCH"):
        answer = instance.api.request(method, instance.url, {"description": "x"}, headers={"If-Match": given})
        assert_error(answer, 412, f"ETag doesn't match: {etag} vs " + given.strip('"'))
    assert instance.read()["description"] == ""


def test_if_match(make):
    """Protocol 11: the right etag is accepted, quoted or not; it follows the config and not the description."""
    instance = make("true", start=False)
    etag = instance.api.get(instance.url).headers["Etag"]
    assert instance.api.get(instance.url + "?recursion=1").headers["Etag"] == etag
    for given in (etag, etag.strip('"')):
        assert instance.api.patch(instance.url, {"description": given[:9]}, headers={"If-Match": given}).status == 200
    assert instance.api.get(instance.url).headers["Etag"] == etag
    instance.api.patch(instance.url, {"config": {"user.a": "1"}})
    assert instance.api.get(instance.url).headers["Etag"] != etag
    assert instance.api.patch(instance.url, {"config": {}}, headers={"If-Match": etag}).status == 412


def test_rename(make, name):
    """Protocol 11: POST with a name; the log moves along."""
    instance = make("echo kept")
    instance.wait_status(STOPPED)
    old = instance.url
    operation = instance.api.do("POST", old, {"name": name, "migration": False, "target": None})
    assert operation["description"] == "Renaming instance"
    instance.name = name
    assert instance.api.get(old).status == 404
    assert instance.read()["name"] == name and b"kept" in instance.log()


def test_rename_to_taken_name(make):
    """Protocol 11: 409."""
    one, two = make("true", start=False), make("true", start=False)
    assert_error(one.api.post(one.url, {"name": two.name}), 409, f'Name "{two.name}" already in use')


def test_rename_running(shell, name):
    """Protocol 11: a 202 whose operation fails."""
    operation = shell.api.run("POST", shell.url, {"name": name})
    assert (operation["status_code"], operation["err"]) == (FAILURE, "Renaming of running container not allowed")


@pytest.mark.parametrize("bad", ["a b", "../x", "", "-x"])
def test_rename_to_bad_name(make, bad):
    """S9: the grammar holds here too."""
    instance = make("true", start=False)
    answer = instance.api.post(instance.url, {"name": bad})
    if answer.status == 202:
        assert instance.api.wait(answer.metadata["id"])["status_code"] == FAILURE
    else:
        assert answer.status == 400
    assert instance.read()["name"] == instance.name


def test_delete(make, daemon):
    """Protocol 11: the instance is gone, with its log and its descriptors."""
    before = descriptors(daemon.pid)
    instance = make("echo x")
    instance.wait_status(STOPPED)
    instance.delete()
    assert instance.api.get(instance.url).status == 404
    assert not (daemon.directory / "consoles" / instance.name).exists()
    assert not (daemon.directory / "run" / instance.name).exists()
    wait_until(lambda: descriptors(daemon.pid) <= before)  # the last answer's connection may still be closing


def test_delete_running(shell):
    """Protocol 11: 400 `Instance is running`."""
    assert_error(shell.api.delete(shell.url), 400, "Instance is running")


def test_name_can_be_used_again(make):
    """Promise 1: a new instance under an old name begins with an empty log."""
    instance = make("echo first")
    instance.wait_status(STOPPED)
    instance.delete()
    again = make("echo second", name=instance.name)
    again.wait_status(STOPPED)
    assert again.log() == b"second\r\n"


# --- all at once ---


def test_bulk_start_and_stop(own_daemon):
    """Protocol 11: PUT /1.0/instances changes all of them in one operation."""
    instances = [own_daemon.create(f"b{number}", "sh -i") for number in range(3)]
    operation = own_daemon.api.do("PUT", "/1.0/instances", {"state": {"action": "start", "timeout": -1}})
    assert operation["description"] == "Starting instance"
    assert sorted(operation["resources"]["instances"]) == [instance.url for instance in instances]
    assert all(instance.state()["status"] == "Running" for instance in instances)
    own_daemon.api.do("PUT", "/1.0/instances", {"state": {"action": "stop", "force": True, "timeout": -1}})
    assert all(instance.state()["status"] == "Stopped" for instance in instances)


@pytest.mark.lxd
def test_bulk_without_action(api):
    """Protocol 11: 400 `Unknown action: ''`."""
    assert_error(api.put("/1.0/instances", {}), 400, "Unknown action: ''")
