"""The tables of what is proven name the tests that prove it."""

from __future__ import annotations

import re

import pytest

from tests.support.asvs import ASVS
from tests.support.attacks import ATTACKS
from tests.support.proofs import Catalogue
from tests.support.tampering import TAMPERING

CATALOGUES = pytest.mark.parametrize(
    "catalogue", [ASVS, ATTACKS, TAMPERING], ids=["asvs", "attacks", "tampering"]
)


@CATALOGUES
def test_marks_name_what_is_listed(catalogue: Catalogue) -> None:
    """A misprint proves nothing."""
    assert set(catalogue.marked()) <= set(catalogue.items)
    assert set(catalogue.deviations) <= set(catalogue.items)


@CATALOGUES
def test_table_names_the_tests_that_carry_the_marks(catalogue: Catalogue) -> None:
    """`make` was run since a mark was set; each item has a test, and none in it has failed."""
    shown, tests = catalogue.rows(), catalogue.marked()
    assert list(shown) == list(catalogue.items)
    for item, row in shown.items():
        named = re.findall(r"`([^`]+)`", row[2])
        assert named == [name.removeprefix("tests/") for name in tests[item]], f"run `make {catalogue.mark}`"
        assert row[3] in ("passed", "passed, skipped", "skipped")
