# SPDX-License-Identifier: Apache-2.0
"""GET / and /1.0, the envelopes, methods and paths, and HTTP itself (protocol 1 to 3)."""

import os
import re
import socket

import pytest

pytestmark = pytest.mark.lxd
ours = pytest.mark.skipif("CONSOLED_TEST_SOCKET" in os.environ, reason="sets the config of a consoled of our own")

# What each action of lxc and incus insists on (protocol 3).
EXTENSIONS = {"instances", "console", "console_vga_type", "api_filtering", "container_full", "instance_get_full"}


def exchange(path, request, end=b""):
    """Sends raw bytes and reads to the end of the connection, or until `end` has come."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(path)
        connection.sendall(request)
        answer = b""
        while not end or end not in answer:
            data = connection.recv(65536)
            if not data:
                break
            answer += data
        return answer


def assert_error(answer, status, text):
    assert answer.status == status, answer
    assert answer.json == {
        "type": "error",
        "status": "",
        "status_code": 0,
        "operation": "",
        "error_code": status,
        "error": text,
        "metadata": None,
    }
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# --- documents and envelopes ---


def test_slash_lists_the_versions(api):
    """Protocol 1: / answers any method with the API versions."""
    for method in ("GET", "PUT", "POST"):
        answer = api.request(method, "/")
        assert (answer.status, answer.metadata) == (200, ["/1.0"])


def test_sync_envelope_has_seven_keys_in_order(api):
    """Protocol 2: the sync envelope, in LXD's order of keys."""
    answer = api.get("/1.0")
    assert list(answer.json) == ["type", "status", "status_code", "operation", "error_code", "error", "metadata"]
    assert {key: value for key, value in answer.json.items() if key != "metadata"} == {
        "type": "sync",
        "status": "Success",
        "status_code": 200,
        "operation": "",
        "error_code": 0,
        "error": "",
    }
    assert answer.headers["Content-Type"] == "application/json"


def test_error_envelope(api):
    """Protocol 2: the error envelope, metadata null, nosniff."""
    assert_error(api.get("/1.0/nosuch"), 404, "not found")


def test_server_document(api):
    """Protocol 3: what clients read of GET /1.0, rightly typed, with every extension that an action insists on."""
    server = api.read("/1.0")
    assert EXTENSIONS <= set(server["api_extensions"])
    assert (server["api_status"], server["api_version"]) == ("stable", "1.0")
    assert (server["auth"], server["public"], server["auth_methods"]) == ("trusted", False, ["tls"])
    assert all(isinstance(value, str) for value in server["config"].values())
    environment = server["environment"]
    assert isinstance(environment["server_pid"], int) and isinstance(environment["server_version"], str)
    assert isinstance(environment["addresses"], list) and environment["server_clustered"] is False
    assert environment["project"] == "default"


@ours
def test_server_document_says_what_it_drives(daemon):
    """Issue: containers and programs."""
    environment = daemon.api.read("/1.0")["environment"]
    assert environment["driver"] == "lxc | qemu | process"
    assert environment["driver_version"] == environment["server_version"]


def test_server_document_has_an_etag_and_lists_have_none(api):
    """Protocol 1: Etag, quoted and steady, on /1.0 but not on lists."""
    etag = api.get("/1.0").headers["Etag"]
    assert re.fullmatch(r'"[0-9a-f-]{36,64}"', etag) and api.get("/1.0").headers["Etag"] == etag
    assert api.get("/1.0/instances").headers["Etag"] is None
    assert api.get("/1.0/operations").headers["Etag"] is None


# --- the server's config ---


def config_of(api):
    return api.read("/1.0")["config"]


@pytest.fixture
def config(api):
    """The config is empty before and after."""
    assert config_of(api) == {}
    yield
    assert api.put("/1.0", {"config": {}}).status == 200


