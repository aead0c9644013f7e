"""Evaluate the `eval` attributes of data files: literals, `ref(...)` and `Command`, nothing else.

Pure. A reference stays a name until the policy is assembled, so no id is ever guessed.
Invariant: nothing is executed; whatever is not listed here is a ForbiddenExpression.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, overload

from vallum.kernel import ForbiddenExpression, MalformedPolicy

__all__ = ["Command", "Evaluated", "Ref", "commands", "evaluate", "parse", "qualify"]

_LONGEST: Final = 100_000
_XML_ID: Final = re.compile(r"[^\s.,]+(\.[^\s.,]+)?")
_LINK, _UNLINK, _CLEAR, _SET = 4, 3, 5, 6
_COMMANDS: Final = {"link": (_LINK, 1), "unlink": (_UNLINK, 1), "clear": (_CLEAR, 0), "set": (_SET, 1)}


@dataclass(frozen=True, slots=True)
class Ref:
    """A full xml id (`module.name`) as some place in a file mentions it."""

    xml_id: str
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Command:
    """A change to a set of records: `link`, `unlink` or `set` (which with no refs clears)."""

    verb: str
    refs: tuple[Ref, ...] = ()


Evaluated: TypeAlias = (
    "bool | int | float | str | Ref | list[Evaluated] | tuple[Evaluated, ...] | dict[str, Evaluated] | None"
)


@overload
def parse(source: str | bytes, mode: Literal["exec"]) -> ast.Module: ...
@overload
def parse(source: str | bytes, mode: Literal["eval"]) -> ast.Expression: ...
def parse(source: str | bytes, mode: str) -> ast.AST:
    """The syntax tree of somebody else's Python; what it would warn of is not our concern.

    Raises: SyntaxError, ValueError, RecursionError, MemoryError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, mode=mode)


def qualify(xml_id: str, module: str, where: str) -> str:
    """The full xml id; a bare one belongs to `module`.

    >>> qualify("group_user", "crm", "crm/rules.xml:1")
    'crm.group_user'

    Raises: MalformedPolicy.
    """
    if not _XML_ID.fullmatch(xml_id):
        raise MalformedPolicy(
            f"`{xml_id}` is not an xml id", where=where, fix="write `name` or `module.name`, with one dot"
        )
    return xml_id if "." in xml_id else f"{module}.{xml_id}"


def evaluate(text: str, module: str, where: str) -> Evaluated:
    """The value of an `eval` attribute.

    Raises: ForbiddenExpression, MalformedPolicy.
    """
    if len(text) > _LONGEST:
        raise ForbiddenExpression("an expression of more than 100,000 characters", where=where)
    try:
        tree = parse(text.strip(), "eval")
        return _Evaluator(module, where).value(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ForbiddenExpression(f"`{_shorten(text)}` is not an expression", where=where) from error


def commands(value: Evaluated, where: str) -> tuple[Command, ...]:
    """The changes to a set of records that `value` stands for.

    Raises: MalformedPolicy.
    """
    match value:
        case None | False:
            return (Command("set"),)
        case list() | tuple() if value and all(isinstance(item, Ref) for item in value):
            return (Command("set", _refs(value, where)),)
        case list():
            return tuple(_command(item, where) for item in value)
    raise _unreadable(where)


def _command(item: Evaluated, where: str) -> Command:
    match item:
        case (4, Ref() as ref) | (4, Ref() as ref, _) | [4, Ref() as ref] | [4, Ref() as ref, _]:
            return Command("link", (ref,))
        case (3, Ref() as ref) | (3, Ref() as ref, _) | [3, Ref() as ref] | [3, Ref() as ref, _]:
            return Command("unlink", (ref,))
        case (5,) | (5, _) | (5, _, _) | [5] | [5, _] | [5, _, _]:
            return Command("set")
        case (6, _, (list() | tuple()) as items) | [6, _, (list() | tuple()) as items]:
            return Command("set", _refs(items, where))
    raise _unreadable(where)


def _refs(items: list[Evaluated] | tuple[Evaluated, ...], where: str) -> tuple[Ref, ...]:
    refs = tuple(item for item in items if isinstance(item, Ref))
    if len(refs) != len(items):
        raise _unreadable(where)
    return refs


def _unreadable(where: str) -> MalformedPolicy:
    return MalformedPolicy(
        "not a list of links to records by xml id",
        where=where,
        fix="use (4, ref('…')), (3, ref('…')), (5,), (6, 0, [ref('…')]) or Command.link/unlink/clear/set",
    )


class _Evaluator:
    """One expression; `value` has a case for every node it allows."""

    def __init__(self, module: str, where: str) -> None:
        self.module = module
        self.where = where

    def value(self, node: ast.expr) -> Evaluated:
        match node:
            case ast.Constant(value=None | bool() | int() | float() | str() as constant):
                return constant
            case ast.List(elts=items):
                return [self.value(item) for item in items]
            case ast.Tuple(elts=items):
                return tuple(self.value(item) for item in items)
            case ast.Dict(keys=keys, values=values):
                return {self._key(k): self.value(v) for k, v in zip(keys, values, strict=True)}
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.Call(func=ast.Name(id="ref"), args=[ast.Constant(value=str() as xml_id)], keywords=[]):
                return Ref(qualify(xml_id, self.module, self.where), self.where)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="Command"), attr=verb), args=args, keywords=[]
            ) if verb in _COMMANDS and len(args) == _COMMANDS[verb][1]:
                return self._command(_COMMANDS[verb][0], args)
        raise ForbiddenExpression(
            f"`{_shorten(ast.unparse(node))}` is not allowed in `eval`",
            where=self.where,
            fix="use literals, ref('…') and Command",
        )

    def _key(self, node: ast.expr | None) -> str:
        key = None if node is None else self.value(node)
        if not isinstance(key, str):
            raise ForbiddenExpression("a dictionary key that is no text", where=self.where)
        return key

    def _command(self, code: int, args: list[ast.expr]) -> Evaluated:
        values = [self.value(arg) for arg in args]
        if code == _SET:
            return (code, 0, values[0])
        return (code, *values)


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."
