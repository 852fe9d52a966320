#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what the fuzz targets begin with: DIRECTORY/TARGET/ with a seed in each file, and DIRECTORY/TARGET.dict.

The seeds are what real clients have asked (seeds/requests), what real programs have printed (tests/unit/recordings),
and examples of what else there is to parse."""

import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORDINGS = HERE.parent / "unit/recordings"
REQUESTS = [record.rstrip("\n") for record in (HERE / "seeds/requests").read_text().split("\n%\n")]
ID = "00000000-0000-4000-8000-000000000000"


# --- requests ---


def parts(record):
    """The first line, the header lines and the body."""
    head, _, body = record.partition("\n\n")
    line, *headers = head.split("\n")
    return line, headers, body


def as_http(record):
    line, headers, _ = parts(record)
    return "\r\n".join([f"{line} HTTP/1.1", "Host: unix.socket", *headers, "", ""])


def ask(line, body="", *headers):
    return "\n".join([line, *headers, "", body if isinstance(body, str) else json.dumps(body)])


def consoles():
    """What LXD's clients do not ask of a console."""
    console = "/1.0/instances/log/console"
    queries = ["tail=2", "tail_bytes=9", "since=7", "since=1h30m", "since=2026-11-23T09:19:16.5%2B01:00", "boot=-1"]
    queries += ["format=plain", "format=asciicast", "format=screen", "format=html", "format=plain&follow=1"]
    queries += ["wait=login:&timeout=1", "wait=(%5Cd%2B)%20x&since=0", "tail=1&format=raw&notices=0", "type=vga"]
    yield from (ask(f"GET {console}?{query}") for query in queries)
    yield ask(f"GET {console}", "", "Range: bytes=2-5")
    yield ask(f"GET {console}", "", "Range: bytes=-3", "If-Range: Mon, 23 Nov 2026 09:19:16 GMT")
    yield ask(f"GET {console}", "", "If-Modified-Since: Mon, 23 Nov 2099 09:19:16 GMT")
    wishes = [{"mode": "watch"}, {"replay": "screen", "scrollback": 9}, {"offset": 3}, {"force": True}]
    yield from (ask(f"POST {console}", {"width": 80, "height": 24, **wish}) for wish in wishes)
    yield ask(f"POST {console}/input", {"text": "root", "keys": ["enter", "ctrl-c"]})
    yield ask(f"POST {console}/input", {"type": "vga", "keys": ["ctrl-alt-delete"]})
    for path in ("boots", "history", "sessions", f"sessions/{ID}"):
        yield ask(f"GET {console}/{path}")
    yield ask(f"GET {console}/history?since=1h&limit=2")
    yield ask(f"DELETE {console}/sessions/{ID}")
    yield ask("GET /1.0/instances/log/logs/boots")


INSTANCES = [
    (0, {"process.command": "sh -c 'echo \"a b\"'", "process.directory": "/tmp", "process.user": "root"}, {}),
    (0, {"process.command": "cat", "process.restart": "on-failure", "environment.A": "b"}, {}),
    (0, {"serial.device": "/dev/null", "serial.speed": "9600,7e1", "serial.flow": "rtscts"}, {}),
    (
        0,
        {"raw.lxc": "lxc.mount.auto = proc\n# x\nlxc.cap.drop=mknod", "limits.memory": "50%", "limits.cpu": "0-1,3"},
        {
            "root": {"type": "disk", "path": "/", "source": "/tmp"},
            "eth0": {"type": "nic", "nictype": "bridged", "parent": "lo", "hwaddr": "00:16:3e:00:00:01", "mtu": "1500"},
            "data": {"type": "disk", "path": "mnt/a b", "source": "/usr", "readonly": "true"},
        },
    ),
    (
        1,
        {"limits.memory": "1GiB", "limits.cpu": "2", "raw.qemu": "-nic user -device 'isa-debug-exit'"},
        {"root": {"type": "disk", "path": "/", "size": "10MiB"}, "cd": {"type": "disk", "source": "/dev/null"}},
    ),
    (1, {"console.buffer.size": "128KiB", "consoled.viewers": "many", "consoled.accel": "tcg", "user.a": "b"}, {}),
]


