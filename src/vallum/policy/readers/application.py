"""Read users and groups from the tables of an application of one's own.

Reads only. Models, columns and relation tables are those the schema knows: `res.users` with `login`,
`active` and `company_id`, its companies `company_ids` and its groups `group_ids` (or `groups_id`), and
`res.groups` with `xml_id`, by which the groups of the policy files are found again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from psycopg import sql

from vallum.kernel import SettingsError
from vallum.policy.users import User
from vallum.schema import Field, Model, Schema

__all__ = ["read_group_ids", "read_users"]


class Queryable(Protocol):
    """What a reader needs of a database: rows of a statement."""

    def rows(self, statement: sql.SQL | sql.Composed, params: Any = None) -> Sequence[tuple[Any, ...]]:
        """All rows of one statement."""


_USERS: Final = "res.users"
_GROUPS: Final = "res.groups"
_NEEDED: Final = ("login", "active", "company_id")
_OPTIONAL: Final = ("name", "partner_id", "lang", "tz")


def read_group_ids(database: Queryable, schema: Schema) -> Mapping[str, int]:
    """The ids of the groups the database has, by xml id.

    Raises: SettingsError (no model `res.groups` with `xml_id`, or no such table).
    """
    groups = _model(schema, _GROUPS, ("xml_id",))
    _check_tables(database, (groups.table,))
    statement = sql.SQL("SELECT xml_id, id FROM {} WHERE xml_id IS NOT NULL").format(
        sql.Identifier(groups.table)
    )
    return dict(database.rows(statement))


def read_users(database: Queryable, schema: Schema) -> list[User]:
    """All users, inactive ones included; their groups are those stored, to be closed by the policy.

    Raises: SettingsError (a model, field or table is missing).
    """
    users = _model(schema, _USERS, _NEEDED)
    companies = _many2many(users, ("company_ids",), "companies")
    groups = _many2many(users, ("group_ids", "groups_id"), "groups")
    company = schema.model(companies.comodel or "")
    _check_tables(database, (users.table, company.table, companies.relation or "", groups.relation or ""))
    groups_of = _pairs(database, groups, None)
    companies_of = _pairs(database, companies, company)
    return [
        User(
            id=i,
            login=login,
            name=name or login,
            active=bool(active),
            partner_id=partner,
            company_id=own,
            company_ids=tuple(companies_of.get(i, ())),
            groups=frozenset(groups_of.get(i, ())),
            lang=lang or "en_US",
            tz=tz,
        )
        for i, login, active, own, name, partner, lang, tz in database.rows(_select_users(users))
    ]


def _select_users(users: Model) -> sql.Composed:
    columns: list[sql.Composable] = [sql.Identifier(name) for name in ("id", *_NEEDED)]
    columns += [sql.Identifier(name) if _is_column(users, name) else sql.NULL for name in _OPTIONAL]
    return sql.SQL("SELECT {} FROM {} ORDER BY id").format(
        sql.SQL(", ").join(columns), sql.Identifier(users.table)
    )


def _pairs(database: Queryable, field: Field, only_active: Model | None) -> dict[int, list[int]]:
    """Ids at the other end of a many2many field, in order, by user."""
    own, other = sql.Identifier(field.column1 or ""), sql.Identifier(field.column2 or "")
    link = sql.Identifier(field.relation or "")
    if only_active is not None and only_active.active_name:
        statement = sql.SQL(
            "SELECT l.{own}, l.{other} FROM {link} l JOIN {table} t ON t.id = l.{other}"
            " WHERE t.{active} ORDER BY 2"
        ).format(
            own=own,
            other=other,
            link=link,
            table=sql.Identifier(only_active.table),
            active=sql.Identifier(only_active.active_name),
        )
    else:
        statement = sql.SQL("SELECT {}, {} FROM {} ORDER BY 2").format(own, other, link)
    found: dict[int, list[int]] = {}
    for key, value in database.rows(statement):
        found.setdefault(key, []).append(value)
    return found


def _model(schema: Schema, name: str, needed: Iterable[str]) -> Model:
    model = schema.models.get(name)
    if model is None:
        raise SettingsError(
            f"no model `{name}`: without it nobody can be told apart",
            where="metadata",
            fix=f"declare a table with `info={{'model': '{name}'}}` and the columns " + _listed(needed),
        )
    missing = [column for column in needed if not _is_column(model, column)]
    if missing:
        raise SettingsError(
            f"`{name}` has no column {_listed(missing)}", where=model.table, fix="add it to the table"
        )
    return model


def _is_column(model: Model, name: str) -> bool:
    field = model.fields.get(name)
    return field is not None and field.stored and field.column is not None


def _many2many(users: Model, names: Sequence[str], what: str) -> Field:
    for name in names:
        field = users.fields.get(name)
        if field is not None and field.type == "many2many" and field.relation:
            return field
    raise SettingsError(
        f"`{users.name}` has no many2many field {_listed(names, 'or')}: the {what} of a user",
        where=users.table,
        fix="declare it by a relationship with `secondary` and give the declarative base itself, "
        "or say it in the table's `info` under `fields`",
    )


def _check_tables(database: Queryable, tables: Sequence[str]) -> None:
    missing = [
        name
        for (name,) in database.rows(
            sql.SQL("SELECT name FROM unnest(%s::text[]) name WHERE to_regclass(quote_ident(name)) IS NULL"),
            (list(tables),),
        )
    ]
    if missing:
        raise SettingsError(
            f"the database has no table {_listed(missing)}",
            where="dsn",
            fix="create the application's tables there first, or give the right database",
        )


def _listed(names: Iterable[str], joint: str = "and") -> str:
    quoted = [f"`{name}`" for name in names]
    return f" {joint} ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
