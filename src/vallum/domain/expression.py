"""Evaluate a rule's domain text for one actor, without `eval`.

The text is parsed to Python's syntax tree and walked; only the nodes, names, attributes
and methods listed here exist. Records are read through a `RecordReader`, as superuser,
as Odoo does. Invariant: whatever is not listed raises ForbiddenExpression, and the
caller denies.
Source: the evaluation context of Odoo's record rules (`user`, `company_id`,
`company_ids`, `time`), docs/design/domain.md.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from vallum.domain.ast import Domain
from vallum.domain.parse import parse
from vallum.domain.records import Environment, Method, Records, RuleContext
from vallum.kernel import ForbiddenExpression, VallumError
from vallum.schema import Schema

__all__ = [
    "depends_on_time",
    "evaluate",
    "evaluate_domain",
    "names_in",
]

MAX_TEXT: Final = 100_000
MAX_STEPS: Final = 200_000
MAX_SIZE: Final = 1_000_000
MAX_BITS: Final = 4096
# So many letters or items of a value cost as much as one step.
ITEMS_PER_STEP: Final = 20


class _Time:
    """`time`: only what formats the present moment."""


class _Module:
    """`datetime`, `relativedelta`-free: the date classes rules use."""


def evaluate_domain(text: str, context: RuleContext, *, where: str | None = None) -> Domain:
    """The domain a rule's text gives for this actor.

    Raises: ForbiddenExpression, MalformedDomain, UnknownOperator, UnknownField.
    """
    if not text.strip():
        return parse([])
    return parse(_listed(evaluate(text, context, where=where)), where=where)


def evaluate(text: str, context: RuleContext, *, where: str | None = None) -> Any:
    """The value of an expression.

    Raises: ForbiddenExpression (also for errors within, such as a division by zero).
    """
    tree = _tree(text, where)
    try:
        return _Evaluator(context).visit(tree, {})
    except VallumError as error:
        if error.where is None:
            error.where = where
        raise
    except RecursionError as error:
        raise ForbiddenExpression("the expression is nested too deeply", where=where) from error
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError, MemoryError) as error:
        raise ForbiddenExpression(f"the expression fails: {error}", where=where) from error


def closed_value(node: ast.expr, where: str | None) -> Any:
    """The value of a parsed expression that mentions no actor.

    Raises: ForbiddenExpression.
    """
    return evaluate(ast.unparse(node), _NOBODY, where=where)


def parsed(text: str, where: str | None) -> ast.expr:
    """The syntax tree of an expression.

    Raises: ForbiddenExpression.
    """
    return _tree(text, where)


def depends_on_time(text: str) -> bool:
    """Whether an expression may give another value at another moment."""
    return not names_in(text).isdisjoint({"time", "datetime"})


@lru_cache(maxsize=4096)
def names_in(text: str) -> frozenset[str]:
    """The free names an expression mentions; empty for a text that cannot be parsed."""
    try:
        tree = _tree(text, None)
    except ForbiddenExpression:
        return frozenset()
    return frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def _tree(text: str, where: str | None) -> ast.expr:
    if len(text) > MAX_TEXT:
        raise ForbiddenExpression(f"the expression is longer than {MAX_TEXT:,} characters", where=where)
    try:
        return _parsed(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ForbiddenExpression(f"the expression cannot be parsed: {error}", where=where) from error


def _listed(value: Any) -> Any:
    """Records within a domain stand for their ids."""
    if isinstance(value, Records):
        return list(value.ids)
    if isinstance(value, list | tuple):
        return [_listed(v) for v in value]
    return value


_BINARY: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
}
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "len": len,
    "list": list,
    "tuple": tuple,
    "set": set,
    "sorted": sorted,
    "bool": bool,
    "int": int,
    "str": str,
    "float": float,
    "min": min,
    "max": max,
    "sum": sum,
    "any": any,
    "all": all,
    "abs": abs,
}
_METHODS: Final[Mapping[type, frozenset[str]]] = {
    str: frozenset({"lower", "upper", "strip", "split", "startswith", "endswith", "join"}),
    list: frozenset({"index", "count"}),
    dict: frozenset({"get"}),
    date: frozenset({"strftime", "isoformat", "replace", "weekday"}),
    datetime: frozenset({"strftime", "isoformat", "replace", "date", "weekday"}),
}
_DATE_ATTRIBUTES: Final = frozenset({"year", "month", "day", "hour", "minute", "second"})


class _Evaluator:
    """Walks an expression; `scope` holds the variables of comprehensions.

    Invariant: no value is larger than MAX_SIZE, counted as often as it is contained, and
    the work is bounded by MAX_STEPS, long values counting for many steps.
    """

    def __init__(self, context: RuleContext) -> None:
        self.context = context
        self.steps = 0
        # By identity, each with its value: what is kept alive keeps its identity.
        self._weights: dict[int, tuple[int, Any]] = {}

    def visit(self, node: ast.expr, scope: Mapping[str, Any]) -> Any:
        self._spend(1)
        method = _VISITORS.get(type(node))
        if method is None:
            raise ForbiddenExpression(f"{type(node).__name__} is not allowed in a rule")
        value = method(self, node, scope)
        if self._weight(value) > MAX_SIZE:
            raise ForbiddenExpression("the expression builds too large a value")
        return value

    def _spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise ForbiddenExpression("the expression takes too many steps")

    def _weight(self, value: Any) -> int:
        """Letters and items of a value, those of what it contains included."""
        if isinstance(value, Records):
            return 1 + len(value.ids)
        if not isinstance(value, str | list | tuple | set | dict):
            return 1
        known = self._weights.get(id(value))
        if known is not None:
            return known[0]
        self._spend(len(value) // ITEMS_PER_STEP)
        weight = 1 + len(value)
        if isinstance(value, dict):
            weight += sum(map(self._weight, value.values()))
        elif not isinstance(value, str):
            weight += sum(map(self._weight, value))
        self._weights[id(value)] = (weight, value)
        return weight

    def _read(self, *values: Any) -> None:
        """Pay for a pass over values."""
        self._spend(sum(map(self._weight, values)) // ITEMS_PER_STEP)

    def _constant(self, node: ast.Constant, _: Mapping[str, Any]) -> Any:
        if isinstance(node.value, bytes | complex) or node.value is Ellipsis:
            raise ForbiddenExpression(f"the constant {node.value!r} is not allowed in a rule")
        return node.value

    def _name(self, node: ast.Name, scope: Mapping[str, Any]) -> Any:
        if node.id in scope:
            return scope[node.id]
        context = self.context
        match node.id:
            case "user":
                return Records(context, "res.users", [context.user_id])
            case "company_id":
                return context.company_id or False
            case "company_ids":
                return list(context.company_ids)
            case "uid":
                return context.user_id
            case "time":
                return _Time()
            case "datetime":
                return _Module()
            case "website" if "website" in context.reader.schema:
                return Records(context, "website", [])
            case "true" | "false":
                return node.id == "true"
        if node.id in _FUNCTIONS:
            return _FUNCTIONS[node.id]
        raise ForbiddenExpression(
            f"the name `{node.id}` is not available in a rule",
            fix="available are user, company_id, company_ids, time and plain functions",
        )

    def _sequence(self, node: ast.List | ast.Tuple | ast.Set, scope: Mapping[str, Any]) -> Any:
        items: list[Any] = []
        for element in node.elts:
            if isinstance(element, ast.Starred):
                items.extend(self.visit(element.value, scope))
            else:
                items.append(self.visit(element, scope))
        return (
            tuple(items)
            if isinstance(node, ast.Tuple)
            else set(items)
            if isinstance(node, ast.Set)
            else items
        )

    def _dict(self, node: ast.Dict, scope: Mapping[str, Any]) -> Any:
        if any(key is None for key in node.keys):
            raise ForbiddenExpression("`**` is not allowed in a rule")
        return {
            self.visit(k, scope): self.visit(v, scope)
            for k, v in zip(node.keys, node.values, strict=True)
            if k
        }

    def _bool(self, node: ast.BoolOp, scope: Mapping[str, Any]) -> Any:
        stop_on = isinstance(node.op, ast.Or)
        value: Any = None
        for part in node.values:
            value = self.visit(part, scope)
            if bool(value) == stop_on:
                break
        return value

    def _unary(self, node: ast.UnaryOp, scope: Mapping[str, Any]) -> Any:
        value = self.visit(node.operand, scope)
        match node.op:
            case ast.Not():
                return not value
            case ast.USub():
                return -value
            case ast.UAdd():
                return +value
        raise ForbiddenExpression("`~` is not allowed in a rule")

    def _binary(self, node: ast.BinOp, scope: Mapping[str, Any]) -> Any:
        function = _BINARY.get(type(node.op))
        if function is None:
            raise ForbiddenExpression(f"{type(node.op).__name__} is not allowed in a rule")
        left, right = self.visit(node.left, scope), self.visit(node.right, scope)
        if isinstance(node.op, ast.Mult) and (
            _size(left) * _number(right) > MAX_SIZE or _size(right) * _number(left) > MAX_SIZE
        ):
            raise ForbiddenExpression("the expression builds too large a value")
        if (
            isinstance(left, int)
            and isinstance(right, int)
            and left.bit_length() + right.bit_length() > MAX_BITS
        ):
            raise ForbiddenExpression("the expression builds too large a number")
        if isinstance(node.op, ast.Mod) and isinstance(left, str):
            raise ForbiddenExpression("formatting with `%` is not allowed in a rule")
        return function(left, right)

    def _compare(self, node: ast.Compare, scope: Mapping[str, Any]) -> bool:
        left = self.visit(node.left, scope)
        for op, part in zip(node.ops, node.comparators, strict=True):
            right = self.visit(part, scope)
            self._read(left, right)
            if not _COMPARE[type(op)](left, right):
                return False
            left = right
        return True

    def _choice(self, node: ast.IfExp, scope: Mapping[str, Any]) -> Any:
        return self.visit(node.body if self.visit(node.test, scope) else node.orelse, scope)

    def _subscript(self, node: ast.Subscript, scope: Mapping[str, Any]) -> Any:
        value = self.visit(node.value, scope)
        if isinstance(value, Records):
            if not isinstance(node.slice, ast.Slice):
                return (
                    value.get(str(key))
                    if isinstance(key := self.visit(node.slice, scope), str)
                    else list(value)[key]
                )
            return Records(self.context, value.model, value.ids[self._slice(node.slice, scope)])
        if not isinstance(value, list | tuple | str | dict):
            raise ForbiddenExpression("only lists, texts and records can be subscripted in a rule")
        return value[
            self._slice(node.slice, scope)
            if isinstance(node.slice, ast.Slice)
            else self.visit(node.slice, scope)
        ]

    def _slice(self, node: ast.Slice, scope: Mapping[str, Any]) -> slice:
        return slice(
            *(
                None if part is None else self.visit(part, scope)
                for part in (node.lower, node.upper, node.step)
            )
        )

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: Mapping[str, Any]
    ) -> Any:
        items = [self.visit(node.elt, inner) for inner in self._scopes(node.generators, scope)]
        return set(items) if isinstance(node, ast.SetComp) else items

    def _scopes(
        self, generators: Sequence[ast.comprehension], scope: Mapping[str, Any]
    ) -> Iterator[Mapping[str, Any]]:
        if not generators:
            yield scope
            return
        first, *others = generators
        if not isinstance(first.target, ast.Name) or first.is_async:
            raise ForbiddenExpression("a comprehension in a rule has one plain variable")
        for item in self.visit(first.iter, scope):
            inner = {**scope, first.target.id: item}
            if all(self.visit(condition, inner) for condition in first.ifs):
                yield from self._scopes(others, inner)

    def _attribute(self, node: ast.Attribute, scope: Mapping[str, Any]) -> Any:
        value = self.visit(node.value, scope)
        name = node.attr
        if isinstance(value, Records | Environment):
            return value.get(name)
        if isinstance(value, _Time) and name in ("strftime", "time", "localtime", "gmtime"):
            return Method(value, name)
        if isinstance(value, _Module):
            if name in ("date", "datetime", "timedelta"):
                return {"date": date, "datetime": datetime, "timedelta": timedelta}[name]
        elif value in (date, datetime) and name in ("today", "now", "utcnow"):
            return Method(value, name)
        elif isinstance(value, date) and name in _DATE_ATTRIBUTES:
            return getattr(value, name)
        elif any(isinstance(value, kind) and name in names for kind, names in _METHODS.items()):
            return Method(value, name)
        raise ForbiddenExpression(f"`.{name}` is not available here in a rule")

    def _call(self, node: ast.Call, scope: Mapping[str, Any]) -> Any:
        function = self.visit(node.func, scope)
        if any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords):
            raise ForbiddenExpression("`*` arguments are not allowed in a rule")
        arguments = [self.visit(a, scope) for a in node.args]
        named = {k.arg: self.visit(k.value, scope) for k in node.keywords if k.arg}
        self._read(*arguments, *named.values())
        if function is sum and not all(isinstance(v, int | float) for v in (*arguments[1:], *named.values())):
            raise ForbiddenExpression("only numbers can be summed up in a rule")
        if function is str and not all(isinstance(a, str | int | float | date) for a in arguments):
            raise ForbiddenExpression("only plain values can be read as text in a rule")
        if isinstance(function, Method):
            return self._method(function, arguments, named)
        if function is timedelta or function in (date, datetime) or function in _FUNCTIONS.values():
            return function(*arguments, **named)
        raise ForbiddenExpression("only the functions of the rule language can be called")

    def _method(self, method: Method, arguments: list[Any], named: dict[str, Any]) -> Any:
        owner, name, now = method.owner, method.name, self.context.now
        if isinstance(owner, Records):
            return self._record_method(owner, name, arguments)
        if isinstance(owner, _Time):
            return (
                now.strftime(str(arguments[0]))
                if name == "strftime"
                else now.timestamp()
                if name == "time"
                else now.timetuple()
            )
        if owner is date:
            return now.date()
        if owner is datetime:
            return now
        if name == "join" and len(owner) * sum(map(_size, arguments)) > MAX_SIZE:
            raise ForbiddenExpression("the expression builds too large a value")
        return getattr(owner, name)(*arguments, **named)

    def _record_method(self, owner: Records, name: str, arguments: list[Any]) -> Any:
        if name == "mapped" and len(arguments) == 1 and isinstance(arguments[0], str):
            return owner.mapped(arguments[0])
        if name in ("sudo", "exists"):
            return owner
        if owner.model == "res.users":
            groups = self._group_names(owner)
            match name, arguments:
                case "has_group", [str(group)]:
                    return group in groups
                case "_is_internal", []:
                    return "base.group_user" in groups
                case "_is_portal", []:
                    return "base.group_portal" in groups
                case "_is_public", []:
                    return "base.group_public" in groups
                case "_get_group_ids", []:
                    return list(self._groups(owner))
        raise ForbiddenExpression(f"`{name}` cannot be called this way in a rule")

    def _groups(self, user: Records) -> tuple[int, ...]:
        fields = self.context.reader.schema.model("res.users").fields
        name = next(n for n in ("all_group_ids", "groups_id", "group_ids") if n in fields)
        found: Records = user.get(name)
        return found.ids

    def _group_names(self, user: Records) -> frozenset[str]:
        names = self.context.reader.read("res.groups", self._groups(user), "xml_id")
        return frozenset(str(n) for n in names.values() if n)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


class _Nobody:
    """Reads nothing: a closed expression mentions no records."""

    @property
    def schema(self) -> Schema:
        """There is none."""
        raise ForbiddenExpression("the expression mentions records")

    def read(self, model: str, ids: Sequence[int], field: str) -> Mapping[int, Any]:
        """Nothing is read."""
        raise ForbiddenExpression("the expression mentions records")


def _never() -> datetime:
    raise ForbiddenExpression("the expression depends on the time")


_NOBODY: Final = RuleContext(_Nobody(), 0, None, (), (), _never)

_VISITORS: Final[Mapping[type[ast.expr], Callable[[_Evaluator, Any, Mapping[str, Any]], Any]]] = {
    ast.Constant: _Evaluator._constant,
    ast.Name: _Evaluator._name,
    ast.List: _Evaluator._sequence,
    ast.Tuple: _Evaluator._sequence,
    ast.Set: _Evaluator._sequence,
    ast.Dict: _Evaluator._dict,
    ast.BoolOp: _Evaluator._bool,
    ast.UnaryOp: _Evaluator._unary,
    ast.BinOp: _Evaluator._binary,
    ast.Compare: _Evaluator._compare,
    ast.IfExp: _Evaluator._choice,
    ast.Subscript: _Evaluator._subscript,
    ast.ListComp: _Evaluator._comprehension,
    ast.SetComp: _Evaluator._comprehension,
    ast.GeneratorExp: _Evaluator._comprehension,
    ast.Attribute: _Evaluator._attribute,
    ast.Call: _Evaluator._call,
}
