"""Create and write 1, 100 and 1,000 records as an actor, beside SQLAlchemy Core statements written by hand.

The peer inserts and updates the same columns in one transaction, and checks nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bench.server import scratch_server
from bench.table import Row, interleaved

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIZES = (1, 100, 1_000)


def run(*, quick: bool = False) -> list[Row]:
    """Rows for `create` and for `write`."""
    sys.path.insert(0, str(EXAMPLES))
    import trading

    import vallum

    rounds = 7 if quick else 31
    with scratch_server() as server:
        dsn = server.create_database("trading")
        trading.generate(dsn, rows=10_000)
        engine = sa.create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))
        with vallum.open(dsn, metadata=trading.Base, policy=[trading.SECURITY], writable=True) as opened:
            marie = opened.as_user("marie")
            rows = [row for size in SIZES for row in _measure(marie, engine, size, rounds)]
        engine.dispose()
    return rows


def _measure(marie: Any, engine: sa.Engine, size: int, rounds: int) -> list[Row]:
    import trading

    leads = trading.Base.metadata.tables["crm_lead"]
    me, partner = marie.actor.user_id, marie.search("res.partner", limit=1)[0]

    def values(number: int) -> dict[str, Any]:
        return {"name": f"Lead {number}", "user_id": me, "partner_id": partner, "expected_revenue": number}

    def stamped(number: int) -> dict[str, Any]:
        now = datetime.now(UTC).replace(tzinfo=None)
        stamps = {"create_uid": me, "create_date": now, "write_uid": me, "write_date": now}
        return {**values(number), **stamps}

    def create() -> None:
        marie.create("crm.lead", [values(n) for n in range(size)])

    def insert() -> None:
        with engine.begin() as connection:
            statement = sa.insert(leads).returning(leads.c.id)
            connection.execute(statement, [stamped(n) for n in range(size)]).all()

    ids = marie.create("crm.lead", [values(n) for n in range(size)])
    others = marie.create("crm.lead", [values(n) for n in range(size)])

    def write() -> None:
        marie.write("crm.lead", ids, {"priority": "1", "expected_revenue": 5})

    def update() -> None:
        now = datetime.now(UTC).replace(tzinfo=None)
        with engine.begin() as connection:
            connection.execute(
                sa.update(leads)
                .where(leads.c.id == sa.any_(sa.literal(others, sa.ARRAY(sa.Integer))))
                .values(priority="1", expected_revenue=5, write_uid=me, write_date=now)
            )

    what = "1 lead" if size == 1 else f"{size:,} leads"
    return [_row(f"create {what}", create, insert, rounds), _row(f"write {what}", write, update, rounds)]


def _row(what: str, ours: Callable[[], None], peer: Callable[[], None], rounds: int) -> Row:
    ours()
    peer()
    mine, theirs = interleaved(ours, peer, rounds=rounds)
    return Row(
        f"{what} as a user: right, fields, rules, targets",
        f"{mine * 1e3:.2f} ms",
        f"SQLAlchemy Core, nothing checked {theirs * 1e3:.2f} ms",
        f"{mine / theirs:.2f} ×",
    )
