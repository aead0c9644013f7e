"""Carry SCIM: the token says which directory asks, everything else is `vallum.identity.scim`.

Invariant: without a token that holds now, nothing is looked at, and nothing is told.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import msgspec

from vallum.identity.scim.tokens import authenticate
from vallum.kernel import ConnectionFailed
from vallum.server.http import Request, Response

if TYPE_CHECKING:
    from vallum.identity.scim.http import Response as ScimResponse
    from vallum.server.service import Service
    from vallum.server.sso.parts import SignOn

__all__ = ["handle"]

PATH: Final = "/scim/v2"
_MEDIA_TYPE: Final = "application/scim+json"
_ERROR: Final = "urn:ietf:params:scim:api:messages:2.0:Error"


def handle(service: Service, request: Request) -> Response:
    """The answer to a directory."""
    if service.people is None:
        return _failed(HTTPStatus.NOT_FOUND, "there is nothing here")
    on = service.people.sign_on
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    shown = token.strip() if kind.lower() == "bearer" else ""
    try:
        directory = authenticate(on.store, shown, on.clock.now())
        if directory is None:
            return _failed(HTTPStatus.UNAUTHORIZED, "a token of a directory is needed")
        answer = _carried(on, directory, request)
    except ConnectionFailed:
        return _failed(HTTPStatus.SERVICE_UNAVAILABLE, "try again in a moment")
    except ValueError:
        return _failed(HTTPStatus.BAD_REQUEST, "the address cannot be read")
    return Response(answer.status, answer.encoded(), _MEDIA_TYPE, answer.headers, {"directory": directory})


def _carried(on: SignOn, directory: str, request: Request) -> ScimResponse:
    # Here, for its models take 16 MiB of a worker, and few servers have a directory that writes.
    from vallum.identity.scim.http import Request as ScimRequest
    from vallum.identity.scim.http import ScimHttp
    from vallum.identity.scim.service import ScimService

    base = on.base_url + PATH
    scim = ScimService(on.store, on.accounts, on.clock, directory, base)
    query = parse_qsl(request.query, keep_blank_values=True, max_num_fields=20)
    path = request.path.removeprefix(PATH)
    return ScimHttp(scim, base).handle(
        ScimRequest(request.method, path, query, request.headers, request.body)
    )


def _failed(status: HTTPStatus, detail: str) -> Response:
    body = msgspec.json.encode({"schemas": [_ERROR], "status": str(int(status)), "detail": detail})
    headers = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    return Response(int(status), body, _MEDIA_TYPE, headers)
