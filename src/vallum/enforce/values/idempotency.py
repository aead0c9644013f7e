"""Create once, however often it is asked for under the same key.

The key, a digest of what was asked and the ids are kept in `vallum.idempotency` for a day, written in the
transaction that creates the records: either both are there or neither. Keys are the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from vallum.enforce.values.call import Call
from vallum.kernel import InvalidValue, KeyReused
from vallum.policy import SUPERUSER_ID

__all__ = ["KEPT", "check_key", "once"]

KEPT: Final = timedelta(days=1)
_LONGEST: Final = 255
_DEEPEST: Final = 100
_CLAIM: Final = """
    INSERT INTO vallum.idempotency AS kept (user_id, key, model, content, ids, created)
    VALUES (%(user)s, %(key)s, %(model)s, %(content)s, '{}', %(now)s)
    ON CONFLICT (user_id, key) DO UPDATE
        SET model = excluded.model, content = excluded.content, ids = '{}', created = excluded.created
        WHERE kept.created < %(expiry)s
    RETURNING true
"""
_KEPT: Final = "SELECT model, content, ids FROM vallum.idempotency WHERE user_id = %(user)s AND key = %(key)s"
_FILL: Final = "UPDATE vallum.idempotency SET ids = %(ids)s WHERE user_id = %(user)s AND key = %(key)s"
_PURGE: Final = """
    DELETE FROM vallum.idempotency WHERE (user_id, key) IN (
        SELECT user_id, key FROM vallum.idempotency WHERE created < %(expiry)s
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""


def check_key(key: Any) -> str:
    """The key as given.

    Raises: InvalidValue.
    """
    if type(key) is not str or not 0 < len(key) <= _LONGEST or not key.isprintable():
        raise InvalidValue(
            "that is no idempotency key", fix=f"give text of 1 to {_LONGEST} printable characters"
        )
    return key


def once(
    call: Call,
    key: str,
    model: str,
    records: Sequence[Mapping[str, Any]],
    make: Callable[[], list[int]],
) -> list[int]:
    """The ids that `make` gives, or gave when the key was used before by the same user.

    Raises: KeyReused (for other content), InvalidValue, what `make` raises.
    """
    database = call.eyes.application.database
    actor = call.eyes.actor
    values = {
        "user": actor.user_id if actor else SUPERUSER_ID,
        "key": key,
        "model": model,
        "content": _digest([model, call.lang, actor.companies if actor else (), list(records)]),
        "now": call.now,
        "expiry": call.now - KEPT,
    }
    if not database.rows(_CLAIM, values):
        found = database.rows(_KEPT, values)
        if not found or (found[0][0], bytes(found[0][1])) != (model, values["content"]):
            raise KeyReused(
                "the idempotency key was used before, for something else",
                fix="make a new key for each creation",
            )
        return list(found[0][2])
    ids = make()
    database.rows(_FILL, {**values, "ids": ids})
    database.rows(_PURGE, values)
    return ids


def _digest(content: Any) -> bytes:
    return sha256(_spelled(content, 0).encode("utf-8", "surrogatepass")).digest()


def _spelled(value: Any, depth: int) -> str:
    """The same text for the same content, whatever the order of names; another for another type."""
    if depth > _DEEPEST:
        raise InvalidValue("values within values, too deep")
    match value:
        case Mapping():
            items = sorted((str(name), _spelled(inner, depth + 1)) for name, inner in value.items())
            return "{" + ",".join(f"{name!r}:{inner}" for name, inner in items) + "}"
        case list() | tuple():
            return "[" + ",".join(_spelled(inner, depth + 1) for inner in value) + "]"
        case bytes() | bytearray() | memoryview():
            return f"bytes:{sha256(value).hexdigest()}"
        case int() if not isinstance(value, bool):
            return f"int:{value:x}"
        case str() | bool() | float() | None | Decimal() | date() | datetime() | UUID():
            return f"{type(value).__name__}:{value!r}"
    raise InvalidValue(
        f"{type(value).__name__} is no type of value", fix="give numbers, text, dates and the like"
    )
