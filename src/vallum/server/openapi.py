"""The API as one actor has it: an OpenAPI 3.1 document from the policy, and Odoo's list of methods.

Models and fields the actor may not see are not in it; methods that write are where the actor has
the right and the application is written to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vallum.facade import Session
from vallum.kernel import UnknownModel
from vallum.policy import Decision
from vallum.server.rpc.methods import Method, table
from vallum.server.rpc.models import readable

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["describe_model", "openapi"]

_RIGHTS: Final = {"create": "create", "copy": "create", "write": "write", "unlink": "unlink"}
# What parameters are, by name; a method of a model may say otherwise in `_OF_METHOD`.
_DOMAIN: Final = {
    "type": "array",
    "description": "conditions: [field, operator, value], joined by &, | and !",
    "items": {},
    "examples": [[["name", "ilike", "a"]]],
}
_NAMES: Final = {"type": "array", "items": {"type": "string"}}
_IDS: Final = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}}
_BOUND: Final = {"type": ["integer", "null"], "minimum": 0}
_OBJECT: Final = {"type": "object", "additionalProperties": True}
_PARAMETERS: Final[dict[str, Any]] = {
    "ids": _IDS,
    "domain": _DOMAIN,
    "offset": {"type": "integer", "minimum": 0},
    "limit": _BOUND,
    "count_limit": _BOUND,
    "order": {"type": ["string", "null"], "description": "such as `name desc, id`"},
    "orderby": {"type": ["string", "boolean"]},
    "fields": _NAMES,
    "allfields": _NAMES,
    "attributes": _NAMES,
    "fields_list": _NAMES,
    "fields_to_export": _NAMES,
    "groupby": _NAMES,
    "aggregates": _NAMES,
    "having": {"type": "array", "maxItems": 0},
    "specification": _OBJECT,
    "load": {"type": ["string", "null"]},
    "lazy": {"type": "boolean"},
    "operation": {"enum": ["read", "write", "create", "unlink"]},
    "mode": {"enum": ["read", "write", "create", "unlink"]},
    "raise_exception": {"type": "boolean"},
    "operator": {"enum": ["ilike", "like", "=", "=ilike", "=like", "not ilike", "!="]},
    "name": {"type": "string"},
    "vals": _OBJECT,
    "vals_list": {"anyOf": [_OBJECT, {"type": "array", "items": _OBJECT}]},
    "default": _OBJECT,
    "group_ext_id": {"type": "string"},
    "model": {"type": "string"},
}
_REFUSALS: Final = {
    "400": "what was sent is no call",
    "401": "no key, or none that is valid",
    "403": "the user, or the key, may not",
    "404": "no such model, method or record",
    "409": "the record has changed in the meantime",
    "413": "too long",
    "415": "no JSON",
    "422": "the arguments are wrong",
    "429": "too many calls",
    "503": "the database does not answer",
}
_RECORDS: Final = {"type": "array", "items": _OBJECT}
_ANSWERS: Final[dict[str, Any]] = {
    "search": {"type": "array", "items": {"type": "integer"}},
    "search_count": {"type": "integer"},
    "read": _RECORDS,
    "search_read": _RECORDS,
    "web_read": _RECORDS,
    "web_search_read": {
        "type": "object",
        "properties": {"length": {"type": "integer"}, "records": _RECORDS},
        "required": ["length", "records"],
    },
    "fields_get": {"type": "object", "additionalProperties": _OBJECT},
    "name_search": {"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2}},
    "read_group": _RECORDS,
    "formatted_read_group": _RECORDS,
    "exists": {"type": "array", "items": {"type": "integer"}},
    "check_access_rights": {"type": ["boolean", "null"]},
    "has_access": {"type": "boolean"},
    "check_access": {"type": "null"},
    "write": {"type": "boolean"},
    "unlink": {"type": "boolean"},
    "has_group": {"type": "boolean"},
    "check": {"type": "boolean"},
}


def openapi(service: Service, session: Session) -> dict[str, Any]:
    """The document of everything the actor may call."""
    paths: dict[str, Any] = {}
    for name in sorted(session.application.schema.models):
        if not readable(session, name):
            continue
        tag = name
        for method in _methods(service, session, name):
            paths[f"/json/2/{name}/{method.name}"] = {"post": _operation(tag, name, method)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vallum",
            "version": "2",
            "description": f"What {session.login} may call, in the way of Odoo {service.version}'s JSON-2.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _ERROR, "Context": _CONTEXT},
            "responses": {
                status: {
                    "description": what,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
                for status, what in _REFUSALS.items()
            },
        },
        "security": [{"key": []}],
    }


_ERROR: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "message": {"type": "string"},
        "arguments": {"type": "array", "items": {}},
        "context": {"type": "object"},
        "debug": {"const": ""},
    },
    "required": ["name", "message", "arguments", "context", "debug"],
}
_CONTEXT: Final = {
    "type": "object",
    "properties": {
        "lang": {"type": "string"},
        "tz": {"type": "string"},
        "allowed_company_ids": _IDS,
        "active_test": {"type": "boolean"},
        "bin_size": {"type": "boolean"},
    },
}


def _operation(tag: str, model: str, method: Method) -> dict[str, Any]:
    properties = {name: _PARAMETERS.get(name, {}) for name in method.names}
    body = {
        "type": "object",
        "properties": {**properties, "context": {"$ref": "#/components/schemas/Context"}},
        "required": list(method.required),
        "additionalProperties": False,
    }
    if not method.required:
        del body["required"]
    return {
        "tags": [tag],
        "operationId": f"{model}.{method.name}",
        "summary": (method.run.__doc__ or "").partition("\n")[0],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "the answer",
                "content": {"application/json": {"schema": _ANSWERS.get(method.name, {})}},
            },
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _REFUSALS},
        },
    }


def describe_model(service: Service, session: Session, model: str) -> dict[str, Any]:
    """The methods and fields of a model, as Odoo 19 documents them to clients.

    Raises: UnknownModel, AccessDenied.
    """
    if model not in session.application.schema or not readable(session, model):
        # Whether a model exists is told to those who may read it.
        raise UnknownModel(f"there is no model `{model:.80}`")
    return {
        "model": model,
        "name": session.application.schema.model(model).name,
        "doc": None,
        "fields": session.fields_get(model),
        "methods": {
            method.name: {
                "name": method.name,
                "parameters": _described(method),
                "api": [] if method.on_records else ["model"],
                "doc": (method.run.__doc__ or "").strip(),
                "raise": {},
                "return": {},
            }
            for method in _methods(service, session, model)
        },
    }


def _described(method: Method) -> dict[str, Any]:
    """Parameters behind the records, which clients send as `ids`."""
    names = method.names[1:] if method.on_records else method.names
    required = method.required
    return {
        name: {"name": name, "kind": "POSITIONAL_OR_KEYWORD"}
        | ({} if name in required else {"default": method.default(name)})
        for name in names
    }


def _methods(service: Service, session: Session, model: str) -> list[Method]:
    found = []
    for method in table(model, service.version).values():
        if not method.writes or (service.writable and _may(session, _RIGHTS[method.name], model).allowed):
            found.append(method)
    return found


def _may(session: Session, operation: str, model: str) -> Decision:
    return session.can(operation, model)
