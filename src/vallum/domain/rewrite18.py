"""Rewrite domains as Odoo 18 does before it reads them.

Pure, from tree to tree: paths become `any`, negation moves to the conditions, `any`
conditions on the same field are merged.
Source: behaviour of Odoo 18.0; docs/design/domain.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vallum.domain.ast import FALSE, TRUE, And, Condition, Constant, Domain, Not, Or, all_of, any_of
from vallum.kernel import UnknownOperator
from vallum.schema import Model, Schema

__all__ = ["is_false", "rewritten"]

_NEGATED: Final = {
    "<": ">=",
    ">": "<=",
    "<=": ">",
    ">=": "<",
    "=": "!=",
    "!=": "=",
    "in": "not in",
    "not in": "in",
    "like": "not like",
    "not like": "like",
    "ilike": "not ilike",
    "not ilike": "ilike",
    "any": "not any",
    "not any": "any",
}


def rewritten(domain: Domain, model: Model, schema: Schema) -> Domain:
    """The domain as Odoo 18 reads it.

    Raises: UnknownField, UnknownModel, UnknownOperator.
    """
    return _merged(_spread(domain, model, schema), model, schema)


def is_false(domain: Domain) -> bool:
    """Whether a domain is false whatever the records, as far as constants and empty lists tell."""
    return _certainty(domain) < 0


def _certainty(domain: Domain) -> int:
    match domain:
        case Constant(value):
            return 1 if value else -1
        case And(children):
            return min(_certainty(c) for c in children)
        case Or(children):
            return max(_certainty(c) for c in children)
        case Not(child):
            return -_certainty(child)
        case Condition(_, "in", ()):
            return -1
        case Condition(_, "not in", ()):
            return 1
    return 0


def _spread(domain: Domain, model: Model, schema: Schema) -> Domain:
    """Paths become `any`; negation moves to the conditions."""
    match domain:
        case And(children):
            return all_of(_spread(c, model, schema) for c in children)
        case Or(children):
            return any_of(_spread(c, model, schema) for c in children)
        case Not(child):
            return _not(_spread(child, model, schema))
        case Condition(_, operator, value):
            field = model.field(domain.head)
            if domain.rest and field.relational:
                comodel = schema.model(field.comodel or "")
                inner = Condition(domain.rest, operator, value)
                return Condition(field.name, "any", _spread(inner, comodel, schema))
            if operator in ("any", "not any"):
                if not field.relational:
                    raise UnknownOperator(f"`{operator}` does not apply to `{field}`, a {field.type}")
                comodel = schema.model(field.comodel or "")
                return Condition(domain.path, operator, _spread(value, comodel, schema))
    return domain


def _not(domain: Domain) -> Domain:
    match domain:
        case Constant(value):
            return FALSE if value else TRUE
        case And(children):
            return any_of(_not(c) for c in children)
        case Or(children):
            return all_of(_not(c) for c in children)
        case Not(child):
            return child
        case Condition(path, "=?", value):
            return Condition(path, "!=", value) if value else FALSE
        case Condition(path, operator, value):
            negated = _NEGATED.get(operator)
            return Not(domain) if negated is None else Condition(path, negated, value)


def _merged(domain: Domain, model: Model, schema: Schema) -> Domain:
    """Conditions `any` on the same field become one where that means the same.

    It is not only faster: whether inactive lines count depends on what the merged
    condition mentions.
    """
    match domain:
        case And(children) | Or(children):
            conjunction = isinstance(domain, And)
            parts = [_merged(c, model, schema) for c in children]
            flat = all_of(parts) if conjunction else any_of(parts)
            if not isinstance(flat, And | Or) or isinstance(flat, And) != conjunction:
                return flat
            return _merge_children(flat.children, conjunction, model, schema)
        case Not(child):
            return _not(_merged(child, model, schema))
        case Condition(path, "any" | "not any" as operator, value):
            comodel = schema.model(model.field(path).comodel or "")
            return Condition(path, operator, _merged(value, comodel, schema))
    return domain


def _merge_children(children: Sequence[Domain], conjunction: bool, model: Model, schema: Schema) -> Domain:
    others: list[Domain] = []
    groups: dict[tuple[str, str], list[Domain]] = {}
    for child in children:
        if isinstance(child, Condition) and child.operator in ("any", "not any"):
            groups.setdefault((child.operator, child.path), []).append(child.value)
        else:
            others.append(child)
    for (operator, path), values in sorted(groups.items(), key=lambda g: g[0][0] != "any"):
        field = model.field(path)
        comodel = schema.model(field.comodel or "")
        together_by_or = (operator == "any") != conjunction
        if len(values) == 1:
            others.append(Condition(path, operator, values[0]))
        elif together_by_or:
            others.append(Condition(path, operator, _merged(any_of(values), comodel, schema)))
        elif field.type == "many2one":
            others.append(Condition(path, operator, _merged(all_of(values), comodel, schema)))
        else:
            others.extend(Condition(path, operator, v) for v in values)
    return all_of(others) if conjunction else any_of(others)
