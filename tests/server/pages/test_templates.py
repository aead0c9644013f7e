"""Templates of all pages are found by their names alone."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files

from vallum.server.pages.environment import _PACKAGES


def test_no_two_areas_have_a_template_of_one_name() -> None:
    """Otherwise one would be shown in place of the other, whichever is looked for first."""
    names = Counter(
        one.name for package in _PACKAGES for one in (files(package) / "templates").iterdir() if one.is_file()
    )
    assert len(names) > 50
    assert [name for name, count in names.items() if count > 1] == []
