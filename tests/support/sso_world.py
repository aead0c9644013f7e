"""Fixture `world` of single sign-on: a store with its tables, plain accounts, a clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from tests.support.sso_accounts import PlainAccounts
from vallum.identity.sso.providers import Provider, parse
from vallum.identity.sso.store import save_provider
from vallum.kernel import FixedClock
from vallum.postgres import Database
from vallum.postgres.migrations import migrate


@dataclass
class World:
    """What a sign-in works with."""

    store: Database
    accounts: PlainAccounts
    clock: FixedClock

    def provider(self, **given: object) -> Provider:
        """Write a provider down."""
        provider = parse(dict(given))
        with self.store.transaction() as tx:
            save_provider(tx, provider, self.clock.now())
        return provider

    def rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Look into a table."""
        return self.store.rows(statement, values)


@pytest.fixture
def world(pg_dsn: str) -> Iterator[World]:
    """An empty store, at the present instant: real providers have clocks of their own."""
    with Database(pg_dsn, readonly=False) as store:
        accounts = PlainAccounts()
        with store.transaction() as tx:
            migrate(tx, "sso")
            accounts.make_tables(tx)
        yield World(store, accounts, FixedClock(datetime.now(UTC)))
