"""A plain SQL connection sees what Odoo shows: for every user and every model, no record more or less."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.odoo import OdooReference
from tests.support.roles import Guarded, open_odoo
from vallum.enforce import Query
from vallum.enforce.roles.apply import read_relations
from vallum.enforce.roles.names import RoleNames
from vallum.enforce.roles.plan import make_plan
from vallum.kernel import AccessDenied
from vallum.schema import Field, Model

pytestmark = pytest.mark.slow

Odoo = tuple[OdooReference, Guarded]
Denied = psycopg.errors.InsufficientPrivilege


def ids_of(connection: psycopg.Connection[Any], table: str) -> list[int] | None:
    """The ids a table shows; None where it is denied."""
    try:
        rows = connection.execute(sql.SQL("SELECT id FROM {}").format(sql.Identifier(table))).fetchall()
    except Denied:
        return None
    return sorted(row[0] for row in rows)


def widest(answers: Mapping[str, Any]) -> dict[int, Any]:
    """Per user the read scopes with all companies: the last that Odoo was asked for."""
    return {entry["user"]: entry for entry in answers["visible"] if entry["user"] != 1}


def scope_of(
    answers: Mapping[str, Any], entry: Mapping[str, Any], model: str, all_ids: list[int]
) -> list[int]:
    number = entry["rules"].get(model, {}).get("read")
    return all_ids if number is None else sorted(answers["idsets"][number])


def rights_of(answers: Mapping[str, Any]) -> dict[int, dict[str, str]]:
    return {entry["user"]: entry["models"] for entry in answers["access"]}


def test_every_user_sees_exactly_the_read_scope(odoo: Odoo) -> None:
    """And where no right grants reading, nothing at all."""
    reference, guarded = odoo
    answers = reference.answers("access")
    rights = rights_of(answers)
    tables = {model: info["table"] for model, info in answers["models"].items()}
    everything = {table: ids_of(guarded.connection, table) or [] for table in tables.values()}
    wrong, compared = [], 0
    for user, entry in widest(answers).items():
        guarded.become(user)
        for model, table in tables.items():
            granted = "r" in rights[user].get(model, "")
            expected = scope_of(answers, entry, model, everything[table]) if granted else None
            if ids_of(guarded.connection, table) != expected:
                wrong.append((user, model))
            compared += 1
        guarded.connection.execute("RESET ROLE")
    assert compared > 9_000
    assert wrong == []


def test_denied_columns_are_refused(odoo: Odoo) -> None:
    """Every stored field that Odoo denies a reader of its model."""
    reference, guarded = odoo
    answers = reference.answers("access")
    rights = rights_of(answers)
    columns = {name: r.columns for name, r in read_relations(guarded.connection).items()}
    tried, open_ones = 0, []
    for entry in answers["fields"]:
        if (user := entry["user"]) == 1:
            continue
        guarded.become(user)
        for model, fields in entry["denied"].items():
            if model not in answers["models"] or "r" not in rights[user].get(model, ""):
                continue
            table = answers["models"][model]["table"]
            for name in fields:
                field = guarded.application.schema.model(model).fields.get(name)
                if field is None or not field.stored or name not in columns[table]:
                    continue
                tried += 1
                query = sql.SQL("SELECT {} FROM {} LIMIT 0").format(
                    sql.Identifier(name), sql.Identifier(table)
                )
                try:
                    guarded.connection.execute(query)
                    open_ones.append((user, model, name))
                except (Denied, psycopg.errors.UndefinedColumn):
                    pass
        guarded.connection.execute("RESET ROLE")
    assert tried > 300
    assert open_ones == []


def test_default_locks_the_models_whose_code_hides_records(odoo: Odoo) -> None:
    """Record rules alone would show more of them than Odoo does."""
    _, guarded = odoo
    relations = read_relations(guarded.connection)
    plan = make_plan(guarded.application, relations, RoleNames.of("elsewhere"), users=[2])
    expected = {"mail.activity", "mail.message", "mail.scheduled.message"}
    assert {lock.model for lock in plan.locked if lock.model in guarded.application.schema} == expected
    granted = " ".join(item.make for item in plan.items if item.kind == "grant")
    for table in ("mail_activity", "mail_message", "mail_scheduled_message"):
        assert f'"{table}"' not in granted


def test_relation_tables_show_links_between_visible_records(odoo: Odoo) -> None:
    """A link is read by who may read both ends, and a field over it."""
    _, guarded = odoo
    schema = guarded.application.schema
    names = {i.name.split(" ")[0] for i in guarded.plan.items if i.kind == "grant"}
    pairs: dict[str | None, tuple[Model, Field, Model]] = {}
    tables = {model.table for model in schema.models.values()}
    for model in schema.models.values():
        for field in model.fields.values():
            if field.relation in tables or model.abstract:
                continue
            if field.type == "many2many" and field.comodel and f'"public"."{field.relation}"' in names:
                pairs.setdefault(field.relation, (model, field, schema.model(field.comodel)))
    assert len(pairs) > 100
    wrong, some = [], 0
    for user in [u.id for u in guarded.application.directory if u.id != 1]:
        guarded.become(user)
        for relation, (model, field, comodel) in pairs.items():
            mine, theirs = ids_of(guarded.connection, model.table), ids_of(guarded.connection, comodel.table)
            query = sql.SQL("SELECT {}, {} FROM {}").format(
                *(sql.Identifier(str(n)) for n in (field.column1, field.column2, relation))
            )
            try:
                found = set(guarded.connection.execute(query).fetchall())
            except Denied:
                continue
            guarded.connection.execute("RESET ROLE")
            links = guarded.connection.execute(query).fetchall()
            guarded.become(user)
            expected = {(a, b) for a, b in links if a in set(mine or ()) and b in set(theirs or ())}
            some += len(expected)
            if mine is None or theirs is None or found != expected:
                wrong.append((user, relation))
        guarded.connection.execute("RESET ROLE")
    assert wrong == []
    assert some > 1_000


WAYS = {
    "count": "SELECT count(*) FROM {t}",
    "join": "SELECT count(*) FROM {t} a JOIN {t} b ON a.id = b.id",
    "subquery": "SELECT count(*) FROM (SELECT id FROM {t} OFFSET 0) s WHERE id IN (SELECT id FROM {t})",
    "common table expression": "WITH all_of AS MATERIALIZED (SELECT id FROM {t}) SELECT count(*) FROM all_of",
    "union": "SELECT count(*) FROM (SELECT id FROM {t} UNION SELECT id FROM {t}) s",
    "lateral": "SELECT count(*) FROM {t} a, LATERAL (SELECT 1 FROM {t} b WHERE b.id = a.id) s",
    "sample": "SELECT count(*) FROM {t} TABLESAMPLE SYSTEM (100)",
    "only": "SELECT count(*) FROM ONLY {t}",
}


def _counted(connection: psycopg.Connection[Any], way: str, table: str) -> int:
    row = connection.execute(way.format(t=table).encode()).fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("table", ["res_partner", "crm_lead", "sale_order"])
def test_no_way_of_asking_gives_more(odoo: Odoo, table: str) -> None:
    """Signed in as the role itself."""
    _, guarded = odoo
    for user in _readers(guarded, table):
        with guarded.eyes(user) as connection:
            expected = ids_of(connection, table)
            assert expected is not None
            for way in WAYS.values():
                assert _counted(connection, way, table) == len(expected), way
            with connection.cursor().copy(f"COPY (SELECT id FROM {table}) TO STDOUT".encode()) as copy:
                assert sorted(int(row[0]) for row in copy.rows()) == expected
            with connection.transaction(), connection.cursor("c") as cursor:
                cursor.execute(f"SELECT id FROM {table}".encode())
                assert sorted(row[0] for row in cursor) == expected
            connection.execute(f"CREATE TEMP VIEW mine AS SELECT id FROM {table}".encode())
            assert ids_of(connection, "mine") == expected
            with pytest.raises(psycopg.Error):
                connection.execute(f"COPY {table} TO PROGRAM 'cat'".encode())


def _readers(guarded: Guarded, table: str) -> Iterable[int]:
    found = []
    for user in guarded.application.directory:
        if user.id != 1:
            guarded.become(user.id)
            if ids_of(guarded.connection, table) is not None:
                found.append(user.id)
            guarded.connection.execute("RESET ROLE")
    assert found
    return found[:6]


def test_the_setting_narrows_the_companies(odoo: Odoo) -> None:
    """Exactly to the scope Odoo gives with these companies; other users' companies change nothing."""
    reference, guarded = odoo
    answers = reference.answers("access")
    rights = rights_of(answers)
    tables = {model: info["table"] for model, info in answers["models"].items()}
    everything = {table: ids_of(guarded.connection, table) or [] for table in tables.values()}
    narrowed = 0
    for entry in answers["visible"]:
        user, companies = entry["user"], entry["companies"]
        if user == 1 or not companies:
            continue
        own = guarded.application.actor(user).company_ids
        foreign = [] if len(own) > 3 else [max(set(own) | {0}) + 1_000]
        guarded.become(user)
        wanted = ",".join(map(str, [*companies, *foreign]))
        guarded.connection.execute("SELECT set_config('vallum.companies', %s, false)", (wanted,))
        for model in entry["rules"]:
            if model in tables and "r" in rights[user].get(model, ""):
                expected = scope_of(answers, entry, model, everything[tables[model]])
                assert ids_of(guarded.connection, tables[model]) == expected, (user, companies, model)
                narrowed += 1
        guarded.connection.execute("RESET vallum.companies")
        guarded.connection.execute("RESET ROLE")
    assert narrowed > 1_000


