"""Parse a domain: from Python or JSON values in Odoo's prefix notation, or from text.

Pure. Form is checked here; fields, operators for a type and values are checked against
the schema when a domain is lowered.
Invariant: no input, however long or deep, exhausts the stack.
Source: Odoo's domain notation, docs/design/domain.md.
"""

from __future__ import annotations

import ast
import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from vallum.domain.ast import (
    FALSE,
    TRUE,
    And,
    Condition,
    Constant,
    Domain,
    Not,
    Open,
    Or,
    all_of,
    any_of,
    conditions,
    negate,
)
from vallum.kernel import MalformedDomain, UnknownOperator

__all__ = ["ANY_OPERATORS", "MAX_DEPTH", "OPERATORS", "parse", "parse_asked", "parse_text"]

# They reach records without the rights and rules of whoever asks: for record rules and the superuser.
_BYPASSING: Final = frozenset({"any!", "not any!"})
ANY_OPERATORS: Final = frozenset({"any", "not any"}) | _BYPASSING
OPERATORS: Final = frozenset(
    {"=", "!=", "<=", "<", ">", ">=", "=?", "in", "not in", "child_of", "parent_of"}
    | {"like", "not like", "ilike", "not ilike", "=like", "=ilike", "not =like", "not =ilike"}
    | ANY_OPERATORS
)
_ALIASES: Final = {"<>": "!=", "==": "="}
_ARITY: Final = {"!": 1, "&": 2, "|": 2}

MAX_DEPTH: Final = 100
MAX_TEXT: Final = 2_000_000


def parse(source: Any, *, where: str | None = None) -> Domain:
    """The domain `source` stands for: a list in prefix notation, or an already parsed domain.

    Conditions side by side are joined by and; an empty list is every record.
    Raises: MalformedDomain, UnknownOperator.

    >>> parse([("name", "=", "x"), "|", ("a", "=", 1), ("b", "=", None)])
    And(children=(Condition(path='name', operator='=', value='x'), \
Or(children=(Condition(path='a', operator='=', value=1), Condition(path='b', operator='=', value=False)))))
    """
    return _parse(source, where, MAX_DEPTH)


def parse_asked(source: Any) -> Domain:
    """As `parse`, for a domain of somebody whom rights and rules restrict.

    Raises: MalformedDomain, UnknownOperator (one that goes round them).

    >>> parse_asked([("a", "any", [("b", "=", 1)])])
    Condition(path='a', operator='any', value=Condition(path='b', operator='=', value=1))
    """
    domain = parse(source)
    _check_asked(domain)
    return domain


def _check_asked(domain: Domain) -> None:
    for condition in conditions(domain):
        operator = condition.operator
        if operator in _BYPASSING:
            raise UnknownOperator(
                f"`{operator}` goes round access rights and rules (in the condition on"
                f" `{condition.path[:100]}`): it is for record rules and the superuser",
                fix=f"use `{operator[:-1]}`",
            )
        if operator in ANY_OPERATORS:
            _check_asked(condition.value)


def parse_text(text: str, *, where: str | None = None) -> Domain:
    """The domain of a text: JSON, or Python literals (no names, no calls).

    Raises: MalformedDomain, UnknownOperator.
    """
    if len(text) > MAX_TEXT:
        raise MalformedDomain(f"the domain is longer than {MAX_TEXT:,} characters", where=where)
    stripped = text.strip()
    if not stripped:
        return TRUE
    try:
        return parse(json.loads(stripped), where=where)
    except (ValueError, RecursionError):
        pass
    try:
        value = ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise MalformedDomain(
            f"this is not a domain: {_shown(stripped)}",
            where=where,
            fix="write a list such as [('state', '=', 'done')]",
        ) from error
    return parse(value, where=where)


def _parse(source: Any, where: str | None, depth: int) -> Domain:
    if isinstance(source, Constant | Condition | And | Or | Not):
        _check_depth(source, where)
        return source
    if not isinstance(source, list | tuple):
        raise MalformedDomain(
            f"a domain is a list, not {_shown(source)}",
            where=where,
            fix="write a list such as [('state', '=', 'done')]",
        )
    if depth <= 0:
        raise MalformedDomain(f"the domain is nested deeper than {MAX_DEPTH} levels", where=where)
    stack: list[_Operand] = []
    for item in reversed(source):
        if isinstance(item, str):
            _apply(item, stack, source, where)
        else:
            stack.append(_condition(item, where, depth))
    domain = all_of(map(_settled, reversed(stack)))
    _check_depth(domain, where)
    return domain


class _Chain:
    """A run of operands of one sign, growing at both ends."""

    __slots__ = ("parts", "sign")

    def __init__(self, sign: str, first: _Operand, second: _Operand) -> None:
        self.sign = sign
        self.parts = deque((_settled(first), _settled(second)))


