# SPDX-License-Identifier: Apache-2.0
"""The one profile, and what lxc makes of it when it makes an instance."""

import re

import pytest
import yaml

DEVICES = {"root": {"type": "disk", "path": "/"}}


def test_list(api):
    """LXD: URLs, or with recursion the profiles, and no etag."""
    answer = api.get("/1.0/profiles")
    assert (answer.status, answer.metadata, answer.headers["Etag"]) == (200, ["/1.0/profiles/default"], None)
    for recursion in (1, 2):
        (profile,) = api.read(f"/1.0/profiles?recursion={recursion}")
        assert profile == api.read("/1.0/profiles/default")


def test_default(api):
    """LXD: name, description, config, devices, used_by."""
    answer = api.get("/1.0/profiles/default")
    profile = answer.metadata
    assert set(profile) == {"name", "description", "config", "devices", "used_by"}
    assert (profile["name"], profile["config"], profile["devices"]) == ("default", {}, DEVICES)
    assert isinstance(profile["description"], str)
    assert re.fullmatch(r'"[0-9a-f-]{36,64}"', answer.headers["Etag"])


def test_used_by(api, make):
    """LXD: the instances that name it; the etag does not depend on them."""
    etag = api.get("/1.0/profiles/default").headers["Etag"]
    named = make("cat", start=False, profiles=["default"])
    plain = make("cat", start=False)
    answer = api.get("/1.0/profiles/default")
    assert named.url in answer.metadata["used_by"] and plain.url not in answer.metadata["used_by"]
    assert answer.headers["Etag"] == etag
    named.delete()
    assert named.url not in api.read("/1.0/profiles/default")["used_by"]


@pytest.mark.parametrize("path", ["/1.0/profiles/nosuch", "/1.0/profiles/a%2Fb", "/1.0/profiles/Default"])
def test_unknown(api, path):
    """LXD's words."""
    answer = api.get(path)
    assert (answer.status, answer.error) == (404, "Fetch profile: Profile not found")


def test_unknown_project(api):
    """LXD's words."""
    for path in ("/1.0/profiles", "/1.0/profiles/default"):
        assert api.get(path + "?project=default").status == 200
        answer = api.get(path + "?project=x")
        assert (answer.status, answer.error) == (404, 'Failed loading project "x": Project not found')


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/1.0/profiles"),
        ("PUT", "/1.0/profiles/default"),
        ("PATCH", "/1.0/profiles/default"),
        ("POST", "/1.0/profiles/default"),
        ("DELETE", "/1.0/profiles/default"),
    ],
)
def test_read_only(api, method, path):
    """Profiles are not made, nor changed."""
    answer = api.request(method, path, {"name": "x"})
    assert (answer.status, answer.error) == (501, "not implemented")


# --- the profiles of instances ---


@pytest.mark.parametrize(
    "profiles, stored", [(None, []), ([], []), (["default"], ["default"])], ids=["null", "none", "default"]
)
def test_instance_is_given_nothing(make, profiles, stored):
    """An instance has the devices it was made with: a program gets no root disk."""
    found = make("cat", start=False, profiles=profiles).read()
    assert (found["profiles"], found["devices"], found["expanded_devices"]) == (stored, {}, {})


@pytest.mark.parametrize(
    "profiles, status, error",
    [
        (["x"], 404, 'Requested profile "x" doesn\'t exist'),
        (["default", ""], 404, 'Requested profile "" doesn\'t exist'),
        (["default", "default"], 400, "Duplicate profile found in request"),
    ],
    ids=["unknown", "empty", "twice"],
)
def test_wrong_profiles(api, make, name, profiles, status, error):
    """LXD's words, for a new instance and for changes; nothing is made or changed."""
    body = {"name": name, "type": "container", "source": {"type": "none"}, "profiles": profiles}
    answer = api.post("/1.0/instances", body)
    assert (answer.status, answer.error) == (status, error)
    assert api.get(f"/1.0/instances/{name}").status == 404
    instance = make("cat", start=False)
    before = instance.read()
    for method in ("PUT", "PATCH"):
        answer = api.request(method, instance.url, {"profiles": profiles, "config": {"user.a": "b"}})
        assert (answer.status, answer.error) == (status, error)
    assert instance.read() == before


def test_profiles_may_be_changed(api, make):
    """default comes and goes."""
    instance = make("cat", start=False)
    assert api.patch(instance.url, {"profiles": ["default"]}).status == 200
    assert api.patch(instance.url, {"config": {"user.a": "b"}}).status == 200
    assert instance.read()["profiles"] == ["default"]
    assert api.patch(instance.url, {"profiles": []}).status == 200
    assert instance.read()["profiles"] == []


# --- lxc ---


def last_line(text):
    """What lxc has to say; a first run is greeted before that."""
    return text.splitlines()[-1]


def test_lxc_profile_list(lxc):
    """`lxc profile list`."""
    (line,) = lxc("profile", "list", "--format", "csv").splitlines()
    assert line.startswith("default,")


def test_lxc_profile_show(lxc, api):
    """`lxc profile show`, `get`, and of one that there is not."""
    assert yaml.safe_load(lxc("profile", "show", "default")) == api.read("/1.0/profiles/default")
    assert lxc("profile", "get", "default", "user.a") == "\n"
    assert last_line(lxc("profile", "show", "nosuch", code=1)) == "Error: Fetch profile: Profile not found"


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "x"),
        ("delete", "default"),
        ("rename", "default", "x"),
        ("set", "default", "user.a", "b"),
        ("device", "add", "default", "x", "disk", "path=/"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_lxc_profile_changes(lxc, arguments):
    """All that would change a profile is not implemented, and says so."""
    assert last_line(lxc("profile", *arguments, code=1)) == "Error: not implemented"


def test_lxc_init_with_root(lxc, api, name, tmp_path):
    """`lxc init --empty NAME -d root,source=DIR`: the profile's device, with the source, is the instance's own."""
    lxc("init", "--empty", name, "-d", f"root,source={tmp_path}")
    try:
        found = api.read(f"/1.0/instances/{name}")
        assert found["devices"] == {"root": {**DEVICES["root"], "source": str(tmp_path)}}
        assert (found["profiles"], found["expanded_devices"]) == ([], found["devices"])
    finally:
        lxc("delete", name)


def test_lxc_init_without_device(lxc, api, name):
    """`lxc init --empty NAME -c process.command=...` and `-p default`: a program, with no disk."""
    for more, profiles in (((), []), (("-p", "default"), ["default"]), (("--no-profiles",), [])):
        lxc("init", "--empty", name, "-c", "process.command=cat", *more)
        try:
            found = api.read(f"/1.0/instances/{name}")
            assert (found["devices"], found["profiles"]) == ({}, profiles)
        finally:
            lxc("delete", name)


def test_lxc_init_with_unknown_profile(lxc, name):
    """`lxc init -p nosuch`: by name."""
    error = last_line(lxc("init", "--empty", name, "-p", "nosuch", code=1))
    assert error == "Error: Requested profile \"nosuch\" doesn't exist"


def test_lxc_init_with_unknown_device(lxc, name):
    """`-d` of a device that the profile has not is lxc's own refusal."""
    assert "eth0" in last_line(lxc("init", "--empty", name, "-d", "eth0,parent=x", code=1))
