"""A server over the example company, and its accounts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from tests.identity.world import GOOD
from tests.support.company import METADATA, POLICY
from tests.support.serving import Server, free_port, serving
from tests.support.temporary import temporary_folder
from vallum.identity import Client, Identity, open_identity
from vallum.kernel import Settings
from vallum.postgres import Database, EmbeddedServer

__all__ = ["FENCED", "Installation", "installed"]

# Whoever is called so may come from 192.0.2.0/24 only.
FENCED: Final = "fenced"


class Installation:
    """A server over the example company, and the identity behind it as commands have it."""

    def __init__(self, server: Server, identity: Identity) -> None:
        self.server = server
        self.identity = identity

    def person(self, login: str, *, user_id: int | None = None, group: str | None = None) -> Any:
        """Somebody with a password of their own."""
        base = self.identity.base
        account = base.accounts.create(login, base.now(), email=f"{login}@example.com", user_id=user_id)
        self.identity.passwords.replace(account, GOOD, Client(address="192.0.2.1"))
        if group:
            self.identity.give_group(account, group, by=None)
        return base.accounts.get(account.id)


@contextmanager
def installed(pg_server: EmbeddedServer, company: str) -> Iterator[Installation]:
    """A running installation."""
    store = pg_server.create_database(f"accounts_{os.getpid()}")
    port = free_port()
    # All tests come from one address.
    identity = (
        f'url = "https://localhost:{port}"\nhashing = {{memory = 7168, time = 1}}\n'
        "lockout = {address = {failures = 10000}, network = {failures = 10000},"
        " factor_address = {failures = 10000}}"
    )
    with temporary_folder() as folder:
        settings = {
            "metadata": METADATA,
            "policy": POLICY,
            "identity": identity,
            "trusted_proxies": "127.0.0.1",
            "addresses": f"user {FENCED} 192.0.2.0/24,group trading.group_direction !203.0.113.9",
        }
        with (
            serving(folder, dsn=company, store=store, settings=settings, port=port) as server,
            Database(store, readonly=False) as database,
        ):
            found = Settings.load(
                folder, environ={"VALLUM_IDENTITY": identity, "VALLUM_DATA_DIR": str(folder)}
            )
            opened = open_identity(database, found)
            yield Installation(server, opened)
            opened.close()
