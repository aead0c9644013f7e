"""Writing through SQL: for every user and model, exactly what the rights and rules for it let through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.roles import Guarded
from vallum.domain import root
from vallum.domain.sql import select_ids
from vallum.enforce.statement import compiled
from vallum.kernel import Operation
from vallum.policy import Actor, decide
from vallum.schema import Model

Connection = psycopg.Connection[Any]
Denied = psycopg.errors.InsufficientPrivilege


def tables(guarded: Guarded) -> list[Model]:
    """The models that have a table."""
    relations = {
        name
        for (name,) in guarded.connection.execute(
            "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
    }
    models = guarded.application.schema.models.values()
    return [m for m in models if not m.abstract and m.table in relations]


def actors(guarded: Guarded) -> list[Actor]:
    """Everybody, with all their companies."""
    application = guarded.application
    return [
        application.actor(user.id, sorted(user.company_ids) or None)
        for user in application.directory
        if user.id != 1
    ]


def allowed(guarded: Guarded, actor: Actor, model: Model, operation: Operation) -> set[int] | None:
    """The ids that the policy leaves, as the application itself decides; None where no right grants it."""
    application = guarded.application
    if any(at.model == model.name and at.reason.startswith(operation) for at in guarded.plan.read_only):
        return None
    if not decide(application.policy, actor, operation, model.name).allowed:
        return None
    rules = application.access(actor).rules(model, application.env(actor, active_test=False), operation)
    text, values = compiled(select_ids(root(model), rules))
    return {row[0] for row in application.database.rows(text, values)}


@contextmanager
def attempt(guarded: Guarded, user: int, *, triggers: bool = False) -> Iterator[Connection]:
    """As the user, without triggers or foreign keys in the way, and undone afterwards."""
    connection = guarded.connection
    with connection.transaction(force_rollback=True):
        if not triggers:
            connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(f'SET LOCAL ROLE "{guarded.role(user)}"'.encode())
        yield connection


def ids(connection: Connection, table: str, where: str = "true") -> set[int]:
    query = sql.SQL("SELECT id FROM {} WHERE " + where).format(sql.Identifier(table))
    return {row[0] for row in connection.execute(query)}


def setting(guarded: Guarded, model: Model, role: str) -> sql.Composed:
    """A column of the table that the role may set, to nothing if it may be empty."""
    row = guarded.connection.execute(
        "SELECT a.attname::text, a.attnotnull FROM pg_attribute a WHERE a.attrelid = %s::regclass"
        " AND a.attnum > 0 AND NOT a.attisdropped AND (NOT a.attnotnull OR a.atttypid = 'varchar'::regtype)"
        " AND has_column_privilege(%s, a.attrelid, a.attnum, 'UPDATE') ORDER BY a.attnotnull LIMIT 1",
        (f'"{model.table}"', role),
    ).fetchone()
    name, filled = row or ("id", False)
    return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal("" if filled else None))


def test_what_cannot_be_held_is_read_only(written: Guarded) -> None:
    """A comparison with a date of the user's company has no one form; nobody may write those."""
    found = {(at.model, at.reason.split(":")[0]) for at in written.plan.read_only}
    assert found == {("account.move", "write")}


def test_every_user_writes_exactly_the_write_scope(written: Guarded) -> None:
    """No condition is looked at, so reading takes no part."""
    wrong, compared, some = [], 0, 0
    for actor in actors(written):
        for model in tables(written):
            expected = allowed(written, actor, model, Operation.WRITE)
            change = setting(written, model, written.role(actor.user_id))
            compared += 1
            with attempt(written, actor.user_id) as connection:
                query = sql.SQL("UPDATE {} SET {}").format(sql.Identifier(model.table), change)
                try:
                    connection.execute(query)
                    connection.execute("RESET ROLE")
                    found: set[int] | None = ids(connection, model.table, "xmin = pg_current_xact_id()::xid")
                except Denied:
                    found = None
                    raise psycopg.Rollback from None
            some += len(found or ())
            if found != expected:
                wrong.append((actor.login, model.name))
    assert wrong == []
    assert compared > 300
    assert some > 5_000


def test_every_user_unlinks_exactly_the_unlink_scope(written: Guarded) -> None:
    """And nothing where no right grants it."""
    wrong, some = [], 0
    everything = {model.table: ids(written.connection, model.table) for model in tables(written)}
    for actor in actors(written):
        for model in tables(written):
            expected = allowed(written, actor, model, Operation.UNLINK)
            with attempt(written, actor.user_id) as connection:
                try:
                    connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(model.table)))
                    connection.execute("RESET ROLE")
                    found: set[int] | None = everything[model.table] - ids(connection, model.table)
                except Denied:
                    found = None
                    raise psycopg.Rollback from None
            some += len(found or ())
            if found != expected:
                wrong.append((actor.login, model.name))
    assert wrong == []
    assert some > 1_000


