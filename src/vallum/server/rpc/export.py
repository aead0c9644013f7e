"""`export_data`: records as rows of a table, along paths of fields (`user_id/name`).

A record with several lines of an x2many field takes several rows; its own values stand in the first.
Source: Odoo's `_export_rows`. External ids are told where there are any; none are made.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    rows = _rows(call, call.model, wanted, paths)
    if call.service.trail is not None:
        detail = {"method": "export_data", "fields": fields_to_export, "records": len(wanted)}
        call.service.trail.tell("export", detail, who_is(actor), model=call.model)
    return {"datas": rows}


def _rows(call: Call, model: str, ids: list[int], paths: Paths) -> list[Row]:
    names = list(dict.fromkeys(p[0] for p in paths if p and p[0] not in ("id", ".id")))
    records = readings(call, model, ids, names)
    external = _external(call, model, ids) if ("id",) in paths else {}
    rows = []
    for record in records:
        rows.extend(_of_record(call, model, record, paths, external))
        # While they are made: lines of lines multiply.
        within(call, rows)
    return rows


def _of_record(
    call: Call, model: str, record: dict[str, Any], paths: Paths, external: dict[int, str]
) -> list[Row]:
    """The rows of one record: its own values, and those of its lines below each other."""
    first: Row = [""] * len(paths)
    below: list[Row] = []
    target = call.session.application.schema.model(model)
    done: set[str] = set()
    for at, path in enumerate(paths):
        name = path[0] if path else ""
        if not name or name in done:
            continue
        if name == ".id":
            first[at] = str(record["id"])
        elif name == "id":
            first[at] = external.get(record["id"], "")
        elif not (field := target.field(name)).relational:
            first[at] = record[name]
        else:
            many = field.x2many
            inner = [p[1:] if p and p[0] == name else () for p in paths]
            if not any(inner):
                first[at] = _names(call, field.comodel or "", record[name], many)
                continue
            done.add(name)
            held = record[name] if many else [record[name][0]] if record[name] else []
            lines = _rows(call, field.comodel or "", held, inner)
            for place, inner_path in enumerate(inner):
                if inner_path and lines:
                    first[place] = lines[0][place]
                elif paths[place] == (name,):
                    first[place] = _names(call, field.comodel or "", record[name], many)
            below.extend(lines[1:])
    return [first, *below]


def _names(call: Call, model: str, value: Any, many: bool) -> str:
    if not value:
        return ""
    if not many:
        return value[1] or ""
    return ",".join(r["display_name"] or "" for r in readings(call, model, value, ["display_name"]))


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