def created():
    for number, (kind, config, devices) in enumerate(INSTANCES):
        type = ("container", "virtual-machine")[kind]
        body = {"name": f"i{number}", "type": type, "source": {"type": "none"}, "config": config, "devices": devices}
        start = ask(f"PUT /1.0/instances/i{number}/state", {"action": "start", "timeout": 1})
        update = ask(f"PATCH /1.0/instances/i{number}", {"config": config, "description": "x"}, 'If-Match: "*"')
        yield "\x1e".join([ask("POST /1.0/instances", body), start, update, ask("GET /1.0/instances?recursion=2")])


# --- records ---


def wire(kind, state=b"", descriptors=0, tail=b""):
    return struct.pack("<HHHHI4x40s", 3, kind, descriptors, 0, len(tail), state) + tail


def wires():
    running = struct.pack("<IiiBBBBIIQiI", 2, 4711, 0, 0, 0, 0, 0, 1, 0, 1000, 256, 1)
    idle = struct.pack("<Iii", 0, 0, 0)
    program = struct.pack("<IIIIIHH", 2, 1, 0, 0, 2, 80, 24) + b"/\0root\0sh\0-x\0A=b\0"
    container = struct.pack("<IBBHHH", 1, 0, 0, 80, 24, 0) + b"c1\0/var/lib/lxc\0/tmp/log\0lxc.uts.name=c1\0"
    machine = struct.pack("<III", 1, 1, 0) + b"/log\0qemu\0PATH=/bin\0"
    serial = struct.pack("<IBBBB", 9600, 7, 1, ord("e"), 1) + b"/dev/ttyS0\0"
    targets = (program, container, machine, serial)
    yield from targets
    yield from (wire(1, idle, 1, target) for target in targets)
    yield wire(7, running, 7, program)
    yield wire(8, running, 4)
    yield wire(8, struct.pack("<Iii", 6, 0, -2), 0, b"exec: no")
    yield wire(9, struct.pack("<Iii", 2, 0, -22), 0, b"no")
    yield wire(2, struct.pack("<Q", 4096))
    yield wire(3, struct.pack("<iI", 5000, 1), 0, program)
    yield from (wire(4, b"\1"), wire(5, struct.pack("<QiI", 0, 256, 1)), wire(6))


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(kind, fixed, *attributes):
    rest = fixed + bytes(-len(fixed) % 4) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(rest), kind, 2, 0, 0) + rest


def answers():
    """Of rtnetlink(7): links, addresses, a namespace's number."""
    info = attribute(18, attribute(1, b"veth\0"))
    link = struct.pack("=BxHiII", 0, 1, 2, 0x1043, 0)
    names = attribute(3, b"eth0\0"), attribute(1, bytes(6)), attribute(4, struct.pack("=I", 1500))
    other_end = attribute(5, b"\7\0\0\0"), attribute(37, b"\0\0\0\0"), info
    yield b"\0" + message(16, link, *names, *other_end, attribute(23, bytes(192)))
    yield b"\1" + message(20, struct.pack("=BBBBI", 2, 24, 0, 0, 2), attribute(2, bytes((10, 0, 0, 1))))
    yield b"\1" + message(20, struct.pack("=BBBBI", 10, 64, 0, 0, 2), attribute(1, b"\xfe\x80" + bytes(14)))
    yield b"\2" + message(88, b"\0", attribute(1, b"\0\0\0\0"))


def disk(version, backing=0, features=0):
    return struct.pack(">4sIQ56xQ", b"QFI\xfb", version, backing, features)


# --- the table ---

PRINTED = [path.read_bytes() for path in sorted(RECORDINGS.iterdir())]
SLICES = [text[at : at + 700] for text in PRINTED for at in range(0, min(len(text), 2100), 700)]
RESIZE = '{"command":"window-resize","args":{"width":"100","height":"30"},"signal":0}'
CGROUPS = ["0::/a.slice/lxc.payload.c1/init.scope\n", "4:memory:/lxc.payload.c1\n2:cpu,cpuacct:/lxc.payload.c1\n0::/\n"]
COUNTERS = ["1000\n", "usage_usec 12345\nuser_usec 1\n", "populated 1\nfrozen 1\n", "FROZEN\n", "max\n"]
FILTERS = ["name eq web-1 and status_code eq 103", "not x or config.user.a ne 'b c'", 'devices.root.path eq "/"']
PATTERNS = ["login:\nab+c|[x-z]\nabbc login:", "(?i)a(.*)b\\d{2,3}\n^x$\nAxxb12", "\\C\n\\pL+\n\xc3\xa4"]
KEYS = "enter\nctrl-c\nctrl-alt-delete\nf1\nbreak\nup\na"
CONFIGS = [json.dumps(part) for _, *parts in INSTANCES for part in parts if part]
VALUES = ["1.5GiB", "0-3,7", INSTANCES[3][1]["raw.lxc"], INSTANCES[4][1]["raw.qemu"]]
LIMITS = "\1" + json.dumps({"limits.connections": "100", "limits.body_size": "2MiB", "limits.head_timeout": "5"})
QMP = [
    '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\r\n',
    '{"return": {"status": "running"}, "id": 1}\r\n{"timestamp": {"seconds": 1}, "event": "RESET"}\r\n',
    '{"error": {"class": "GenericError", "desc": "no"}}\r\n',
]

