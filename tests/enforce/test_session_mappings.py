"""Mappings of every kind over the same tables: what a class looks like changes nothing of what is seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.util import immutabledict

import vallum
from examples.trading import models as m
from vallum.enforce.session import Guard
from vallum.kernel import AccessDenied

LEAD: Final[Any] = m.Lead.__table__
PARTNER: Final[Any] = m.Partner.__table__
EMPLOYEE: Final[Any] = m.Employee.__table__
USER: Final[Any] = m.User.__table__
SAME: Final = tuple(c.name for c in EMPLOYEE.c if c.name in PARTNER.c and c.name != "id")


class Other(orm.DeclarativeBase):
    """Other classes over the company's tables."""

    metadata = m.Base.metadata


class AnyLead(Other):
    """Single-table inheritance."""

    __table__ = LEAD
    __mapper_args__ = immutabledict({"polymorphic_on": LEAD.c.type})


class Opportunity(AnyLead):
    """One of its kinds."""

    __mapper_args__ = immutabledict({"polymorphic_identity": "opportunity"})


class Plain(AnyLead):
    """The other one."""

    __mapper_args__ = immutabledict({"polymorphic_identity": "lead"})


class Contact(Other):
    """The parent of joined-table inheritance."""

    __table__ = PARTNER
    leads = orm.relationship(
        AnyLead, primaryjoin=orm.foreign(LEAD.c.partner_id) == PARTNER.c.id, lazy="write_only", viewonly=True
    )
    moving = orm.relationship(
        AnyLead, primaryjoin=orm.foreign(LEAD.c.partner_id) == PARTNER.c.id, lazy="dynamic", viewonly=True
    )
    eager = orm.relationship(
        AnyLead, primaryjoin=orm.foreign(LEAD.c.partner_id) == PARTNER.c.id, lazy="joined", viewonly=True
    )
    count = orm.column_property(
        sa.select(sa.func.count())
        .where(LEAD.c.partner_id == PARTNER.c.id)
        .correlate(PARTNER)
        .scalar_subquery()
    )


class Staff(Contact):
    """Its child: the tables are joined by their ids."""

    __table__ = EMPLOYEE
    id = orm.column_property(EMPLOYEE.c.id, PARTNER.c.id)
    __mapper_args__ = immutabledict(
        {
            "inherit_condition": EMPLOYEE.c.id == PARTNER.c.id,
            "exclude_properties": SAME,
        }
    )


class Worker(Other):
    """Properties that are made of shut columns, and one that is given by the query."""

    __table__ = EMPLOYEE
    yearly = orm.column_property(EMPLOYEE.c.salary * 12)
    given = orm.query_expression(sa.null())
    user = orm.relationship(
        "Account", primaryjoin=orm.foreign(EMPLOYEE.c.user_id) == USER.c.id, lazy="joined", viewonly=True
    )

    @hybrid_property
    def monthly(self) -> Any:
        """A hybrid over a shut column."""
        return self.salary / 12  # type: ignore[attr-defined]


class Account(Other):
    """A user, with what the class joins on its own."""

    __table__ = USER
    workers = orm.relationship(
        Worker, primaryjoin=orm.foreign(EMPLOYEE.c.user_id) == USER.c.id, lazy="joined", viewonly=True
    )


@pytest.fixture(scope="module")
def guard(app: vallum.Vallum, company: str) -> Iterator[Guard]:
    """Sessions of the company's users."""
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(company))
    yield app.guard(orm.scoped_session(orm.sessionmaker(engine)))
    engine.dispose()


@pytest.fixture
def marie(guard: Guard) -> Iterator[Any]:
    """A salesperson's session."""
    with guard("marie") as session:
        yield session


@pytest.fixture
def seen(app: vallum.Vallum) -> list[int]:
    """The leads marie may see."""
    return sorted(app.as_user("marie").search("crm.lead", active_test=False))


