"""Values of others in messages: cut short, and whatever they are."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["few", "shown"]


def shown(value: object, limit: int = 60) -> str:
    """The beginning of a value's `repr`; its type where it has none (a number of 5,000 digits, for one).

    >>> shown("abc")
    "'abc'"
    >>> shown(10**5_000)
    'a value of the type int'
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError, MemoryError):
        return f"a value of the type {type(value).__name__}"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def few(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, and how many more there are.

    >>> few(["a", "b", "c"], 2), few(["a"])
    ('a, b and 1 more', 'a')
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")
