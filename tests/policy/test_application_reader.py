"""Users and groups from an application's own tables: which are needed, and what is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from vallum.kernel import SettingsError
from vallum.policy.readers.application import read_group_ids, read_users
from vallum.postgres import Database, connect
from vallum.schema import Schema
from vallum.schema.readers.sqlalchemy import read


class _Nothing:
    """A database that is never asked."""

    def rows(self, statement: object, params: Any = None) -> Sequence[tuple[Any, ...]]:
        raise AssertionError("nothing is read where a model is incomplete")


def _schema(*, users: Sequence[str] = ("login", "active", "company_id"), groups: str = "group_ids") -> Schema:
    """An application with the least there can be, less what a test leaves out."""
    tables = sa.MetaData()
    columns: dict[str, sa.Column[Any]] = {
        "login": sa.Column("login", sa.String),
        "active": sa.Column("active", sa.Boolean),
        "company_id": sa.Column("company_id", sa.ForeignKey("company.id")),
    }
    fields = {"company_ids": _many2many("res.company", "uc", "c")}
    if groups:
        fields[groups] = _many2many("res.groups", "ug", "g")
    active, xml_id = sa.Column("active", sa.Boolean), sa.Column("xml_id", sa.String)
    sa.Table("company", tables, _id(), active, info={"model": "res.company"})
    sa.Table("group", tables, _id(), xml_id, info={"model": "res.groups"})
    info = {"model": "res.users", "fields": fields}
    sa.Table("account", tables, _id(), *(columns[name] for name in users), info=info)
    sa.Table("uc", tables, sa.Column("u", sa.Integer), sa.Column("c", sa.Integer))
    sa.Table("ug", tables, sa.Column("u", sa.Integer), sa.Column("g", sa.Integer))
    return read(tables)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True)


def _many2many(comodel: str, relation: str, column: str) -> dict[str, str]:
    return {
        "type": "many2many",
        "comodel": comodel,
        "relation": relation,
        "column1": "u",
        "column2": column,
    }


_DATA = """
    CREATE TABLE company (id int, active bool);
    CREATE TABLE "group" (id int, xml_id text);
    CREATE TABLE account (id int, login text, active bool, company_id int);
    CREATE TABLE uc (u int, c int);
    CREATE TABLE ug (u int, g int);
    INSERT INTO company VALUES (1, true), (2, false), (3, true);
    INSERT INTO "group" VALUES (7, 'shop.clerk'), (8, NULL);
    INSERT INTO account VALUES (5, 'eva', true, 3), (6, 'max', NULL, 1);
    INSERT INTO uc VALUES (5, 3), (5, 2), (5, 1);
    INSERT INTO ug VALUES (5, 7);
"""


@pytest.mark.parametrize("groups", ["group_ids", "groups_id"])
def test_users_are_read_with_groups_and_active_companies(pg_dsn: str, groups: str) -> None:
    """From tables of any name; what is not there (a name, a contact) is left empty."""
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        connection.execute(_DATA.encode())
    schema = _schema(groups=groups)
    with Database(pg_dsn) as database:
        eva, max_ = read_users(database, schema)
        assert read_group_ids(database, schema) == {"shop.clerk": 7}
    assert (eva.id, eva.name, eva.company_id, eva.partner_id) == (5, "eva", 3, None)
    assert eva.company_ids == (1, 3)
    assert eva.groups == {7}
    assert not eva.groups_closed
    assert not max_.active


@pytest.mark.parametrize("missing", ["login", "active", "company_id"])
def test_missing_column_is_named(missing: str) -> None:
    """Before anything is read."""
    schema = _schema(users=[name for name in ("login", "active", "company_id") if name != missing])
    with pytest.raises(SettingsError, match=missing):
        read_users(_Nothing(), schema)


def test_missing_groups_are_named() -> None:
    """Nobody would have any."""
    with pytest.raises(SettingsError, match="`group_ids` or `groups_id`"):
        read_users(_Nothing(), _schema(groups=""))


def test_missing_models_are_named() -> None:
    """Which, and how to declare them."""
    nothing = Schema.of([])
    with pytest.raises(SettingsError, match=r"res\.users"):
        read_users(_Nothing(), nothing)
    with pytest.raises(SettingsError, match=r"res\.groups"):
        read_group_ids(_Nothing(), nothing)


def test_missing_tables_are_named(pg_dsn: str) -> None:
    """The models are there, the database is another."""
    with Database(pg_dsn) as database, pytest.raises(SettingsError, match="`account`"):
        read_users(database, _schema())
