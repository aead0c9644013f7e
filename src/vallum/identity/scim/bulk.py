"""Many requests in one (RFC 7644, section 3.7).

Each operation is a request of its own, with its own transaction and its own answer. What refers to a resource
that another operation makes (`bulkId:…`) waits for it; what waits for itself is refused.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from scim2_models import Error, InvalidSyntaxException, InvalidValueException, PayloadTooLargeException

from vallum.identity.scim.http import MEDIA_TYPE, Request, Response, ScimHttp, failed
from vallum.identity.scim.models import BULK_LIMIT

__all__ = ["run_bulk"]

REQUEST: Final = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
RESPONSE: Final = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
_MARK: Final = "bulkId:"
_METHODS: Final = ("POST", "PUT", "PATCH", "DELETE")


def run_bulk(http: ScimHttp, payload: dict[str, Any]) -> Response:
    """The answers, in the order of the operations. Raises: SCIMException (the envelope is wrong)."""
    operations, limit = _operations(payload)
    answers: dict[int, dict[str, Any]] = {}
    made: dict[str, str] = {}
    failures = 0
    waiting = list(range(len(operations)))
    while waiting:
        ready = next((n for n in waiting if not _missing(operations[n], made)), waiting[0])
        waiting.remove(ready)
        one = operations[ready]
        if _missing(one, made):
            answer = failed(
                Error(status=409, scim_type="invalidValue", detail="it refers to what was not made")
            )
        else:
            answer = http.handle(_request(one, made))
        failures += answer.status >= 400
        answers[ready] = _answer(one, answer, made)
        if limit and failures >= limit:
            break
    return Response(200, {"schemas": [RESPONSE], "Operations": [answers[n] for n in sorted(answers)]})


def _operations(payload: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    operations, limit = payload.get("Operations"), payload.get("failOnErrors", 0)
    if payload.get("schemas") != [REQUEST] or not isinstance(operations, list):
        raise InvalidSyntaxException(detail="this is no bulk request")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InvalidValueException(detail="`failOnErrors` is no number of errors")
    if len(operations) > BULK_LIMIT:
        raise PayloadTooLargeException(detail=f"more than {BULK_LIMIT} operations")
    seen: set[str] = set()
    for one in operations:
        if not isinstance(one, dict) or not isinstance(one.get("path"), str):
            raise InvalidSyntaxException(detail="an operation has no path")
        if str(one.get("method")).upper() not in _METHODS or one["path"].strip("/") == "Bulk":
            raise InvalidSyntaxException(detail="an operation has no method that can be run here")
        name = one.get("bulkId")
        if name is not None and (not isinstance(name, str) or name in seen):
            raise InvalidSyntaxException(detail="two operations have the same bulkId")
        if name is None and str(one["method"]).upper() == "POST":
            raise InvalidSyntaxException(detail="an operation that creates has no bulkId")
        seen.update([name] if name else [])
    return operations, limit


def _missing(one: dict[str, Any], made: dict[str, str]) -> bool:
    return any(name not in made for name in _references([one.get("path"), one.get("data")]))


def _references(value: Any) -> list[str]:
    if isinstance(value, str):
        found = value.split("/")[-1] if value.startswith("/") else value
        return [found.removeprefix(_MARK)] if found.startswith(_MARK) else []
    if isinstance(value, dict):
        value = list(value.values())
    return [name for one in value for name in _references(one)] if isinstance(value, list) else []


def _resolved(value: Any, made: dict[str, str]) -> Any:
    if isinstance(value, str) and _references(value):
        (name,) = _references(value)
        return value.replace(_MARK + name, made[name])
    if isinstance(value, dict):
        return {key: _resolved(one, made) for key, one in value.items()}
    return [_resolved(one, made) for one in value] if isinstance(value, list) else value


def _request(one: dict[str, Any], made: dict[str, str]) -> Request:
    headers = {"content-type": MEDIA_TYPE}
    if isinstance(one.get("version"), str):
        headers["if-match"] = one["version"]
    body = msgspec.json.encode(_resolved(one["data"], made)) if "data" in one else b""
    return Request(str(one["method"]).upper(), _resolved(one["path"], made), (), headers, body)


def _answer(one: dict[str, Any], answer: Response, made: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {"method": str(one["method"]).upper(), "status": str(answer.status)}
    body = answer.body or {}
    if one.get("bulkId"):
        found["bulkId"] = one["bulkId"]
    if answer.status >= 400:
        return {**found, "response": body}
    meta = body.get("meta", {})
    if one.get("bulkId") and "id" in body:
        made[one["bulkId"]] = body["id"]
    if "location" in meta:
        found["location"] = meta["location"]
    if "version" in meta:
        found["version"] = meta["version"]
    return found