def test_kinds_of_a_single_table_are_filtered(marie: Any, seen: list[int]) -> None:
    """All of them, one by one and as one."""
    assert sorted(o.id for o in marie.scalars(sa.select(AnyLead))) == seen
    kinds = [*marie.scalars(sa.select(Opportunity)), *marie.scalars(sa.select(Plain))]
    assert sorted(o.id for o in kinds) == seen
    poly = orm.with_polymorphic(AnyLead, "*", aliased=True)
    assert sorted(marie.scalars(sa.select(poly.id))) == seen


def test_tables_that_are_joined_are_both_filtered(marie: Any, app: vallum.Vallum) -> None:
    """A child is seen where its rows of both tables are, without its shut columns."""
    eyes = app.as_user("marie")
    both = set(eyes.search("hr.employee", active_test=False))
    both &= set(eyes.search("res.partner", active_test=False))
    found = marie.scalars(sa.select(Staff)).unique().all()
    assert {o.id for o in found} == both
    assert both
    with pytest.raises(AccessDenied):
        _ = found[0].salary


def test_collections_hold_what_is_seen(marie: Any, app: vallum.Vallum, seen: list[int]) -> None:
    """Write-only, dynamic, joined by the class, counted by a property."""
    eyes, busy = app.as_user("marie"), 0
    for contact in marie.scalars(sa.select(Contact).order_by(PARTNER.c.id).limit(300)).unique():
        mine = sorted(eyes.search("crm.lead", [("partner_id", "=", contact.id)], active_test=False))
        assert sorted(o.id for o in marie.scalars(contact.leads.select())) == mine
        assert sorted(o.id for o in contact.moving) == mine
        assert sorted(o.id for o in contact.eager) == mine
        assert contact.moving.count() == contact.count == len(mine)
        busy += len(mine) > 0
    assert busy > 3


def test_what_is_made_of_shut_columns_is_shut(marie: Any) -> None:
    """Column properties, hybrids and expressions given by the query; the object itself is loaded."""
    worker = marie.scalars(sa.select(Worker)).first()
    assert worker.work_email
    for name in ("yearly", "salary", "monthly"):
        with pytest.raises(AccessDenied):
            getattr(worker, name)
    marie.commit()
    with pytest.raises(AccessDenied):
        _ = worker.yearly
    assert worker.work_email
    for column in (Worker.yearly, Worker.monthly):
        with pytest.raises(AccessDenied):
            marie.execute(sa.select(column))
    expression = orm.with_expression(Worker.given, EMPLOYEE.c.salary + 1)
    with pytest.raises(AccessDenied):
        marie.scalars(sa.select(Worker).options(expression)).first()


def test_eager_classes_do_not_bring_shut_columns(marie: Any) -> None:
    """At any depth that a class joins by itself."""
    account = marie.scalars(sa.select(Account).where(Account.workers.any())).unique().first()
    worker = account.workers[0]
    assert "salary" not in sa.inspect(worker).dict
    assert "yearly" not in sa.inspect(worker).dict
    with pytest.raises(AccessDenied):
        _ = worker.salary


def test_who_may_see_a_column_reads_it(guard: Guard, app: vallum.Vallum) -> None:
    """The same classes in the session of human resources' manager."""
    login = next(
        u.login for u in app.users if u.active and "salary" in app.as_user(u.id).fields("hr.employee")
    )
    with guard(login) as session:
        worker: Any = session.scalars(sa.select(Worker)).first()
        assert worker.yearly == worker.salary * 12
        session.commit()
        assert worker.monthly == worker.salary / 12


def test_statements_are_compiled_once_per_actor(guard: Guard) -> None:
    """Other values, and other sessions of the same user, use what was compiled; other users do not."""
    with guard("marie") as session:
        cache = session.get_bind()._compiled_cache
        session.scalars(sa.select(m.Lead.id).where(m.Lead.id == 1)).all()
        size = len(cache)
    for value in range(5):
        with guard("marie") as session:
            assert session.get_bind()._compiled_cache is cache
            session.scalars(sa.select(m.Lead.id).where(m.Lead.id == value)).all()
    assert len(cache) == size
    with guard("paul") as session:
        assert session.get_bind()._compiled_cache is not cache
