"""People and groups as provisioned: rows in and out. Statements are SQLAlchemy's, values bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from psycopg.types.json import Jsonb

from vallum.enforce.statement import compiled
from vallum.identity.accounts_port import Transaction
from vallum.identity.scim.models import Group, Kind, Person
from vallum.identity.scim.tables import GROUP, MEMBER, USER
from vallum.identity.sso.store import folded

__all__ = [
    "Stored",
    "delete",
    "get",
    "groups_of",
    "insert",
    "members_of",
    "run",
    "search",
    "set_members",
    "update",
    "users",
]


@dataclass(frozen=True, slots=True)
class Stored:
    """A row. `account_id`: of people only."""

    id: str
    account_id: int | None
    data: dict[str, Any]
    version: int
    created: datetime
    modified: datetime


def run(tx: Transaction, statement: sa.Executable) -> list[Any]:
    """The rows of a statement; none where it gives none."""
    text, values = compiled(statement)  # type: ignore[arg-type]  # all that is executed here can be compiled
    cursor = tx.execute(text.encode(), _adapted(values))
    return cursor.fetchall() if cursor.description else []


def _adapted(values: dict[str, Any]) -> dict[str, Any]:
    return {name: Jsonb(value) if isinstance(value, dict | list) else value for name, value in values.items()}


def _columns(kind: Kind) -> tuple[sa.ColumnElement[Any], ...]:
    table = _table(kind)
    account = sa.null() if kind is Group else USER.c.account_id
    return (table.c.id, account, table.c.data, table.c.version, table.c.created, table.c.modified)


def _table(kind: Kind) -> sa.Table:
    return GROUP if kind is Group else USER


def _stored(row: Any) -> Stored:
    return Stored(str(row[0]), *row[1:])


def _uuid(text: str) -> UUID | None:
    try:
        found = UUID(text)
    except ValueError:
        return None
    # One spelling: whoever writes it otherwise means somebody else.
    return found if str(found) == text else None


def get(tx: Transaction, kind: Kind, provider_id: str, id_: str, *, lock: bool = False) -> Stored | None:
    """The resource with that id, of that provider."""
    key, table = _uuid(id_), _table(kind)
    if key is None:
        return None
    statement = sa.select(*_columns(kind)).where(table.c.id == key, table.c.provider_id == provider_id)
    rows = run(tx, statement.with_for_update() if lock else statement)
    return _stored(rows[0]) if rows else None


def search(
    tx: Transaction,
    kind: Kind,
    provider_id: str,
    condition: sa.ColumnElement[bool] | None,
    order: sa.ColumnElement[Any] | None,
    offset: int,
    limit: int,
) -> tuple[int, list[Stored]]:
    """How many there are, and one page of them."""
    table = _table(kind)
    where = [table.c.provider_id == provider_id, *([condition] if condition is not None else [])]
    total = int(run(tx, sa.select(sa.func.count()).select_from(table).where(*where))[0][0])
    if limit == 0 or offset >= total:
        return total, []
    keys = [table.c.created, table.c.id] if order is None else [order, table.c.id]
    statement = sa.select(*_columns(kind)).where(*where).order_by(*keys).offset(offset).limit(limit)
    return total, [_stored(row) for row in run(tx, statement)]


def insert(tx: Transaction, kind: Kind, provider_id: str, stored: Stored) -> None:
    """A new one. Raises: psycopg.errors.UniqueViolation."""
    values = {**_values(kind, stored), "id": UUID(stored.id), "provider_id": provider_id}
    if kind is not Group:
        values["account_id"] = stored.account_id
    run(tx, sa.insert(_table(kind)).values(**values, created=stored.created))


def update(tx: Transaction, kind: Kind, stored: Stored) -> None:
    """Another state of it. Raises: psycopg.errors.UniqueViolation."""
    table = _table(kind)
    run(tx, sa.update(table).where(table.c.id == UUID(stored.id)).values(**_values(kind, stored)))


def _values(kind: Kind, stored: Stored) -> dict[str, Any]:
    data = stored.data
    name = data["displayName"] if kind is Group else data["userName"]
    values = {
        "name_key": folded(name),
        "external_id": data.get("externalId"),
        "data": data,
        "folded": _folded(data),
        "version": stored.version,
        "modified": stored.modified,
    }
    return values if kind is Group else {**values, "active": data.get("active")}


def _folded(value: Any) -> Any:
    """With every text as it is compared; names of attributes stay."""
    if isinstance(value, str):
        return folded(value)
    if isinstance(value, list):
        return [_folded(one) for one in value]
    if isinstance(value, dict):
        return {name: _folded(one) for name, one in value.items()}
    return value


def delete(tx: Transaction, kind: Kind, id_: str) -> None:
    """It is gone, and with it who was a member."""
    table = _table(kind)
    run(tx, sa.delete(table).where(table.c.id == UUID(id_)))


def groups_of(tx: Transaction, ids: Iterable[str]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """By the id of a person: the groups they are in, id and data."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {id_: [] for id_ in ids}
    statement = (
        sa.select(MEMBER.c.user_id, GROUP.c.id, GROUP.c.data)
        .select_from(MEMBER.join(GROUP, GROUP.c.id == MEMBER.c.group_id))
        .where(MEMBER.c.user_id.in_([UUID(id_) for id_ in found]))
        .order_by(GROUP.c.name_key)
    )
    for user, group, data in _expanded(tx, statement) if found else ():
        found[str(user)].append((str(group), data))
    return found


def members_of(tx: Transaction, ids: Iterable[str]) -> dict[str, list[str]]:
    """By the id of a group: the ids of its members."""
    found: dict[str, list[str]] = {id_: [] for id_ in ids}
    statement = (
        sa.select(MEMBER.c.group_id, USER.c.id)
        .select_from(MEMBER.join(USER, USER.c.id == MEMBER.c.user_id))
        .where(MEMBER.c.group_id.in_([UUID(id_) for id_ in found]))
        .order_by(USER.c.name_key)
    )
    for group, user in _expanded(tx, statement) if found else ():
        found[str(group)].append(str(user))
    return found


def _expanded(tx: Transaction, statement: sa.Select[Any]) -> list[Any]:
    """With its lists written out, each value a parameter of its own."""
    from sqlalchemy.dialects import postgresql

    dialect = postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
    result = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    return tx.execute(str(result).encode(), dict(result.params)).fetchall()


def users(tx: Transaction, provider_id: str, ids: Sequence[str]) -> list[Stored]:
    """Those of these people that are the provider's."""
    keys = [key for id_ in ids if (key := _uuid(id_)) is not None]
    if not keys:
        return []
    wanted = [USER.c.provider_id == provider_id, USER.c.id.in_(keys)]
    return [_stored(row) for row in _expanded(tx, sa.select(*_columns(Person)).where(*wanted))]


def set_members(tx: Transaction, group_id: str, ids: frozenset[str]) -> frozenset[str]:
    """Exactly these are members; whose membership has changed."""
    rows = run(tx, sa.select(MEMBER.c.user_id).where(MEMBER.c.group_id == UUID(group_id)))
    before = frozenset(str(user) for (user,) in rows)
    with tx.cursor() as cursor:
        cursor.executemany(
            b"DELETE FROM vallum.scim_member WHERE group_id = %s AND user_id = %s",
            [(UUID(group_id), UUID(id_)) for id_ in before - ids],
        )
        cursor.executemany(
            b"INSERT INTO vallum.scim_member (group_id, user_id) VALUES (%s, %s)",
            [(UUID(group_id), UUID(id_)) for id_ in ids - before],
        )
    return before ^ ids
