"""What analysis finds is asked for its parts; as a condition it would always be true."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["Finding"]


class Finding:
    """Base of findings: no truth value."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is no truth value; ask for `.allowed` or its like")
