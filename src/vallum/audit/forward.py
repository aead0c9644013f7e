"""Tell other systems of events as they come: syslog (RFC 5424) and webhooks, each event at least once.

What was told is a cursor in the database, moved only after the other side has taken a batch; whoever dies in
between tells the batch again, with the same places in the log, by which the other side knows them.
Limit: syslog has no receipt. A batch counts as taken when the connection still stands after it was written.
"""

from __future__ import annotations

import hmac
import json
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx
import psycopg

from vallum.audit.errors import AnchorFailed
from vallum.audit.export import _severity
from vallum.audit.search import Event, tail
from vallum.audit.transport import TIMEOUT, checked_url, http_client
from vallum.kernel import SettingsError

__all__ = ["Syslog", "Target", "Webhook", "forward", "target_of"]

Connection = psycopg.Connection[Any]
BATCH: Final = 500
# Facility 13 is the log audit; severities: 1 alert, 4 warning, 5 notice.
_PRIORITIES: Final = {9: 13 * 8 + 1, 6: 13 * 8 + 4, 3: 13 * 8 + 5}


class Target(Protocol):
    """Somebody to be told."""

    name: str

    def send(self, events: Sequence[Event]) -> None:
        """Tell a batch, all of it. Raises: AnchorFailed (it is told again)."""
        ...


def target_of(
    url: str, *, secret: bytes | None = None, ca: str | None = None, plain_http: bool = False
) -> Target:
    """`syslog://host:port`, `syslog+tls://host:port`, `syslog+unix:///path` or `https://…`.

    `plain_http`: an address of http:// may be another machine's. Raises: SettingsError.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        checked_url(url, "--to", plain_http=plain_http, switch="--plain-http")
        return Webhook(url, secret)
    if parts.scheme == "syslog+unix" and parts.path:
        return Syslog(url, lambda: _unix(parts.path))
    if parts.scheme in ("syslog", "syslog+tls") and parts.hostname:
        host, port = parts.hostname, parts.port or (6514 if parts.scheme == "syslog+tls" else 514)
        context = ssl.create_default_context(cafile=ca) if parts.scheme == "syslog+tls" else None
        return Syslog(f"{parts.scheme}://{host}:{port}", lambda: _tcp(host, port, context))
    raise SettingsError(
        "this is no place to forward to",
        where="--to",
        fix="use syslog://, syslog+tls://, syslog+unix:// or https://",
    )


def _unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT)
    connection.connect(path)
    return connection


def _tcp(host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=TIMEOUT)
    return context.wrap_socket(connection, server_hostname=host) if context else connection


class Syslog:
    """A syslog server, over a stream; messages framed by their length (RFC 6587)."""

    def __init__(self, name: str, connect: Callable[[], socket.socket]) -> None:
        self.name = name
        self._connect = connect
        self._socket: socket.socket | None = None

    def send(self, events: Sequence[Event]) -> None:
        """Write a batch. Raises: AnchorFailed."""
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.sendall(b"".join(_framed(event) for event in events))
            if _is_closed(self._socket):
                raise ConnectionResetError("closed")
        except OSError as error:
            self.close()
            raise AnchorFailed(
                f"the syslog server cannot be reached: {type(error).__name__}", where=self.name
            ) from None

    def close(self) -> None:
        """Close the connection; the next batch opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side has closed. What TLS says of itself (session tickets) is no word from there."""
    connection.settimeout(0)
    try:
        return not connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    finally:
        connection.settimeout(TIMEOUT)


def _framed(event: Event) -> bytes:
    content = event.content
    host = socket.gethostname() or "-"
    data = f'[vallum@32473 index="{event.index}" operation="{event.operation}"]'
    text = json.dumps(event.as_dict(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    head = (
        f"<{_PRIORITIES[_severity(event)]}>1 {content['at']} {host} vallum - {content['kind'][:32]} {data} "
    )
    message = head.encode() + b"\xef\xbb\xbf" + text.encode()
    return str(len(message)).encode() + b" " + message


class Webhook:
    """An HTTP endpoint that takes batches as JSON; signed with HMAC where a secret is shared."""

    def __init__(self, url: str, secret: bytes | None = None, *, client: httpx.Client | None = None) -> None:
        parts = httpx.URL(url)
        # Not the whole address: it may hold a token.
        self.name = f"{parts.scheme}://{parts.host}{parts.path}"
        self._url, self._secret = url, secret
        self._client = client or http_client()

    def send(self, events: Sequence[Event]) -> None:
        """Post a batch; any answer of 2xx is a receipt. Raises: AnchorFailed."""
        body = json.dumps({"events": [event.as_dict() for event in events]}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret is not None:
            headers["X-Vallum-Signature"] = "sha256=" + hmac.digest(self._secret, body, "sha256").hex()
        try:
            answer = self._client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise AnchorFailed(
                f"the webhook cannot be reached: {type(error).__name__}", where=self.name
            ) from None
        if not answer.is_success:
            raise AnchorFailed(f"the webhook answers {answer.status_code}", where=self.name)


def forward(connection: Connection, target: Target, *, batch: int = BATCH) -> int:
    """Tell what is new and signed, a batch at a time; says how many events.

    Raises: AnchorFailed (what was taken is kept in mind), psycopg.Error.
    """
    count = 0
    while True:
        with connection.transaction():
            connection.execute(
                "INSERT INTO vallum.audit_forward VALUES (%s, 0, now()) ON CONFLICT DO NOTHING",
                (target.name,),
            )
            row = connection.execute(
                "SELECT next, coalesce((SELECT max(size) FROM vallum.audit_checkpoint), 0)"
                " FROM vallum.audit_forward WHERE target = %s FOR UPDATE",
                (target.name,),
            ).fetchone()
            start, end = row or (0, 0)
            events = [event for event in tail(connection, start, limit=batch) if event.index < end]
            if not events:
                return count
            target.send(events)
            connection.execute(
                "UPDATE vallum.audit_forward SET next = %s, at = now() WHERE target = %s",
                (events[-1].index + 1, target.name),
            )
        count += len(events)
