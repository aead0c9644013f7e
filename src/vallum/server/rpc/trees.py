"""`web_read` and `web_search_read`: records read as a tree says, fields of other records within them.

Invariant: no answer shows more records than the server's limit, each counted as often as it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vallum.kernel import InvalidValue
from vallum.schema import Field
from vallum.server.rpc.methods import Call, serves
from vallum.server.rpc.reading import Records, domain_of, ids_of, most_of, readings, too_many, within

__all__: list[str] = []

_DEEPEST: Final = 8


@serves()
def web_search_read(
    call: Call,
    domain: Any,
    specification: Any,
    offset: Any = 0,
    limit: Any = None,
    order: Any = None,
    count_limit: Any = None,
) -> dict[str, Any]:
    """The records found, read as a tree says, and how many there are."""
    fields = _tree(specification)
    condition = domain_of(call, domain)
    found = call.session.search(
        call.model,
        condition,
        offset=offset or 0,
        limit=most_of(call, limit),
        order=order or None,
        active_test=call.context.active_test,
    )
    within(call, found)
    records = _whole(call, _branches(call, call.model, found, fields, 0))
    length = len(records) + (offset or 0) if records else 0
    if records and limit and len(records) == limit:
        length = call.session.search_count(
            call.model, condition, limit=count_limit or None, active_test=call.context.active_test
        )
    return {"length": length, "records": records}


@serves(on_records=True)
def web_read(call: Call, ids: Any, specification: Any) -> Records:
    """The records of these ids, read as a tree says."""
    wanted = ids_of(ids)
    within(call, wanted)
    return _whole(call, _branches(call, call.model, wanted, _tree(specification), 0))


def _tree(raw: Any) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or not all(
        isinstance(k, str) and isinstance(v, dict) for k, v in raw.items()
    ):
        raise InvalidValue(f"the specification is {raw!r:.60}", fix='write it as {"name": {}}')
    return raw


def _whole(call: Call, records: Records) -> Records:
    """The records, where those within them are not more than may be answered, each as often as it is shown.

    Raises: RpcError.
    """
    sizes: dict[int, int] = {}
    if sum(_size(record, sizes) for record in records) > call.service.max_rows:
        raise too_many(call)
    return records


def _size(record: Mapping[str, Any], sizes: dict[int, int]) -> int:
    """How many records a record shows, itself among them. `sizes`: of those looked at, by identity."""
    found = sizes.get(id(record))
    if found is None:
        inner = [v for value in record.values() for v in (value if isinstance(value, list) else (value,))]
        found = sizes[id(record)] = 1 + sum(_size(v, sizes) for v in inner if isinstance(v, dict))
    return found


def _branches(call: Call, model: str, ids: list[int], fields: Mapping[str, Any], depth: int) -> Records:
    if depth > _DEEPEST:
        raise InvalidValue(f"the specification is more than {_DEEPEST} levels deep")
    if not ids:
        # What may not be read is refused, whether there are records or not.
        readings(call, model, [], list(fields))
        return []
    records = readings(call, model, ids, list(fields), classic=True)
    target = call.session.application.schema.model(model)
    for name, inner in fields.items():
        field = target.fields.get(name)
        if field is None or not field.relational:
            continue
        wanted = None if inner.get("fields") is None else _tree(inner["fields"])
        if field.x2many:
            if wanted is not None:
                _grow_many(call, field, records, wanted, inner, depth)
        else:
            _grow_one(call, field, records, wanted, depth)
    return records


def _grow_one(
    call: Call, field: Field, records: Records, wanted: Mapping[str, Any] | None, depth: int
) -> None:
    extra = {} if wanted is None else {k: v for k, v in wanted.items() if k not in ("display_name", "id")}
    pointed = list(dict.fromkeys(r[field.name][0] for r in records if r[field.name]))
    more = (
        {r["id"]: r for r in _branches(call, field.comodel or "", pointed, extra, depth + 1)}
        if extra and pointed
        else {}
    )
    for record in records:
        if not record[field.name]:
            continue
        i, name = record[field.name]
        if wanted is None:
            record[field.name] = i
            continue
        named = {"display_name": name} if "display_name" in wanted else {}
        record[field.name] = {"id": i, **{k: v for k, v in more.get(i, {}).items() if k != "id"}, **named}


def _grow_many(
    call: Call,
    field: Field,
    records: Records,
    wanted: Mapping[str, Any],
    inner: Mapping[str, Any],
    depth: int,
) -> None:
    comodel = field.comodel or ""
    ids = within(call, list(dict.fromkeys(i for r in records for i in r[field.name])))
    order = inner.get("order")
    if order and ids:
        ids = call.session.search(comodel, [("id", "in", ids)], order=order, active_test=False)
        place = {i: n for n, i in enumerate(ids)}
        for record in records:
            record[field.name].sort(key=place.__getitem__)
    known = {r["id"]: r for r in _branches(call, comodel, ids, wanted, depth + 1)} if ids else {}
    limit = inner.get("limit")
    for record in records:
        shown = record[field.name][:limit] if isinstance(limit, int) and limit > 0 else record[field.name]
        rest = record[field.name][len(shown) :]
        record[field.name] = [known[i] for i in shown] + [{"id": i} for i in rest]
