"""The server as a process: certificate, Vallum's own tables, workers, metrics; from start to end.

The parent serves nothing and holds no connection to a database: a worker that dies is replaced.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from vallum.identity import IdentitySettings, open_identity
from vallum.identity.opening import keyring_of, store_of
from vallum.kernel import Settings, SettingsError, SystemClock
from vallum.postgres import Database, connect
from vallum.postgres.migrations import migrate
from vallum.server.addresses import Addresses
from vallum.server.deaths import Deaths
from vallum.server.metrics import exporter
from vallum.server.replicas import check_replicas, shared_marks
from vallum.server.sequencing import sequencing
from vallum.server.tls import Certificate, certificate, own_names
from vallum.server.worker import Plan, opened

if TYPE_CHECKING:
    from vallum.facade import Vallum

__all__ = ["Prepared", "prepared", "run"]

_LOG: Final = logging.getLogger("vallum.server")
_DAILY: Final = 86_400.0
_PATIENCE: Final = 30


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that must be there before the server starts. `version`: of Odoo, as it is spoken.

    `first_link`: by which the first administrator chooses a password; shown on the terminal, logged nowhere.
    """

    plan: Plan
    certificate: Certificate | None
    url: str
    users: int
    version: int
    first_link: str | None = None


@contextmanager
def prepared(settings: Settings) -> Iterator[Prepared]:
    """Make and check what the server needs; errors of settings show here, before anything is served.

    Raises: SettingsError, ConnectionFailed, and what `vallum.open` raises.
    """
    _check(settings)
    if settings.dsn is None:
        raise SettingsError("no database is given", fix="give --dsn postgresql://… or set VALLUM_DSN")
    with Database(settings.dsn) as database:
        found = opened(settings, database)
        users, version = len(found.users), found.schema.version
        administrators = _administrators(settings, found)
    with store_of(settings) as store:
        with connect(store, readonly=False, autocommit=True) as connection:
            areas = ("server", "identity", "sso")
            for area in areas if settings.metadata is None else (*areas, "enforce"):
                migrate(connection, area)
        # Made here, so that all workers find the same.
        keyring_of(settings)
        link = _first_link(settings, store, administrators)
        cert = None if settings.plain_http else _certificate(settings)
        host, port = settings.listen
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if settings.plain_http else "https"
        yield Prepared(Plan(settings, store), cert, f"{scheme}://{shown}:{port}", users, version, link)


def run(ready: Prepared) -> None:
    """Serve until the process is told to end; requests that run are answered."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
    from granian.http import HTTP1Settings, HTTP2Settings

    settings = ready.plan.settings
    cert = ready.certificate
    with (
        exporter(settings.metrics),
        shared_marks(bool(settings.replicas)) as marks,
        sequencing(settings),
    ):
        server = Granian(
            "vallum",
            address=settings.listen[0],
            port=settings.listen[1],
            interface=Interfaces.ASGI,
            workers=settings.workers,
            loop=Loops.uvloop,
            http=HTTPModes.auto,
            websockets=False,
            http1_settings=HTTP1Settings(
                header_read_timeout=round(settings.body_timeout * 1000), max_buffer_size=64 * 1024
            ),
            http2_settings=HTTP2Settings(
                keep_alive_interval=20_000, max_concurrent_streams=100, max_headers_size=64 * 1024
            ),
            log_enabled=False,
            ssl_cert=cert.cert if cert else None,
            ssl_key=cert.key if cert else None,
            ssl_protocol_min=SSLProtocols.tls12,
            respawn_failed_workers=True,
            respawn_interval=0.1,
            workers_kill_timeout=_PATIENCE,
        )
        server.respawned_wrks = Deaths()
        done = Event()
        if cert is not None and cert.ca is not None:
            Thread(target=_renew, args=(settings, done), name="renew", daemon=True).start()
        try:
            server.serve(target_loader=replace(ready.plan, marks=marks), wrap_loader=False)
        finally:
            done.set()


def _check(settings: Settings) -> None:
    Addresses.parse(settings.addresses)
    check_replicas(settings.replicas)
    if settings.plain_http and not _loopback(settings.listen[0]):
        raise SettingsError(
            "without TLS the server listens on loopback only",
            where="listen",
            fix="listen on 127.0.0.1, or leave `plain_http` out",
        )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingsError("a certificate and its key belong together", where="tls_cert, tls_key")
    if settings.limits == "memory" and settings.workers > 1:
        raise SettingsError(
            "several workers cannot count requests in memory",
            where="limits",
            fix="leave `limits` out, or name postgres or a Valkey",
        )


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _certificate(settings: Settings) -> Certificate:
    if settings.tls_cert is not None and settings.tls_key is not None:
        for path in (settings.tls_cert, settings.tls_key):
            if not path.is_file():
                raise SettingsError("the file is not there", where=str(path))
        return Certificate(settings.tls_cert, settings.tls_key, None)
    names = (*own_names(), settings.listen[0], *settings.allowed_hosts)
    return certificate(settings.data_dir / "tls", _named(names), SystemClock())


def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    """Without the addresses that stand for all of a machine's."""
    return tuple(name for name in names if name not in ("0.0.0.0", "::"))  # noqa: S104 - they are left out


def _renew(settings: Settings, done: Event) -> None:
    """Look every day whether the certificate must be renewed; workers take the new one when respawned."""
    while not done.wait(_DAILY):
        path = settings.data_dir / "tls" / "server.pem"
        before = path.read_bytes()
        _certificate(settings)
        if path.read_bytes() != before:
            _LOG.info("the certificate was renewed")
            os.kill(os.getpid(), signal.SIGHUP)


def _administrators(settings: Settings, found: Vallum) -> dict[str, int]:
    """The active users of an application of one's own who are administrators, by login."""
    if settings.metadata is None:
        return {}
    wanted = set(IdentitySettings.parse(settings.identity).administrators)
    ids = {found.policy.group_ids[name] for name in wanted if name in found.policy.group_ids}
    return {
        user.login: user.id
        for user in found.users
        if user.active and ids & (user.groups if user.groups_closed else found.policy.close(user.groups))
    }


def _first_link(settings: Settings, store: str, administrators: dict[str, int]) -> str | None:
    """A link by which the first administrator gets in, where nobody has; an Odoo has its own."""
    if settings.metadata is None:
        return None
    login = "admin" if "admin" in administrators or not administrators else min(administrators)
    with Database(store, readonly=False) as database:
        identity = open_identity(database, settings)
        try:
            return identity.first_link(login=login, user_id=administrators.get(login))
        finally:
            identity.close()
