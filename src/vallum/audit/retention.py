"""Let events go: by age and table, written to an archive first, declared in the log before they are deleted.

The tree keeps its hashes, so everything that stays is proven as before. What went is in the archive, a file
of entries that is verified against the same tree; the act of retention is an entry that says which places
are gone.
Invariant: nothing is deleted that is not in the archive, on disk, and declared by a signed entry.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from vallum.audit.entries import instant
from vallum.audit.errors import AuditRefused
from vallum.audit.files import new_file
from vallum.audit.install import Hand
from vallum.audit.runs import digest_of_runs, merge_runs, runs_text, subtract
from vallum.kernel import NO_PROGRESS, Progress

__all__ = ["Retention", "carry_out", "declare", "declared", "plan_retention", "undeclared"]

Connection = psycopg.Connection[Any]
# Acts of auditing itself are what the rest is judged by: they stay.
KEPT: Final = ("audit-enabled", "audit-disabled", "retention", "erasure", "alarm", "succession")
_BATCH: Final = 5_000
_PLACES: Final = 8_192


@dataclass(frozen=True, slots=True)
class Retention:
    """What is to go: events before an instant, of these tables or of all."""

    before: datetime
    relations: tuple[str, ...] | None
    runs: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        """How many events."""
        return sum(end - start for start, end in self.runs)


def plan_retention(
    connection: Connection, before: datetime, relations: Sequence[str] | None = None
) -> Retention:
    """What would go. Only what was signed, and no act of auditing itself. Raises: psycopg.Error."""
    rows = connection.execute(
        "SELECT index, CASE WHEN op IS NULL THEN entry::json ->> 'kind' END FROM vallum.audit_leaf"
        " WHERE entry IS NOT NULL AND at < %s AND (%s::text[] IS NULL OR relation = ANY (%s))"
        " AND index < coalesce((SELECT max(size) FROM vallum.audit_checkpoint), 0)",
        (before, None if relations is None else list(relations), list(relations or ())),
    )
    runs = merge_runs((index, index + 1) for index, kind in rows if kind not in KEPT)
    return Retention(before, None if relations is None else tuple(relations), tuple(runs))


def declare(
    connection: Connection,
    retention: Retention,
    archive: Path,
    hand: Hand,
    *,
    progress: Progress = NO_PROGRESS,
) -> None:
    """Write the archive and the entry that declares what goes; nothing is deleted yet.

    Raises: AuditRefused (the archive exists), OSError, psycopg.Error.
    """
    digest = hashlib.sha256()
    progress.start(retention.count, "archiving events")
    with new_file(archive) as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
        for start, end in retention.runs:
            for first in range(start, end, _BATCH):
                lines = _lines(connection, first, min(first + _BATCH, end))
                for line in lines:
                    digest.update(line)
                    packed.write(line)
                progress.advance(len(lines))
    progress.done()
    detail = {
        "archive": {"file": archive.name, "sha256": digest.hexdigest()},
        "before": instant(retention.before),
        "count": retention.count,
        **declared(connection, retention.runs),
        "tables": list(retention.relations) if retention.relations is not None else None,
    }
    hand.record(connection, "retention", detail, None)


def declared(connection: Connection, going: Sequence[tuple[int, int]] = ()) -> dict[str, str]:
    """What an entry says of the places that are gone, and of those that go."""
    missing = merge_runs([*_missing(connection), *going])
    places = runs_text(missing)
    # So that a later check can name what is missing beyond it; not where that would be a book.
    return {"missing": digest_of_runs(missing), **({"places": places} if len(places) <= _PLACES else {})}


def _lines(connection: Connection, start: int, end: int) -> list[bytes]:
    """The events from `start` to before `end`, as an archive has them."""
    rows = connection.execute(
        "SELECT index, entry, seed, secret FROM vallum.audit_leaf WHERE index >= %s AND index < %s"
        " ORDER BY index",
        (start, end),
    ).fetchall()
    return [
        json.dumps(
            {"index": index, "entry": entry, "seed": seed.hex() if seed else None, "secret": secret},
            ensure_ascii=False,
        ).encode()
        + b"\n"
        for index, entry, seed, secret in rows
    ]


def _missing(connection: Connection) -> list[tuple[int, int]]:
    """The places that are gone already."""
    rows = connection.execute(
        "SELECT index, coalesce(lead(index) OVER (ORDER BY index), s.size) FROM (SELECT -1::bigint AS index"
        " UNION ALL SELECT index FROM vallum.audit_leaf WHERE entry IS NOT NULL) l, vallum.audit_state s"
    )
    return [(index + 1, following) for index, following in rows if following > index + 1]


def carry_out(connection: Connection, retention: Retention) -> int:
    """Delete what was declared, once the declaration is part of the log. Says how many events.

    Raises: AuditRefused (the log does not declare it yet), psycopg.Error.
    """
    with connection.transaction():
        if not is_declared(connection, merge_runs([*_missing(connection), *retention.runs])):
            raise AuditRefused(
                "the log does not declare it yet", fix="run `vallum audit sequence`, and try again"
            )
        count = 0
        for start, end in retention.runs:
            done = connection.execute(
                "DELETE FROM vallum.audit_leaf WHERE index >= %s AND index < %s", (start, end)
            )
            count += done.rowcount
        _drop_empty(connection)
    return count


def _drop_empty(connection: Connection) -> None:
    """Drop partitions that are all gone; not the one that is being written."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'vallum.audit_leaf'::regclass ORDER BY c.relname"
    ).fetchall()
    for (name,) in rows[:-1]:
        if connection.execute(f"SELECT FROM vallum.{name} LIMIT 1".encode()).fetchone() is None:
            connection.execute(f"DROP TABLE vallum.{name}".encode())


def undeclared(connection: Connection, missing: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of the places that are gone, those that no act of retention and no successor declares.

    What is gone must be what one of the two newest acts says: the newest may not be carried out yet.
    Only acts whose actor was verified count: nobody declares away what somebody without the key deleted.
    """
    acts = _acts(connection)
    if not missing or digest_of_runs(missing) in {act["missing"] for act in acts}:
        return []
    return subtract(missing, acts[0].get("places", "") if acts else "") or list(missing)


def is_declared(connection: Connection, missing: Sequence[tuple[int, int]]) -> bool:
    """Whether the newest act of retention in the log declares just these places as gone."""
    acts = _acts(connection)
    return bool(acts) and acts[0]["missing"] == digest_of_runs(missing)


def _acts(connection: Connection) -> list[dict[str, Any]]:
    """The two newest acts that let events go, or declare a loss; the newest first."""
    rows = connection.execute(
        "SELECT entry FROM vallum.audit_leaf WHERE op IS NULL AND entry IS NOT NULL"
        ' AND (entry LIKE \'%"kind":"retention"%\' OR entry LIKE \'%"kind":"succession"%\')'
        " ORDER BY index DESC"
    )
    found: list[dict[str, Any]] = []
    for (entry,) in rows:
        content = json.loads(entry)
        who = content["actor"]
        # A successor's first entry is the sequencer's own word.
        if who.get("verified") and (
            content["kind"] == "retention" or (content["kind"] == "succession" and who.get("sequencer"))
        ):
            found.append(content["detail"])
        if len(found) == 2:
            break
    return found
