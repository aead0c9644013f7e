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

__all__: list[str] = []


@serves(writes=True, aliases={"vals": "vals_list"})
def create(call: Call, vals_list: Any) -> int | list[int]:
    """Create records: an id for one set of values, ids for a list."""
    many = isinstance(vals_list, list | tuple)
    given = list(vals_list) if many else [vals_list]
    if not all(isinstance(values, dict) for values in given):
        raise InvalidValue(f"the values are {vals_list!r:.60}", fix='write them as {"name": "x"}')
    _may_write(call, (), Operation.CREATE)
    ids = call.service.writer(call).create(call.model, given)
    return ids if many else ids[0]


@serves(on_records=True, writes=True)
def write(call: Call, ids: Any, vals: Any) -> bool:
    """Set values of records."""
    if not isinstance(vals, dict):
        raise InvalidValue(f"the values are {vals!r:.60}", fix='write them as {"name": "x"}')
    wanted = ids_of(ids)
    _may_write(call, wanted, Operation.WRITE)
    call.service.writer(call).write(call.model, wanted, vals)
    return True


@serves(on_records=True, writes=True)
def unlink(call: Call, ids: Any) -> bool:
    """Delete records."""
    wanted = ids_of(ids)
    _may_write(call, wanted, Operation.UNLINK)
    call.service.writer(call).unlink(call.model, wanted)
    return True


@serves(on_records=True, writes=True)
def copy(call: Call, ids: Any, default: Any = None) -> list[int]:
    """Copy records, with these values instead of the originals' own."""
    if default is not None and default is not False and not isinstance(default, dict):
        raise InvalidValue(f"the values are {default!r:.60}", fix='write them as {"name": "x"}')
    _may_write(call, (), Operation.CREATE)
    return call.service.writer(call).copy(call.model, ids_of(ids), default or {})


@serves(aliases={"fields": "fields_list"})
def default_get(call: Call, fields_list: Any) -> dict[str, Any]:
    """The values a new record of the user's begins with."""
    if not isinstance(fields_list, list | tuple) or not all(isinstance(n, str) for n in fields_list):
        raise InvalidValue(f"`fields_list` is {fields_list!r:.60}", fix="give a list of names")
    call.session.check(call.model, (), Operation.CREATE)
    if call.service.of_odoo:
        raise RpcError(
            f"the defaults of `{call.model}` live in Odoo's code",
            name="builtins.NotImplementedError",
            fix="ask Odoo itself",
        )
    return call.service.writer(call).default_get(call.model, list(fields_list))


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
