"""Methods that search and read, with Odoo's parameters and answers.

Invariant: no answer has more records than the server's limit; a call that would is refused, not cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from vallum.kernel import AccessDenied, InvalidValue
from vallum.schema import Field, Model
from vallum.server.rpc.faults import RpcError
from vallum.server.rpc.methods import Call, serves
from vallum.server.rpc.models import IR_MODEL, fields_of_models
from vallum.server.rpc.shapes import shape

__all__ = ["domain_of", "ids_of", "model_of", "most_of", "readings", "within"]

_CLASSIC: Final = "_classic_read"
_DEEPEST: Final = 8
Records = list[dict[str, Any]]


@serves()
def search(call: Call, domain: Any, offset: Any = 0, limit: Any = None, order: Any = None) -> list[int]:
    """The ids of the records found."""
    most = most_of(call, limit)
    found = call.session.search(
        call.model,
        domain_of(call, domain),
        offset=offset or 0,
        limit=most,
        order=order or None,
        active_test=call.context.active_test,
    )
    return within(call, found)


@serves()
def search_count(call: Call, domain: Any, limit: Any = None) -> int:
    """How many records are found; counting stops at the limit."""
    return call.session.search_count(
        call.model, domain_of(call, domain), limit=limit or None, active_test=call.context.active_test
    )


@serves(on_records=True)
def read(call: Call, ids: Any, fields: Any = None, load: Any = _CLASSIC) -> Records:
    """The records of these ids."""
    wanted = ids_of(ids)
    within(call, wanted)
    return readings(call, call.model, wanted, fields or None, classic=load == _CLASSIC)


@serves()
def search_read(
    call: Call,
    domain: Any = None,
    fields: Any = None,
    offset: Any = 0,
    limit: Any = None,
    order: Any = None,
    load: Any = _CLASSIC,
) -> Records:
    """The records found, read."""
    context = call.context
    found = call.session.search_read(
        call.model,
        domain_of(call, domain),
        fields or None,
        offset=offset or 0,
        limit=most_of(call, limit),
        order=order or None,
        active_test=context.active_test,
        names="always" if load == _CLASSIC else False,
    )
    return shape(
        call.session.application.schema.model(call.model),
        within(call, found),
        bin_size=context.bin_size,
        encoded=call.service.of_odoo,
    )


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
    records = _branches(call, call.model, found, fields, 0)
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
    return _branches(call, call.model, wanted, _tree(specification), 0)


@serves(aliases={"args": "domain"})
def name_search(
    call: Call, name: Any = "", domain: Any = None, operator: Any = "ilike", limit: Any = 100
) -> list[tuple[int, str | bool]]:
    """Ids and names of the records that are called so."""
    condition, most = domain_of(call, domain), most_of(call, limit)
    found = call.session.name_search(call.model, name or "", condition, operator, most)
    return within(call, found)


@serves()
def fields_get(call: Call, allfields: Any = None, attributes: Any = None) -> dict[str, dict[str, Any]]:
    """What a client needs to know of each field."""
    try:
        found = call.session.fields_get(call.model, allfields or None)
    except AccessDenied:
        if call.model != IR_MODEL:
            raise
        found = fields_of_models(call.session)
    model = call.session.application.schema.model(call.model)
    wanted = None if not attributes else frozenset(map(str, _list(attributes, "attributes")))
    described = {}
    for name, known in found.items():
        whole = {**known, **_more(model.fields[name])}
        described[name] = whole if wanted is None else {k: v for k, v in whole.items() if k in wanted}
    return described


@serves(on_records=True, versions=(18,))
def exists(call: Call, ids: Any) -> list[int]:
    """Those of the records that are there, as far as the user may know."""
    return call.session.exists(call.model, ids_of(ids))


def readings(call: Call, model: str, ids: list[int], fields: Any, *, classic: bool = True) -> Records:
    """Records of any model, in Odoo's form."""
    found = call.session.read(
        model,
        ids,
        fields,
        names="always" if classic else False,
        active_test=call.context.active_test,
    )
    return shape(
        call.session.application.schema.model(model),
        found,
        bin_size=call.context.bin_size,
        encoded=call.service.of_odoo,
    )


def ids_of(raw: Any) -> list[int]:
    """Ids as a client gives them: one, several, or none.

    Raises: InvalidValue.
    """
    if raw is None or raw is False:
        return []
    given = raw if isinstance(raw, list | tuple) else [raw]
    for value in given:
        if type(value) is not int or not 0 < value < 2**31:
            raise InvalidValue(f"{value!r:.60} is not an id", fix="give whole numbers above 0")
    return list(given)


# Bounds


def most_of(call: Call, limit: Any) -> int:
    """The limit to search with: one more than may be answered shows that there are too many."""
    most = call.service.max_rows
    if limit is None or limit is False or limit == 0:
        return most + 1
    if type(limit) is not int or limit < 0:
        raise InvalidValue(f"the limit is {limit!r:.60}", fix="give a whole number from 0 on")
    return min(limit, most + 1)


def within(call: Call, found: list[Any]) -> list[Any]:
    """What was found, where it is not more than may be answered.

    Raises: RpcError.
    """
    if len(found) > call.service.max_rows:
        raise RpcError(
            f"the answer has more than {call.service.max_rows} records",
            name="odoo.exceptions.UserError",
            fix="give a `limit`, and an `offset` for the next ones",
        )
    return found


def domain_of(call: Call, raw: Any) -> Any:
    """A domain as given; none is the empty one."""
    if raw is None or raw is False:
        return []
    if not isinstance(raw, list | tuple):
        raise RpcError(
            f"a domain is a list of conditions, not {raw!r:.60}",
            name="builtins.AssertionError" if call.version < 19 else "builtins.TypeError",
            fix='write it as [["name", "=", "x"]]',
        )
    return raw


def _list(raw: Any, name: str) -> Iterable[Any]:
    if not isinstance(raw, list | tuple):
        raise InvalidValue(f"`{name}` is {raw!r:.60}", fix="give a list")
    return raw


def _more(field: Field) -> dict[str, Any]:
    """What clients ask of a field beside what `Session.fields_get` tells."""
    found: dict[str, Any] = {
        "name": field.name,
        "store": field.stored,
        "searchable": field.stored,
        "sortable": field.stored and not field.x2many,
    }
    if field.type == "one2many" and field.inverse:
        found["relation_field"] = field.inverse
    return found


# Trees of `web_search_read`


def _tree(raw: Any) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or not all(
        isinstance(k, str) and isinstance(v, dict) for k, v in raw.items()
    ):
        raise InvalidValue(f"the specification is {raw!r:.60}", fix='write it as {"name": {}}')
    return raw


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
    ids = list(dict.fromkeys(i for r in records for i in r[field.name]))
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


def model_of(call: Call) -> Model:
    """The model a call is about."""
    return call.session.application.schema.model(call.model)
