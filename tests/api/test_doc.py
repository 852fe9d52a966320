# SPDX-License-Identifier: Apache-2.0
"""What our documents say of tests is so."""

import re

import pytest

from consoled import ROOT

NAMES = re.compile(r"`(?:([\w-]+)(\.c)?::(\w+)|(fuzz-[\w-]+))`")


def missing(name):
    """The named test, if it does not exist."""
    file, unit, test, target = name
    path = ROOT / (f"tests/fuzz/{target}.c" if target else f"tests/unit/test-{file}.c" if unit else f"tests/api/test_{file}.py")
    if path.exists() and (target or re.search(rf"\btest_{test}\(", path.read_text())):
        return None
    return target or f"{file}{unit}::{test}"


@pytest.mark.parametrize("document", ["doc/tests.md", "SECURITY.md"])
def test_named_tests_exist(document):
    """Documents: each test that is named is there."""
    names = NAMES.findall((ROOT / document).read_text())
    assert len(names) > 10
    assert [name for name in map(missing, names) if name] == []


def test_every_bug_and_lesson_has_a_line():
    """Documents: T1 to T38 and S1 to S15, each with tests or a reason why there are none."""
    rows = dict(re.findall(r"^\| ([TS]\d+) \| .* \| (.*) \|$", (ROOT / "doc/tests.md").read_text(), re.M))
    assert list(rows) == [f"T{number}" for number in range(1, 39)] + [f"S{number}" for number in range(1, 16)]
    assert [row for row, shown in rows.items() if not NAMES.search(shown) and not shown.startswith(("not yet: ", "does not apply: "))] == []
