"""The values that policies know users by."""

from __future__ import annotations

from typing import Any

import pytest

from vallum.enforce.roles.people import _bound
from vallum.kernel import UnsupportedDomain


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (3, ([3], [])),
        ([3, False, "a"], ([3], ["a"])),
        (False, ([], [])),
        (None, ([], [])),
    ],
)
def test_numbers_and_texts_are_bound(value: Any, bound: tuple[list[int], list[str]]) -> None:
    """What is unset stands for nothing."""
    assert _bound(value) == bound


@pytest.mark.parametrize("value", [1.5, True, [1, 2.5], ["a", True]])
def test_what_cannot_be_bound_is_refused(value: Any) -> None:
    """Dropped, it would widen a rule that excludes it."""
    with pytest.raises(UnsupportedDomain):
        _bound(value)
