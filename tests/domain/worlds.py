"""Small random worlds: schemas, rows and domains over them, as Hypothesis strategies.

The tables are always the same, so that they are created once; what varies is what the
schema says about them, what is in them, and what is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.support.schemas import field, model, schema
from vallum.schema import Field, Model, Schema

__all__ = ["COMPANY", "LANG", "MODELS", "Facts", "World", "domains", "schema_of", "worlds"]

COMPANY = 1
LANG = "fr_FR"
MODELS = ("node", "tag", "leaf", "twig")
RELATIONS = {"node_tag_rel": ("node_id", "tag_id"), "leaf_tag_rel": ("leaf_id", "tag_id")}

TEXTS = ("", "a", "A", "ab", "a%b", "a_b", "b", "é", "É", "\\", "0", "10%")
NUMBERS = (0, 1, 2, -1, 10)
FLOATS = (0.0, 1.5, -2.25, 10.0)
AMOUNTS = tuple(map(Decimal, ("0.00", "1.50", "-2.25", "10.00")))
DAYS = ("2024-01-01", "2024-01-31", "2024-02-29")
MOMENTS = (
    "2024-01-01 00:00:00",
    "2024-01-01 10:00:00",
    "2024-01-01 10:00:00.500000",
    "2024-01-01 23:59:59",
    "2024-01-01 23:59:59.900000",
    "2024-01-31 00:00:00",
)
STATES = ("draft", "done")
IDS = (1, 2, 3, 4, 5)
_ACTIVE = st.sampled_from((True, True, False, None))


@dataclass(frozen=True)
class Facts:
    """What varies in the schema."""

    archived_nodes: bool
    archived_tags: bool
    archived_leaves: bool
    parent_store: bool
    filled: bool
    domains: bool
    context: bool | None


@dataclass(frozen=True)
class World:
    """Rows by table, links by relation, and the defaults of company-dependent fields."""

    facts: Facts
    tables: Mapping[str, Mapping[int, Mapping[str, Any]]]
    links: Mapping[str, tuple[Mapping[str, int], ...]]
    fallbacks: Mapping[str, Any]


@cache
def schema_of(facts: Facts, version: int) -> Schema:
    """The schema under one version's semantics."""
    node: dict[str, Field] = {
        "name": field("char", translate=True),
        "color": field("integer"),
        "parent_id": field("many2one", comodel="node"),
        "parent_path": field("char"),
        "boss_id": field("many2one", comodel="node"),
        "child_ids": field("one2many", comodel="node", inverse="parent_id"),
        "tag_ids": _linked("node", "tag"),
        "leaf_ids": field(
            "one2many",
            comodel="leaf",
            inverse="node_id",
            domain=(("count", ">", 0),) if facts.domains else None,
            context={} if facts.context is None else {"active_test": facts.context},
        ),
    }
    tag = {"name": field("char"), "level": field("integer"), "node_ids": _linked("tag", "node")}
    leaf = {
        "name": field("char"),
        "note": field("text"),
        "title": field("char", translate=True),
        "count": field("integer"),
        "rate": field("float"),
        "amount": field("monetary"),
        "flag": field("boolean"),
        "day": field("date"),
        "at": field("datetime"),
        "state": field("selection", selection=STATES),
        "price": field("float", company_dependent=True),
        "label": field("char", company_dependent=True),
        "ready": field("boolean", company_dependent=True),
        "due": field("date", company_dependent=True),
        "owner_id": field("many2one", comodel="node", company_dependent=True),
        "node_id": field("many2one", comodel="node", required=facts.filled, not_null=facts.filled),
        "tag_ids": _linked("leaf", "tag", domain=(("level", "!=", 1),) if facts.domains else None),
        "node_name": _related("char", "node_id", "name"),
        "node_color": _related("integer", "node_id", "color"),
        "top_id": _related("many2one", "node_id", "parent_id", comodel="node"),
        "top_name": _related("char", "node_id", "parent_id", "name"),
    }
    twig = {
        "nick": field("char"),
        "leaf_id": field("many2one", comodel="leaf", auto_join=True, required=True, not_null=True),
        **{
            name: _related(leaf[name].type, "leaf_id", name, inherited=True, comodel=leaf[name].comodel)
            for name in ("name", "count", "day", "node_id", "tag_ids")
        },
    }
    for fields, archived in (
        (node, facts.archived_nodes),
        (tag, facts.archived_tags),
        (leaf, facts.archived_leaves),
    ):
        if archived:
            fields["active"] = field("boolean")
    return schema(
        model("node", node, parent_store=facts.parent_store),
        model("tag", tag),
        model("leaf", leaf),
        model("twig", twig, inherits={"leaf": "leaf_id"}),
        version=version,
    )


