"""The methods that can be called: their names, parameters and what runs them.

A method is a function of a `Call` and of parameters named as in Odoo; `serves` puts it into the table.
Whatever is not in the table cannot be called, whatever its name.
Invariant: a method reaches records only through the call's session, so rights and rules hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from inspect import Parameter, signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from vallum.kernel import Operation
from vallum.server.rpc.faults import ACCESS_ERROR, RpcError

if TYPE_CHECKING:
    from vallum.facade import Session
    from vallum.server.rpc.context import Context
    from vallum.server.service import Service

__all__ = ["METHODS", "Call", "Method", "bind", "find", "serves", "table"]

_MISSING: Final = object()
_OPERATIONS: Final = {
    "create": Operation.CREATE,
    "copy": Operation.CREATE,
    "write": Operation.WRITE,
    "unlink": Operation.UNLINK,
}


@dataclass(frozen=True, slots=True)
class Call:
    """A method called on a model by somebody. `key`: the idempotency key, where one was given."""

    service: Service
    session: Session
    model: str
    context: Context
    idempotency_key: str | None = None

    @property
    def version(self) -> int:
        """The version of Odoo that is spoken."""
        return self.session.application.schema.version


@dataclass(frozen=True, slots=True)
class Method:
    """A method of the table. `names`, `defaults`: its parameters behind the call itself."""

    name: str
    run: Callable[..., Any]
    names: tuple[str, ...]
    defaults: tuple[Any, ...]
    on_records: bool
    writes: bool = False
    model: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    versions: frozenset[int] = frozenset({18, 19})

    @property
    def operation(self) -> Operation:
        """What a key must be for, so that it may be shown for the method."""
        return _OPERATIONS.get(self.name, Operation.READ)

    @property
    def required(self) -> tuple[str, ...]:
        """The parameters without a default."""
        return tuple(n for n, d in zip(self.names, self.defaults, strict=True) if d is _MISSING)

    def default(self, name: str) -> Any:
        """The default of a parameter that has one."""
        return self.defaults[self.names.index(name)]


_TABLE: Final[dict[tuple[str | None, str], Method]] = {}
METHODS: Final[Mapping[tuple[str | None, str], Method]] = MappingProxyType(_TABLE)


def serves(
    *,
    on_records: bool = False,
    writes: bool = False,
    model: str | None = None,
    aliases: Mapping[str, str] | None = None,
    versions: Sequence[int] = (18, 19),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put a function into the table. `aliases`: names of parameters in other versions of Odoo."""

    def put(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = list(signature(function).parameters.values())[1:]
        name = function.__name__
        _TABLE[model, name] = Method(
            name,
            function,
            tuple(p.name for p in parameters),
            tuple(_MISSING if p.default is Parameter.empty else p.default for p in parameters),
            on_records,
            writes,
            model,
            dict(aliases or {}),
            frozenset(versions),
        )
        return function

    return put


def table(model: str, version: int) -> dict[str, Method]:
    """The methods of a model in a version of Odoo, by name."""
    return {
        method.name: method
        for (owner, _), method in sorted(_TABLE.items(), key=lambda item: (item[0][0] or "", item[0][1]))
        if owner in (None, model) and version in method.versions
    }


def find(model: str, name: Any, version: int) -> Method:
    """The method of that name.

    Raises: RpcError (private, or not served).
    """
    if not isinstance(name, str):
        raise RpcError(
            "the name of a method is text", name="builtins.TypeError", status=HTTPStatus.BAD_REQUEST
        )
    method = _TABLE.get((model, name)) or _TABLE.get((None, name))
    if method is not None and version in method.versions:
        return method
    if name.startswith("_") or method is not None:
        raise RpcError(
            f"`{name:.80}` is private: it cannot be called from outside",
            name=ACCESS_ERROR,
            status=HTTPStatus.FORBIDDEN,
        )
    raise RpcError(
        f"`{model}` has no method `{name:.80}` that is served",
        name="builtins.AttributeError",
        status=HTTPStatus.NOT_FOUND,
        fix="use " + ", ".join(sorted(table(model, version))),
    )


def bind(method: Method, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The values of a method's parameters, in order.

    Raises: RpcError, named as the TypeError that Python raises in Odoo.
    """
    names = method.names
    if len(args) > len(names):
        raise _wrong(f"`{method.name}` takes {len(names)} arguments at most, {len(args)} were given")
    values: list[Any] = [*args, *(_MISSING,) * (len(names) - len(args))]
    for name, value in kwargs.items():
        place = method.aliases.get(name, name)
        if place not in names:
            raise _wrong(f"`{method.name}` has no argument `{name!s:.80}`", fix=_known(method))
        at = names.index(place)
        if values[at] is not _MISSING:
            raise _wrong(f"`{method.name}` got the argument `{place}` twice")
        values[at] = value
    for at, value in enumerate(values):
        if value is _MISSING:
            values[at] = method.defaults[at]
            if values[at] is _MISSING:
                raise _wrong(f"`{method.name}` lacks the argument `{names[at]}`", fix=_known(method))
    return values


def _known(method: Method) -> str:
    return "it has " + ", ".join(f"`{name}`" for name in method.names)


def _wrong(what: str, fix: str | None = None) -> RpcError:
    return RpcError(what, name="builtins.TypeError", fix=fix)