@ours
def test_config_put_and_patch(api, config, tmp_path):
    """LXD: PUT replaces, PATCH changes what it names, an empty value and null unset; all answer sync with nothing."""
    path = str(tmp_path)
    for method, change, expected in (
        ("PUT", {"lxc.lxcpath": path}, {"lxc.lxcpath": path}),
        ("PATCH", {}, {"lxc.lxcpath": path}),
        ("PATCH", {"lxc.lxcpath": path + "/b"}, {"lxc.lxcpath": path + "/b"}),
        ("PATCH", {"lxc.lxcpath": ""}, {}),
        ("PATCH", {"lxc.lxcpath": path}, {"lxc.lxcpath": path}),
        ("PATCH", {"lxc.lxcpath": None}, {}),
        ("PUT", {"lxc.lxcpath": path}, {"lxc.lxcpath": path}),
        ("PUT", {}, {}),
    ):
        answer = api.request(method, "/1.0", {"config": change})
        assert (answer.status, answer.metadata) == (200, {})
        assert config_of(api) == expected


@ours
@pytest.mark.parametrize("raw", [b"{}", b"null", b'{"config":null}', b"{} x"])
def test_config_not_named(api, config, tmp_path, raw):
    """LXD: a body without config changes nothing."""
    assert api.put("/1.0", {"config": {"lxc.lxcpath": str(tmp_path)}}).status == 200
    assert api.put("/1.0", raw=raw).status == 200
    assert config_of(api) == {"lxc.lxcpath": str(tmp_path)}


@ours
@pytest.mark.parametrize(
    "raw, error",
    [
        (b'{"config":{"bogus":"x"}}', "cannot set 'bogus' to 'x': unknown key"),
        (b'{"config":{"bogus":""}}', "cannot set 'bogus' to '': unknown key"),
        (b'{"config":{"lxc.lxcpath":"lxc"}}', "cannot set 'lxc.lxcpath' to 'lxc': not an absolute path"),
        (b'{"config":{"lxc.lxcpath":7}}', "cannot set 'lxc.lxcpath': invalid type float64"),
        (b'{"config":{"lxc.lxcpath":["/x"]}}', "cannot set 'lxc.lxcpath': invalid type slice"),
        (b"[]", "json: cannot unmarshal array into Go value of type api.ServerPut"),
        (b"{", "unexpected EOF"),
        (b"", "EOF"),
    ],
)
def test_config_refused(api, config, raw, error):
    """LXD's words; nothing has changed."""
    before = api.get("/1.0").headers["Etag"]
    for method in ("PUT", "PATCH"):
        assert_error(api.request(method, "/1.0", raw=raw), 400, error)
    assert config_of(api) == {} and api.get("/1.0").headers["Etag"] == before


@ours
def test_config_etag(api, config, tmp_path):
    """LXD: the etag is the config's; If-Match of another one is 412 before all else, no If-Match is no check."""
    first = api.get("/1.0").headers["Etag"]
    change = {"config": {"lxc.lxcpath": str(tmp_path)}}
    assert api.put("/1.0", change, headers={"If-Match": first}).status == 200
    second = api.get("/1.0").headers["Etag"]
    assert second != first
    for method in ("PUT", "PATCH"):
        answer = api.request(method, "/1.0", raw=b"{", headers={"If-Match": first})
        assert_error(answer, 412, "ETag doesn't match: {} vs {}".format(second.strip('"'), first.strip('"')))
    assert api.patch("/1.0", {"config": {"lxc.lxcpath": ""}}, headers={"If-Match": second.strip('"')}).status == 200
    assert api.get("/1.0").headers["Etag"] == first


@ours
def test_config_outlives_the_daemon(own_daemon, tmp_path):
    """What is set is there after kill -9, and so is its etag."""
    assert own_daemon.api.patch("/1.0", {"config": {"lxc.lxcpath": str(tmp_path)}}).status == 200
    etag = own_daemon.api.get("/1.0").headers["Etag"]
    own_daemon.kill()
    own_daemon.start()
    answer = own_daemon.api.get("/1.0")
    assert (answer.metadata["config"], answer.headers["Etag"]) == ({"lxc.lxcpath": str(tmp_path)}, etag)


