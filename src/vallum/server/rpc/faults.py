"""What went wrong with a call, as Odoo's clients know it: a name, a message, an HTTP status.

Pure. The names are those of Odoo's own exceptions, so that a client that tells them apart keeps
doing so; the messages are Vallum's own. No trace of code, no statement and no secret is among them.
Source: Odoo's `serialize_exception`, its JSON-2 controller and its XML-RPC fault codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, ClassVar, Final

from vallum.kernel import (
    AccessDenied,
    CompanyNotAllowed,
    ConnectionFailed,
    UnknownModel,
    UnknownRecord,
    VallumError,
)

__all__ = ["Fault", "RpcError", "fault_of"]

ACCESS_ERROR: Final = "odoo.exceptions.AccessError"
ACCESS_DENIED: Final = "odoo.exceptions.AccessDenied"
VALUE_ERROR: Final = "builtins.ValueError"
UNAVAILABLE_NAME: Final = "werkzeug.exceptions.ServiceUnavailable"

# XML-RPC: what Odoo's clients find in a fault's code.
_WARNING, _DENIED, _FORBIDDEN, _FAILED = 2, 3, 4, 1
_XML_CODES: Final[Mapping[str, int]] = MappingProxyType(
    {
        ACCESS_DENIED: _DENIED,
        ACCESS_ERROR: _FORBIDDEN,
        "odoo.exceptions.UserError": _WARNING,
        "odoo.exceptions.ValidationError": _WARNING,
        "odoo.exceptions.MissingError": _WARNING,
    }
)


class RpcError(VallumError):
    """A call that cannot be served. `name`: the exception it is in Odoo; `status`: over HTTP."""

    code: ClassVar[str] = "rpc"

    def __init__(
        self,
        what: str,
        *,
        name: str,
        status: int = HTTPStatus.UNPROCESSABLE_ENTITY,
        fix: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(what, fix=fix)
        self.name = name
        self.status = int(status)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as it is told to a client."""

    name: str
    message: str
    status: int
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def data(self) -> dict[str, Any]:
        """Odoo's error object; `debug`, where Odoo puts a trace of its code, is empty."""
        return {
            "name": self.name,
            "message": self.message,
            "arguments": [self.message],
            "context": {},
            "debug": "",
        }

    @property
    def xml_code(self) -> int:
        """The code of an XML-RPC fault."""
        return _XML_CODES.get(self.name, _FAILED)


# Kinds of Vallum's errors: the exception they are in Odoo, and the status. The first that fits.
_KINDS: Final[tuple[tuple[type[VallumError], str, int], ...]] = (
    (AccessDenied, ACCESS_ERROR, HTTPStatus.FORBIDDEN),
    (CompanyNotAllowed, ACCESS_ERROR, HTTPStatus.FORBIDDEN),
    (UnknownModel, "odoo.exceptions.UserError", HTTPStatus.NOT_FOUND),
    (UnknownRecord, "odoo.exceptions.MissingError", HTTPStatus.NOT_FOUND),
    (ConnectionFailed, UNAVAILABLE_NAME, HTTPStatus.SERVICE_UNAVAILABLE),
)
# By their codes: errors of writing, and of a store that is not as it must be.
_BY_CODE: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "conflict": ("odoo.exceptions.UserError", HTTPStatus.CONFLICT),
        "key-reused": ("odoo.exceptions.UserError", HTTPStatus.CONFLICT),
        "constraint": ("odoo.exceptions.ValidationError", HTTPStatus.UNPROCESSABLE_ENTITY),
        "missing-value": ("odoo.exceptions.ValidationError", HTTPStatus.UNPROCESSABLE_ENTITY),
        "not-writable": ("odoo.exceptions.UserError", HTTPStatus.FORBIDDEN),
        "not-recorded": (UNAVAILABLE_NAME, HTTPStatus.SERVICE_UNAVAILABLE),
        "busy": (UNAVAILABLE_NAME, HTTPStatus.SERVICE_UNAVAILABLE),
        "settings": (UNAVAILABLE_NAME, HTTPStatus.SERVICE_UNAVAILABLE),
    }
)


def fault_of(error: Exception) -> Fault:
    """The fault an error is told as; one that nobody foresaw says nothing but that it happened."""
    if isinstance(error, RpcError):
        headers = {} if error.retry_after is None else {"retry-after": str(max(1, round(error.retry_after)))}
        return Fault(error.name, str(error), error.status, headers)
    if isinstance(error, ConnectionFailed):
        # Its text names hosts and users of the database.
        return _unavailable(error)
    if isinstance(error, VallumError):
        for kind, name, status in _KINDS:
            if isinstance(error, kind):
                return Fault(name, str(error), int(status))
        name, status = _BY_CODE.get(error.code, (VALUE_ERROR, HTTPStatus.UNPROCESSABLE_ENTITY))
        return Fault(name, str(error), int(status))
    return Fault("builtins.Exception", "the server failed", int(HTTPStatus.INTERNAL_SERVER_ERROR))


def _unavailable(error: ConnectionFailed) -> Fault:
    if "gave the statement up" in error.what:
        return Fault(
            "odoo.exceptions.UserError",
            "the database took too long; ask for less",
            int(HTTPStatus.UNPROCESSABLE_ENTITY),
        )
    return Fault(
        UNAVAILABLE_NAME,
        "the database cannot be reached; try again",
        int(HTTPStatus.SERVICE_UNAVAILABLE),
        {"retry-after": "1"},
    )
