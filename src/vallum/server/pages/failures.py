"""Errors as pages: the status, a title in plain words, and what of the error may be told.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from vallum.kernel import ConnectionFailed, VallumError

__all__ = ["Failure", "failure_of"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a page says about an error. `code` is stable, for those who search for it."""

    status: int
    title: str
    what: str
    fix: str | None
    code: str


_STATUS: Final[Mapping[str, tuple[HTTPStatus, str]]] = MappingProxyType(
    {
        "not-found": (HTTPStatus.NOT_FOUND, "There is nothing here"),
        "unknown-model": (HTTPStatus.NOT_FOUND, "There is no such model"),
        "unknown-field": (HTTPStatus.NOT_FOUND, "There is no such field"),
        "unknown-record": (HTTPStatus.NOT_FOUND, "This record is gone"),
        "unknown-user": (HTTPStatus.NOT_FOUND, "There is no such person"),
        "access-denied": (HTTPStatus.FORBIDDEN, "This is not open to you"),
        "company-not-allowed": (HTTPStatus.FORBIDDEN, "This is not open to you"),
        "stale-form": (HTTPStatus.CONFLICT, "This form is out of date"),
        "conflict": (HTTPStatus.CONFLICT, "Somebody was faster"),
        "change-conflict": (HTTPStatus.CONFLICT, "Somebody was faster"),
        "change-refused": (HTTPStatus.CONFLICT, "This cannot be decided"),
        "unknown-change": (HTTPStatus.NOT_FOUND, "There is no such change"),
        "settings": (HTTPStatus.SERVICE_UNAVAILABLE, "Vallum is not set up for this"),
        "roles-refused": (HTTPStatus.CONFLICT, "PostgreSQL refuses"),
    }
)
_OTHER: Final = (HTTPStatus.UNPROCESSABLE_ENTITY, "That cannot be answered")


def failure_of(error: Exception, request_id: str = "") -> Failure:
    """The page of an error; one that nobody foresaw says nothing but that it happened."""
    if isinstance(error, ConnectionFailed):
        if "gave the statement up" in error.what:
            return Failure(422, "This takes too long", "The database gave up.", "ask for less", error.code)
        # Its text names hosts and users of the database.
        what = "The database cannot be reached just now."
        return Failure(503, "The database is away", what, "try again in a moment", error.code)
    if isinstance(error, VallumError):
        status, title = _STATUS.get(error.code, _OTHER)
        return Failure(int(status), title, _sentence(error.what), error.fix, error.code)
    ask = f"give whoever runs Vallum this number: {request_id}" if request_id else "ask whoever runs Vallum"
    return Failure(500, "Something went wrong", "The server failed at this page.", ask, "error")


def _sentence(text: str) -> str:
    """
    >>> _sentence("no model `x`")
    'No model `x`.'
    """
    text = text.strip()
    return (
        (text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!", "…")) else ".")) if text else ""
    )
