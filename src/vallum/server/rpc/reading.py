"""Methods that search and read, with Odoo's parameters and answers.

Invariant: no answer has more records than the server's limit; a call that would is refused, not cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from vallum.kernel import AccessDenied, InvalidValue
from vallum.schema import Field, Model
from vallum.server.rpc.faults import RpcError
from vallum.server.rpc.methods import Call, serves
from vallum.server.rpc.models import IR_MODEL, fields_of_models
from vallum.server.rpc.shapes import shape

__all__ = ["Records", "domain_of", "ids_of", "model_of", "most_of", "readings", "too_many", "within"]

_CLASSIC: Final = "_classic_read"
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
        raise too_many(call)
    return found


def too_many(call: Call) -> RpcError:
    """The refusal of an answer that would be too large."""
    return RpcError(
        f"the answer has more than {call.service.max_rows} records",
        name="odoo.exceptions.UserError",
        fix="give a `limit`, and an `offset` for the next ones",
    )


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


def model_of(call: Call) -> Model:
    """The model a call is about."""
    return call.session.application.schema.model(call.model)
