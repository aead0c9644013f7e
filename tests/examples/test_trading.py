"""The example company: the same for the same seed, whole, and covered by its own policy."""

from __future__ import annotations

import csv
import hashlib
import importlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from lxml import etree

from examples.trading import SECURITY, Base, generate
from examples.trading.generate import read_groups
from examples.trading.people import USERS
from examples.trading.rows import streams
from examples.trading.world import MINIMUM_ROWS, World
from vallum.schema import Schema
from vallum.schema.readers.sqlalchemy import read

EXAMPLES = SECURITY.parent.parent


@pytest.fixture(scope="module")
def schema() -> Schema:
    return read(Base)


def _digest(rows: int, seed: int) -> str:
    """All rows of the company, as one hash."""
    digest = hashlib.sha256()
    for stream in streams(World(rows, seed), read_groups()):
        digest.update(f"{stream.table} {stream.columns}".encode())
        for line in stream.lines():
            digest.update(line.encode())
    return digest.hexdigest()


# Rows


def test_same_seed_gives_same_rows() -> None:
    """Whoever has the seed and the size has the data."""
    assert _digest(5_000, 7) == _digest(5_000, 7)


def test_other_seed_gives_other_rows() -> None:
    """The seed matters."""
    assert _digest(5_000, 7) != _digest(5_000, 8)


@pytest.mark.parametrize("rows", [MINIMUM_ROWS, 5_000, 12_345])
def test_streams_hold_as_many_lines_as_they_say(rows: int) -> None:
    """And records of all models add up to what was asked for."""
    plan = streams(World(rows, 7), read_groups())
    for stream in plan:
        lines = list(stream.lines())
        assert len(lines) == stream.count, stream.table
        assert {line.count("\t") + 1 for line in lines} <= {len(stream.columns)}, stream.table
    assert sum(s.count for s in plan if "id" in s.columns) == rows


def test_every_table_has_rows() -> None:
    """Models, generator and relation tables name the same tables and columns."""
    plan = {stream.table: stream for stream in streams(World(5_000, 7), read_groups())}
    assert set(plan) == set(Base.metadata.tables)
    for name, table in Base.metadata.tables.items():
        assert set(plan[name].columns) <= set(table.columns.keys()), name


def test_too_few_rows_are_refused() -> None:
    """Before anything is connected to."""
    with pytest.raises(ValueError, match="at least"):
        generate("postgresql:///nowhere", rows=10)


