"""Values of others in messages: cut short, and whatever they are."""

from __future__ import annotations

__all__ = ["shown"]


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
