"""A guarded SQLAlchemy session beside the same ORM statements with the conditions written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from bench.query import _fill
from bench.server import scratch_server
from bench.table import Row, interleaved, seconds

LEADS = 200_000


def run(*, quick: bool = False) -> list[Row]:
    """Rows for objects, a count, a join, an eager load, one by its id, a first statement and a write."""
    leads = LEADS // 10 if quick else LEADS
    with scratch_server() as server:
        server.create_database("trading")
        dsn = server.dsn("trading")
        _fill(dsn, leads)
        return _measure(dsn, leads, rounds=15 if quick else 101)


def _measure(dsn: str, leads: int, rounds: int) -> list[Row]:
    import sqlalchemy as sa
    import trading
    from sqlalchemy import orm
    from trading.models import Lead, Partner

    import vallum

    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    plain = orm.sessionmaker(engine)
    with vallum.open(dsn, metadata=trading.Base, policy=[trading.SECURITY]) as opened:
        guarded, marie = opened.guard(plain), opened.as_user("marie").actor
        if marie is None:
            raise AssertionError("marie is no superuser")
        me, companies = marie.user_id, list(marie.companies)

        def own(lead: Any) -> Any:
            return sa.and_(
                sa.or_(lead.company_id.in_(companies), lead.company_id.is_(None)),
                sa.or_(lead.user_id == me, lead.user_id.is_(None)),
            )

        partner = sa.and_(
            sa.or_(Partner.company_id.in_(companies), Partner.company_id.is_(None)),
            sa.or_(Partner.type != "private", Partner.type.is_(None)),
        )
        newest = sa.select(Lead).order_by(Lead.create_date.desc(), Lead.id.desc()).limit(80)
        count = sa.select(sa.func.count()).select_from(Lead)
        joined = sa.select(Lead.id, Partner.name).join(Lead.partner).order_by(Lead.id).limit(80)
        eager = newest.options(orm.selectinload(Lead.partner))
        ways: list[tuple[str, Any, Any]] = [
            ("80 objects, newest first", newest, newest.where(own(Lead))),
            ("80 objects with their partners, newest first", eager, eager.where(own(Lead))),
            ("two columns of a join, 80 rows", joined, joined.where(own(Lead), partner)),
            ("count", count, count.where(own(Lead))),
        ]
        first = seconds(lambda: _asked(lambda: guarded("marie"), newest), rounds=1)
        rows = []
        for what, ours, theirs in ways:
            if _asked(lambda: guarded("marie"), ours) != _asked(plain, theirs):
                raise AssertionError(f"another answer: {what}")
            mine, other = interleaved(
                lambda statement=ours: _asked(lambda: guarded("marie"), statement),
                lambda statement=theirs: _asked(plain, statement),
                rounds=rounds,
            )
            rows.append(_row(f"guarded session over {leads:,} leads: {what}", mine, other))
        rows.append(_write(guarded, plain, Lead, own, leads, rounds))
    engine.dispose()
    return [*rows, Row("guarded session: first statement of an actor, compiled", f"{first * 1e3:.2f} ms")]


def _write(guarded: Any, plain: Any, lead: Any, own: Any, leads: int, rounds: int) -> Row:
    """An object got, changed, flushed and rolled back; each in a session of its own."""
    import sqlalchemy as sa

    with plain() as session:
        one = session.scalar(sa.select(sa.func.max(lead.id)).where(own(lead)))

    def change(make: Callable[[], Any]) -> None:
        with make() as session:
            found = session.scalars(sa.select(lead).where(lead.id == one)).one()
            found.contact_name = "changed"
            session.flush()
            session.rollback()

    mine, other = interleaved(lambda: change(lambda: guarded("marie")), lambda: change(plain), rounds=rounds)
    return _row(
        f"guarded session over {leads:,} leads: one got, changed and flushed, unchecked by hand", mine, other
    )


def _row(what: str, mine: float, other: float) -> Row:
    ratio = mine / other
    return Row(what, f"{mine * 1e3:.2f} ms", f"conditions by hand {other * 1e3:.2f} ms", f"{ratio:.2f} ×")


def _asked(make: Callable[[], Any], statement: Any) -> list[Any]:
    with make() as session:
        return [getattr(found, "id", found) for found in session.execute(statement).scalars()]
