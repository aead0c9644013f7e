"""`export_data`: records as rows of a table, along paths of fields (`user_id/name`).

A record with several lines of an x2many field takes several rows; its own values stand in the first.
All records of a model that paths lead to are read at once, whatever the number of those that lead there.
Source: Odoo's `_export_rows`. External ids are told where there are any; none are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vallum.kernel import InvalidValue
from vallum.server.rpc.faults import RpcError
from vallum.server.rpc.methods import Call, serves
from vallum.server.rpc.reading import ids_of, readings, within
from vallum.server.trail import who_is

__all__: list[str] = []

_ALLOWED: Final = "base.group_allow_export"
_DEEPEST: Final = 6
Paths = Sequence[tuple[str, ...]]
Row = list[Any]


@dataclass(frozen=True, slots=True)
class _Level:
    """The records that paths have led to, by id, with what of them is shown.

    `external`: their external ids. `relations`: which of their fields lead to others; `inner`: these, by
    field; `named`: the names of those of which no more is shown.
    """

    paths: Paths
    records: Mapping[int, dict[str, Any]]
    external: Mapping[int, str]
    relations: frozenset[str]
    inner: Mapping[str, _Level]
    named: Mapping[str, Mapping[int, str]]


@serves(on_records=True)
def export_data(call: Call, ids: Any, fields_to_export: Any) -> dict[str, list[Row]]:
    """The records as rows, one value for each of the paths."""
    policy, actor = call.session.application.policy, call.session.actor
    group = policy.group_ids.get(_ALLOWED)
    if actor is not None and not actor.superuser and group is not None and group not in actor.groups:
        raise RpcError(
            "the user may not export data",
            name="odoo.exceptions.UserError",
            status=403,
            fix=f"the group `{_ALLOWED}` may",
        )
    if not isinstance(fields_to_export, list) or not all(isinstance(f, str) for f in fields_to_export):
        raise InvalidValue(f"`fields_to_export` is {fields_to_export!r:.60}", fix="give a list of paths")
    paths = [tuple(part for part in path.split("/") if part) for path in fields_to_export]
    if not all(0 < len(path) <= _DEEPEST for path in paths):
        raise InvalidValue(f"a path has 1 to {_DEEPEST} fields", fix="write it as `user_id/name`")
    wanted = ids_of(ids)
    within(call, wanted)
    rows = _rows(call, _level(call, call.model, wanted, paths), wanted)
    if call.service.trail is not None:
        detail = {"method": "export_data", "fields": fields_to_export, "records": len(wanted)}
        call.service.trail.tell("export", detail, who_is(actor), model=call.model)
    return {"datas": rows}


def _level(call: Call, model: str, ids: list[int], paths: Paths) -> _Level:
    """Read the records, and what is behind their relations."""
    names = list(dict.fromkeys(p[0] for p in paths if p and p[0] not in ("id", ".id")))
    records = readings(call, model, list(dict.fromkeys(ids)), names)
    external = _external(call, model, ids) if ("id",) in paths else {}
    inner: dict[str, _Level] = {}
    named: dict[str, Mapping[int, str]] = {}
    target = call.session.application.schema.model(model)
    relations = [field for field in map(target.field, names) if field.relational] if records else []
    for field in relations:
        comodel, beyond = field.comodel or "", _beyond(paths, field.name)
        # Each is a row at least: more than may be answered are not read.
        held = [i for record in records for i in _held(record[field.name])]
        if any(beyond):
            inner[field.name] = _level(call, comodel, within(call, held), beyond)
        if field.x2many and (field.name,) in paths:
            found = readings(call, comodel, list(dict.fromkeys(held)), ["display_name"]) if held else []
            named[field.name] = {r["id"]: r["display_name"] or "" for r in found}
    known = {record["id"]: record for record in records}
    return _Level(paths, known, external, frozenset(f.name for f in relations), inner, named)


def _beyond(paths: Paths, name: str) -> Paths:
    """What is left of the paths behind a field; of others nothing."""
    return [path[1:] if path and path[0] == name else () for path in paths]


def _held(value: Any) -> list[int]:
    """The ids in the value of a relation: a list of them, or one with its name."""
    return [] if not value else value if isinstance(value, list) else [value[0]]


def _rows(call: Call, level: _Level, ids: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for i in ids:
        rows.extend(_of_record(call, level, level.records[i]))
        # While they are made: lines of lines multiply.
        within(call, rows)
    return rows


def _of_record(call: Call, level: _Level, record: Mapping[str, Any]) -> list[Row]:
    """The rows of one record: its own values, and those of its lines below each other."""
    first: Row = [_own(level, record, path) for path in level.paths]
    below: list[Row] = []
    for name, inner in level.inner.items():
        lines = _rows(call, inner, _held(record[name]))
        for place, path in enumerate(inner.paths):
            if path and lines:
                first[place] = lines[0][place]
        below.extend(lines[1:])
    return [first, *below]


def _own(level: _Level, record: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """What a record itself shows under a path: nothing where that leads on to others."""
    name = path[0] if path else ""
    if name == ".id":
        return str(record["id"])
    if name == "id":
        return level.external.get(record["id"], "")
    if not name or (name in level.relations and len(path) > 1):
        return ""
    value = record[name]
    if name in level.named:
        return ",".join(level.named[name][i] for i in value)
    if name in level.relations:
        return (value[1] or "") if value else ""
    return value


def _external(call: Call, model: str, ids: list[int]) -> dict[int, str]:
    """External ids of the records, the oldest of each, as far as the user may read them."""
    if "ir.model.data" not in call.session.application.schema:
        return {}
    found = call.session.search_read(
        "ir.model.data",
        [("model", "=", model), ("res_id", "in", ids)],
        ["res_id", "module", "name"],
        order="id desc",
        names=False,
    )
    return {r["res_id"]: f"{r['module']}.{r['name']}" for r in found}