@ours
def test_lxc_config(lxc, api, config, tmp_path):
    """`lxc config set`, `get`, `show`, `unset` and `edit` of the server."""
    assert lxc("config", "get", "lxc.lxcpath") == "\n"
    assert lxc("config", "set", "lxc.lxcpath", str(tmp_path)) == ""
    assert lxc("config", "get", "lxc.lxcpath") == f"{tmp_path}\n"
    assert lxc("config", "show") == f"config:\n  lxc.lxcpath: {tmp_path}\n"
    assert lxc("config", "unset", "lxc.lxcpath") == "" and lxc("config", "unset", "lxc.lxcpath") == ""
    assert lxc("config", "show") == "config: {}\n"
    lxc("config", "set", f"lxc.lxcpath={tmp_path}/b")
    assert config_of(api) == {"lxc.lxcpath": f"{tmp_path}/b"}
    lxc("config", "edit", input="config: {}\n")
    assert config_of(api) == {}


@ours
@pytest.mark.parametrize(
    "arguments, error",
    [
        (("set", "bogus", "x"), "Error: cannot set 'bogus' to 'x': unknown key"),
        (("unset", "bogus"), "Error: cannot set 'bogus' to '': unknown key"),
        (("set", "lxc.lxcpath", "x"), "Error: cannot set 'lxc.lxcpath' to 'x': not an absolute path"),
    ],
)
def test_lxc_config_refused(lxc, api, config, arguments, error):
    """`lxc config set` says why not (a first run of lxc is greeted before that)."""
    assert lxc("config", *arguments, code=1).splitlines()[-1] == error
    assert config_of(api) == {}


# --- methods and paths ---


@pytest.mark.parametrize(
    "path", ["/1.0/", "//1.0", "/2.0", "/1.0/instances/", "/internal/x", "/1.0/instances//x", "/1.0/x/y/z/a/b/c"]
)
def test_unknown_path(api, path):
    """Protocol 1: unknown paths, a trailing or doubled slash included, are 404 `not found`."""
    assert_error(api.get(path), 404, "not found")


@pytest.mark.parametrize(
    "method, path",
    [
        ("DELETE", "/1.0"),
        ("DELETE", "/1.0/instances"),
        ("DELETE", "/1.0/operations"),
        ("POST", "/1.0/events"),
        ("POST", "/1.0/instances/x/state"),
        ("PUT", "/1.0/instances/x/console"),
        ("PATCH", "/1.0/instances/x/console"),
        ("PUT", "/1.0/operations/x"),
    ],
)
def test_unhandled_method(api, method, path):
    """Protocol 1: a known path with a method it does not handle is 501, whether or not the object exists."""
    assert_error(api.request(method, path, {}), 501, "not implemented")


@pytest.mark.parametrize("path", ["/1.0", "/1.0/instances", "/1.0/operations", "/1.0/instances/x/console"])
def test_head_is_not_implemented(api, path):
    """Protocol 1: HEAD is 501 everywhere, without a body."""
    answer = api.request("HEAD", path)
    assert (answer.status, answer.body) == (501, b"")


@pytest.mark.parametrize("method", ["FOO", "TRACE"])
def test_unknown_method_token(api, method):
    """Protocol 1: a method that nothing handles is 404 by name."""
    assert_error(api.request(method, "/1.0", {}), 404, f'Method "{method}" not found')


def test_options(api):
    """Protocol 1: OPTIONS is 200 with nothing in it."""
    answer = api.request("OPTIONS", "/1.0")
    assert (answer.status, answer.body) == (200, b"")


def test_body_on_get_and_dangling_question_mark(api):
    """Protocol 1: `lxc query` sends a body on every method, and `?` behind some paths."""
    answer = api.get("/1.0/instances?", raw=b'""\n')
    assert answer.status == 200 and isinstance(answer.metadata, list)


# --- HTTP ---

LIST = b"GET /1.0/instances HTTP/1.1\r\nHost: x\r\n"
BOGUS = b'{"action":"bogus"}'


def bodies(answer):
    return answer.count(b'"status":"Success"')


