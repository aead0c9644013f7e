"""One user's eyes, or the superuser's: what they find, what they read and what they may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vallum.enforce import Application, Query
from vallum.kernel import AccessDenied, Operation, UnknownOperation
from vallum.policy import SUPERUSER_ID, Actor, Decision, Menu, Scope, decide, fields, menus
from vallum.schema import Field

__all__ = ["Session", "operation_of"]


def operation_of(value: str | Operation) -> Operation:
    """The operation of that name.

    Raises: UnknownOperation.

    >>> operation_of("unlink").letter
    'u'
    """
    try:
        return Operation(value)
    except ValueError:
        near = "use `unlink`" if value in ("delete", "remove") else "use read, write, create or unlink"
        raise UnknownOperation(f"no operation `{value}`", fix=near) from None
