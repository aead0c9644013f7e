"""Read a rule once for all actors: its domain, with open places for what differs by actor.

Pure. Where a rule is compiled into the database, its text must have one form for everyone;
`user.id`, `company_ids` and any other expression over the actor become places whose values
are bound per actor. A rule whose *form* depends on the actor has no such reading.
"""

from __future__ import annotations

import ast
from typing import Any, Final

from vallum.domain.ast import Domain, Open
from vallum.domain.expression import closed_value, parsed
from vallum.domain.parse import parse
from vallum.kernel import UnsupportedDomain

__all__ = ["open_domain"]

_ACTOR: Final = frozenset({"user", "uid", "company_id", "company_ids"})
_TIME: Final = frozenset({"time", "datetime"})


def open_domain(text: str, *, where: str | None = None) -> Domain:
    """The domain of a rule's text with `Open` places among its values.

    Raises: UnsupportedDomain (the form depends on the actor or the time),
    ForbiddenExpression, MalformedDomain.
    """
    if not text.strip():
        return parse([])
    return parse(_structure(parsed(text, where), where), where=where)


def _structure(node: ast.expr, where: str | None) -> list[Any]:
    """A list in prefix notation, its conditions read one by one."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_structure(node.left, where), *_structure(node.right, where)]
    if not isinstance(node, ast.List | ast.Tuple):
        raise _unreadable(node, where)
    return [_item(element, where) for element in node.elts]


def _item(node: ast.expr, where: str | None) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if not isinstance(node, ast.List | ast.Tuple) or len(node.elts) != 3:
        raise _unreadable(node, where)
    path, operator, value = node.elts
    if _names(path) or _names(operator):
        raise _unreadable(node, where)
    operator_text = closed_value(operator, where)
    if operator_text in ("any", "not any", "any!", "not any!"):
        return [closed_value(path, where), operator_text, _structure(value, where)]
    return [closed_value(path, where), operator_text, _value(value, where)]


def _value(node: ast.expr, where: str | None) -> Any:
    """A value with places: a list of parts, or one part alone."""
    names = _names(node)
    if names & _TIME:
        raise UnsupportedDomain("the rule depends on the time", where=where)
    if not names & _ACTOR:
        return closed_value(node, where)
    parts = _parts(node, where)
    if isinstance(node, ast.List | ast.Tuple | ast.BinOp) or any(
        p.many for p in parts if isinstance(p, Open)
    ):
        return parts
    return parts[0]


def _parts(node: ast.expr, where: str | None) -> list[Any]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_parts(node.left, where), *_parts(node.right, where)]
    if isinstance(node, ast.List | ast.Tuple):
        return [part for element in node.elts for part in _parts(element, where)]
    if not _names(node) & _ACTOR:
        value = closed_value(node, where)
        return list(value) if isinstance(value, list | tuple) else [value]
    return [_place(node, where)]


def _place(node: ast.expr, where: str | None) -> Open:
    text = ast.unparse(node)
    if text == "company_ids":
        return Open(text, many=True)
    if "company_ids" in _names(node) or ("company_id" in _names(node) and text != "company_id"):
        raise UnsupportedDomain(
            f"`{text}` depends on the active companies in more than their ids", where=where
        )
    return Open(text, many=_is_many(node))


def _is_many(node: ast.expr) -> bool:
    """Whether an expression gives a list, as far as its form tells."""
    if isinstance(node, ast.Attribute):
        return node.attr == "ids"
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in ("mapped", "_get_group_ids")
    return isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp)


def _names(node: ast.expr) -> frozenset[str]:
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def _unreadable(node: ast.expr, where: str | None) -> UnsupportedDomain:
    return UnsupportedDomain(
        f"the form of the domain depends on the actor: `{ast.unparse(node)[:80]}`",
        where=where,
        fix="write a plain list of conditions, the actor only among their values",
    )
