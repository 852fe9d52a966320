#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Data flows one way: a file includes its own folder and strictly lower layers, spelled from the root."""

import pathlib
import re
import sys

LEVELS = {"util": 0, "bridge": 1, "render": 1, "pty": 2, "operations": 2, "spice": 2, "instances": 3, "api": 4, "daemon": 5}
# A third-party library stays inside the file that owns it.
OWNERS = {
    "libwebsockets.h": {"bridge/websocket.c"},
    "microhttpd.h": {"daemon/http.c"},
    "sqlite3.h": {"instances/store_database.h"},
    "re2/re2.h": {"render/pattern.cc"},
    "re2/set.h": {"render/pattern.cc"},
    "vterm.h": {"render/screen.c"},
    "lxc/lxccontainer.h": {"pty/targets/lxc.c", "pty/targets/foreign.c"},
}


def faults(root):
    for level in LEVELS:
        for path in sorted([*(root / level).rglob("*.[ch]"), *(root / level).rglob("*.cc")]):
            name = path.relative_to(root).as_posix()
            for kind, header in re.findall(r'^#include ([<"])([^>"]+)', path.read_text(), re.M):
                top = header.split("/")[0]
                if kind == "<" and name not in OWNERS.get(header, {name}):
                    yield f"{name}: only {', '.join(sorted(OWNERS[header]))} may include <{header}>"
                elif kind == '"' and top not in LEVELS:
                    yield f'{name}: "{header}" is not spelled from the root'
                elif kind == '"' and top != level and LEVELS[top] >= LEVELS[level]:
                    yield f'{name}: includes "{header}", which is not below it'


def main():
    found = list(faults(pathlib.Path(sys.argv[1])))
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
