"""Methods that tell what the user may do, and who the user is."""

from __future__ import annotations

from typing import Any

from vallum.kernel import AccessDenied, InvalidValue
from vallum.server.rpc.methods import Call, serves
from vallum.server.rpc.reading import ids_of

__all__: list[str] = []


@serves()
def check_access_rights(call: Call, operation: Any, raise_exception: Any = True) -> bool | None:
    """Whether an access right grants the operation on the model."""
    try:
        call.session.check(call.model, (), operation)
    except AccessDenied:
        if raise_exception:
            raise
        return False
    # Odoo answers nothing where it would have raised.
    return None if raise_exception else True


@serves(on_records=True)
def has_access(call: Call, ids: Any, operation: Any) -> bool:
    """Whether the user may do this with every one of the records."""
    try:
        call.session.check(call.model, ids_of(ids), operation)
    except AccessDenied:
        return False
    return True


@serves(on_records=True)
def check_access(call: Call, ids: Any, operation: Any) -> None:
    """Refuse unless the user may do this with every one of the records."""
    call.session.check(call.model, ids_of(ids), operation)


@serves(model="res.users")
def context_get(call: Call) -> dict[str, Any]:
    """The user's own language and time zone."""
    user = call.service.user(call.session)
    return {"lang": user.lang, "tz": user.tz or False, "uid": user.id}


@serves(on_records=True, model="res.users")
def has_group(call: Call, ids: Any, group_ext_id: Any) -> bool:
    """Whether the user, and no other, is a member of the group."""
    user = call.service.user(call.session)
    if ids_of(ids) not in ([], [user.id]):
        raise AccessDenied("only one's own groups can be asked for", fix=f"give the id {user.id}")
    if not isinstance(group_ext_id, str) or "." not in group_ext_id:
        raise InvalidValue(f"{group_ext_id!r:.60} is no group", fix="write it as `base.group_user`")
    policy, actor = call.session.application.policy, call.session.actor
    wanted = policy.group_ids.get(group_ext_id)
    return actor is not None and wanted is not None and wanted in actor.groups


@serves(model="ir.model.access")
def check(call: Call, model: Any, mode: Any = "read", raise_exception: Any = True) -> bool:
    """Whether an access right grants the operation on a model."""
    try:
        call.session.check(str(model), (), mode)
    except AccessDenied:
        if raise_exception:
            raise
        return False
    return True