@pytest.mark.parametrize("garbage", ["a", "1;2", "1,", "{1}", "99999999999", "1) OR (true"])
def test_garbage_in_the_setting_is_an_error(odoo: Odoo, garbage: str) -> None:
    """And an error denies."""
    _, guarded = odoo
    with guarded.eyes(2) as connection:
        connection.execute("SELECT set_config('vallum.companies', %s, false)", (garbage,))
        with pytest.raises(psycopg.DataError):
            connection.execute("SELECT id FROM res_partner")


def test_every_user_of_the_example_company_sees_what_a_search_finds(trading: Guarded) -> None:
    """With all their companies, inactive records included; the two enforcements agree."""
    relations = read_relations(trading.connection)
    wrong, compared = [], 0
    for user in trading.application.directory:
        if user.id == 1:
            continue
        actor = trading.application.actor(user.id, sorted(user.company_ids) or None)
        trading.become(user.id)
        for model in trading.application.schema.models.values():
            if model.abstract or model.table not in relations:
                continue
            try:
                expected: list[int] | None = sorted(
                    Query(trading.application, actor).search(model.name, [], active_test=False)
                )
            except AccessDenied:
                expected = None
            compared += 1
            if ids_of(trading.connection, model.table) != expected:
                wrong.append((user.login, model.name))
        trading.connection.execute("RESET ROLE")
    assert compared > 300
    assert wrong == []


def test_an_odoo_database_can_be_opened_again(odoo: Odoo) -> None:
    """What is applied is nothing to Odoo itself: its owner sees all, and the schema reads alike."""
    reference, guarded = odoo
    again = open_odoo(guarded.dsn, reference.registry)
    assert set(again.schema.models) == set(guarded.application.schema.models)
    again.database.close()
