"""What Entra ID and Okta write, as the standard would have it.

Pure. Only what cannot mean anything else is changed: a manager written as a bare id, the resource's own id
within the value of a PATCH. That `"False"` means false, that `Replace` means replace, and dotted keys are
scim2-models' to know.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["plain_patch", "plain_resource"]

_ENTERPRISE: Final = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user"
_LONGEST: Final = 1000


def plain_patch(payload: Any, own_id: str) -> Any:
    """A PATCH as the standard has it; what is none is left for the parser to refuse."""
    if not isinstance(payload, dict):
        return payload
    name = next((key for key in payload if isinstance(key, str) and key.lower() == "operations"), None)
    operations = payload.get(name) if name else None
    if not isinstance(operations, list):
        return payload
    return {**payload, name: [_operation(one, own_id) for one in operations]}


def _operation(one: Any, own_id: str) -> Any:
    if not isinstance(one, dict):
        return one
    path, value = one.get("path"), one.get("value")
    if isinstance(path, str) and path.lower() == f"{_ENTERPRISE}:manager" and isinstance(value, str):
        return {**one, "value": {"value": value}} if value else {**one, "op": "remove", "value": None}
    if not path and isinstance(value, dict):
        # Okta repeats the id of the group it means.
        kept = {k: v for k, v in value.items() if not (k == "id" and v == own_id)}
        return {**one, "value": plain_resource(kept)}
    return one


def plain_resource(payload: Any) -> Any:
    """A resource as the standard has it."""
    if not isinstance(payload, dict):
        return payload
    found = dict(payload)
    for key, value in payload.items():
        if not isinstance(key, str):
            continue
        if key.lower() == f"{_ENTERPRISE}:manager" and isinstance(value, str):
            found[key] = {"value": value}
        elif key.lower() == _ENTERPRISE and isinstance(value, dict):
            manager = value.get("manager")
            if isinstance(manager, str):
                found[key] = {**value, "manager": {"value": manager}}
    return found
