"""A message of SAML, ready to be carried by a browser."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Message"]


@dataclass(frozen=True, slots=True)
class Message:
    """A redirect to `url`, or, where there are fields, a form to be posted there."""

    url: str
    fields: dict[str, str] | None = None
