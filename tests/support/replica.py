"""A primary and a standby that follows it by streaming, from the programs of the embedded server."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from vallum.postgres import EmbeddedServer, connect
from vallum.postgres.programs import Owner, private_folder, run

__all__ = ["Pair", "replicated"]

# What is committed is visible in the log at once, and a base backup needs whole pages.
_OPTIONS: Final = {"synchronous_commit": "on", "full_page_writes": "on", "max_wal_size": "1GB"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Both servers, and the name of the database that is replicated."""

    primary: EmbeddedServer
    standby: EmbeddedServer
    database: str

    @property
    def dsn(self) -> str:
        """Of the primary."""
        return self.primary.dsn(self.database)

    @property
    def replica(self) -> str:
        """Of the standby."""
        return self.standby.dsn(self.database)

    def ask(self, dsn: str, statement: str) -> Any:
        """The first value of a statement, on a connection of its own."""
        with connect(dsn, readonly=False, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            row = found.fetchone() if found.description else None
            return row[0] if row else None

    def pause(self) -> None:
        """Let the standby fall behind."""
        self.ask(self.replica, "SELECT pg_wal_replay_pause()")
        # Asked for, it happens at the next record.
        self.ask(self.dsn, "SELECT pg_logical_emit_message(false, 'pause', '', true)")

    def part(self) -> None:
        """Let the standby receive nothing any more: what the primary does now, it will never know."""
        self.ask(self.replica, "ALTER SYSTEM SET primary_conninfo = ''")
        self.ask(self.replica, "SELECT pg_reload_conf()")
        while self.ask(self.replica, "SELECT count(*) FROM pg_stat_wal_receiver"):
            time.sleep(0.05)

    def promote(self) -> None:
        """Let the standby take over."""
        if not self.ask(self.replica, "SELECT pg_promote(true, 60)"):
            raise RuntimeError("the standby does not take over")

    def caught_up(self) -> None:
        """Wait until the standby has all that the primary has done."""
        position = self.ask(self.dsn, "SELECT pg_current_wal_flush_lsn()::text")
        while not self.ask(self.replica, f"SELECT pg_last_wal_replay_lsn() >= '{position}'"):
            time.sleep(0.05)

    def resume(self) -> None:
        """Let it catch up."""
        self.ask(self.replica, "SELECT pg_wal_replay_resume()")


@contextmanager
def replicated(database: str) -> Iterator[Pair]:
    """A primary with an empty database, and its standby; both are stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="vallum-pair-"))
    folder.chmod(0o711)
    try:
        with EmbeddedServer(folder / "primary", durable=False, options=_OPTIONS) as primary:
            primary.create_database(database)
            standby = EmbeddedServer(folder / "standby", durable=False, options=_OPTIONS)
            owner = Owner.of_servers()
            private_folder(standby.folder, owner, holds=frozenset())
            private_folder(standby.data, owner, holds=frozenset())
            source = f"host={primary.socket_dir} port=5432 user=postgres"
            arguments = ("--pgdata", str(standby.data), "--dbname", source)
            run(
                "pg_basebackup",
                *arguments,
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
                owner=owner,
                data=standby.data,
            )
            with standby:
                yield Pair(primary, standby, database)
    finally:
        rmtree(folder, ignore_errors=True)
