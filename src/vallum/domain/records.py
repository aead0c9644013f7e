"""Records within a rule's expression: what `user` and `user.company_id` are, read as superuser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from vallum.kernel import ForbiddenExpression
from vallum.schema import X2MANY_TYPES, Schema

__all__ = ["Environment", "Method", "RecordReader", "Records", "RuleContext"]


class RecordReader(Protocol):
    """Reads fields as superuser, inactive records of x2many fields left out."""

    @property
    def schema(self) -> Schema:
        """The schema the records are of."""

    def read(self, model: str, ids: Sequence[int], field: str) -> Mapping[int, Any]:
        """Per id the value: a scalar, an id or None for a many2one, ids for an x2many."""


@dataclass(frozen=True, slots=True)
class RuleContext:
    """The names a rule may use, for one actor."""

    reader: RecordReader
    user_id: int
    company_id: int | None
    company_ids: tuple[int, ...]
    user_companies: tuple[int, ...]
    clock: Callable[[], datetime]

    @property
    def now(self) -> datetime:
        """The present moment in UTC, without a time zone."""
        return self.clock()


class Records:
    """A set of records within an expression: `user`, `user.partner_id`, `user.env.companies`."""

    __slots__ = ("_context", "ids", "model")

    def __init__(self, context: RuleContext, model: str, ids: Sequence[int]) -> None:
        self._context = context
        self.model = model
        self.ids = tuple(dict.fromkeys(ids))

    def get(self, name: str) -> Any:
        """The attribute `name`, as an Odoo recordset gives it."""
        if name == "ids":
            return list(self.ids)
        if name == "id":
            return self._one(name) if self.ids else False
        if name == "env":
            return Environment(self._context)
        if name in _RECORD_METHODS:
            return Method(self, name)
        if name.startswith("_"):
            raise ForbiddenExpression(f"`.{name}` is not available in a rule")
        field = self._context.reader.schema.field(self.model, name)
        values = self._context.reader.read(self.model, self.ids, name)
        if field.relational:
            found: list[int] = []
            for record in self.ids:
                value = values.get(record)
                if field.type in X2MANY_TYPES:
                    found.extend(value or ())
                elif value:
                    found.append(value)
            return Records(self._context, field.comodel or "", found)
        if not self.ids:
            return False
        value = values.get(self._one(name))
        return False if value is None else value

    def mapped(self, path: str) -> Any:
        """The values along a dotted path: records for a relation, a list otherwise."""
        current: Any = self
        names = path.split(".")
        for position, name in enumerate(names):
            field = self._context.reader.schema.field(current.model, name)
            if field.relational:
                current = current.get(name)
            elif position < len(names) - 1:
                raise ForbiddenExpression(f"`{path}` goes on behind the plain field `{name}`")
            else:
                return [Records(self._context, current.model, [i]).get(name) for i in current.ids]
        return current

    def _one(self, name: str) -> int:
        if len(self.ids) != 1:
            raise ForbiddenExpression(
                f"`{name}` is asked of {len(self.ids)} records of `{self.model}`, not of one"
            )
        return self.ids[0]

    def __bool__(self) -> bool:
        return bool(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Records]:
        return (Records(self._context, self.model, [i]) for i in self.ids)

    def __contains__(self, item: object) -> bool:
        return isinstance(item, Records) and item.model == self.model and set(item.ids) <= set(self.ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Records) and (self.model, set(self.ids)) == (other.model, set(other.ids))

    def __hash__(self) -> int:
        return hash((self.model, frozenset(self.ids)))

    def __or__(self, other: object) -> Records:
        return self._with(other, (*self.ids, *_ids_of(self, other)))

    __add__ = __or__

    def __and__(self, other: object) -> Records:
        keep = set(_ids_of(self, other))
        return self._with(other, [i for i in self.ids if i in keep])

    def __sub__(self, other: object) -> Records:
        drop = set(_ids_of(self, other))
        return self._with(other, [i for i in self.ids if i not in drop])

    def _with(self, _: object, ids: Sequence[int]) -> Records:
        return Records(self._context, self.model, ids)


def _ids_of(records: Records, other: object) -> tuple[int, ...]:
    if not isinstance(other, Records) or other.model != records.model:
        raise ForbiddenExpression(f"records of `{records.model}` are combined with something else")
    return other.ids


_RECORD_METHODS: Final = frozenset(
    {"mapped", "has_group", "exists", "sudo", "_is_internal", "_is_portal", "_is_public", "_get_group_ids"}
)


@dataclass(frozen=True, slots=True)
class Environment:
    """`user.env`: of it only the companies, the user and its id."""

    context: RuleContext

    def get(self, name: str) -> Any:
        """The attribute `name`. Raises: ForbiddenExpression."""
        context = self.context
        match name:
            case "companies":
                return Records(context, "res.company", context.user_companies)
            case "company":
                own = context.reader.read("res.users", [context.user_id], "company_id").get(context.user_id)
                return Records(context, "res.company", [own] if own else [])
            case "user":
                return Records(context, "res.users", [context.user_id])
            case "uid":
                return context.user_id
        raise ForbiddenExpression(f"`env.{name}` is not available in a rule")


@dataclass(frozen=True, slots=True)
class Method:
    """A method that a rule may call, not called yet."""

    owner: Any
    name: str
