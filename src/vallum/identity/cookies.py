"""Cookies: how a browser keeps a session and a device.

Pure. `__Host-` makes browsers refuse what another host of the domain, or plain HTTP, tries to set.
Invariant: of two cookies with one name none counts: one of them may be somebody else's.
Source: RFC 6265bis 4.1.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Cookies", "cleared", "device_cookie", "read", "session_cookie", "sso_cookie", "step_cookie"]

SESSION: Final = "__Host-vallum"
DEVICE: Final = "__Host-vallum-device"
STEP: Final = "__Host-vallum-step"
SSO: Final = "__Host-vallum-sso"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_LONGEST: Final = 16_384
_DAY: Final = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Cookies:
    """What a browser has shown."""

    session: str | None = field(default=None, repr=False)
    device: str | None = field(default=None, repr=False)
    step: str | None = field(default=None, repr=False)


def session_cookie(token: str) -> str:
    """The value of `Set-Cookie` for a session; it ends with the browser, and before that in the database."""
    return f"{SESSION}={token}; Path=/; Secure; HttpOnly; SameSite=Lax"


def device_cookie(token: str, *, days: int) -> str:
    """The value of `Set-Cookie` for a device."""
    return f"{DEVICE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={days * _DAY}"


def step_cookie(ticket: str) -> str:
    """The value of `Set-Cookie` for a sign-in that is half done."""
    return f"{STEP}={ticket}; Path=/; Secure; HttpOnly; SameSite=Strict"


def sso_cookie(value: str, *, site: str, seconds: int = 600) -> str:
    """The value of `Set-Cookie` for a way to a provider and back. `site`: `None` where a form comes back."""
    return f"{SSO}={value}; Path=/; Secure; HttpOnly; SameSite={site}; Max-Age={seconds}"


def cleared(cookie: str) -> str:
    """The value of `Set-Cookie` that removes such a cookie.

    >>> cleared("__Host-vallum=secret; Path=/; Secure; HttpOnly; SameSite=Lax")
    '__Host-vallum=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0'
    """
    name, _, rest = cookie.partition("=")
    attributes = [part for part in rest.split(";")[1:] if not part.strip().startswith("Max-Age")]
    return f"{name}=;{';'.join(attributes)}; Max-Age=0"


def read(header: str) -> Cookies:
    """What a `Cookie` header holds of ours."""
    if len(header) > _LONGEST:
        return Cookies()
    found: dict[str, list[str]] = {SESSION: [], DEVICE: [], STEP: []}
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name in found:
            found[name].append(value)
    return Cookies(*(_single(found[name]) for name in (SESSION, DEVICE, STEP)))


def _single(values: list[str]) -> str | None:
    return values[0] if len(values) == 1 and _TOKEN.fullmatch(values[0]) else None
