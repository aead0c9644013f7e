"""Tell whoever wants to know that somebody was refused: once, by the outermost call that was asked.

A question (`has_access`) that is answered by No is no refusal. What is raised is never another error for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final, Protocol, TypeVar

from vallum.enforce.application import Application
from vallum.kernel import AccessDenied, NotWritable
from vallum.policy import Actor

__all__ = ["telling", "tells_refusals"]

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound="type[_Acting]")
_REFUSALS: Final = (AccessDenied, NotWritable)
_asked: ContextVar[bool] = ContextVar("vallum_asked", default=False)


class _Acting(Protocol):
    """Somebody's face of an application."""

    application: Application
    actor: Actor | None


def tells_refusals(face: C) -> C:
    """Have all public methods of a class tell what they refuse."""
    for name, method in vars(face).copy().items():
        if not name.startswith("_") and inspect.isfunction(method):
            setattr(face, name, _telling_method(method))
    return face


def _telling_method(method: F) -> F:
    takes = list(inspect.signature(method).parameters)[1:]

    @wraps(method)
    def call(self: _Acting, *args: Any, **kwargs: Any) -> Any:
        if not self.application.refusals or _asked.get():
            return method(self, *args, **kwargs)
        given = dict(zip(takes, args, strict=False)) | kwargs
        model = given.get("model")
        return telling(
            self.application,
            self.actor,
            method.__name__,
            lambda: method(self, *args, **kwargs),
            model if isinstance(model, str) else None,
            _ids(given.get("ids", given.get("record"))),
        )

    return call  # type: ignore[return-value]


def telling(
    application: Application,
    actor: Actor | None,
    method: str,
    work: Callable[[], Any],
    model: str | None = None,
    ids: Sequence[int] = (),
) -> Any:
    """What `work` returns; where it refuses and nobody around it tells, that is told."""
    if not application.refusals or _asked.get():
        return work()
    mark = _asked.set(True)
    try:
        return work()
    except _REFUSALS as error:
        for tell in application.refusals:
            tell(actor, method, model, ids, error)
        raise
    finally:
        _asked.reset(mark)


def _ids(value: Any) -> Sequence[int]:
    """The ids of an argument, where it can be looked at twice."""
    if isinstance(value, int):
        return (value,)
    return [i for i in value if isinstance(i, int)] if isinstance(value, list | tuple | set | range) else ()
