"""Rewrite domains as Odoo 19 does before it reads them.

Pure, from tree to tree: few operators are left (`in`, inequalities, `like`, `any` and
the hierarchies), values are read as their field's type, conditions on the same field
are merged.
Source: behaviour of Odoo 19.0; docs/design/domain.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from vallum.domain.ast import FALSE, TRUE, And, Condition, Constant, Domain, Not, Or, all_of, any_of, negate
from vallum.domain.env import Env
from vallum.domain.filter import is_rows
from vallum.domain.lower import NEGATIVE, POSITIVE, has_open
from vallum.domain.values import as_date, as_datetime, is_whole_date, parse_relative, start_of_day
from vallum.kernel import InvalidValue, UnknownField, UnknownOperator
from vallum.schema import Field, Model

__all__ = ["falsy", "opposite", "settled", "settled_not"]

_OPPOSITE: Final = {**POSITIVE, **{v: k for k, v in POSITIVE.items()}}
_INEQUALITY: Final = {"<": ">=", ">": "<=", ">=": "<", "<=": ">"}
_ANY: Final = frozenset({"any", "not any", "any!", "not any!"})
_FALSY: Final = {
    "boolean": False,
    "integer": 0,
    "float": 0.0,
    "monetary": 0.0,
    "char": "",
    "text": "",
    "html": "",
}


def settled(model: Model, domain: Domain, env: Env) -> Domain:
    """The domain rewritten until only the operators of `_condition` are left."""
    match domain:
        case And(children):
            parts = all_of(settled(model, c, env) for c in children)
            return _merged(parts, model) if isinstance(parts, And) else parts
        case Or(children):
            parts = any_of(settled(model, c, env) for c in children)
            return _merged(parts, model) if isinstance(parts, Or) else parts
        case Not(child):
            return settled_not(model, child, env)
        case Condition():
            return _settled_condition(model, domain, env)
    return domain


def settled_not(model: Model, domain: Domain, env: Env) -> Domain:
    """Negation moves inwards as far as there are opposite operators."""
    match domain:
        case And(children):
            return settled(model, any_of(negate(c) for c in children), env)
        case Or(children):
            return settled(model, all_of(negate(c) for c in children), env)
        case Condition(path, operator, value) if "." not in path and operator in _OPPOSITE:
            return settled(model, Condition(path, _OPPOSITE[operator], value), env)
    return opposite(model, settled(model, domain, env))


def opposite(model: Model, domain: Domain) -> Domain:
    """The negation of a settled domain; an inequality's also holds where there is no value."""
    match domain:
        case Constant(value):
            return FALSE if value else TRUE
        case And(children):
            return any_of(opposite(model, c) for c in children)
        case Or(children):
            return all_of(opposite(model, c) for c in children)
        case Not(child):
            return child
        case Condition(path, operator, value):
            if operator in _OPPOSITE and "." not in path:
                return Condition(path, _OPPOSITE[operator], value)
            if operator in _INEQUALITY:
                inverse = Condition(path, _INEQUALITY[operator], value)
                if falsy(model.field(domain.head)) is None:
                    return any_of((Condition(path, "in", (False,)), inverse))
                return inverse
    return Not(domain)


def _settled_condition(model: Model, condition: Condition, env: Env) -> Domain:
    field = model.field(condition.head)
    operator, value = condition.operator, condition.value
    if condition.rest and field.relational:
        inner = Condition(condition.rest, operator, value)
        return _settled_condition(model, Condition(field.name, "any", inner), env)
    if operator in ("child_of", "parent_of"):
        return condition
    if operator == "=?":
        return _settled_condition(model, replace(condition, operator="="), env) if value else TRUE
    if operator in ("=", "!=") and has_open(value):
        return condition
    if operator in ("=", "!="):
        membership = "in" if operator == "=" else "not in"
        values: Any = (False,) if value == () else value
        if not is_rows(value) and not isinstance(values, tuple):
            values = (value,)
        return _settled_condition(model, Condition(condition.path, membership, values), env)
    if operator in ("in", "not in"):
        return _settled_in(model, field, condition, env)
    if operator in _ANY:
        return _settled_any(model, field, condition, env)
    if operator.endswith("like"):
        return _settled_like(model, field, condition, env)
    return _settled_inequality(field, condition, env)


