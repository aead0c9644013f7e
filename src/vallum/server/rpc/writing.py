"""Methods that write: create, write, unlink, copy, and the values a new record begins with.

An attached Odoo database is never written to: what happens when a record changes lives in Odoo's code.
Rights are looked at before that is said, so that whoever may not write is told so.
"""

from __future__ import annotations

from typing import Any

from vallum.kernel import InvalidValue, Operation
from vallum.server.rpc.faults import RpcError
from vallum.server.rpc.methods import Call, serves
from vallum.server.rpc.reading import ids_of
from vallum.server.rpc.shapes import plain

__all__: list[str] = []


@serves(writes=True, aliases={"vals": "vals_list"})
def create(call: Call, vals_list: Any) -> int | list[int]:
    """Create records: an id for one set of values, ids for a list.

    Asked again with the same `Idempotency-Key`, nothing is created and the ids are given again.
    """
    many = isinstance(vals_list, list | tuple)
    given = [_values(values) for values in (vals_list if many else [vals_list])]
    if not given:
        return []
    _may_write(call, (), Operation.CREATE)
    defaults = call.context.defaults
    known = call.session.application.schema.model(call.model).fields
    begun = [{**{k: v for k, v in defaults.items() if k in known}, **values} for values in given]
    ids = call.session.create(call.model, begun, key=call.idempotency_key)
    return ids if many else ids[0]


@serves(on_records=True, writes=True)
def write(call: Call, ids: Any, vals: Any, version: Any = None) -> bool:
    """Set values of records. `version`: only where their `write_date` still is what was read."""
    values, wanted = _values(vals), ids_of(ids)
    _may_write(call, wanted, Operation.WRITE)
    call.session.write(call.model, wanted, values, version=version or None)
    return True


@serves(on_records=True, writes=True)
def unlink(call: Call, ids: Any) -> bool:
    """Delete records."""
    wanted = ids_of(ids)
    _may_write(call, wanted, Operation.UNLINK)
    call.session.unlink(call.model, wanted)
    return True


@serves(on_records=True, writes=True)
def copy(call: Call, ids: Any, default: Any = None) -> list[int]:
    """Copy records, with these values instead of the originals' own: all, or none."""
    values, wanted = _values(default or {}), ids_of(ids)
    _may_write(call, (), Operation.CREATE)
    with call.session.application.database.transaction():
        return [call.session.copy(call.model, record, values) for record in wanted]


@serves(aliases={"fields": "fields_list"})
def default_get(call: Call, fields_list: Any) -> dict[str, Any]:
    """The values a new record of the user's begins with."""
    if not isinstance(fields_list, list | tuple) or not all(isinstance(n, str) for n in fields_list):
        raise InvalidValue(f"`fields_list` is {fields_list!r:.60}", fix="give a list of names")
    if call.service.of_odoo:
        call.session.check(call.model, (), Operation.CREATE)
        raise RpcError(
            f"the defaults of `{call.model}` live in Odoo's code",
            name="builtins.NotImplementedError",
            fix="ask Odoo itself",
        )
    found = call.session.default_get(call.model, list(fields_list))
    given = {k: v for k, v in call.context.defaults.items() if k in fields_list}
    shown: dict[str, Any] = plain({**found, **given})
    return shown


def _values(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict) or not all(isinstance(name, str) for name in raw):
        raise InvalidValue("the values of a record are an object", fix='write them as {"name": "x"}')
    return raw


def _may_write(call: Call, ids: Any, operation: Operation) -> None:
    """Refuse where no right or rule lets the user, and then where nothing is written at all."""
    if not call.service.of_odoo:
        return
    call.session.check(call.model, ids, operation)
    raise RpcError(
        f"`{call.model}` belongs to Odoo, whose code decides what else a change means: it is only read here",
        name="odoo.exceptions.UserError",
        status=403,
        fix="write through Odoo itself",
    )
