"""What a statement that writes says twice, or by its star: the check holds what runs, not what was shown."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.dialects import postgresql

import vallum
from examples.trading import models as m
from examples.trading.selling import tags_of_lead
from vallum.enforce.session import Guard
from vallum.kernel import AccessDenied

LEADS: Final[Any] = m.Lead.__table__
PARTNERS: Final[Any] = m.Partner.__table__


@pytest.fixture
def mine(own: vallum.Vallum) -> int:
    """A lead that marie may write."""
    me = own.application.actor("marie").user_id
    return own.as_user("marie").search("crm.lead", [("user_id", "=", me)], limit=1)[0]


def test_returning_everything_is_refused(guard: Guard, own: vallum.Vallum) -> None:
    """`RETURNING *` would be of the table itself, with the columns that are shut."""
    with guard("marie") as session:
        change = sa.update(LEADS).where(LEADS.c.id == -1).values(name="x")
        stars: list[Any] = [sa.literal_column("*"), sa.literal_column(" * ")]
        for star in stars:
            with pytest.raises(AccessDenied):
                session.execute(change.returning(star))
            with pytest.raises(AccessDenied):
                session.execute(sa.insert(LEADS).values(name="x", company_id=1).returning(star))
        session.rollback()


def test_an_id_given_twice_is_not_checked_as_the_other(marie: orm.Session, mine: int, own: Any) -> None:
    """What the statement says wins over its parameters; so it is what is checked."""
    other = own.application.actor("erik").user_id
    made = sa.insert(LEADS).values(id=987_654, user_id=other)
    with pytest.raises((AccessDenied, sa.exc.SQLAlchemyError)):
        marie.execute(made, {"id": mine, "name": "planted", "company_id": 1})
    with pytest.raises((AccessDenied, sa.exc.SQLAlchemyError)):
        marie.execute(made, [{"id": mine, "name": "planted", "company_id": 1}])
    marie.rollback()


def test_a_link_given_twice_is_not_checked_as_the_other(
    marie: orm.Session, mine: int, hidden: int, engine: sa.Engine
) -> None:
    """Nor is one that a query gives."""
    columns = tags_of_lead.c
    lead, tag = (c.name for c in columns)
    with engine.connect() as plain:
        used = set(plain.scalars(sa.select(columns[tag]).where(columns[lead].in_([mine, hidden]))))
        free = next(t for t in plain.scalars(sa.select(m.Tag.id).order_by(m.Tag.id)) if t not in used)
    given = {lead: mine, tag: free}
    for statement in (
        sa.insert(tags_of_lead).values({lead: hidden}),
        sa.insert(tags_of_lead).values([{lead: hidden, tag: free}]),
        sa.insert(tags_of_lead).from_select(
            [lead, tag], sa.select(sa.literal(hidden).label("a"), sa.literal(free).label("b"))
        ),
    ):
        for values in (given, [given]):
            with pytest.raises((AccessDenied, sa.exc.SQLAlchemyError)):
                marie.execute(statement, values)
            marie.rollback()


def test_a_refusal_that_a_handler_swallows_still_holds(
    guard: Guard, engine: sa.Engine, own: vallum.Vallum
) -> None:
    """A handler of a flush that goes on after a refused insert: nothing can be committed."""
    other = own.application.actor("erik").user_id

    def sneak(session: orm.Session, *_: Any) -> None:
        with contextlib.suppress(AccessDenied):
            session.execute(sa.insert(LEADS).values(name="swallowed", company_id=1, user_id=other))

    with guard("marie") as session:
        event.listen(session, "before_flush", sneak)
        session.add(m.Lead(name="swallower", company_id=1, user_id=own.application.actor("marie").user_id))
        with pytest.raises(AccessDenied):
            session.commit()
        with pytest.raises(AccessDenied):
            session.commit()
        session.rollback()
    with engine.connect() as plain:
        found = plain.scalar(sa.select(sa.func.count()).where(LEADS.c.name.in_(["swallowed", "swallower"])))
    assert found == 0


def test_a_refusal_goes_with_its_savepoint(guard: Guard, own: vallum.Vallum) -> None:
    """Whoever takes back what was refused may go on and commit."""
    other = own.application.actor("erik").user_id
    with guard("marie") as session:
        for _ in range(2):
            savepoint = session.begin_nested()
            session.add(m.Lead(name="refused", company_id=1, user_id=other))
            with pytest.raises(AccessDenied):
                session.flush()
            savepoint.rollback()
        assert session.scalar(sa.select(sa.func.count()).where(LEADS.c.name == "refused")) == 0
        session.commit()


def test_a_record_stays_as_it_was_checked(
    guard: Guard, engine: sa.Engine, own: vallum.Vallum, mine: int
) -> None:
    """Whoever would give it away between the check and the update has to wait."""
    taken: list[str] = []

    def between(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE crm_lead") and connection.engine is not engine and not taken:
            with engine.connect() as plain:
                plain.exec_driver_sql("SET lock_timeout = '100ms'")
                try:
                    plain.execute(sa.update(LEADS).where(LEADS.c.id == mine).values(user_id=None))
                except sa.exc.OperationalError as error:
                    taken.append(type(error.orig).__name__)
                else:
                    taken.append("changed")

    event.listen(engine, "before_cursor_execute", between)
    try:
        with guard("marie") as session:
            session.get_one(m.Lead, mine).name = "renamed"
            session.flush()
            session.rollback()
    finally:
        event.remove(engine, "before_cursor_execute", between)
    assert taken == ["LockNotAvailable"]


def test_a_type_holds_no_sql(marie: orm.Session) -> None:
    """Its length, precision and fields are written as they are given."""
    more: Any = "5)), (SELECT max(salary) FROM hr_employee), (cast('a' as char(5)"
    for kind in (
        sa.String(length=more),
        sa.Numeric(more, 1),
        postgresql.INTERVAL(fields="YEAR), (SELECT 1"),
        sa.ARRAY(sa.String(length=more)),
    ):
        with pytest.raises(AccessDenied):
            marie.execute(sa.select(sa.cast(m.Lead.name, kind)))
    plain = sa.select(
        sa.cast("a", sa.String(5, collation="C")),
        sa.cast("2024-01-01", sa.DateTime(timezone=True)),
        sa.cast("1.5", sa.Numeric(10, 2)),
        sa.cast([[1]], sa.ARRAY(sa.Integer, dimensions=2)),
        sa.cast("1 day", postgresql.INTERVAL(precision=3)),
    )
    assert len(marie.execute(plain).one()) == 5