def test_keep_alive(server):
    """Protocol 1: pylxd reuses its connection."""
    request = LIST + b"\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(server.socket)
        for _ in range(3):
            connection.sendall(request)
            answer = b""
            while b'"metadata"' not in answer or not answer.endswith(b"}\n"):
                data = connection.recv(65536)
                assert data, "the connection was closed"
                answer += data
            assert answer.startswith(b"HTTP/1.1 200") and b"Connection: close" not in answer


def test_pipelining(server):
    """Protocol 1: requests sent in one go are answered in order."""
    answer = exchange(server.socket, (LIST + b"\r\n") * 2 + LIST + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 3 and bodies(answer) == 3
    assert answer.count(b"Connection: close") == 1


def test_request_in_small_pieces(server):
    """S11, T6: a head that dribbles in is still a request."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(server.socket)
        request = LIST + b"Connection: close\r\n\r\n"
        for offset in range(0, len(request), 7):
            connection.sendall(request[offset : offset + 7])
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_http_1_0(server):
    """Protocol 1: HTTP/1.0 gets its answer and the end of the connection."""
    answer = exchange(server.socket, b"GET /1.0/instances HTTP/1.0\r\n\r\n")
    assert answer.split()[1] == b"200" and bodies(answer) == 1


def test_absolute_uri(server):
    """Protocol 1: a request target with scheme and host."""
    answer = exchange(
        server.socket, b"GET http://unix.socket/1.0/instances HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200") and bodies(answer) == 1


def put_state(guest, headers, body):
    head = f"PUT {guest.url}/state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
    return exchange(guest.api.path, head + headers + b"\r\n" + body)


def test_chunked_request(guest):
    """Protocol 1: Go sends larger bodies chunked."""
    answer = put_state(guest, b"Transfer-Encoding: chunked\r\n", b'5\r\n{"act\r\nd\r\nion":"bogus"}\r\n0\r\n\r\n')
    assert answer.startswith(b"HTTP/1.1 400") and b"Unknown action: 'bogus'" in answer


def test_expect_100_continue(guest):
    """Protocol 1: curl sends Expect with larger bodies."""
    answer = put_state(guest, b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(BOGUS), BOGUS)
    assert b"HTTP/1.1 400" in answer and b"Unknown action: 'bogus'" in answer


def test_any_content_type(guest):
    """Protocol 1: curl -d says application/x-www-form-urlencoded."""
    headers = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n" % len(BOGUS)
    assert b"Unknown action: 'bogus'" in put_state(guest, headers, BOGUS)


def test_garbage_is_a_400(server):
    """Protocol 1: what is not HTTP ends with a 400 and the connection."""
    try:
        answer = exchange(server.socket, b"hello\r\n\r\n")
    except ConnectionError:
        answer = b""
    assert not answer or answer.split()[1] == b"400"


def test_missing_host_is_a_400(server):
    """Protocol 1: HTTP/1.1 without Host."""
    assert exchange(server.socket, b"GET /1.0/instances HTTP/1.1\r\n\r\n").split()[1] == b"400"


def test_endless_headers_are_refused(server):
    """S11: headers beyond any reason are 431 (or the end of the connection), and the server goes on."""
    request = b"GET /1.0/instances HTTP/1.1\r\nHost: x\r\n" + b"X-Long: %b\r\n" % (b"a" * 4000) * 600 + b"\r\n"
    try:
        answer = exchange(server.socket, request)
    except ConnectionError:
        answer = b""
    assert not answer or answer.split()[1] in (b"400", b"413", b"431")
    assert server.api.get("/1.0").status == 200


def test_request_and_upgrade_on_one_connection(server):
    """Frontdoor: a REST request and then a WebSocket handshake on the same connection is answered, one way or other."""
    upgrade = (
        b"GET /1.0/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(server.socket)
        connection.sendall(LIST + b"\r\n")
        answer = b""
        while not answer.endswith(b"}\n"):
            answer += connection.recv(65536)
        connection.sendall(upgrade)
        status = int(connection.recv(65536).split()[1])
        assert status == 101 or 400 <= status < 500