def _settled_in(model: Model, field: Field, condition: Condition, env: Env) -> Domain:
    operator, value = condition.operator, condition.value
    if is_rows(value) or has_open(value):
        return condition
    if not isinstance(value, tuple):
        value = (value,)
    if not value:
        return FALSE if operator == "in" else TRUE
    if field.relational:
        names = tuple(v for v in value if isinstance(v, str))
        others = tuple(v for v in value if not isinstance(v, str))
        if names:
            by_name = _any_named(model, field, operator, "in", names, env)
            if not others:
                return by_name
            join = any_of if operator == "in" else all_of
            return join((by_name, Condition(field.name, operator, others)))
    if field.type == "boolean":
        return _settled_boolean(condition.path, operator, value)
    if field.type == "date" and not condition.rest:
        value = tuple(v if v is False else _day(field, v, env) for v in value)
    if field.type == "datetime" and not condition.rest:
        return _settled_moments(model, field, operator, value, env)
    if field.not_null and falsy(field) is None and False in value:
        value = tuple(v for v in value if v is not False)
        if not value:
            return FALSE if operator == "in" else TRUE
    return Condition(condition.path, operator, value)


def _settled_moments(model: Model, field: Field, operator: str, values: Sequence[Any], env: Env) -> Domain:
    """A moment equals every instant of its second."""
    moments = [v if v is False else _moment(field, v, env)[0].replace(microsecond=0) for v in values]
    if all(m is False for m in moments):
        return Condition(field.name, operator, (False,))
    second = timedelta(seconds=1)
    parts: list[Domain] = [
        Condition(field.name, "in", (False,))
        if m is False
        else all_of((Condition(field.name, ">=", m), Condition(field.name, "<", m + second)))
        for m in moments
    ]
    found = any_of(parts)
    return found if operator == "in" else opposite(model, found)


def _settled_any(model: Model, field: Field, condition: Condition, env: Env) -> Domain:
    operator, value = condition.operator, condition.value
    if is_rows(value):
        return condition
    if field.name == "id":
        return settled(model, value if operator in ("any", "any!") else negate(value), env)
    if not field.relational:
        raise UnknownOperator(f"`{operator}` does not apply to `{field}`, a {field.type}")
    inner = settled(_comodel(field, env), value, env)
    if inner == FALSE:
        return FALSE if operator in ("any", "any!") else TRUE
    return Condition(field.name, operator, inner)


def _any_named(model: Model, field: Field, operator: str, by: str, value: Any, env: Env) -> Domain:
    outer = "not any" if operator in NEGATIVE else "any"
    return _settled_any(model, field, Condition(field.name, outer, Condition("display_name", by, value)), env)


def _settled_like(model: Model, field: Field, condition: Condition, env: Env) -> Domain:
    operator, value = condition.operator, condition.value
    if not value:
        unset = (operator in NEGATIVE) == ("=" in operator)
        if field.relational or "=" in operator:
            return _settled_condition(model, Condition(condition.path, "!=" if unset else "=", False), env)
        return TRUE if unset else FALSE
    if not isinstance(value, str):
        if "=" in operator:
            raise InvalidValue(f"the pattern for `{field}` must be a text")
        value = str(value)
    if field.relational:
        return _any_named(model, field, operator, POSITIVE.get(operator, operator), value, env)
    return Condition(condition.path, operator, value)


def _settled_inequality(field: Field, condition: Condition, env: Env) -> Domain:
    operator, value = condition.operator, condition.value
    if isinstance(value, tuple):
        raise InvalidValue(f"`{operator}` does not take a list (for `{field}`)")
    if field.relational and isinstance(value, str):
        raise InvalidValue(f"`{operator}` does not compare names (for `{field}`)")
    if field.type == "boolean":
        raise UnknownOperator(f"`{operator}` does not apply to `{field}`, a boolean")
    if condition.rest or field.type not in ("date", "datetime"):
        return condition
    if value is False:
        return FALSE
    if field.type == "date":
        return Condition(field.name, operator, _day(field, value, env))
    moment, whole_day = _moment(field, value, env)
    moment = moment.replace(microsecond=0)
    step = timedelta(days=1) if whole_day else timedelta(seconds=1)
    try:
        if operator == ">":
            return Condition(field.name, ">=", moment + step)
        if operator == "<=":
            return Condition(field.name, "<", moment + step)
    except OverflowError:
        return FALSE if operator == ">" else Condition(field.name, "not in", (False,))
    return Condition(field.name, operator, moment)


