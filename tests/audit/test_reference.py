"""The reference of the trail names every kind of event, and all that becomes one."""

from __future__ import annotations

import re
from pathlib import Path

from vallum.audit import KINDS
from vallum.identity.trail import TRAIL_KINDS

_TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "audit.md").read_text()
_TABLE = _TEXT.partition("## Events that are no change of a row")[2].partition("\n## ")[0]


def test_reference_lists_each_kind_and_what_becomes_one() -> None:
    """In one table: the kinds are the code's, and an event of accounts stands with its own kind."""
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*)$", _TABLE, re.M))
    assert set(rows) == set(KINDS)
    for event, kind in TRAIL_KINDS.items():
        assert f"`{event}`" in rows[kind], event
