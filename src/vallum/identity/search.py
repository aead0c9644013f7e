"""Find accounts: by the beginning of a login, of a word of a name or of an address, and by how they stand.

Invariant: each way to look for a text is one index; the beginnings are read in its order and end with the
first rows that fit. So a search among a million accounts costs about what one among a thousand does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from vallum.identity.account import COLUMNS, Account, Kind, account_of, login_key
from vallum.identity.store import Store

__all__ = ["FACTOR", "AccountQuery", "Among", "find_accounts"]

FACTOR: Final = {
    "none": (
        "NOT EXISTS (SELECT FROM vallum.totp t WHERE t.account_id = a.id)"
        " AND NOT EXISTS (SELECT FROM vallum.passkey k WHERE k.account_id = a.id)"
    ),
    "app": (
        "EXISTS (SELECT FROM vallum.totp t WHERE t.account_id = a.id)"
        " AND NOT EXISTS (SELECT FROM vallum.passkey k WHERE k.account_id = a.id)"
    ),
    "passkey": "EXISTS (SELECT FROM vallum.passkey k WHERE k.account_id = a.id)",
}
_STATE: Final = {"open": "a.active", "shut": "NOT a.active", "break-glass": "a.break_glass"}
# After every text that begins so, whatever follows: compared byte by byte.
_LAST: Final = "\U0010ffff"
_WAYS: Final = ("a.login_key", "lower(a.name)", "lower(a.email)")
_WORD: Final = "to_tsvector('simple', a.name)"


@dataclass(frozen=True, slots=True)
class Among:
    """The members of a group: the application's users that have it, and names under which Vallum gives it
    at the instant `now`."""

    users: tuple[int, ...]
    given: tuple[str, ...]
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountQuery:
    """What is looked for. `state`: open, shut or break-glass; `factor`: none, app or passkey."""

    text: str = ""
    kind: Kind | None = None
    state: Literal["", "open", "shut", "break-glass"] = ""
    factor: Literal["", "none", "app", "passkey"] = ""
    among: Among | None = None


def find_accounts(store: Store, query: AccountQuery, *, after: int = 0, limit: int = 100) -> list[Account]:
    """The first accounts that fit; with a text in order of login, else of id and from `after` on."""
    where, params = _filters(query)
    key = login_key(query.text)
    if not key:
        statement = f"SELECT {COLUMNS} FROM vallum.account a WHERE a.id > %(after)s{where} ORDER BY a.id"
        rows = store.rows(f"{statement} LIMIT %(limit)s", {**params, "after": after, "limit": limit})
        return [account_of(row) for row in rows]
    params |= {"key": key, "last": key + _LAST, "words": _words(key), "limit": limit}
    ways = [
        f"(SELECT a.id FROM vallum.account a WHERE {way} ~>=~ %(key)s AND {way} ~<~ %(last)s{where}"
        f" ORDER BY {way} USING ~<~ LIMIT %(limit)s)"
        for way in _WAYS
    ]
    if params["words"]:
        ways.append(
            f"(SELECT a.id FROM vallum.account a WHERE {_WORD} @@ to_tsquery('simple', %(words)s){where}"
            " LIMIT %(limit)s)"
        )
    statement = (
        f"SELECT {COLUMNS} FROM vallum.account WHERE id IN ({' UNION '.join(ways)})"
        " ORDER BY login_key LIMIT %(limit)s"
    )
    with store.transaction() as connection:
        # How often a word begins so is not known before; where it never does, all would be read.
        connection.execute("SET LOCAL enable_seqscan = off")
        rows = connection.execute(statement.encode(), params).fetchall()
    return [account_of(row) for row in rows]


def _filters(query: AccountQuery) -> tuple[str, dict[str, Any]]:
    parts: list[str] = []
    params: dict[str, Any] = {}
    if query.kind is not None:
        parts.append("a.kind = %(kind)s")
        params["kind"] = query.kind
    if query.state:
        parts.append(_STATE[query.state])
    if query.factor:
        parts.append(FACTOR[query.factor])
    if query.among is not None:
        parts.append(
            "(a.user_id = ANY(%(users)s::int[]) OR EXISTS (SELECT FROM vallum.membership m"
            " WHERE m.account_id = a.id AND m.group_name = ANY(%(given)s::text[])"
            " AND (m.expires IS NULL OR m.expires > %(now)s)))"
        )
        params |= {"users": list(query.among.users), "given": list(query.among.given), "now": query.among.now}
    return "".join(f" AND {part}" for part in parts), params


def _words(key: str) -> str:
    """A query for names that hold a word beginning so, for each word of the text."""
    words = ["".join(char for char in word if char.isalnum()) for word in _split(key)]
    return " & ".join(f"{word}:*" for word in words if word)


def _split(text: str) -> Iterable[str]:
    return "".join(char if char.isalnum() else " " for char in text).split()
