"""Open the identity of an installation: its store, its secret, its settings, and the application's users."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from vallum.identity.base import Base, Foreign
from vallum.identity.events import Events
from vallum.identity.identity import Identity
from vallum.identity.keyring import Keyring
from vallum.identity.passwords.engine import Engine
from vallum.identity.people import NoApplication, Source
from vallum.identity.settings import IdentitySettings
from vallum.identity.store import Store
from vallum.identity.trail import AuditTrail
from vallum.kernel import Clock, Settings, SettingsError, SystemClock
from vallum.postgres import EmbeddedServer, connect
from vallum.postgres.migrations import migrate

__all__ = ["keyring_of", "open_identity", "prepare", "store_of"]

AREAS: Final = ("identity", "sso")
_DATABASE: Final = "vallum"


def open_identity(
    store: Store,
    settings: Settings,
    *,
    clock: Clock | None = None,
    events: Events | None = None,
    source: Source | None = None,
    foreign: Foreign | None = None,
    engine: Engine | None = None,
) -> Identity:
    """The identity over a writable store whose tables are there (see `prepare`). Close it at the end.

    `source`: the application's users and groups; without it, only groups that Vallum gives count.
    `foreign`: who knows the passwords of the users of an Odoo. `engine`: where passwords are hashed.

    Raises: SettingsError.
    """
    where = str(settings.project / "vallum.toml")
    base = Base(
        store,
        IdentitySettings.parse(settings.identity, where=f"{where}: [identity]"),
        keyring_of(settings),
        clock or SystemClock(),
        events or Events(AuditTrail(store, settings, clock)),
        source or NoApplication(),
        foreign,
    )
    return Identity(base, engine)


def keyring_of(settings: Settings) -> Keyring:
    """The secret: from the environment, or from its file, which is made where it is missing.

    Raises: SettingsError.
    """
    if settings.secret is not None:
        return Keyring.parse(settings.secret)
    return Keyring.load(settings.secret_file or settings.data_dir / "identity.secret")


@contextmanager
def store_of(settings: Settings) -> Iterator[str]:
    """The DSN of Vallum's own tables: as set, or the application's own database, or, where an Odoo is
    attached, whose database is only read, one on a server of Vallum's own.

    Raises: SettingsError (nothing says where).
    """
    if settings.store is not None:
        yield settings.store
    elif settings.metadata is not None and settings.dsn is not None:
        yield settings.dsn
    elif settings.dsn is not None:
        with EmbeddedServer(settings.data_dir / "store") as server:
            yield server.create_database(_DATABASE, if_missing=True)
    else:
        raise SettingsError(
            "nothing says where accounts are kept",
            fix="give `store` or `dsn` in vallum.toml, or set VALLUM_STORE",
        )


def prepare(dsn: str) -> None:
    """Bring the tables to their newest version.

    Raises: ConnectionFailed, SettingsError.
    """
    with connect(dsn, readonly=False, autocommit=True, application_name="vallum migrate") as connection:
        for area in AREAS:
            migrate(connection, area)