SEEDS = {
    "api": [*REQUESTS, *consoles(), *created()],
    "asciicast": SLICES[:8],
    "body": [b"\0" + parts(record)[2].encode() for record in REQUESTS if parts(record)[2]]
    + [b"\1" + json.dumps({"devices": INSTANCES[3][2], "config": INSTANCES[0][1], "state": {"width": 1.5}}).encode()],
    "cgroup": [f"{listing}\n{counter}" for listing in CGROUPS for counter in COUNTERS],
    "config": CONFIGS + VALUES,
    "control": [RESIZE, '{"command":"signal","signal":15}'],
    "dates": ["2026-11-23T09:19:16.141141482Z", "1969-12-31 23:59:59.5+01:30", "Mon, 23 Nov 2026 09:19:16 GMT"],
    "disk": [disk(2), disk(3), disk(3, 104), disk(3, 0, 4), b"\xeb\x3c\x90"],
    "drivers": [bytes([k]) + json.dumps(c).encode() + b"\0" + json.dumps(d).encode() for k, c, d in INSTANCES],
    "filter": FILTERS,
    "head": [as_http(record) for record in REQUESTS if "Upgrade" in record] + [as_http(REQUESTS[0])],
    "keys": ["\0" + KEYS, "\1" + KEYS, "\2" + KEYS, "\4root\npass w\xc3\xb6rd"],
    "lines": [bytes(range(8)) + text for text in SLICES[:8]],
    "log-query": ["tail=20&format=plain&timestamps=1", "since=1h30m&boot=-1&follow=1", "since=2026-11-23T09:19:16Z"],
    "log-range": [struct.pack("<5HbB", 9, 3, 0, 300, 600, -1, how) + text for how, text in enumerate(SLICES[:16])],
    "network": list(answers()),
    "pattern": PATTERNS,
    "plain": SLICES,
    "qmp": QMP,
    "range": [struct.pack("<QQQB7x", 2, 5, 10, form) + b"bytes=0-1" for form in range(3)],
    "request": [parts(record)[0].split(" ")[1] for record in REQUESTS + list(consoles())],
    "ring": [b"".join(struct.pack("<BBQ", action % 4, place, 1 << place) for action, place in enumerate(range(9)))],
    "screen": [bytes((19, 7, 3, 9, 3, 128)) + text for text in SLICES],
    "settings": ["\1" + '{"lxc.lxcpath":"/srv"}', "\0{}", "\2" + '{"lxc.lxcpath":"/a"}', "\1" + '{"lxc.lxcpath":null}', LIMITS],
    "spice-link": [b"REDQ" + struct.pack("<IIIIBBIII", 2, 2, 18, 0, kind, 0, 0, 0, 18) for kind in (1, 2, 3, 4)],
    "usage": ["a) R 1\n(b\n", "cat", "\n", ")"],
    "uucp-lock": ["\0      4711\n", "\0         1\n", "\1" + "         1\n", "\2         1\n", "\4"],
    "wire": list(wires()),
    "words": ["sh -c 'echo \"a b\"'", 'a\\ b "c\\"d" \'e\'\'f\''],
}


def quoted(words):
    return [f'"{word}"' for word in words]


