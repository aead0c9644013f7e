"""What is sent elsewhere goes over TLS: which addresses may be spoken to, and by what.

Checkpoints, entries and tokens are worth reading and worth forging on their way. Plain HTTP is for this
machine alone, unless the setting says so by its name: behind a tunnel, say.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

import httpx

from vallum.kernel import SettingsError

__all__ = ["TIMEOUT", "checked_url", "http_client"]

TIMEOUT: Final = 10.0


def http_client() -> httpx.Client:
    """A client that waits for ten seconds at most, and follows nobody elsewhere."""
    return httpx.Client(timeout=TIMEOUT)


def checked_url(url: str, where: str, *, plain_http: bool = False, switch: str = "plain_http = true") -> str:
    """The address, where it may be spoken to. `switch`: how plain HTTP to another machine is allowed.

    Raises: SettingsError; it does not show the address, which may hold a token.
    """
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, sound = urlsplit(""), False
    if not sound or parts.scheme not in ("http", "https"):
        raise SettingsError("this is no address to speak HTTP to", where=where, fix="write https://host/path")
    if parts.scheme == "http" and not plain_http and not _is_this_machine(parts.hostname or ""):
        raise SettingsError(
            "plain HTTP would show it, and let others change it, on the way",
            where=where,
            fix=f"write https://…, or {switch} where something else keeps the way private",
        )
    return url


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