def _linked(own: str, other: str, **facts: Any) -> Field:
    relation = f"{own}_tag_rel" if other == "tag" else f"{other}_{own}_rel"
    return field(
        "many2many",
        comodel=other,
        relation=relation,
        column1=f"{own}_id",
        column2=f"{other}_id",
        **facts,
    )


def _related(kind: str, *path: str, **facts: Any) -> Field:
    return field(kind, stored=False, column=None, related=path, search="_search_related", **facts)


# rows


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A schema's facts and rows that agree with them."""
    facts = draw(st.builds(Facts, *[st.booleans()] * 6, st.sampled_from([None, True, False])))
    number = draw(st.integers(2, 5))
    node = {i: draw(_node(i, number, facts)) for i in range(1, number + 1)}
    for i, row in node.items():
        node[i] = {**row, "parent_path": _path(node, i) if facts.parent_store else None}
    nodes = _ids_of(node, filled=facts.filled)
    fields = {name: _value(f) for name, f in schema_of(facts, 18).model("leaf").fields.items() if f.column}
    fields |= {
        "node_id": nodes,
        "owner_id": _by_company(_ids_of(node)),
        "active": st.sampled_from((True, False, None)),
    }
    leaf = {
        i: {**draw(st.fixed_dictionaries(fields)), "id": i} for i in range(1, draw(st.integers(1, 5)) + 1)
    }
    tag = {
        i: {
            "id": i,
            "name": draw(_or_null(TEXTS)),
            "level": draw(_or_null(NUMBERS)),
            "active": draw(_ACTIVE),
        }
        for i in range(1, 4)
    }
    twig = {
        i: {"id": i, "nick": draw(_or_null(TEXTS)), "leaf_id": draw(st.sampled_from(sorted(leaf)))}
        for i in range(1, 4)
    }
    links = {
        name: tuple(
            {first: own, second: other}
            for own, other in draw(
                st.sets(st.tuples(st.sampled_from(sorted(rows)), st.sampled_from((1, 2, 3))))
            )
        )
        for (name, (first, second)), rows in zip(RELATIONS.items(), (node, leaf), strict=True)
    }
    fallbacks = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "price": st.sampled_from((0.0, 1.5)),
                "label": st.just("a"),
                "ready": st.booleans(),
                "due": st.just(DAYS[0]),
                "owner_id": st.sampled_from(sorted(node)),
            },
        )
    )
    return World(facts, {"node": node, "tag": tag, "leaf": leaf, "twig": twig}, links, fallbacks)


@st.composite
def _node(draw: st.DrawFn, own: int, number: int, facts: Facts) -> dict[str, Any]:
    # A materialised path cannot go in circles; a parent that is followed may.
    parents = range(1, own) if facts.parent_store else range(1, number + 1)
    return {
        "id": own,
        "name": draw(_translated()),
        "color": draw(_or_null(NUMBERS)),
        "parent_id": draw(_or_null(tuple(parents))),
        "boss_id": draw(_or_null(tuple(range(1, own)))),
        "active": draw(_ACTIVE),
    }


def _path(node: Mapping[int, Mapping[str, Any]], own: int) -> str:
    parent = node[own]["parent_id"]
    return (_path(node, parent) if parent else "") + f"{own}/"


