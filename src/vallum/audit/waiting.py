"""What waits in the inbox, as triggers write it with the least work: taken apart, and checked.

Pure. `key` and `content` are the inside of JSON objects, each member with a comma before it; a change holds
old and new value as a pair. `who` is fields between separators: the event's number within its transaction,
the client's address where there is one, the process, the application, session's and acting role quoted as
identifiers, and the stamp where there is one.
Invariant: what does not have this form is no event. Only somebody who owns the tables can have written it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vallum.audit.canonical import Json, parse_values

__all__ = ["LETTERS", "OPERATIONS", "Waiting", "Who", "members", "sides", "waiting"]

# What a trigger calls what was done, by the letters that events are filed under.
OPERATIONS: Final = {"i": "create", "u": "write", "d": "unlink", "t": "truncate", "s": "baseline"}
LETTERS: Final = {name: letter for letter, name in OPERATIONS.items()}
Values = Mapping[str, Json]

_NAME: Final = r'("(?:[^"]|"")*"|[^"\x1f]*)'
_WHO: Final = re.compile(
    rf"(\d+)\x1f(?:([0-9a-f:./]*[.:][0-9a-f:./]*)\x1f)?(\d+)\x1f([^\x1f]*)"
    rf"\x1f{_NAME}\x1f{_NAME}(?:\x1f(.*))?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Who:
    """By whom, as PostgreSQL knows it. `n`: the event's number within its transaction."""

    n: int
    ip: str | None
    pid: int
    app: str
    role: str
    acting: str
    stamp: str | None

    @classmethod
    def parse(cls, text: str) -> Who:
        """What a trigger wrote.

        Raises: ValueError.
        """
        found = _WHO.fullmatch(text)
        if found is None:
            raise ValueError("nobody is named")
        n, ip, pid, app, role, acting, stamp = found.groups()
        return cls(int(n), ip, int(pid), app, _plain(role), _plain(acting), stamp or None)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event. `content`: of a row its values, or pairs of them; else what an application tells."""

    id: int
    xid: str
    at: datetime
    kind: str
    relation: str | None
    key: Values | None
    content: Values
    who: Who
    careful: bool


def waiting(
    id_: int | None,
    xid: str | None,
    at: datetime | None,
    kind: str | None,
    relation: str | None,
    key: str | None,
    content: str | None,
    who: str | None,
    careful: bool | None,
) -> Waiting:
    """The event of a row of the inbox.

    Raises: ValueError (what is there is no event).
    """
    if id_ is None or xid is None or at is None or not kind or who is None:
        raise ValueError("a part of it is missing")
    known = members(key) if key is not None else None
    return Waiting(id_, xid, at, kind, relation, known, members(content or ""), Who.parse(who), bool(careful))


def members(text: str) -> dict[str, Json]:
    """The values of the inside of an object.

    Raises: ValueError.

    >>> members(',"id":7,"name":"x"'), members("")
    ({'id': 7, 'name': 'x'}, {})
    """
    found = parse_values("{" + text[1:] + "}")
    if text[:1] not in ("", ","):
        raise ValueError("these are no members")
    return found


def sides(kind: str, content: Values) -> tuple[Values | None, Values | None]:
    """A row's old and new values, as far as there are any.

    Raises: ValueError.

    >>> sides("write", {"name": ["a", "b"]}), sides("unlink", {"id": 1})
    (({'name': 'a'}, {'name': 'b'}), ({'id': 1}, None))
    """
    if kind != "write":
        return (content, None) if kind in ("unlink", "truncate") else (None, content)
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in content.values()):
        raise ValueError("a change is a pair")
    return {name: old for name, (old, _) in content.items()}, {
        name: new for name, (_, new) in content.items()
    }


def _plain(name: str) -> str:
    """An identifier as it was before it was quoted."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
