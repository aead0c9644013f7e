"""Explanations in plain words: who, through which groups, by which right and rule, to what.

Pure. What a record holds is said only where the caller hands it in: it comes from the viewer's own eyes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from vallum.analysis import Grant, GroupPath, RuleReason
from vallum.domain import And, Condition, Constant, Domain, Not, Or, conditions
from vallum.kernel import Operation
from vallum.schema import Model, Schema

__all__ = [
    "OPERATIONS",
    "condition_words",
    "may",
    "path_words",
    "rule_title",
    "safe_words",
    "shortest",
    "target_of",
]

OPERATIONS: Final[Mapping[Operation, str]] = MappingProxyType(
    {
        Operation.READ: "read",
        Operation.WRITE: "change",
        Operation.CREATE: "create",
        Operation.UNLINK: "delete",
    }
)
_OPERATORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "=": "is",
        "!=": "is not",
        "in": "is one of",
        "not in": "is none of",
        "<": "is below",
        "<=": "is at most",
        ">": "is above",
        ">=": "is at least",
        "ilike": "contains",
        "like": "contains exactly",
        "not ilike": "does not contain",
        "=like": "matches",
        "=ilike": "matches",
        "child_of": "is or lies below",
        "parent_of": "is or lies above",
        "any": "leads to a record for which",
        "not any": "leads to no record for which",
        "=?": "is, if given,",
    }
)
_SHOWN: Final = 6


def may(allowed: bool, operation: Operation) -> str:
    """`may read`, `may not change`."""
    return f"{'may' if allowed else 'may not'} {OPERATIONS[operation]}"


def path_words(path: GroupPath | None) -> str:
    """How somebody came to a group.

    `Sales / Administrator, which includes Sales / User`
    """
    if path is None:
        return "everyone"
    first, *others = path.groups
    text = group_title(first.name, first.xml_id)
    for other in others:
        text += f", which includes {group_title(other.name, other.xml_id)}"
    return text


def shortest(grants: Sequence[Grant], most: int = 2) -> list[GroupPath | None]:
    """The shortest ways to what is granted: each says enough."""
    found = {grant.path.group.id if grant.path else None: grant.path for grant in grants}
    return sorted(found.values(), key=lambda path: len(path.groups) if path else 0)[:most]


def group_title(name: str, xml_id: str | None) -> str:
    """What people call a group."""
    return name or xml_id or "a group"


def rule_title(reason: RuleReason) -> str:
    """What people call a record rule."""
    return reason.rule.name or reason.label


def field_title(schema: Schema, model: Model, path: str) -> str:
    """The labels along a path of fields: `order_id.partner_id` is `Order › Customer`."""
    titles = []
    current: Model | None = model
    for name in path.split("."):
        field = current.fields.get(name) if current is not None else None
        titles.append((field.string or name.removesuffix("_id").replace("_", " ")) if field else name)
        current = schema.models.get(field.comodel) if field is not None and field.comodel else None
    return " › ".join(titles)


Name = Callable[[Model, str, Any], str | None]


def condition_words(schema: Schema, model: Model, domain: Domain, name: Name | None = None) -> str:
    """A domain in words. `name` gives what a record is called, where the viewer may know it."""
    match domain:
        case Constant(value):
            return "every record" if value else "no record"
        case Condition(path, operator, value):
            return _leaf(schema, model, path, operator, value, name)
        case Not(child):
            return f"not: {condition_words(schema, model, child, name)}"
        case And(children) | Or(children):
            word = " and " if isinstance(domain, And) else " or "
            parts = [
                f"({condition_words(schema, model, c, name)})"
                if isinstance(c, And | Or)
                else condition_words(schema, model, c, name)
                for c in children
            ]
            return word.join(parts)


def _leaf(schema: Schema, model: Model, path: str, operator: str, value: Any, name: Name | None) -> str:
    title = field_title(schema, model, path)
    verb = _OPERATORS.get(operator, operator)
    if isinstance(value, Condition | Constant | And | Or | Not):
        target = target_of(schema, model, path)
        inner = condition_words(schema, target, value, name) if target is not None else "…"
        return f"{title} {verb} ({inner})"
    if value is False or value is None:
        field = _field(schema, model, path)
        if field == "boolean":
            return f"{title} {verb} no"
        return f"{title} is {'not ' if operator in ('!=', 'not in') else ''}empty"
    if value is True:
        return f"{title} {verb} yes"
    if isinstance(value, tuple):
        if not value:
            return f"{title} {verb} (nothing)"
        said = [_value(schema, model, path, item, name) for item in value[:_SHOWN]]
        if len(value) > _SHOWN:
            said.append(f"… {len(value)} in all")
        listed = f"{', '.join(said[:-1])} or {said[-1]}" if len(said) > 1 else said[0]
        return f"{title} {'is' if operator == 'in' else verb} {listed}"
    return f"{title} {verb} {_value(schema, model, path, value, name)}"


def _value(schema: Schema, model: Model, path: str, value: Any, name: Name | None) -> str:
    if value is False:
        return "empty"
    if name is not None and isinstance(value, int) and not isinstance(value, bool):
        called = name(model, path, value)
        if called is not None:
            return called
    target = target_of(schema, model, path)
    if target is not None and isinstance(value, int):
        return f"#{value}"
    return f"“{value}”" if isinstance(value, str) else str(value)


def target_of(schema: Schema, model: Model, path: str) -> Model | None:
    """The model a path of fields leads to."""
    current: Model | None = model
    for part in path.split("."):
        if current is not None and part == "id":
            return current
        field = current.fields.get(part) if current is not None else None
        current = schema.models.get(field.comodel) if field is not None and field.comodel else None
    return current


def _field(schema: Schema, model: Model, path: str) -> str | None:
    current: Model | None = model
    kind = None
    for part in path.split("."):
        field = current.fields.get(part) if current is not None else None
        kind = field.type if field is not None else None
        current = schema.models.get(field.comodel) if field is not None and field.comodel else None
    return kind


_WORD: Final = re.compile(r"[\w.@+-]+")


def safe_words(domain: Domain, text: str) -> bool:
    """Whether a bound condition says nothing that its rule's own text does not: ids and literals only.

    A rule may compare with something the acting user's records hold, such as a name or an amount;
    that is theirs, and no part of the policy.
    """
    return all(_told(value, text) for value in _values(domain))


def _values(domain: Domain) -> Sequence[Any]:
    found: list[Any] = []
    for condition in conditions(domain):
        if isinstance(condition.value, Condition | Constant | And | Or | Not):
            found.extend(_values(condition.value))
        elif isinstance(condition.value, tuple):
            found.extend(condition.value)
        else:
            found.append(condition.value)
    return found


def _told(value: Any, text: str) -> bool:
    if value is None or isinstance(value, bool | int):
        return True
    if isinstance(value, float | Decimal | datetime | date):
        return str(value) in text
    return isinstance(value, str) and value in text
