"""The table of requirements names the tests that prove them."""

from __future__ import annotations

import re

from tests.support.asvs import DEVIATIONS, PAGE, REQUIREMENTS, marked


def test_marks_name_requirements_that_are_listed() -> None:
    """A misprint proves nothing."""
    assert set(marked()) <= set(REQUIREMENTS)
    assert set(DEVIATIONS) <= set(REQUIREMENTS)


def test_table_names_the_tests_that_carry_the_marks() -> None:
    """`make asvs` was run since a mark was set; and no test in it has failed."""
    rows = [
        line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    shown = {row[0].strip("| "): row for row in rows if len(row) == 4 and row[0][2].isdigit()}
    tests = marked()
    for number in REQUIREMENTS:
        named = re.findall(r"`([^`]+)`", shown[number][2])
        assert named == [name.removeprefix("tests/") for name in tests.get(number, [])], "run `make asvs`"
        assert "failed" not in shown[number][3]