def test_every_user_creates_exactly_what_the_create_rules_let_through(written: Guarded) -> None:
    """Copies of records there are: those in the create scope pass, no others."""
    wrong, passed, refused = [], 0, 0
    for model in tables(written):
        if model.name in LINKED_ON_CREATION:
            continue
        for actor in actors(written):
            expected = allowed(written, actor, model, Operation.CREATE)
            names = insertable(written, model, written.role(actor.user_id))
            if expected is None:
                assert names == []
                continue
            for row in sample(written.connection, model.table, expected):
                made = created(written, actor.user_id, model.table, names, row)
                passed, refused = passed + made, refused + (not made)
                if made != (row in expected):
                    wrong.append((actor.login, model.name, row))
    assert wrong == []
    assert passed > 300
    assert refused > 100


# Their rules look for links to the new record, which cannot be there before it: nobody creates any.
LINKED_ON_CREATION = frozenset({"project.task"})


def insertable(guarded: Guarded, model: Model, role: str) -> list[str]:
    rows = guarded.connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND has_column_privilege(%s, attrelid, attnum, 'INSERT')",
        (f'"{model.table}"', role),
    )
    return [name for (name,) in rows]


def sample(connection: Connection, table: str, scope: set[int]) -> list[int]:
    """Some within the scope and some without."""
    everything = sorted(ids(connection, table))
    return [i for i in everything if i in scope][:4] + [i for i in everything if i not in scope][:4]


def created(
    guarded: Guarded, user: int, table: str, names: list[str], row: int, *, triggers: bool = False
) -> bool:
    """Whether a copy of the record passes the policies: any other complaint of PostgreSQL comes later."""
    connection = guarded.connection
    query = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM pg_temp.of_all").format(
        sql.Identifier(table),
        *[sql.SQL(", ").join(map(sql.Identifier, names))] * 2,
    )
    try:
        with attempt(guarded, user, triggers=triggers):
            connection.execute("RESET ROLE")
            connection.execute(
                sql.SQL("CREATE TEMP TABLE of_all AS SELECT * FROM {} WHERE id = {}").format(
                    sql.Identifier(table), row
                )
            )
            connection.execute("GRANT SELECT ON pg_temp.of_all TO PUBLIC")
            connection.execute(f'SET LOCAL ROLE "{guarded.role(user)}"'.encode())
            connection.execute(query)
    except Denied:
        return False
    except psycopg.IntegrityError:
        return True
    return True


def test_links_to_what_is_made_stand_in_the_way_of_making_it(written: Guarded) -> None:
    """Stricter than the application: a task of one's own needs the link that makes it one's own."""
    user = written.application.actor("marie").user_id
    with pytest.raises(Denied), attempt(written, user) as connection:
        connection.execute("INSERT INTO project_task (name, active) VALUES ('mine', true)")


def test_a_condition_asks_for_reading_as_well(written: Guarded) -> None:
    """Stricter than the application: PostgreSQL holds what a condition looks at against the read rules."""
    wrong, compared, left = [], 0, 0
    for actor in actors(written):
        for model in tables(written):
            writes = allowed(written, actor, model, Operation.WRITE)
            reads = allowed(written, actor, model, Operation.READ)
            if not writes or reads is None:
                continue
            change = setting(written, model, written.role(actor.user_id))
            query = sql.SQL("UPDATE {} SET {} WHERE id > 0 RETURNING id")
            statement = query.format(sql.Identifier(model.table), change)
            found: set[int] | None = None
            with suppress(Denied), attempt(written, actor.user_id) as connection:
                found = {row[0] for row in connection.execute(statement)}
            if found is None:
                # The change would move a record out of sight, which is refused as well.
                left += 1
            elif found != writes & reads:
                wrong.append((actor.login, model.name))
            compared += 1
    assert wrong == []
    assert compared > 80
    assert left < compared / 4


# Who has written, and what nobody may


@pytest.fixture
def marie(written: Guarded) -> Iterator[Connection]:
    """A session as a salesman, undone afterwards."""
    user = written.application.actor("marie").user_id
    with written.eyes(user) as connection, connection.transaction(force_rollback=True):
        yield connection


def test_the_stamp_says_who_and_when(written: Guarded, marie: Connection) -> None:
    """In UTC, whatever the time zone of the session."""
    user = written.application.actor("marie").user_id
    marie.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
    row = marie.execute(
        "INSERT INTO crm_lead (name, type, user_id, company_id, active) SELECT 'new', type, user_id,"
        " company_id, true FROM crm_lead WHERE user_id = %s LIMIT 1 RETURNING create_uid, write_uid,"
        " create_date = (now() AT TIME ZONE 'UTC')::timestamp, write_date = create_date, id > 0",
        (user,),
    ).fetchone()
    assert row == (user, user, True, True, True)


