"""Domains and the SQL they become, for both semantics: every form of the language."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.golden import Golden
from tests.support.schemas import SALES, schema
from vallum.domain import Env, Facts, lowering_for, odoo_named, parse, root
from vallum.domain.sql import select_ids
from vallum.enforce.statement import compiled

NOW = datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None)
DOMAINS = Path(__file__).parent / "domains.txt"


@pytest.mark.parametrize("version", [18, 19])
def test_every_domain_becomes_the_sql_somebody_has_looked_at(version: int, golden: Golden) -> None:
    """Domain → SQL → values; read a changed line as a changed meaning."""
    sales = schema(*SALES, version=version)
    facts = Facts(fallbacks=lambda _: {("sale.order", "price"): 2.5})
    env = Env(schema=sales, named=odoo_named(), now=NOW, facts=facts, company=1, companies=(1,))
    lowering, order = lowering_for(version), sales.model("sale.order")
    blocks = []
    for line in DOMAINS.read_text(encoding="utf-8").splitlines():
        text, values = compiled(
            select_ids(root(order), lowering.search(order, parse(ast.literal_eval(line)), env))
        )
        shown = ", ".join(f"{k}={v!r}" for k, v in sorted(values.items()))
        blocks.append(f"{line}\n{text}\n-- {shown or 'no values'}\n")
    golden.check(f"sql{version}.txt", "\n".join(blocks))