def test_package_loads_with_examples_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import trading`, as an application of its own would."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    try:
        trading = importlib.import_module("trading")
        assert trading.SECURITY == SECURITY
        assert trading.Base is not Base
    finally:
        for name in [n for n in sys.modules if n.split(".")[0] == "trading"]:
            del sys.modules[name]


# Models


def test_schema_reader_reads_every_model(schema: Schema) -> None:
    """Nothing is a gap."""
    assert schema.gaps == ()
    assert len(schema.models) == 20
    assert schema.field("crm.lead", "user_id").comodel == "res.users"
    assert schema.field("res.users", "group_ids").relation == "res_groups_users_rel"
    assert schema.field("sale.order", "order_line").inverse == "order_id"
    assert schema.field("product.product", "standard_price").company_dependent
    assert schema.field("hr.employee", "salary").groups == "trading.group_hr_manager"
    assert schema.model("res.company").parent_store
    assert all(model.log_access for model in schema.models.values())


# Policy files


def _records(file: str, model: str) -> list[etree._Element]:
    return list(etree.parse(SECURITY / file).iterfind(f".//record[@model='{model}']"))


def _xml_id(text: str) -> str:
    return text if "." in text else f"trading.{text}"


def _rights() -> list[dict[str, str]]:
    with (SECURITY / "ir.model.access.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _model_names(schema: Schema) -> dict[str, str]:
    return {f"model_{name.replace('.', '_')}": name for name in schema.models}


def _attributes(file: str, name: str) -> list[str]:
    """All values of an attribute in a file."""
    return [value for element in etree.parse(SECURITY / file).iter() if (value := element.get(name))]


def _group_refs(file: str) -> Iterator[str]:
    """Xml ids of groups that records and menus refer to."""
    for text in _attributes(file, "eval"):
        yield from map(_xml_id, re.findall(r"ref\('([^']+)'\)", text))
    for text in _attributes(file, "groups"):
        yield from map(_xml_id, text.split(","))


def test_policy_is_of_a_company_s_size() -> None:
    """Enough to show what a policy of the size of an Odoo module set does."""
    groups = [xml_id for xml_id, _ in read_groups()]
    assert len(groups) == len(set(groups)) >= 20
    assert {"base.group_user", "base.group_portal", "base.group_public", "base.group_system"} <= set(groups)
    assert len(_rights()) >= 80
    assert len(_records("rules.xml", "ir.rule")) >= 40
    assert len(list(etree.parse(SECURITY / "menus.xml").iterfind(".//menuitem"))) >= 20


def test_policy_ids_are_unique() -> None:
    """Of rights, rules and menus each."""
    ids = [right["id"] for right in _rights()]
    for file in "rules.xml", "menus.xml", "groups.xml":
        ids += _attributes(file, "id")
    assert [i for i, n in Counter(ids).items() if n > 1] == []


def test_policy_names_only_groups_that_are_there(schema: Schema) -> None:
    """In rights, rules, menus, fields and users."""
    known = {xml_id for xml_id, _ in read_groups()}
    used = {_xml_id(right["group_id:id"]) for right in _rights() if right["group_id:id"]}
    for file in "groups.xml", "rules.xml", "menus.xml":
        used |= set(_group_refs(file))
    for model in schema.models.values():
        for field in model.fields.values():
            used |= {term.strip(" !") for term in (field.groups or "").split(",") if term}
    used |= {group for user in USERS for group in user.group_xml_ids}
    assert used <= known


def test_policy_names_only_models_that_are_there(schema: Schema) -> None:
    """And every model has a right."""
    models = _model_names(schema)
    named = {right["model_id:id"].removeprefix("base.") for right in _rights()}
    assert named == set(models)
    assert {ref.removeprefix("base.") for ref in _attributes("rules.xml", "ref")} <= set(models)
    actions = _records("menus.xml", "ir.actions.act_window")
    assert {action.findtext("field[@name='res_model']") for action in actions} <= set(schema.models)


# The database

INCOHERENT: Final = {
    "an order's total is not that of its lines": """
        SELECT o.id FROM sale_order o JOIN sale_order_line l ON l.order_id = o.id
        GROUP BY o.id HAVING o.amount_total <> sum(l.price_subtotal)""",
    "a line is not of its order's company, salesperson or state": """
        SELECT l.id FROM sale_order_line l JOIN sale_order o ON o.id = l.order_id
        WHERE (l.company_id, l.salesman_id, l.state) IS DISTINCT FROM (o.company_id, o.user_id, o.state)""",
    "an order's salesperson is not in its company": """
        SELECT id FROM sale_order o WHERE user_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM res_company_users_rel r WHERE r.user_id = o.user_id AND r.cid = o.company_id)""",
    "a path does not lead on from the parent's": """
        SELECT c.id FROM product_category c LEFT JOIN product_category p ON p.id = c.parent_id
        WHERE c.parent_path <> COALESCE(p.parent_path, '') || c.id || '/'""",
    "the company behind a contact is not its parent": """
        SELECT c.id FROM res_partner c JOIN res_partner p ON p.id = c.parent_id
        WHERE c.commercial_partner_id <> p.id""",
    "a move's warehouse is of another company": """
        SELECT m.id FROM stock_move m JOIN stock_warehouse w ON w.id = m.warehouse_id
        WHERE w.company_id <> m.company_id""",
    "a user's company is not among the user's companies": """
        SELECT id FROM res_users u WHERE NOT EXISTS (
            SELECT FROM res_company_users_rel r WHERE r.user_id = u.id AND r.cid = u.company_id)""",
}


@pytest.fixture
def company(pg_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A small company in a database of its own."""
    counts = generate(pg_dsn, rows=3_000)
    with psycopg.connect(pg_dsn, autocommit=True) as connection:
        for table, count in counts.items():
            found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert found == (count,), table
        yield connection


class _Seen:
    """Progress, as it was told."""

    def __init__(self) -> None:
        self.phases: list[list[int]] = []
        self.ended = 0

    def start(self, total: int, label: str) -> None:
        assert label
        self.phases.append([total, 0])

    def advance(self, n: int) -> None:
        self.phases[-1][1] += n

    def done(self) -> None:
        self.ended += 1


def test_progress_reaches_its_total(pg_dsn: str) -> None:
    """Each phase advances by as many steps as it announced."""
    seen = _Seen()
    generate(pg_dsn, rows=2_000, progress=seen)
    assert seen.ended == len(seen.phases) == 2
    assert all(total == done for total, done in seen.phases)


def test_database_that_is_not_empty_is_refused(company: psycopg.Connection[Any]) -> None:
    """Nothing is overwritten."""
    dsn = (
        f"{company.info.dsn} password={company.info.password}" if company.info.password else company.info.dsn
    )
    with pytest.raises(ValueError, match="is there already"):
        generate(dsn, rows=2_000)


def test_foreign_keys_hold(company: psycopg.Connection[Any]) -> None:
    """All of them, as the database itself has checked."""
    declared = sum(len(table.foreign_keys) for table in Base.metadata.tables.values())
    found = company.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated")
    assert found.fetchone() == (declared,)


def test_data_are_coherent(company: psycopg.Connection[Any]) -> None:
    """Nothing that a careful application would not have written."""
    for what, query in INCOHERENT.items():
        assert company.execute(query.encode()).fetchall() == [], what


def test_next_record_gets_the_next_id(company: psycopg.Connection[Any]) -> None:
    """Sequences go on where the rows end."""
    row = company.execute("INSERT INTO crm_tag (name) VALUES ('New') RETURNING id").fetchone()
    assert row == (9,)


def test_branch_and_portal_user_are_there(company: psycopg.Connection[Any]) -> None:
    """What the walk through the example relies on."""
    paths = company.execute("SELECT parent_path FROM res_company ORDER BY id").fetchall()
    assert paths == [("1/",), ("2/",), ("3/",), ("1/4/",)]
    orders = company.execute(
        "SELECT count(*) FROM sale_order o JOIN res_partner p ON p.id = o.partner_id JOIN res_users u ON"
        " u.login = 'bruno' JOIN res_partner b ON b.id = u.partner_id"
        " WHERE p.commercial_partner_id = b.commercial_partner_id AND o.company_id = 1 AND o.state = 'sale'"
    ).fetchone()
    assert orders is not None
    assert orders[0] > 0


def test_files_of_the_example_stay_readable() -> None:
    """An example is read more often than it is run."""
    long = {
        p.name: n for p in Path(SECURITY.parent).glob("*.py") if (n := len(p.read_text().splitlines())) > 300
    }
    assert long == {}
