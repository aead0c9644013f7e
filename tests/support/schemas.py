"""Small schemas for tests, written in a line a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vallum.schema import Field, Model, Schema

__all__ = ["SALES", "field", "model", "schema"]

_COLUMNS = {
    "char": "varchar",
    "text": "text",
    "integer": "int4",
    "float": "float8",
    "monetary": "numeric",
    "boolean": "bool",
    "date": "date",
    "datetime": "timestamp",
    "selection": "varchar",
    "many2one": "int4",
}


def field(kind: str, **facts: Any) -> Field:
    """A field of that type; its model and name are set by `model`."""
    column = "jsonb" if facts.get("translate") or facts.get("company_dependent") else _COLUMNS.get(kind)
    return Field(model="", name="", type=kind, **{"column": column, **facts})


def model(name: str, fields: Mapping[str, Field], **facts: Any) -> Model:
    """A model with an id and a display name beside these fields."""
    whole = {
        "id": Field(model=name, name="id", type="integer", column="int4", not_null=True),
        "display_name": Field(
            model=name, name="display_name", type="char", stored=False, search="_search_display_name"
        ),
        **fields,
    }
    named = {n: replace(f, model=name, name=n) for n, f in whole.items()}
    defaults: dict[str, Any] = {
        "rec_name": "name" if "name" in fields else None,
        "active_name": "active" if "active" in fields else None,
        "table": name.replace(".", "_"),
    }
    return Model(name=name, fields=named, **{**defaults, **facts})


def schema(*models: Model, version: int = 18) -> Schema:
    """A schema of these models."""
    return Schema.of(models, version=version)


SALES = (
    model(
        "res.company",
        {
            "name": field("char"),
            "parent_id": field("many2one", comodel="res.company"),
            "parent_path": field("char"),
        },
        parent_store=True,
    ),
    model(
        "res.partner",
        {
            "name": field("char"),
            "active": field("boolean"),
            "email": field("char", groups="base.group_user"),
            "parent_id": field("many2one", comodel="res.partner"),
            "child_ids": field("one2many", comodel="res.partner", inverse="parent_id"),
            "order_ids": field("one2many", comodel="sale.order", inverse="partner_id"),
        },
    ),
    model(
        "res.users",
        {
            "partner_id": field("many2one", comodel="res.partner", auto_join=True, not_null=True),
            "login": field("char"),
            "active": field("boolean"),
            "name": field(
                "char", stored=False, related=("partner_id", "name"), inherited=True, search="_search_related"
            ),
        },
        inherits={"res.partner": "partner_id"},
    ),
    model("sale.tag", {"name": field("char", translate=True), "active": field("boolean")}),
    model(
        "sale.order",
        {
            "name": field("char"),
            "state": field("selection", selection=("draft", "sale", "done")),
            "amount": field("monetary"),
            "count": field("integer"),
            "rate": field("float"),
            "urgent": field("boolean"),
            "day": field("date"),
            "at": field("datetime"),
            "margin": field("float", groups="sales.manager"),
            "partner_id": field("many2one", comodel="res.partner"),
            "user_id": field("many2one", comodel="res.users"),
            "company_id": field("many2one", comodel="res.company"),
            "tag_ids": field(
                "many2many",
                comodel="sale.tag",
                relation="sale_order_tag_rel",
                column1="order_id",
                column2="tag_id",
            ),
            "line_ids": field(
                "one2many", comodel="sale.line", inverse="order_id", domain=(("hidden", "=", False),)
            ),
            "price": field("float", company_dependent=True),
            "partner_email": field(
                "char", stored=False, related=("partner_id", "email"), search="_search_related"
            ),
            "score": field("float", stored=False, search="_search_score"),
        },
    ),
    model(
        "sale.line",
        {
            "name": field("char"),
            "order_id": field("many2one", comodel="sale.order"),
            "hidden": field("boolean"),
            "active": field("boolean"),
        },
    ),
)
