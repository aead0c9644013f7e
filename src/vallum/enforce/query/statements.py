"""Compiled statements and plans of reads, kept for as long as the access they were made for.

A statement is text with placeholders and the values of rules and domain; limits, offsets
and ids are bound when it runs. Keys spell values with their types, so that `1`, `1.0`
and `True` do not meet.
Invariant: an entry is used only for the same actor, access and policy.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import date, datetime
from decimal import Decimal
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from vallum.domain import And, Condition, Constant, Not, Or

if TYPE_CHECKING:
    from vallum.enforce.application import Application
    from vallum.policy import ActorAccess, Policy

__all__ = ["Key", "Statements", "domain_key", "statements_of"]

Key = tuple[Any, ...]
_SIZE: Final = 1024
_LONGEST_KEY: Final = 8_000
_SPELLED: Final = frozenset({str, int, bool, float, Decimal, date, datetime, type(None)})


class Statements:
    """What was used last, by key. Any number of threads may share it."""

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._lock = Lock()
        self._kept: OrderedDict[Key, tuple[ActorAccess | None, Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key, access: ActorAccess | None) -> Any:
        """What is kept under that key; None where it was made for another access."""
        with self._lock:
            found = self._kept.get(key)
            if found is None or found[0] is not access:
                return None
            self._kept.move_to_end(key)
        return found[1]

    def keep(self, key: Key, access: ActorAccess | None, value: Any) -> None:
        """Keep a value; the one not used for the longest time may go."""
        with self._lock:
            self._kept[key] = (access, value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


_BY_APPLICATION: Final[WeakKeyDictionary[Application, tuple[Policy, Statements]]] = WeakKeyDictionary()
_LOCK: Final = Lock()


def statements_of(application: Application) -> Statements:
    """The statements of an application under the policy it has now."""
    with _LOCK:
        found = _BY_APPLICATION.get(application)
        if found is None or found[0] is not application.policy:
            found = (application.policy, Statements())
            _BY_APPLICATION[application] = found
    return found[1]


def domain_key(domain: Any) -> str | None:
    """The spelling of a domain; None where it is too long or holds values of unknown types."""
    if not _spelled(domain):
        return None
    text = repr(domain)
    return text if len(text) <= _LONGEST_KEY else None


def _spelled(value: Any) -> bool:
    """Whether equal `repr` means an equal value."""
    kind = type(value)
    if kind in _SPELLED:
        return True
    if kind is list or kind is tuple:
        return len(value) <= _LONGEST_KEY and all(map(_spelled, value))
    if kind is Condition:
        return _spelled(value.value)
    if kind is And or kind is Or:
        return all(map(_spelled, value.children))
    return kind is Constant or (kind is Not and _spelled(value.child))
