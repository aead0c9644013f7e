"""One request on its way through the stack: what its layers learn and tell each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeAlias

from vallum.server.http import Response, json_response
from vallum.server.rpc.faults import fault_of

__all__ = ["ASGI", "Exchange", "Receive", "Scope", "Send", "answer", "refusal", "send_response"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGI: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(slots=True)
class Exchange:
    """What is known of a request. `route` and `note` are for the log and metrics."""

    request_id: str
    headers: Mapping[str, str]
    address: str = ""
    secure: bool = True
    body: bytes = b""
    route: str = "other"
    status: int = int(HTTPStatus.INTERNAL_SERVER_ERROR)
    size: int = 0
    note: dict[str, Any] = field(default_factory=dict)


async def send_response(send: Send, response: Response) -> None:
    """Send an answer that is whole."""
    headers = [
        (b"content-type", response.content_type.encode()),
        (b"content-length", str(len(response.body)).encode()),
        *((name.encode(), value.encode()) for name, value in response.headers.items()),
        *((b"set-cookie", cookie.encode()) for cookie in response.cookies),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def refusal(error: Exception) -> Response:
    """The answer to a request that did not come as far as a protocol."""
    fault = fault_of(error)
    return json_response(
        {"error": {"code": fault.status, "message": fault.message, "data": fault.data}},
        status=fault.status,
        headers=fault.headers,
        note={"error": fault.name},
    )


async def answer(scope: Scope, send: Send, response: Response) -> None:
    """Send an answer, and note what it was for the log."""
    scope["vallum"].note.update(response.note)
    await send_response(send, response)