def _or_null(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from((*values, None))


def _ids_of(rows: Mapping[int, Any], *, filled: bool = False) -> st.SearchStrategy[Any]:
    return st.sampled_from(tuple(rows)) if filled else _or_null(tuple(rows))


def _translated() -> st.SearchStrategy[Any]:
    texts = st.fixed_dictionaries({"en_US": st.sampled_from(TEXTS)}, optional={LANG: st.sampled_from(TEXTS)})
    return st.one_of(st.none(), texts)


def _by_company(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.dictionaries(st.sampled_from(("1", "2")), values, max_size=2))


_VALUES: dict[str, tuple[Any, ...]] = {
    "char": TEXTS,
    "text": TEXTS,
    "integer": NUMBERS,
    "float": FLOATS,
    "monetary": AMOUNTS,
    "boolean": (True, False),
    "date": tuple(map(date.fromisoformat, DAYS)),
    "datetime": tuple(map(datetime.fromisoformat, MOMENTS)),
    "selection": STATES,
    "many2one": IDS,
}


def _value(field: Field) -> st.SearchStrategy[Any]:
    if field.translate:
        return _translated()
    if field.company_dependent:
        return _by_company(_or_null(DAYS if field.type == "date" else _VALUES[field.type]))
    return _or_null(_VALUES[field.type])


# domains

_ASKED: dict[str, tuple[Any, ...]] = {
    **_VALUES,
    "monetary": tuple(map(float, AMOUNTS)),
    "date": DAYS,
    "datetime": MOMENTS + DAYS,
}
_LIKE = ("like", "ilike", "not like", "not ilike")
_EXACT_LIKE = ("=like", "=ilike")
_ORDER = ("<", "<=", ">", ">=")


@st.composite
def domains(draw: st.DrawFn, source: Schema, name: str, depth: int = 2) -> list[Any]:
    """A domain in prefix notation."""
    found: list[Any] = []
    for _ in range(draw(st.integers(1, 3 if depth == 2 else 2))):
        condition = [draw(_condition(source, source.model(name), depth))]
        if draw(st.integers(0, 3)) == 0:
            condition = ["!", *condition]
        sign = draw(st.sampled_from(("", "|", "&", "!|", "!&"))) if found else ""
        found = [*sign, *condition, *found]
    return found


@st.composite
def _condition(draw: st.DrawFn, source: Schema, model: Model, depth: int) -> Any:
    names = sorted(n for n in model.fields if n not in ("display_name", "parent_path"))
    chosen = model.field(draw(st.sampled_from((*names, "id"))))
    if chosen.comodel and depth and draw(st.booleans()):
        comodel = source.model(chosen.comodel)
        if draw(st.booleans()):
            operator = draw(st.sampled_from(("any", "not any")))
            return [chosen.name, operator, draw(domains(source, comodel.name, depth - 1))]
        path, operator, value = draw(_condition(source, comodel, depth - 1))
        if value == []:
            # Odoo 18 takes `not in []` behind a path for true, even where the path leads nowhere.
            operator, value = "=", False
        return [f"{chosen.name}.{path}", operator, value]
    return [chosen.name, *draw(_asked(chosen))]


@st.composite
def _asked(draw: st.DrawFn, field: Field) -> tuple[str, Any]:
    if field.name == "id" or field.comodel:
        return draw(_asked_of_records(field))
    values = _ASKED[field.type]
    one = st.sampled_from(values)
    kinds = ["equal", "equal", "in", "if set"]
    if field.type != "boolean":
        kinds.append("order")
    if field.type not in ("boolean", "datetime"):
        kinds.append("like")
    match draw(st.sampled_from(kinds)):
        case "equal":
            return draw(st.sampled_from(("=", "!="))), draw(st.one_of(one, st.just(False)))
        case "in":
            listed = draw(st.lists(st.one_of(one, st.just(False)), max_size=3))
            return draw(st.sampled_from(("in", "not in"))), listed
        case "order":
            return draw(st.sampled_from(_ORDER)), draw(one)
        case "if set":
            return "=?", draw(st.one_of(one, st.just(False)))
    if field.type in ("char", "text") and draw(st.booleans()):
        return draw(st.sampled_from(_EXACT_LIKE)), draw(
            st.sampled_from([*TEXTS, "%a", "_", "a%"]).filter("\\".__ne__)
        )
    return draw(st.sampled_from(_LIKE)), draw(st.sampled_from((*TEXTS, "1", "2024", "do")))


@st.composite
def _asked_of_records(draw: st.DrawFn, field: Field) -> tuple[str, Any]:
    one = st.sampled_from(IDS[:3])
    kinds = ["equal", "in"]
    if field.name != "id":
        kinds += ["unset", "name"]
    if (field.comodel or field.model) == "node":
        kinds += ["above or below"] * 2
    match draw(st.sampled_from(kinds)):
        case "equal":
            return draw(st.sampled_from(("=", "!="))), draw(one)
        case "in":
            values = one if field.name == "id" else st.one_of(one, st.just(False))
            return draw(st.sampled_from(("in", "not in"))), draw(st.lists(values, max_size=3))
        case "unset":
            return draw(st.sampled_from(("=", "!="))), False
        case "name":
            return draw(st.sampled_from(("=", "!=", *_LIKE))), draw(st.sampled_from(TEXTS))
    operator = draw(st.sampled_from(("child_of", "parent_of")))
    names = st.sampled_from([t for t in TEXTS if t])
    return operator, draw(st.one_of(one, st.lists(one, max_size=2), names, st.just(False)))