_Operand: TypeAlias = "Domain | _Chain"


def _settled(operand: _Operand) -> Domain:
    if isinstance(operand, _Chain):
        return (all_of if operand.sign == "&" else any_of)(operand.parts)
    return operand


def _joined(sign: str, first: _Operand, second: _Operand) -> _Chain:
    """`first sign second`; an operand that is a chain of the same sign takes the other in."""
    if isinstance(first, _Chain) and first.sign == sign:
        if isinstance(second, _Chain) and second.sign == sign:
            first.parts.extend(second.parts)
        else:
            first.parts.append(_settled(second))
        return first
    if isinstance(second, _Chain) and second.sign == sign:
        second.parts.appendleft(_settled(first))
        return second
    return _Chain(sign, first, second)


def _apply(sign: str, stack: list[_Operand], source: Any, where: str | None) -> None:
    arity = _ARITY.get(sign)
    if arity is None:
        raise MalformedDomain(
            f"{_shown(sign)} is neither a condition nor one of & | !",
            where=where,
            fix="a condition is a triple (field, operator, value)",
        )
    if len(stack) < arity:
        raise MalformedDomain(
            f"`{sign}` lacks an operand in {_shown(source)}",
            where=where,
            fix="operators stand before their operands: ['|', A, B]",
        )
    if sign == "!":
        stack.append(negate(_settled(stack.pop())))
    else:
        stack.append(_joined(sign, stack.pop(), stack.pop()))


def _condition(item: Any, where: str | None, depth: int) -> Domain:
    if isinstance(item, Constant | Condition | And | Or | Not):
        return item
    if isinstance(item, bool):
        return TRUE if item else FALSE
    if not isinstance(item, list | tuple) or len(item) != 3:
        raise MalformedDomain(
            f"{_shown(item)} is not a condition",
            where=where,
            fix="a condition is a triple (field, operator, value)",
        )
    path, operator, value = item
    if operator == "=" and path in (0, 1) and not isinstance(path, bool) and value == 1:
        return TRUE if path else FALSE
    if not isinstance(path, str) or not path or path.startswith(".") or path.endswith(".") or ".." in path:
        raise MalformedDomain(f"{_shown(path)} is not a field or a path of fields", where=where)
    if not isinstance(operator, str):
        raise MalformedDomain(f"{_shown(operator)} is not an operator", where=where)
    operator = _ALIASES.get(operator, operator)
    if operator not in OPERATORS:
        raise UnknownOperator(
            f"no operator {_shown(operator)} (in the condition on `{path[:100]}`)",
            where=where,
            fix="use one of " + " ".join(sorted(OPERATORS)),
        )
    if operator in ANY_OPERATORS:
        return Condition(path, operator, _parse(value, where, depth - 1))
    return Condition(path, operator, _value(value, path, where))


def _value(value: Any, path: str, where: str | None) -> Any:
    if value is None:
        return False
    if isinstance(value, Open):
        return value
    if isinstance(value, str | bool | int | float | Decimal | date | datetime):
        if isinstance(value, str) and "\x00" in value:
            raise MalformedDomain(f"the value for `{path}` holds a NUL character", where=where)
        return value
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        items: Iterable[Any] = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return tuple(_scalar(v, path, where) for v in items)
    raise MalformedDomain(
        f"{_shown(value)} cannot be a value (of `{path}`)",
        where=where,
        fix="values are texts, numbers, booleans, dates and lists of these",
    )


def _scalar(value: Any, path: str, where: str | None) -> Any:
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        raise MalformedDomain(f"the list for `{path}` holds {_shown(value)}", where=where)
    return _value(value, path, where)


def _check_depth(domain: Domain, where: str | None) -> None:
    todo: list[tuple[Domain, int]] = [(domain, 1)]
    while todo:
        current, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise MalformedDomain(
                f"the domain is nested deeper than {MAX_DEPTH} levels",
                where=where,
                fix="join conditions side by side, or use `in` with a list",
            )
        match current:
            case And(children) | Or(children):
                todo.extend((child, depth + 1) for child in children)
            case Not(child):
                todo.append((child, depth + 1))
            case Condition(path, _, value):
                depth += path.count(".")
                if isinstance(value, Constant | Condition | And | Or | Not):
                    todo.append((value, depth + 1))
                elif depth > MAX_DEPTH:
                    todo.append((current, depth))


def _shown(value: Any) -> str:
    """A value for an error text: short, and never a megabyte."""
    try:
        text = repr(value) if not isinstance(value, list | tuple) else repr(list(value[:4]))
    except RecursionError:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"
