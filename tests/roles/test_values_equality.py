"""Writing through SQL and through a session of the library let the same changes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from psycopg import sql
from psycopg.rows import dict_row

import vallum
from examples.trading import SECURITY, Base
from tests.roles.test_writing import (
    LINKED_ON_CREATION,
    Denied,
    allowed,
    attempt,
    created,
    insertable,
    sample,
    tables,
)
from tests.support.roles import Guarded
from vallum.facade.session import Session
from vallum.kernel import AccessDenied, Operation, VallumError
from vallum.schema import Model

PEOPLE = ("marie", "paul", "sofia", "isabel", "helene", "julia", "olaf", "bruno", "admin")


@pytest.fixture
def app(written: Guarded) -> Iterator[vallum.Vallum]:
    """The same company, to be written to by the library."""
    with vallum.open(written.dsn, metadata=Base, policy=SECURITY, writable=True) as opened:
        yield opened


def session_of(app: vallum.Vallum, login: str) -> Session:
    """Somebody's session, with all their companies."""
    return app.as_user(login, sorted(app.users.find(login).company_ids) or None)


def is_let(app: vallum.Vallum, change: Callable[..., object], *given: object) -> bool | None:
    """Whether the session does it, undone afterwards; None where what is refused is no matter of rights."""
    try:
        with (
            app.application.database.transaction() as connection,
            connection.transaction(force_rollback=True),
        ):
            change(*given)
    except AccessDenied:
        return False
    except VallumError:
        return None
    return True


def some(written: Guarded, model: Model, scope: set[int]) -> list[int]:
    return sample(written.connection, model.table, scope)


def rows_of(written: Guarded, user: int, statement: sql.Composed) -> int:
    """How many rows a statement reaches, undone afterwards."""
    try:
        with attempt(written, user) as connection:
            return connection.execute(statement).rowcount
    except Denied:
        return 0


@pytest.mark.parametrize("operation", [Operation.WRITE, Operation.UNLINK])
def test_session_and_sql_change_the_same_records(
    written: Guarded, app: vallum.Vallum, operation: Operation
) -> None:
    """SQL that names a record asks for reading it as well; nothing else differs."""
    wrong, agreed, refused = [], 0, 0
    for login in PEOPLE:
        session, user = session_of(app, login), app.users.find(login).id
        actor = session.actor
        assert actor
        for model in tables(written):
            scope = allowed(written, actor, model, operation)
            reads = allowed(written, actor, model, Operation.READ) or set()
            if any(
                at.model == model.name and at.reason.startswith(operation) for at in written.plan.read_only
            ):
                continue
            for record in some(written, model, scope or set()):
                table, own = sql.Identifier(model.table), sql.Literal(record)
                if operation is Operation.UNLINK:
                    theirs = is_let(app, session.unlink, model.name, record)
                    statement = sql.SQL("DELETE FROM {} WHERE id = {}").format(table, own)
                else:
                    theirs = is_let(app, session.write, model.name, record, {})
                    names = updatable(written, model, written.role(user))
                    if not names:
                        assert not theirs
                        continue
                    same = sql.Identifier(names[0])
                    form = sql.SQL("UPDATE {} SET {} = {} WHERE id = {}")
                    statement = form.format(table, same, same, own)
                mine = rows_of(written, user, statement) == 1
                if theirs is None:
                    # Other records hang on it: the database's own refusal, after rights and rules.
                    theirs = True
                agreed, refused = agreed + mine, refused + (not mine)
                if mine != (theirs and record in reads):
                    wrong.append((login, model.name, record, mine, theirs))
    assert wrong == []
    assert agreed > 50
    assert refused > 80


def updatable(written: Guarded, model: Model, role: str) -> list[str]:
    rows = written.connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped AND has_column_privilege(%s, attrelid, attnum, 'UPDATE')"
        " AND has_column_privilege(%s, attrelid, attnum, 'SELECT')",
        (f'"{model.table}"', role, role),
    )
    return [name for (name,) in rows]


def test_session_and_sql_create_the_same_records(written: Guarded, app: vallum.Vallum) -> None:
    """Copies of what is there; where the session's refusal is of another kind, nothing is compared."""
    wrong, made, refused = [], 0, 0
    for login in PEOPLE:
        session, user = session_of(app, login), app.users.find(login).id
        assert session.actor
        for model in tables(written):
            if model.name in LINKED_ON_CREATION:
                continue
            scope = allowed(written, session.actor, model, Operation.CREATE)
            names = insertable(written, model, written.role(user))
            for record in some(written, model, scope or set()):
                values = values_of(written, model, names, record)
                theirs = is_let(app, session.create, model.name, values)
                if theirs is None:
                    continue
                mine = bool(names) and created(written, user, model.table, names, record, triggers=True)
                made, refused = made + mine, refused + (not mine)
                if mine != theirs:
                    wrong.append((login, model.name, record, mine, theirs))
    assert wrong == []
    assert made > 50
    assert refused > 200


def values_of(written: Guarded, model: Model, names: list[str], record: int) -> dict[str, object]:
    if not names:
        return {}
    with written.connection.cursor(row_factory=dict_row) as cursor:
        query = sql.SQL("SELECT {} FROM {} WHERE id = {}").format(
            sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(model.table), record
        )
        row = cursor.execute(query).fetchone()
    assert row
    return {name: value for name, value in row.items() if value is not None}