def test_the_owner_is_not_stamped(written: Guarded) -> None:
    """The application goes on saying itself who has written."""
    with written.connection.transaction(force_rollback=True):
        row = written.connection.execute(
            "UPDATE crm_lead SET write_uid = 2, write_date = '2020-01-01' WHERE id = (SELECT min(id)"
            " FROM crm_lead) RETURNING write_uid, write_date::date::text"
        ).fetchone()
    assert row == (2, "2020-01-01")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO crm_lead (id, name) VALUES (1, 'x')",
        "INSERT INTO crm_lead (name, create_uid) VALUES ('x', 2)",
        "UPDATE crm_lead SET write_uid = 2",
        "UPDATE crm_lead SET id = id + 1000000",
        "TRUNCATE crm_lead",
        "CREATE TRIGGER t BEFORE UPDATE ON crm_lead EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "ALTER TABLE crm_lead DISABLE TRIGGER vallum_stamp",
        "ALTER TABLE crm_lead DISABLE TRIGGER vallum_refer",
        "SET session_replication_role = replica",
        "SELECT setval('crm_lead_id_seq', 1)",
        "COPY crm_lead (id, name) FROM STDIN",
        "MERGE INTO crm_lead l USING (SELECT 1 AS id) s ON l.id = s.id WHEN MATCHED THEN UPDATE SET id = 5",
        "DROP TRIGGER vallum_stamp ON crm_lead",
        "CREATE RULE r AS ON INSERT TO crm_lead DO INSTEAD NOTHING",
    ],
)
def test_what_nobody_may(marie: Connection, statement: str) -> None:
    """Ids and stamps are given, never chosen; no privilege goes around the rows."""
    with pytest.raises(Denied):
        marie.execute(statement.encode())


def test_no_privilege_goes_around_the_rows(written: Guarded) -> None:
    """TRUNCATE, REFERENCES and TRIGGER are granted to no role of Vallum's, on no table."""
    found = written.connection.execute(
        "SELECT DISTINCT a.privilege_type FROM pg_class c, aclexplode(c.relacl) a"
        " JOIN pg_roles r ON r.oid = a.grantee WHERE starts_with(r.rolname, %s)",
        (written.plan.names.prefix,),
    ).fetchall()
    assert {name for (name,) in found} == {"SELECT", "DELETE", "USAGE"}
    columns = written.connection.execute(
        "SELECT DISTINCT a.privilege_type FROM pg_attribute c, aclexplode(c.attacl) a"
        " JOIN pg_roles r ON r.oid = a.grantee WHERE starts_with(r.rolname, %s)",
        (written.plan.names.prefix,),
    ).fetchall()
    assert {name for (name,) in columns} == {"SELECT", "INSERT", "UPDATE"}


def test_conflict_with_a_hidden_record_changes_nothing(written: Guarded, marie: Connection) -> None:
    """`ON CONFLICT DO UPDATE` reaches no row that neither reading nor writing reaches."""
    hidden = written.connection.execute(
        "SELECT name FROM sale_order WHERE company_id NOT IN (SELECT company_id FROM vallum_private.companies"
        " WHERE role_name = %s) LIMIT 1",
        (written.role(written.application.actor("marie").user_id),),
    ).fetchone()
    assert hidden
    with pytest.raises(Denied, match=r"row-level security|permission denied"):
        marie.execute(
            "INSERT INTO sale_order (name, partner_id, company_id, user_id)"
            " SELECT %s, partner_id, company_id, user_id FROM sale_order LIMIT 1"
            " ON CONFLICT (name) DO UPDATE SET name = 'taken'",
            hidden,
        )


def test_merge_reaches_no_hidden_record(written: Guarded, marie: Connection) -> None:
    """`MERGE` finds and changes what reading and writing do, and `COPY FROM` goes around neither."""
    seen = {i for (i,) in marie.execute("SELECT id FROM crm_lead")}
    everything = {i for (i,) in written.connection.execute("SELECT id FROM crm_lead")}
    hidden = min(everything - seen)
    merge = (
        "MERGE INTO crm_lead l USING (SELECT unnest(%s::int[]) AS id) s ON l.id = s.id"
        " WHEN MATCHED THEN UPDATE SET name = 'taken'"
    )
    assert marie.execute(merge, ([hidden],)).rowcount == 0
    taken = written.connection.execute("SELECT name = 'taken' FROM crm_lead WHERE id = %s", (hidden,))
    assert taken.fetchone() == (False,)
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        marie.execute("COPY crm_lead (name) FROM STDIN")


