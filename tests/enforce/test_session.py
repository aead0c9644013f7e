"""A guarded SQLAlchemy session reads what `Query` reads, however it is asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

import vallum
from examples.trading import SECURITY
from examples.trading import models as m
from vallum.enforce.session import Guard
from vallum.kernel import AccessDenied, FixedClock, SettingsError, UnknownUser

MODELS = [c for c in (getattr(m, name) for name in m.__all__) if c is not m.Base]


@pytest.fixture(scope="module")
def engine(company: str) -> Iterator[sa.Engine]:
    """The team's own engine."""
    made = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(company))
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def guarded(app: vallum.Vallum, engine: sa.Engine) -> Guard:
    """Sessions of the company's users."""
    return app.guard(orm.sessionmaker(engine))


def model_of(entity: Any) -> str:
    return str(entity.__table__.info["model"])


def test_every_user_reads_the_scope_of_every_model(app: vallum.Vallum, guarded: Guard) -> None:
    """The ids of each model are those of the user's search; where no right grants reading, it is refused."""
    compared = refused = 0
    for user in app.users:
        eyes = app.as_user(user.id)
        with guarded(user.id) as session:
            for entity in MODELS:
                try:
                    expected = sorted(eyes.search(model_of(entity), active_test=False))
                except AccessDenied:
                    with pytest.raises(AccessDenied):
                        session.scalars(sa.select(entity.id)).all()
                    refused += 1
                    continue
                assert sorted(session.scalars(sa.select(entity.id))) == expected, (user.login, entity)
                compared += 1
    assert compared > 200
    assert refused > 50


def test_an_entity_is_loaded_without_its_shut_columns(guarded: Guard) -> None:
    """And reading one is refused, before and after a commit; the others go on being read."""
    with guarded("marie") as session:
        one = session.scalars(sa.select(m.Employee).order_by(m.Employee.id)).first()
        assert one is not None
        assert one.name
        assert "salary" not in sa.inspect(one).dict
        for _ in range(2):
            with pytest.raises(AccessDenied, match="salary"):
                _ = one.salary
            session.commit()
            with pytest.raises(AccessDenied, match="salary"):
                _ = one.salary
            assert one.name
        session.refresh(one)
        with pytest.raises(AccessDenied, match="salary"):
            session.refresh(one, ["salary"])


def test_the_team_s_events_hear_of_guarded_statements(
    app: vallum.Vallum, engine: sa.Engine, guarded: Guard
) -> None:
    """Listeners on the factory, its class and its engine are kept."""
    heard: list[str] = []

    class Own(orm.Session):
        """A team's own session."""

        def greeting(self) -> str:
            return "hello"

    factory = orm.sessionmaker(engine, class_=Own, expire_on_commit=False, info={"a": 1})
    sa.event.listen(factory, "after_begin", lambda *_: heard.append("begin"))

    def statement(*given: Any) -> None:
        heard.append(given[2])

    sa.event.listen(engine, "before_cursor_execute", statement)
    try:
        with app.guard(factory)("marie", info={"b": 2}) as session:
            session.scalar(sa.select(sa.func.count()).select_from(m.Lead))
            assert session.greeting() == "hello"
            assert session.info == {"a": 1, "b": 2}
            assert not session.expire_on_commit
    finally:
        sa.event.remove(engine, "before_cursor_execute", statement)
    assert heard[0] == "begin"
    assert "crm_lead" in heard[1]


def test_only_what_can_be_guarded_is_taken(app: vallum.Vallum, engine: sa.Engine) -> None:
    """Another database, no engine, a connection, several engines: an error that says what to give."""
    asynchronous = create_async_engine("postgresql+psycopg://")
    wrong: list[Any] = [
        async_sessionmaker(),
        async_sessionmaker(asynchronous, binds={m.Lead: asynchronous}),
        async_sessionmaker(asynchronous, sync_session_class=lambda **_: orm.Session()),
        asynchronous.connect(),
        orm.sessionmaker(),
        orm.sessionmaker(sa.create_engine("sqlite://")),
        orm.sessionmaker(engine, binds={m.Lead: engine}),
        "postgresql://",
    ]
    for factory in wrong:
        with pytest.raises(SettingsError):
            app.guard(factory)
    with pytest.raises(SettingsError):
        app.guard(engine)("marie", bind=engine)
    with pytest.raises(SettingsError, match="crm_lead"):
        app.guard(engine, tables={"crm_lead"})
    with pytest.raises(UnknownUser):
        app.guard(engine)("nobody")


def test_active_companies_narrow_a_session(app: vallum.Vallum, guarded: Guard) -> None:
    """As they do for a user's search; company-dependent values are those of the active ones."""
    for companies in ([1], [1, 4]):
        expected = sorted(app.as_user("sofia", companies).search("sale.order", active_test=False))
        with guarded("sofia", companies) as session:
            assert sorted(session.scalars(sa.select(m.Order.id))) == expected
    open_to = next(
        u
        for u in app.users
        if u.active
        and "standard_price" in app.as_user(u.id).fields("product.product")
        and len(u.company_ids) > 1
    )
    with guarded(open_to.id, list(open_to.company_ids[:1])) as session:
        for price in session.scalars(sa.select(m.Product.standard_price).limit(5)):
            assert list(price or {}) == [str(open_to.company_ids[0])]


RULE = """<odoo><record id="rule_lead_today" model="ir.rule">
<field name="name">Leads: to come</field><field name="model_id" ref="trading.model_crm_lead"/>
<field name="domain_force">[('date_deadline', '&gt;=', time.strftime('%Y-%m-%d'))]</field></record></odoo>"""


def test_a_rule_about_today_is_bound_anew(company: str, engine: sa.Engine, tmp_path: Path) -> None:
    """A compiled statement is not used beyond the day it was made for."""
    folder = tmp_path / "trading" / "security"
    shutil.copytree(SECURITY, folder)
    (folder / "today.xml").write_text(RULE, encoding="utf-8")
    clock = FixedClock(datetime(2024, 1, 1, 12, tzinfo=UTC))
    with vallum.open(company, metadata=m.Base, policy=folder, clock=clock) as opened:
        guarded, counts = opened.guard(engine), []
        for _ in range(3):
            with guarded("sofia") as session:
                found = session.scalars(sa.select(m.Lead.date_deadline)).all()
            assert all(day is not None and day >= clock.now().date() for day in found)
            counts.append(len(found))
            eyes = opened.as_user("sofia")
            assert len(eyes.search("crm.lead", active_test=False)) == len(found)
            eyes.check("crm.lead", eyes.search("crm.lead", limit=5), "write")
            clock.advance(timedelta(days=150))
    assert counts[0] > counts[1] > counts[2] > 0