JSON_WORDS = ["true", "false", "null", "\\u0000", "\\ud800", "1e308", "-0", "{}", "[]"] + quoted(
    "action architecture args command config console data description devices ephemeral force height keys mode name"
    " notices offset path profiles replay root scrollback signal size source state text timeout type vga width".split()
)
KEY_WORDS = sorted({key for _, config, _ in INSTANCES for key in config} | {"lxc.lxcpath", "security.privileged"})
DEVICE_WORDS = "disk nic bridged macvlan physical nictype parent hwaddr readonly optional source path size mtu".split()
JSON_BODY = JSON_WORDS + quoted(KEY_WORDS) + quoted(DEVICE_WORDS)
HEADERS = (
    "Host Upgrade Connection Content-Length Transfer-Encoding Sec-WebSocket-Key Sec-WebSocket-Version If-Match If-Range"
    " If-Modified-Since Range".split()
)
HTTP_WORDS = [f"{name}: " for name in HEADERS] + ["HTTP/1.1", "websocket", "chunked", "\r\n", "\r\n\r\n"]
METHODS = ["GET ", "PUT ", "PATCH ", "POST ", "DELETE "]
PATHS = (
    "/1.0 /instances /containers /virtual-machines /operations /events /console /input /boots /history /sessions /state"
    " /logs /log /wait /websocket /profiles ?recursion=2 ?filter= ?project= %2e %00 %2F ?timeout= ?secret= ?type="
).split()
QUERIES = (
    "tail= tail_bytes= since= boot= follow=1 timestamps=1 notices=0 format= plain raw asciicast screen html wait="
    " timeout=".split()
)
CSI = "\x1b["
ESCAPES = [CSI, "\x1b]", "\x1bP", "\x1b\\", "\x1bc", "\x1b#8", "\x1b(0", "\x1b7", "\x1b8", "\x9b", "\x90", "\xc2\x9b"]
ESCAPES += [CSI + rest for rest in "?1049h ?1049l ?25l ?7l 38;5;1m 48;2;1;2;3m r 2;5r J K L M P @ 9999C".split()]
ESCAPES += ["\x0e", "\x0f", "\xe4\xbd\xa0", "\xcc\x81", "\r", "\n", "\t", "\x08", "\x18"]
QMP_WORDS = quoted("QMP return error event desc class id data RESET SHUTDOWN".split()) + ["\r\n"]

WORDS = {
    "api": [*METHODS, *PATHS, *QUERIES, *HTTP_WORDS, *JSON_BODY, "\x1e", ID],
    "asciicast": ESCAPES,
    "body": JSON_WORDS,
    "cgroup": ["/lxc.payload.", "memory", "cpuacct", "pids", "freezer", "0::/", "/../", "usage_usec ", "frozen 1"],
    "config": [*JSON_BODY, "lxc.", "KiB", "MB", "%", "-device ", "-serial "],
    "control": ['"command"', '"window-resize"', '"args"', '"width"', '"height"', '"80"', '"65535"'],
    "dates": ["Mon, ", "Nov ", " GMT", "T00:00:00", "+23:59", ".999999999", "1677-", "2262-", "-02-29"],
    "drivers": [*JSON_BODY, "lxc.", "KiB", "%", "-device ", ",", "\n", "0-3"],
    "filter": [" and ", " or ", "not ", " eq ", " ne ", "config.", "'", '"', "\\"],
    "head": [*METHODS, *HTTP_WORDS, "dGhlIHNhbXBsZSBub25jZQ==", "13", "upgrade"],
    "keys": "ctrl- alt- shift- meta- enter tab esc f12 pgup delete space break\n".split(" "),
    "lines": ESCAPES,
    "log-query": [*QUERIES, "&", "%2B", "2026-11-23T09:19:16", "1h", "30m", "250ms", "-1"],
    "pattern": ["(?i)", "(?P<x>", "\\b", "\\C", "\\pL", "[[:alpha:]]", "{2,3}", ".*?", "|", "$", "\n"],
    "plain": ESCAPES,
    "qmp": QMP_WORDS,
    "range": ["bytes=", "-", ",", "18446744073709551615", "18446744073709551616"],
    "request": [*PATHS, *QUERIES, "http://", "%", "+", "&", "?"],
    "screen": ESCAPES,
    "settings": ['"lxc.lxcpath"', "null", '"/"', '"limits.', "connections", "operations", "instances", '"1GiB"', '"64"'],
}


def as_bytes(text):
    """Characters up to \\xff are bytes: what is no ASCII is spelt out above."""
    return text if isinstance(text, bytes) else text.encode("latin-1", "replace")


def spell(byte):
    return chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02X}"


def quote(word):
    return '"' + "".join(map(spell, as_bytes(word))) + '"\n'


def main():
    directory = Path(sys.argv[1])
    for target, seeds in SEEDS.items():
        (directory / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (directory / target / f"seed-{number:03}").write_bytes(as_bytes(seed))
        (directory / f"{target}.dict").write_text("".join(map(quote, dict.fromkeys(WORDS.get(target, [])))))


if __name__ == "__main__":
    main()
