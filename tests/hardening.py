#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What makes bugs hard to use is in the binaries, not only in our flags. Called with the binaries; --fortify before them if
they were built with _FORTIFY_SOURCE."""

import re
import subprocess
import sys

# With _FORTIFY_SOURCE, none of these is called by its own name, whatever is known of the sizes.
ALWAYS_FORTIFIED = {"asprintf", "dprintf", "fprintf", "printf", "vasprintf", "vdprintf", "vfprintf", "vprintf"}


def readelf(option, path):
    command = ["env", "LC_ALL=C", "readelf", "--wide", option, path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def segments(path):
    """The flags of each kind of segment: {"LOAD": ["R", "RE", "RW"], ...}."""
    found = {}
    for kind, flags in re.findall(r"^ +(\w+) +(?:0x\w+ +){5}([RWE ]{3}) 0x\w+$", readelf("--segments", path), re.M):
        found.setdefault(kind, []).append(flags.replace(" ", ""))
    return found


def dynamic(path):
    """The entries of the dynamic section: {"FLAGS": "BIND_NOW", ...}."""
    return dict(re.findall(r"^ 0x\w+ \((\w+)\) *(?:Flags: )?(.*)$", readelf("--dynamic", path), re.M))


def imports(path):
    """The functions that it takes from libraries."""
    return set(re.findall(r" FUNC +\w+ +\w+ +UND ([^@\s]+)", readelf("--dyn-syms", path)))


def faults(path, fortify):
    parts, entries, functions = segments(path), dynamic(path), imports(path)
    if "PIE" not in entries.get("FLAGS_1", "").split():
        yield "is no position-independent executable"
    if "GNU_RELRO" not in parts:
        yield "has no RELRO"
    if "NOW" not in entries.get("FLAGS_1", "").split():
        yield "does not bind all at its start (BIND_NOW), so RELRO is not full"
    if parts.get("GNU_STACK") != ["RW"]:
        yield f"has a stack with flags {parts.get('GNU_STACK')}"
    if any("W" in flags and "E" in flags for flags in parts["LOAD"]):
        yield "has memory both writable and executable"
    for entry in {"RPATH", "RUNPATH", "TEXTREL"} & entries.keys():
        yield f"has {entry}"
    if "__stack_chk_fail" not in functions:
        yield "has no stack canaries"
    if fortify and not any(re.fullmatch(r"__\w+_chk", name) for name in functions):
        yield "calls nothing that is fortified"
    if fortify and ALWAYS_FORTIFIED & functions:
        yield f"calls without _FORTIFY_SOURCE: {', '.join(sorted(ALWAYS_FORTIFIED & functions))}"


def main():
    fortify = "--fortify" in sys.argv
    paths = [path for path in sys.argv[1:] if path != "--fortify"]
    found = [f"{path} {fault}" for path in paths for fault in faults(path, fortify)]
    print("\n".join(found) or f"{len(paths)} binaries are as they should be")
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
