"""Which models there are: what clients ask of `ir.model`, whoever asks.

Where the application has no `ir.model` of its own, its models are listed as records of one, as far as
the user may read them. What `ir.model` itself is like is no secret: clients look before they search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from vallum.facade import Session
from vallum.kernel import AccessDenied, InvalidValue, VallumError
from vallum.server.rpc.faults import RpcError
from vallum.server.rpc.methods import Call, serves

__all__ = ["IR_MODEL", "available", "fields_of_models", "listed"]

IR_MODEL: Final = "ir.model"
_FIELDS: Final = {
    "id": {"type": "integer", "string": "ID", "required": False, "readonly": True, "store": True},
    "model": {"type": "char", "string": "Model", "required": True, "readonly": True, "store": True},
    "name": {"type": "char", "string": "Name", "required": True, "readonly": True, "store": True},
    "transient": {
        "type": "boolean",
        "string": "Transient",
        "required": False,
        "readonly": True,
        "store": True,
    },
}
_TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    "in": lambda a, b: isinstance(b, list | tuple) and a in b,
    "not in": lambda a, b: isinstance(b, list | tuple) and a not in b,
    "like": lambda a, b: str(b) in str(a),
    "ilike": lambda a, b: str(b).lower() in str(a).lower(),
}


@serves(model=IR_MODEL)
def get_available_models(call: Call) -> list[dict[str, Any]]:
    """The models that the user may read."""
    return [{"model": name, "display_name": name} for name in available(call.session)]


def available(session: Session) -> list[str]:
    """The names of all models with records that the user may read."""
    return [name for name in sorted(session.application.schema.models) if readable(session, name)]


def readable(session: Session, model: str) -> bool:
    """Whether the user may read the model, and there is something to read."""
    target = session.application.schema.model(model)
    if target.abstract or not target.relation:
        return False
    try:
        session.check(model, (), "read")
    except (AccessDenied, VallumError):
        return False
    return True


def fields_of_models(session: Session) -> dict[str, dict[str, Any]]:
    """The fields of `ir.model`, for those who may not read its records, or where there is none."""
    if IR_MODEL not in session.application.schema:
        return {name: dict(described) for name, described in _FIELDS.items()}
    return Session(session.application, None).fields_get(IR_MODEL)


def listed(call: Call, method: str, given: Mapping[str, Any]) -> Any:
    """`search`, `search_count`, `search_read`, `read` and `fields_get` of models as records.

    Raises: RpcError, InvalidValue.
    """
    records = [
        {"id": number, "model": name, "name": name, "transient": False}
        for number, name in enumerate(sorted(call.session.application.schema.models), 1)
        if readable(call.session, name)
    ]
    if method == "fields_get":
        return fields_of_models(call.session)
    if method == "read":
        wanted = given.get("ids") or []
        found = [record for record in records if record["id"] in wanted]
    else:
        found = [record for record in records if _matches(record, given.get("domain") or [])]
    start, most = given.get("offset") or 0, given.get("limit") or None
    found = found[start : None if most is None else start + most]
    if method == "search":
        return [record["id"] for record in found]
    if method == "search_count":
        return len(found)
    fields = given.get("fields") or list(_FIELDS)
    unknown = [name for name in fields if name not in _FIELDS]
    if unknown:
        raise InvalidValue(f"no field `{unknown[0]!s:.60}` on `{IR_MODEL}`", fix="use " + ", ".join(_FIELDS))
    return [{"id": record["id"], **{name: record[name] for name in fields}} for record in found]


def _matches(record: Mapping[str, Any], domain: Any) -> bool:
    if not isinstance(domain, list | tuple):
        raise InvalidValue("a domain is a list of conditions")
    for part in domain:
        if part == "&":
            continue
        if (
            not isinstance(part, list | tuple)
            or len(part) != 3
            or part[0] not in _FIELDS
            or part[1] not in _TESTS
        ):
            raise RpcError(
                f"models cannot be searched by {part!r:.80}",
                name="builtins.ValueError",
                fix='join conditions such as ["model", "ilike", "sale"]',
            )
        if not _TESTS[part[1]](record[part[0]], part[2]):
            return False
    return True