def test_unique_violation_shows_no_value(written: Guarded, marie: Connection) -> None:
    """That the name is taken cannot be kept secret; what stands beside it can."""
    hidden = written.connection.execute(
        "SELECT name FROM sale_order WHERE company_id NOT IN (SELECT company_id FROM vallum_private.companies"
        " WHERE role_name = %s) LIMIT 1",
        (written.role(written.application.actor("marie").user_id),),
    ).fetchone()
    assert hidden
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        marie.execute(
            "INSERT INTO sale_order (name, partner_id, company_id, user_id)"
            " SELECT %s, partner_id, company_id, user_id FROM sale_order LIMIT 1",
            hidden,
        )
    assert refused.value.diag.message_detail is None


def test_foreign_key_tells_nothing_of_what_is_hidden(written: Guarded, marie: Connection) -> None:
    """To refer to a hidden record is refused as to one that is not there."""
    actor = written.application.actor("marie")
    actor = written.application.actor("marie", sorted(actor.company_ids))
    partner = written.application.schema.model("res.partner")
    seen = allowed(written, actor, partner, Operation.READ) or set()
    hidden = min(ids(written.connection, "res_partner") - seen)
    told = []
    for wanted in (hidden, 999_999_999):
        with pytest.raises(Denied, match="may read") as refused, marie.transaction():
            marie.execute("UPDATE crm_lead SET partner_id = %s", (wanted,))
        # As a word: the names of roles hold the number of a process.
        told.append(re.sub(rf"\b{wanted}\b", "N", str(refused.value.diag.message_primary)))
    assert told[0] == told[1]
    assert marie.execute("UPDATE crm_lead SET partner_id = %s", (max(seen),)).rowcount > 0


def test_reference_that_stays_is_not_asked_about(written: Guarded, marie: Connection) -> None:
    """A lead may be renamed, whatever else hangs on it."""
    assert marie.execute("UPDATE crm_lead SET name = 'renamed', partner_id = partner_id").rowcount > 0


def test_a_record_may_leave_ones_own_scope(written: Guarded, marie: Connection) -> None:
    """As in Odoo, writing is held against the record as it was; the other way is shut."""
    user = written.application.actor("marie").user_id
    other = written.application.actor("julia").user_id
    cursor = marie.execute("UPDATE crm_lead SET user_id = %s", (other,))
    assert cursor.rowcount > 0
    assert marie.execute("SELECT count(*) FROM crm_lead").fetchone() == (0,)
    assert marie.execute("UPDATE crm_lead SET user_id = %s", (user,)).rowcount == 0


def links_of(written: Guarded) -> list[tuple[str, str, str, Model, Model]]:
    """Relation tables with one field: table, the column of its owner, the other, and both models."""
    schema = written.application.schema
    found: dict[str, list[tuple[str, str, str, Model, Model]]] = {}
    for model in tables(written):
        for field in model.fields.values():
            if field.type == "many2many" and field.stored and field.relation and not field.groups:
                comodel = schema.model(field.comodel or "")
                entry = (field.relation, field.column1 or "", field.column2 or "", model, comodel)
                found.setdefault(field.relation, []).append(entry)
    return [each[0] for each in found.values() if len(each) == 1]


def test_links_are_removed_by_whoever_may_write_their_record(written: Guarded) -> None:
    """And read both ends; by no right on the record at the other end."""
    wrong, removed, kept = [], 0, 0
    for table, column1, column2, model, comodel in links_of(written):
        for actor in actors(written):
            expected = {
                operation: allowed(written, actor, of, operation)
                for of, operation in ((model, Operation.READ), (model, Operation.WRITE))
            }
            theirs = allowed(written, actor, comodel, Operation.READ)
            every = written.connection.execute(
                sql.SQL("SELECT {}, {} FROM {}").format(*map(sql.Identifier, (column1, column2, table)))
            ).fetchall()
            mine, writes = expected[Operation.READ], expected[Operation.WRITE]
            with attempt(written, actor.user_id) as connection:
                try:
                    gone = connection.execute(
                        sql.SQL("DELETE FROM {}").format(sql.Identifier(table))
                    ).rowcount
                except Denied:
                    gone = 0
                    raise psycopg.Rollback from None
            may = {(a, b) for a, b in every if a in (mine or ()) and a in (writes or ())}
            may = {(a, b) for a, b in may if b in (theirs or ())}
            removed, kept = removed + gone, kept + len(every) - gone
            if gone != len(may):
                wrong.append((actor.login, table, gone, len(may)))
    assert wrong == []
    assert removed > 100
    assert kept > 100
