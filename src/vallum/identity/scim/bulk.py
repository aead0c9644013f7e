"""Many requests in one (RFC 7644, section 3.7).

Each operation is a request of its own, with its own transaction and its own answer. What refers to a resource
that another operation makes (`bulkId:…`) waits for it; what waits for itself is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, Final

import msgspec
from scim2_models import Error, InvalidSyntaxException, InvalidValueException, PayloadTooLargeException

from vallum.identity.scim.http import MEDIA_TYPE, Request, Response, ScimHttp, failed
from vallum.identity.scim.models import BULK_LIMIT

__all__ = ["run_bulk"]

REQUEST: Final = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
RESPONSE: Final = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
_MARK: Final = "bulkId:"
_DEEPEST: Final = 50
_METHODS: Final = ("POST", "PUT", "PATCH", "DELETE")


def run_bulk(http: ScimHttp, payload: dict[str, Any]) -> Response:
    """The answers, in the order of the operations. Raises: SCIMException (the envelope is wrong)."""
    operations, limit = _operations(payload)
    needed = [frozenset(_references([one.get("path"), one.get("data")])) for one in operations]
    answers = _run(http, operations, needed, limit)
    return Response(200, {"schemas": [RESPONSE], "Operations": [answers[n] for n in sorted(answers)]})


def _run(
    http: ScimHttp, operations: list[dict[str, Any]], needed: list[frozenset[str]], limit: int
) -> dict[int, dict[str, Any]]:
    """The answers by number. Each operation is looked at once, and once for each name it waits for."""
    answers: dict[int, dict[str, Any]] = {}
    made: dict[str, str] = {}
    waiting: dict[str, list[int]] = {}
    missing = [len(names) for names in needed]
    for number, names in enumerate(needed):
        for name in names:
            waiting.setdefault(name, []).append(number)
    # Sorted, and thereby a heap; those that wait for nobody who comes are behind all others.
    ready = [number for number, count in enumerate(missing) if not count]
    failures = 0
    while ready:
        number = heappop(ready)
        one = operations[number]
        answer = http.handle(_request(one, made))
        failures += answer.status >= 400
        answers[number] = _answer(one, answer, made)
        if limit and failures >= limit:
            return answers
        name = str(one.get("bulkId"))
        for other in waiting.pop(name, ()) if name in made else ():
            missing[other] -= 1
            if not missing[other]:
                heappush(ready, other)
    for number, one in enumerate(operations):
        if number not in answers:
            refused = Error(status=409, scim_type="invalidValue", detail="it refers to what was not made")
            answers[number] = _answer(one, failed(refused), made)
            failures += 1
            if limit and failures >= limit:
                break
    return answers


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


def _references(value: Any) -> Iterator[str]:
    """The names it refers to, wherever they stand in it. Raises: InvalidSyntaxException (too deep)."""
    left = [(value, 0)]
    while left:
        one, depth = left.pop()
        if depth > _DEEPEST:
            raise InvalidSyntaxException(detail="an operation is nested too deeply")
        if isinstance(one, str):
            name = _reference(one)
            if name is not None:
                yield name
        elif isinstance(one, dict):
            left.extend((more, depth + 1) for more in one.values())
        elif isinstance(one, list):
            left.extend((more, depth + 1) for more in one)


def _reference(text: str) -> str | None:
    """The name a text refers to: `bulkId:one`, or as the end of a path, `/Users/bulkId:one`."""
    found = text.rpartition("/")[2] if text.startswith("/") else text
    return found.removeprefix(_MARK) if found.startswith(_MARK) else None


def _resolved(value: Any, made: dict[str, str]) -> Any:
    if isinstance(value, str):
        name = _reference(value)
        return value if name is None else value.removesuffix(_MARK + name) + made[name]
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
