"""Which models a call reaches by its arguments: all that it reads of others, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

import vallum
from examples.trading import SECURITY, Base
from vallum.enforce.query import Query
from vallum.kernel import Operation
from vallum.schema import Schema
from vallum.schema.readers import sqlalchemy as reader
from vallum.server.rpc.reach import reached


@pytest.fixture(scope="module")
def trading() -> Schema:
    """The example company's models."""
    return reader.read(Base)


@pytest.fixture(scope="module")
def library() -> Schema:
    """Models whose names and orders lead to others, in circles too."""
    metadata = sa.MetaData()

    def table(name: str, model: str, *columns: sa.Column[Any], **info: Any) -> None:
        own = sa.Column("id", sa.Integer, primary_key=True)
        sa.Table(name, metadata, own, *columns, info={"model": model, **info})

    def to(name: str, other: str) -> sa.Column[Any]:
        return sa.Column(name, sa.ForeignKey(f"{other}.id"))

    text = sa.String
    table("author", "author", sa.Column("name", text), sa.Column("born", sa.Date), order="born")
    table("shelf", "shelf", to("book_id", "book"), rec_name="book_id", order="book_id")
    table(
        "book",
        "book",
        to("author_id", "author"),
        to("shelf_id", "shelf"),
        rec_name="author_id",
        order="author_id, id",
    )
    table(
        "loan",
        "loan",
        to("book_id", "book"),
        sa.Column("code", text),
        rec_name="code",
        rec_names_search=["code", "book_id.author_id.born", "book_id"],
    )
    table(
        "note",
        "note",
        to("author_id", "author"),
        sa.Column("name", text),
        rec_names_search=["name", "author_id.name"],
    )
    table("ir_model_data", "ir.model.data", sa.Column("name", text))
    return reader.read(metadata)


def models(schema: Schema, model: str, arguments: Mapping[str, Any]) -> set[str]:
    """What is read of other models."""
    found = set(reached(schema, None, model, arguments, {}))
    assert all(operation is Operation.READ for _, operation in found)
    return {name for name, _ in found} - {model}


@pytest.mark.parametrize(
    ("model", "arguments", "expected"),
    [
        ("crm.lead", {"order": "partner_id"}, {"res.partner"}),
        ("crm.lead", {"order": "partner_id.id, name desc nulls last"}, set()),
        ("crm.lead", {"orderby": "user_id desc, team_id"}, {"res.users", "crm.team"}),
        ("crm.lead", {"order": None}, set()),
        ("crm.lead", {"order": "this is no order"}, set()),
        ("crm.lead", {"groupby": ["partner_id", "create_date:month"]}, set()),
        ("crm.lead", {"groupby": "tag_ids"}, {"crm.tag"}),
        ("crm.lead", {"groupby": ["tag_ids"]}, {"crm.tag"}),
        ("crm.lead", {"name": "x"}, set()),
        ("crm.lead", {"domain": [["tag_ids", "=", "VIP"]]}, {"crm.tag"}),
        ("crm.lead", {"domain": [["team_id", "ilike", "x"]]}, set()),
        ("crm.lead", {"domain": [["partner_id", "ilike", "x"]]}, {"res.partner"}),
        ("crm.lead", {"domain": [["partner_id", "in", [1, 2]]]}, set()),
        ("crm.lead", {"domain": [["partner_id", "not in", ["a"]]]}, {"res.partner"}),
        ("crm.lead", {"domain": [["partner_id", "parent_of", [1]]]}, {"res.partner"}),
        ("crm.lead", {"domain": [["partner_id", "not any", [["email", "=", "x"]]]]}, {"res.partner"}),
        (
            "crm.lead",
            {"specification": {"tag_ids": {"fields": {}, "order": "name"}}},
            {"crm.tag"},
        ),
        (
            "res.partner",
            {"specification": {"child_ids": {"fields": {"name": {}}, "order": "user_id"}}},
            {"res.users"},
        ),
        ("res.partner", {"fields_to_export": ["user_id/.id", "child_ids/name"]}, set()),
    ],
)
def test_what_a_call_reads_of_others_is_reached(
    trading: Schema, model: str, arguments: dict[str, Any], expected: set[str]
) -> None:
    """Orders, groups, names, hierarchies: beyond ids and the names behind a many2one."""
    assert models(trading, model, arguments) == expected


@pytest.mark.parametrize(
    ("model", "arguments", "expected"),
    [
        ("loan", {"name": "x"}, {"author"}),
        ("loan", {"name": ""}, set()),
        ("loan", {"name": "", "operator": "="}, {"author"}),
        ("loan", {"domain": [["display_name", "=", "x"]]}, {"author"}),
        ("note", {"name": "x"}, set()),
        ("shelf", {"name": "x"}, set()),
        ("book", {"domain": [["shelf_id", "ilike", "x"]]}, set()),
        ("note", {"fields_to_export": ["id"]}, {"ir.model.data"}),
        ("note", {"fields_to_export": ["author_id/id"]}, {"ir.model.data"}),
        ("note", {"fields_to_export": ["author_id/.id", "author_id"]}, set()),
    ],
)
def test_names_that_lead_to_others_are_reached(
    library: Schema, model: str, arguments: dict[str, Any], expected: set[str]
) -> None:
    """A name that is another record's name says no more than that; one that is searched by more does."""
    assert models(library, model, arguments) == expected


def test_own_order_by_others_is_by_their_ids_for_a_narrow_key(company: str) -> None:
    """A model's own order says nothing of models that the key is not for; both orders hold side by side."""
    with vallum.open(company, metadata=Base, policy=SECURITY) as opened:
        app = opened.application
        orders = replace(app.schema.model("sale.order"), order="partner_id, id")
        app.schema = replace(app.schema, models={**app.schema.models, orders.name: orders})
        actor = app.actor("marie")
        wide, narrow = Query(app, actor), Query(app, actor, frozenset({"sale.*"}))
        for _ in range(2):
            found, plain = wide.search("sale.order"), narrow.search("sale.order")
            assert sorted(found) == sorted(plain)
            read = narrow.read("sale.order", plain, ["partner_id"], names=False)
            partners = [record["partner_id"] for record in read]
            assert partners == sorted(partners)
            assert found != plain
        both = Query(app, actor, frozenset({"sale.*", "res.partner"}))
        assert both.search("sale.order") == found
