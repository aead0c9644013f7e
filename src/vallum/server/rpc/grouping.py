"""Methods that group: Odoo's `read_group`, and `formatted_read_group` of 19.

Labels of periods are in the call's language and time zone; each group comes with the domain of its
records, for clients to open it with.
Source: Odoo's `_read_group_format_result`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from vallum.kernel import InvalidValue
from vallum.schema import NUMBER_TYPES, Field, Model
from vallum.server.rpc.faults import RpcError
from vallum.server.rpc.methods import Call, serves
from vallum.server.rpc.periods import Period, label
from vallum.server.rpc.reading import domain_of, model_of, most_of, within
from vallum.server.rpc.shapes import moment

__all__: list[str] = []

Group = dict[str, Any]
_SPEC: Final = re.compile(r"(\w+)(?::(\w+)(?:\((\w+)\))?)?")
_COUNT: Final = "__count"


@serves()
def read_group(
    call: Call,
    domain: Any,
    fields: Any,
    groupby: Any,
    offset: Any = 0,
    limit: Any = None,
    orderby: Any = False,
    lazy: Any = True,
) -> list[Group]:
    """Groups of records with aggregated values; `lazy`: by the first of `groupby` only."""
    model, condition = model_of(call), domain_of(call, domain)
    every = _names(groupby, "groupby")
    specs = every[:1] if lazy else every
    sums = _aggregates(model, _names(fields, "fields"))
    found = call.session.read_group(
        call.model,
        condition,
        specs,
        [_COUNT, *sums.values()],
        order=_order(orderby, specs, sums),
        limit=most_of(call, limit),
        offset=offset or 0,
        active_test=call.context.active_test,
        names="always",
    )
    within(call, found)
    counted = f"{specs[0].partition(':')[0]}_count" if lazy and specs else _COUNT
    groups = []
    for group in found:
        periods = {spec: _period(call, model, spec, group[spec]) for spec in specs}
        shown = {spec: _label(call, periods[spec], group[spec]) for spec in specs}
        shown[counted] = group[_COUNT]
        shown.update({name: group[spec] for name, spec in sums.items()})
        inner = [part for spec in specs for part in [_narrowed(model, spec, periods[spec], group[spec])]]
        shown["__domain"] = _all([list(condition), *inner])
        ranges = {spec: _range(p) for spec, p in periods.items() if p is not None}
        if ranges:
            shown["__range"] = ranges
        if lazy and len(every) > 1:
            shown["__context"] = {"group_by": list(every[1:])}
        groups.append(shown)
    return groups


@serves(versions=(19,))
def formatted_read_group(
    call: Call,
    domain: Any,
    groupby: Any = (),
    aggregates: Any = (),
    having: Any = (),
    offset: Any = 0,
    limit: Any = None,
    order: Any = None,
) -> list[Group]:
    """Groups of records with aggregated values, as Odoo 19 has them."""
    if having:
        raise RpcError("`having` is not served", name="builtins.NotImplementedError", fix="leave it out")
    model, specs = model_of(call), _names(groupby, "groupby")
    wanted = _names(aggregates, "aggregates")
    found = call.session.read_group(
        call.model,
        domain_of(call, domain),
        specs,
        wanted,
        order=order or None,
        limit=most_of(call, limit),
        offset=offset or 0,
        active_test=call.context.active_test,
        names="always",
    )
    within(call, found)
    groups = []
    for group in found:
        periods = {spec: _period(call, model, spec, group[spec]) for spec in specs}
        shown: Group = {}
        for spec in specs:
            period = periods[spec]
            value = group[spec]
            shown[spec] = [period.start_text, _label(call, period, value)] if period else value
        shown["__extra_domain"] = _all([_narrowed(model, s, periods[s], group[s]) for s in specs])
        shown.update({spec: group[spec] for spec in wanted})
        groups.append(shown)
    return groups


def _names(raw: Any, name: str) -> list[str]:
    given = [raw] if isinstance(raw, str) else raw
    if not isinstance(given, list | tuple) or not all(isinstance(item, str) for item in given):
        raise InvalidValue(f"`{name}` is {raw!r:.60}", fix="give a list of names")
    return list(dict.fromkeys(given))


def _aggregates(model: Model, fields: Sequence[str]) -> dict[str, str]:
    """What each field of the answer aggregates: `amount`, `amount:avg`, `total:sum(amount)`."""
    found = {}
    for spec in fields:
        match = _SPEC.fullmatch(spec)
        if match is None:
            raise InvalidValue(f"{spec!r:.60} is no field to aggregate", fix="write it as `amount:sum`")
        name, function, of = match.groups()
        if name == _COUNT:
            continue
        field = model.field(of or name)
        if function:
            found[name] = f"{field.name}:{function}"
        elif field.type in NUMBER_TYPES and field.name != "id" and field.stored:
            found[name] = f"{field.name}:sum"
    return found


def _order(raw: Any, specs: Sequence[str], sums: Mapping[str, str]) -> str | None:
    """The order of groups, which may name fields of the answer rather than what is aggregated."""
    if not raw:
        return None
    if not isinstance(raw, str):
        raise InvalidValue(f"the order is {raw!r:.60}", fix="write it as `amount desc`")
    by_field = {spec.partition(":")[0]: spec for spec in specs}
    counts = {f"{name}_count": _COUNT for name in by_field}
    parts = []
    for part in raw.split(","):
        name, _, rest = part.strip().partition(" ")
        parts.append(f"{ {**by_field, **counts, **sums}.get(name, name) } {rest}".strip())
    return ", ".join(parts)


# Periods


def _period(call: Call, model: Model, spec: str, value: Any) -> Period | None:
    name, _, granularity = spec.partition(":")
    field = model.field(name)
    if field.type not in ("date", "datetime") or value is False:
        return None
    return Period.of(value, granularity or "month", field.type, _zone(call.context.tz))


def _label(call: Call, period: Period | None, value: Any) -> Any:
    if period is not None:
        return label(period, call.context.lang or "en_US")
    return value


def _zone(tz: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(tz) if tz else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _range(period: Period) -> dict[str, str]:
    return {"from": period.start_text, "to": period.end_text}


# Domains


def _narrowed(model: Model, spec: str, period: Period | None, value: Any) -> list[Any]:
    """The domain of one group among the others."""
    name = spec.partition(":")[0]
    if period is not None:
        return ["&", [name, ">=", period.start_text], [name, "<", period.end_text]]
    field: Field = model.field(name)
    if value is False and field.type == "many2many":
        return [[name, "not any", []]]
    if isinstance(value, tuple | list):
        return [[name, "=", value[0]]]
    return [[name, "=", _text(value)]]


def _all(domains: Sequence[list[Any]]) -> list[Any]:
    """The conjunction of domains, in prefix notation."""
    given = [_normal(domain) for domain in domains if domain]
    return ["&"] * (len(given) - 1) + [part for domain in given for part in domain]


def _normal(domain: list[Any]) -> list[Any]:
    """A domain with its implied `&` written out."""
    open_places, implied = 1, 0
    for part in domain:
        if open_places == 0:
            implied += 1
            open_places = 1
        if part in ("&", "|"):
            open_places += 1
        elif part != "!":
            open_places -= 1
    return ["&"] * implied + list(domain)


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    return value.isoformat() if isinstance(value, date) else value
