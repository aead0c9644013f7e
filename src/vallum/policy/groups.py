"""Group expressions: who may see a field.

`a,b` is one of them, `!a` none of its members, `.` nobody. Outside debug mode nobody
counts as a member of `base.group_no_one`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

__all__ = ["NO_ONE", "admits"]

NO_ONE = "base.group_no_one"


@lru_cache(maxsize=4096)
def _terms(expression: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    names = [part.strip() for part in expression.split(",") if part.strip()]
    shut_out = tuple(n[1:].strip() for n in names if n.startswith("!"))
    let_in = tuple(n for n in names if not n.startswith("!"))
    return let_in, shut_out


def admits(expression: str | None, is_member: Callable[[str], bool], *, debug: bool = False) -> bool:
    """Whether a group expression lets in whoever `is_member` speaks for.

    >>> admits("a.x,a.y,!a.z", {"a.y"}.__contains__)
    True
    >>> admits("a.x,!a.y", {"a.x", "a.y"}.__contains__)
    False
    """
    if not expression:
        return True
    if expression.strip() == ".":
        return False
    let_in, shut_out = _terms(expression)

    def member(name: str) -> bool:
        return (debug or name != NO_ONE) and is_member(name)

    if any(member(name) for name in shut_out):
        return False
    return not let_in or any(member(name) for name in let_in)
