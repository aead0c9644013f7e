"""What groups and aggregates are asked for: `stage_id`, `create_date:month`, `amount:sum`.

Pure. Identifiers come from the schema, functions from the tables here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import ColumnElement

from vallum.kernel import MalformedDomain, UnsupportedDomain
from vallum.schema import NUMBER_TYPES, TEXT_TYPES, Field, Model

__all__ = ["COUNT", "GRANULARITIES", "Aggregate", "GroupBy", "parse_aggregate", "parse_groupby", "truncated"]

COUNT: Final = "__count"
GRANULARITIES: Final = ("hour", "day", "week", "month", "quarter", "year")
_MOMENTS: Final = frozenset({"date", "datetime"})
_UNGROUPED: Final = frozenset({"one2many", "binary", "json", "properties", "properties_definition"})
_SORTED: Final = NUMBER_TYPES | TEXT_TYPES | _MOMENTS | {"selection"}

Function = Callable[[ColumnElement[Any], ColumnElement[int]], ColumnElement[Any]]
_FUNCTIONS: Final[Mapping[str, Function]] = {
    "sum": lambda value, _: sa.func.sum(value),
    "avg": lambda value, _: sa.func.avg(value),
    "min": lambda value, _: sa.func.min(value),
    "max": lambda value, _: sa.func.max(value),
    "count": lambda value, _: sa.func.count(value),
    "count_distinct": lambda value, _: sa.func.count(sa.distinct(value)),
    "array_agg": lambda value, own: sa.func.array_agg(postgresql.aggregate_order_by(value, own)),
    "bool_and": lambda value, _: sa.func.bool_and(value),
    "bool_or": lambda value, _: sa.func.bool_or(value),
}
_APPLY_TO: Final[Mapping[str, frozenset[str]]] = {
    "sum": NUMBER_TYPES,
    "avg": NUMBER_TYPES,
    "min": _SORTED,
    "max": _SORTED,
    "bool_and": frozenset({"boolean"}),
    "bool_or": frozenset({"boolean"}),
}


@dataclass(frozen=True, slots=True)
class GroupBy:
    """A field to group by; dates by a granularity, months unless another is given."""

    spec: str
    field: Field
    granularity: str | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function of a field over a group; without a field, the number of records."""

    spec: str
    field: Field | None = None
    function: str = "count"

    @property
    def empty(self) -> Any:
        """The value where there is nothing to aggregate."""
        if self.function == "array_agg":
            return []
        return 0 if self.function.startswith("count") else False

    def of(self, value: ColumnElement[Any], own_id: ColumnElement[int]) -> ColumnElement[Any]:
        """The aggregate as SQL."""
        return _FUNCTIONS[self.function](value, own_id)


def parse_groupby(model: Model, spec: str) -> GroupBy:
    """What `field` or `field:granularity` asks for.

    Raises: UnknownField, MalformedDomain, UnsupportedDomain.
    """
    name, _, granularity = _text(spec).partition(":")
    field = model.field(name)
    if field.type in _UNGROUPED:
        raise UnsupportedDomain(f"records cannot be grouped by `{field}`, a {field.type}")
    if field.type not in _MOMENTS:
        if granularity:
            raise MalformedDomain(f"`{field}` is no date: it has no `{granularity:.20}`")
        return GroupBy(spec, field)
    granularity = granularity or "month"
    if granularity not in GRANULARITIES or (field.type == "date" and granularity == "hour"):
        raise MalformedDomain(
            f"`{field}` cannot be grouped by `{granularity:.20}`", fix="use " + ", ".join(GRANULARITIES)
        )
    return GroupBy(spec, field, granularity)


def parse_aggregate(model: Model, spec: str) -> Aggregate:
    """What `__count` or `field:function` asks for.

    Raises: UnknownField, MalformedDomain, UnsupportedDomain.
    """
    if _text(spec) == COUNT:
        return Aggregate(spec)
    name, _, function = spec.partition(":")
    field = model.field(name)
    if function not in _FUNCTIONS:
        raise MalformedDomain(
            f"`{spec:.60}` is no aggregate", fix=f"write `{name}:` and one of " + ", ".join(_FUNCTIONS)
        )
    allowed = _APPLY_TO.get(function)
    if field.x2many or field.type in _UNGROUPED or (allowed is not None and field.type not in allowed):
        raise UnsupportedDomain(f"`{function}` does not apply to `{field}`, a {field.type}")
    if function in ("sum", "avg") and field.name == "id":
        raise UnsupportedDomain(f"`{function}` of ids means nothing")
    return Aggregate(spec, field, function)


def _text(spec: Any) -> str:
    if not isinstance(spec, str):
        raise MalformedDomain(f"{spec!r:.60} is no field to group by or to aggregate")
    return spec


def truncated(
    field: Field, value: ColumnElement[Any], granularity: str, tz: str | None
) -> ColumnElement[Any]:
    """The beginning of the period a value falls into; of a datetime, in the time zone."""
    moment: ColumnElement[Any] = sa.cast(value, sa.DateTime())
    if field.type == "datetime" and _known(tz):
        utc = sa.func.timezone(sa.literal_column("'UTC'"), moment)
        moment = sa.func.timezone(sa.bindparam(None, tz, sa.Text()), utc)
    unit = sa.bindparam(None, granularity, sa.Text())
    start = sa.func.date_trunc(unit, moment, type_=sa.DateTime())
    return sa.cast(start, sa.Date()) if field.type == "date" else start


def _known(tz: str | None) -> bool:
    """Whether there is such a time zone; where there is none, UTC counts, as in Odoo."""
    try:
        return tz is not None and bool(ZoneInfo(tz))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