def _comodel(field: Field, env: Env) -> Model:
    if field.comodel is None:
        raise UnknownField(f"`{field}` does not lead to another model")
    return env.schema.model(field.comodel)


def falsy(field: Field) -> Any:
    """The value that NULL counts as in the field; None where it counts as none."""
    return None if field.name == "id" else _FALSY.get(field.type)


def _settled_boolean(path: str, operator: str, values: Sequence[Any]) -> Domain:
    truths = {_truth(v) for v in values}
    if truths == {False}:
        return Condition(path, "not in" if operator == "in" else "in", (True,))
    return Condition(path, operator, tuple(sorted(truths, reverse=True)))


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() in ("y", "yes", "1", "true", "t", "on")
    return bool(value)


def _merged(domain: Domain, model: Model) -> Domain:
    """Conditions on the same field in one: `any` of a field of several records, `in` of any other.

    Whether inactive records count depends on what a merged `any` mentions; whether a
    field is looked at, and so checked, on whether its merged values leave a question.
    """
    if not isinstance(domain, And | Or):
        return domain
    conjunction = isinstance(domain, And)
    merging = {"not any", "not any!"} if conjunction else {"any", "any!"}
    others: list[Domain] = []
    nested: dict[tuple[str, str], list[Domain]] = {}
    listed: dict[str, list[Condition]] = {}
    for child in domain.children:
        if not isinstance(child, Condition) or is_rows(child.value) or has_open(child.value):
            others.append(child)
        elif child.operator in merging:
            nested.setdefault((child.path, child.operator), []).append(child.value)
        elif child.operator in ("in", "not in") and not _several(model.field(child.head)):
            listed.setdefault(child.path, []).append(child)
        else:
            others.append(child)
    for (path, operator), values in nested.items():
        others.append(Condition(path, operator, any_of(values)))
    others.extend(_one_set(found, conjunction) for found in listed.values())
    return all_of(others) if conjunction else any_of(others)


def _several(field: Field) -> bool:
    return field.x2many or field.type == "properties"


def _one_set(conditions: Sequence[Condition], conjunction: bool) -> Domain:
    """`in` and `not in` of one field as a single condition."""
    if len(conditions) == 1:
        return conditions[0]
    wanted = [c.value for c in conditions if c.operator == "in"]
    unwanted = [c.value for c in conditions if c.operator == "not in"]
    path = conditions[0].path
    # Both follow from one law: in a conjunction `in` decides, in a disjunction `not in`.
    deciding, others = (wanted, unwanted) if conjunction else (unwanted, wanted)
    if deciding:
        operator = "in" if conjunction else "not in"
        excluded = [v for values in others for v in values]
        kept = [
            v
            for v in dict.fromkeys(deciding[0])
            if all(_has(values, v) for values in deciding) and not _has(excluded, v)
        ]
    else:
        operator = "not in" if conjunction else "in"
        kept = list(dict.fromkeys(v for values in others for v in values))
    if not kept:
        return FALSE if operator == "in" else TRUE
    return Condition(path, operator, tuple(kept))


def _has(values: Sequence[Any], value: Any) -> bool:
    return value in values


def _day(field: Field, value: Any, env: Env) -> date:
    try:
        return as_date(field, value)
    except InvalidValue:
        if not isinstance(value, str):
            raise
    found = parse_relative(field, value, env.now)
    return found.date() if isinstance(found, datetime) else found


def _moment(field: Field, value: Any, env: Env) -> tuple[datetime, bool]:
    """The moment of a value, and whether it stands for a whole day in the reader's time zone."""
    if is_whole_date(value):
        return start_of_day(as_date(field, value), env.tz), True
    try:
        return as_datetime(field, value), False
    except InvalidValue:
        if not isinstance(value, str):
            raise
    found = parse_relative(field, value, env.now)
    if isinstance(found, datetime):
        return found, False
    return start_of_day(found, env.tz), True
