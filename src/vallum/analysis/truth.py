"""Ask PostgreSQL about one record: which conditions hold, and which of them make a rule fail.

Invariant: a condition that is unknown counts as failed, as in a WHERE clause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from vallum.domain import (
    And,
    Condition,
    Constant,
    Domain,
    Filter,
    Not,
    Or,
    RecordReader,
    all_of,
    any_of,
    negate,
    root,
    to_list,
)
from vallum.domain.filter import Plain, Ref
from vallum.domain.sql import Scope
from vallum.enforce import Application
from vallum.enforce.attempt import attempt
from vallum.enforce.statement import compiled
from vallum.kernel import VallumError
from vallum.schema import Model

__all__ = [
    "UNREADABLE",
    "actual",
    "blamed",
    "exists",
    "has_records",
    "holds",
    "inwards",
    "leaves",
    "parent_of",
    "text_of",
]

# PostgreSQL gives a statement 1,664 columns at most; far fewer keep planning short.
_COLUMNS: Final = 200
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A value that lives in code."""


UNREADABLE: Final = _Unreadable()


def has_records(model: Model) -> bool:
    """Whether the model has a table or view; otherwise its records live in code."""
    return model.relation and not model.abstract


def exists(application: Application, model: Model, record: int) -> bool | None:
    """Whether the record is there; None where the model has no table or view."""
    if not has_records(model):
        return None
    return bool(_select(application, model, record, lambda _: [sa.true()]))


def holds(application: Application, model: Model, record: int, filters: Sequence[Filter]) -> list[bool]:
    """For each filter whether the record passes it; a record that is gone passes none.

    Raises: VallumError (PostgreSQL refuses a filter), ConnectionFailed.
    """
    found: list[bool] = []
    for start in range(0, len(filters), _COLUMNS):
        part = filters[start : start + _COLUMNS]
        rows = _select(application, model, record, partial(_conditions, part))
        found.extend(value is True for value in rows[0]) if rows else found.extend([False] * len(part))
    return found


def _conditions(filters: Sequence[Filter], scope: Scope) -> list[Any]:
    return [scope.where(f) for f in filters]


def parent_of(application: Application, model: Model, record: int, via: str) -> int | None:
    """The id of the `_inherits` parent's record."""
    env = application.env(None, active_test=False)
    ref = application.lowering.ref(model.field(via), env, root(model))
    rows = _select(application, model, record, lambda scope: [scope.ref(ref)])
    return rows[0][0] if rows else None


def _select(
    application: Application, model: Model, record: int, columns: Callable[[Scope], list[Any]]
) -> list[tuple[Any, ...]]:
    scope = Scope(root(model))
    asked = [c.label(f"c{n}") for n, c in enumerate(columns(scope))]
    own = scope.ref(Ref(scope.root, "id", Plain("int4")))
    statement = sa.select(*asked).select_from(scope.from_clause()).where(own == record)
    with attempt(application.database):
        return list(application.database.rows(*compiled(statement)))


# the conditions of a rule


def inwards(domain: Domain) -> Domain:
    """The domain with its negations at the conditions."""
    match domain:
        case And(children):
            return all_of(map(inwards, children))
        case Or(children):
            return any_of(map(inwards, children))
        case Not(And(children)):
            return any_of(inwards(negate(c)) for c in children)
        case Not(Or(children)):
            return all_of(inwards(negate(c)) for c in children)
        case Not(Not(child)):
            return inwards(child)
    return domain


def leaves(domain: Domain) -> Iterator[Domain]:
    """The conditions of a domain whose negations are at the conditions."""
    if isinstance(domain, And | Or):
        for child in domain.children:
            yield from leaves(child)
    else:
        yield domain


def blamed(domain: Domain, truth: Mapping[Domain, bool]) -> tuple[Domain, ...]:
    """The conditions a failing domain fails by; the domain itself where none fails alone."""
    found = tuple(dict.fromkeys(leaf for leaf in leaves(domain) if not truth.get(leaf)))
    if isinstance(domain, And):
        failing = (c for c in domain.children if not _true(c, truth))
        found = tuple(dict.fromkeys(leaf for c in failing for leaf in blamed(c, truth)))
    return found or (domain,)


def _true(domain: Domain, truth: Mapping[Domain, bool]) -> bool:
    if isinstance(domain, And):
        return all(_true(c, truth) for c in domain.children)
    if isinstance(domain, Or):
        return any(_true(c, truth) for c in domain.children)
    return bool(truth.get(domain))


def text_of(domain: Domain) -> str:
    """A domain as people read it; long lists are cut.

    >>> text_of(Condition("company_id", "in", (1, 2)))
    'company_id in [1, 2]'
    """
    match domain:
        case Constant(value):
            return "always" if value else "never"
        case Condition(path, operator, value):
            return f"{path} {operator} {_value(value)}"
        case Not(child):
            return f"not ({text_of(child)})"
        case And(children):
            return " and ".join(f"({text_of(c)})" if isinstance(c, Or) else text_of(c) for c in children)
        case Or(children):
            return " or ".join(f"({text_of(c)})" if isinstance(c, And) else text_of(c) for c in children)


def _value(value: Any) -> str:
    if isinstance(value, Constant | Condition | And | Or | Not):
        return f"({text_of(value)})"
    if isinstance(value, tuple):
        shown = ", ".join(_value(v) for v in value[:_SHOWN])
        return f"[{shown}, … {len(value)} in all]" if len(value) > _SHOWN else f"[{shown}]"
    plain = to_list(Condition("", "=", value))[0][2]
    return repr(plain)


# the values of a record


def actual(application: Application, reader: RecordReader, model: Model, record: int, leaf: Domain) -> Any:
    """What the record has in the field of a condition, with the superuser's eyes.

    Ids for a relation, a tuple where the path leads to several; UNREADABLE where code computes it.
    """
    condition = leaf.child if isinstance(leaf, Not) else leaf
    if not isinstance(condition, Condition):
        return UNREADABLE
    at: list[Any] = [record]
    several = False
    try:
        for name in condition.path.split("."):
            field = model.field(name)
            if name != "id":
                with attempt(application.database):
                    values = reader.read(model.name, at, name)
                at = [v for i in at for v in _each(values.get(i))]
            several |= field.x2many
            if field.comodel:
                model = application.schema.model(field.comodel)
    except VallumError:
        return UNREADABLE
    return tuple(dict.fromkeys(at)) if several else at[0] if at else None


def _each(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)
