"""Queries as an actor over 10^6 leads, beside the same question written by hand in SQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psycopg

from bench.server import scratch_server
from bench.table import Row, interleaved

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LEADS = 1_000_000

_FILL = """
INSERT INTO crm_lead (id, name, user_id, company_id, active, create_date, expected_revenue)
SELECT top.id + n, 'Lead ' || n, CASE WHEN n %% 20 = 0 THEN NULL ELSE 1 + n %% 30 END,
       CASE WHEN n %% 50 = 0 THEN NULL ELSE 1 + n %% 4 END, n %% 25 <> 0,
       now()::timestamp - n * interval '1 minute', n %% 5000
FROM generate_series(1, %(rows)s) n, (SELECT COALESCE(max(id), 0) AS id FROM crm_lead) top
"""


def run(*, quick: bool = False) -> list[Row]:
    """Rows for `search` with limit 80, for a page in date order and for `search_count`."""
    leads = LEADS // 20 if quick else LEADS
    with scratch_server() as server:
        server.create_database("trading")
        dsn = server.dsn("trading")
        _fill(dsn, leads)
        return _measure(dsn, leads, rounds=7 if quick else 31)


def _fill(dsn: str, leads: int) -> None:
    sys.path.insert(0, str(EXAMPLES))
    import trading

    trading.generate(dsn, rows=10_000)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_FILL, {"rows": leads})
        connection.execute("CREATE INDEX ON crm_lead (create_date DESC, id DESC)")
        connection.execute("VACUUM ANALYZE crm_lead")


def _measure(dsn: str, leads: int, rounds: int) -> list[Row]:
    import trading

    import vallum

    rows = []
    with vallum.open(dsn, metadata=trading.Base, policy=[trading.SECURITY]) as opened:
        marie = opened.as_user("marie")
        me, company = marie.actor.user_id, marie.actor.companies[0]
        with psycopg.connect(dsn, autocommit=True) as connection:
            where = (
                "WHERE active AND (company_id = ANY(%(companies)s) OR company_id IS NULL)"
                " AND (user_id = %(me)s OR user_id IS NULL)"
            )
            values = {"me": me, "companies": [company]}

            def peer(statement: str) -> Any:
                return connection.execute(statement, values).fetchall()

            questions = [
                (
                    "limit 80 in the order of ids",
                    lambda: marie.search("crm.lead", [], limit=80, order="id"),
                    lambda: peer(f"SELECT id FROM crm_lead {where} ORDER BY id LIMIT 80"),
                ),
                (
                    "limit 80, newest first",
                    lambda: marie.search("crm.lead", [], limit=80, order="create_date desc, id desc"),
                    lambda: peer(
                        f"SELECT id FROM crm_lead {where} ORDER BY create_date DESC, id DESC LIMIT 80"
                    ),
                ),
                (
                    "limit 80 in the model's own order",
                    lambda: marie.search("crm.lead", [], limit=80),
                    lambda: peer(f"SELECT id FROM crm_lead {where} ORDER BY priority DESC, id DESC LIMIT 80"),
                ),
                (
                    "count",
                    lambda: marie.search_count("crm.lead", []),
                    lambda: peer(f"SELECT count(*) FROM crm_lead {where}"),
                ),
            ]
            for what, ours, theirs in questions:
                _same(ours(), theirs())
                mine, other = interleaved(ours, theirs, rounds=rounds)
                ratio = mine / other
                rows.append(
                    Row(
                        f"own and company rules over {leads:,} leads: {what}",
                        f"{mine * 1e3:.2f} ms",
                        f"hand-written SQL {other * 1e3:.2f} ms",
                        f"{ratio:.2f} ×",
                        "≤ 1.1 ×",
                        ratio <= 1.1,
                    )
                )
    return rows


def _same(ours: Any, theirs: list[tuple[Any, ...]]) -> None:
    expected = [row[0] for row in theirs]
    if (ours if isinstance(ours, list) else [ours]) != expected:
        raise AssertionError(f"the answers differ: {str(ours)[:80]} and {str(expected)[:80]}")
