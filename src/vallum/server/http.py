"""A request and an answer, as the handlers of calls see them: whole, and without a connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vallum.identity import Client

__all__ = ["JSON", "Request", "Response", "json_response"]

JSON: Final = "application/json; charset=utf-8"
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose body has arrived. Names of headers are in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    client: Client
    secure: bool = True
    query: str = ""

    def cookie(self, name: str) -> str | None:
        """The value of a cookie; of several with the name, none."""
        found = [
            value
            for part in self.headers.get("cookie", "").split(";")
            for key, _, value in [part.strip().partition("=")]
            if key == name
        ]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `note` goes to the log: what was called, by whom, and how it ended.

    `cookies`: values of `Set-Cookie`, one header each.
    """

    status: int = int(HTTPStatus.OK)
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    note: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    cookies: tuple[str, ...] = ()


# Values of calls are shaped before; what is left are numbers of PostgreSQL.
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def json_response(
    content: Any,
    *,
    status: int = int(HTTPStatus.OK),
    headers: Mapping[str, str] = _NONE,
    note: Mapping[str, Any] = _NONE,
) -> Response:
    """An answer in JSON."""
    return Response(int(status), _ENCODER.encode(content), JSON, headers, note)
