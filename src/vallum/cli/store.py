"""The database with Vallum's accounts, for commands that need it only where it is there.

Nothing is made by looking: where nobody ever had an account, there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from vallum.kernel import Settings
from vallum.postgres import Database, EmbeddedServer

__all__ = ["found_store"]

_TABLES = (
    "SELECT count(*) = 2 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'vallum' AND c.relname IN ('account', 'membership')"
)


@contextmanager
def found_store(settings: Settings) -> Iterator[Database | None]:
    """The database that holds the accounts, for reading; None where there are no accounts yet.

    Raises: ConnectionFailed.
    """
    with ExitStack() as stack:
        dsn = settings.store or (settings.dsn if settings.metadata is not None else None)
        own = EmbeddedServer(settings.data_dir / "store")
        if dsn is None and own.data.is_dir():
            dsn = stack.enter_context(own).create_database("vallum", if_missing=True)
        store = stack.enter_context(Database(dsn, readonly=True)) if dsn is not None else None
        yield store if store is not None and store.rows(_TABLES, reads=True)[0][0] else None
