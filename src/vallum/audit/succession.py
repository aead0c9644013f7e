"""Begin a successor of a log whose database lost what was signed: a standby that lagged has taken over.

The tree's hashes are outside of the database and are whole: the successor grows on the same tree, under a
name of its own. Its first entry names the last checkpoint that was signed and the places whose events are
gone; nothing before it is rewritten, every earlier proof and anchor holds against the successor too.
What the standby had captured and not sequenced yet is still in its inbox, and gets new places.
Invariant: no successor where the database holds another history than the signed one, however much of it.
Trust: who deletes the newest events from the database can have it look like this; the loss is then declared
for good, by whoever ran the command.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from vallum.audit.entries import Entry, make_entry
from vallum.audit.errors import AuditRefused, LogForked
from vallum.audit.keys import signing_key
from vallum.audit.notes import Checkpoint, Note, Signer, check_name
from vallum.audit.retention import declared
from vallum.audit.sequencer import PARTITION, make_partition
from vallum.audit.state import Home, Signed
from vallum.audit.tiles import TileReader, write_durably
from vallum.audit.tree import Frontier, leaf_hash
from vallum.kernel import Clock

__all__ = ["Succession", "plan_succession", "predecessors", "succeed"]

Connection = psycopg.Connection[Any]
KIND: Final = "succession"
_NUMBERED: Final = re.compile(r"(.*)/successor-([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class Succession:
    """What is to be declared: of which log, what was signed of it, and where what is there ends."""

    signed: Signed
    origin: str
    kept: int
    waiting: int
    # The database has it already; only the folder has not.
    begun: bool = False

    @property
    def lost(self) -> int:
        """How many places are without their events."""
        return self.signed.size - self.kept

    def as_dict(self) -> dict[str, Any]:
        """For a program."""
        return {
            "predecessor": self.signed.origin,
            "origin": self.origin,
            "signed": self.signed.size,
            "kept": self.kept,
            "lost": self.lost,
            "waiting": self.waiting,
        }


def plan_succession(connection: Connection, home: Home, origin: str | None = None) -> Succession:
    """What a successor would declare. `origin`: its name; else the log's own with a number.

    Raises: AuditRefused (nothing is lost), LogForked (another history, or tiles that are not those signed).
    """
    signed = home.signed()
    if signed is None:
        raise AuditRefused(
            "nothing was signed in this folder", where=str(home.folder), fix="name the log's folder"
        )
    state = connection.execute("SELECT origin, size, frontier FROM vallum.audit_state").fetchone()
    if state is None:
        raise AuditRefused("there is no log in this database", fix="run `vallum audit enable`")
    tiles = TileReader(home.folder, signed.size)
    if tiles.root() != signed.root:
        raise LogForked("the tiles are not those that were signed", where=str(home.folder))
    if state[0] != signed.origin:
        return _begun(connection, signed, *state)
    size = int(state[1])
    if size >= signed.size:
        raise AuditRefused(
            f"the database has all {signed.size:,} events that were signed", fix="a successor is not needed"
        )
    if tiles.root(size) != Frontier.from_bytes(size, state[2]).root:
        raise LogForked(
            f"the {size:,} events of the database are not the first of those that were signed",
            fix="this is no standby that lagged: run `vallum audit verify`, and find out who wrote them",
        )
    name = check_name(origin or _following(signed.origin))
    if name == signed.origin:
        raise AuditRefused("a successor has a name of its own", where="--origin")
    waiting = connection.execute("SELECT count(*) FROM vallum.audit_inbox").fetchone()
    return Succession(signed, name, size, waiting[0] if waiting else 0)


def _begun(connection: Connection, signed: Signed, origin: str, size: int, frontier: bytes) -> Succession:
    """One that was cut off after the database had it, where it is of this log."""
    row = connection.execute(
        "SELECT entry FROM vallum.audit_leaf WHERE index = %s", (signed.size,)
    ).fetchone()
    detail = _detail(row[0]) if row else None
    if (
        detail is None
        or (detail["predecessor"], detail["size"], detail["root"], detail["origin"])
        != (signed.origin, signed.size, signed.root.hex(), origin)
        or size < signed.size + 1
        or len(frontier) != 32 * size.bit_count()
    ):
        raise LogForked(f"this folder is of the log `{signed.origin}`, not `{origin}`")
    return Succession(signed, origin, detail["kept"], 0, begun=True)


def _following(origin: str) -> str:
    """The name of the next one.

    >>> _following("log.example/shop"), _following("log.example/shop/successor-1")
    ('log.example/shop/successor-1', 'log.example/shop/successor-2')
    """
    numbered = _NUMBERED.fullmatch(origin)
    return f"{numbered[1]}/successor-{int(numbered[2]) + 1}" if numbered else f"{origin}/successor-1"


def succeed(
    connection: Connection, home: Home, plan: Succession, clock: Clock, *, by: str, reason: str
) -> None:
    """Begin the successor: declared in the database first, then in the folder; where it was cut off, go on.

    Raises: AuditRefused, SequencedElsewhere, KeyRefused, LogForked, OSError, psycopg.Error.
    """
    with home.alone():
        signed = plan.signed
        checkpoint = Checkpoint(signed.origin, signed.size, signed.root)
        # The same bytes as before: Ed25519 signs the same text the same way.
        note = checkpoint.signed(Signer(signed.origin, signing_key(home.signing_key)))
        if not plan.begun:
            with connection.transaction():
                _declare(connection, home, plan, note, clock, by, reason)
        write_durably(home.folder / f"predecessor-{signed.size}.checkpoint", str(note).encode())
        home.remember(Signed(plan.origin, signed.size, signed.root, signed.at))


def _declare(
    connection: Connection, home: Home, plan: Succession, note: Note, clock: Clock, by: str, reason: str
) -> None:
    signed = plan.signed
    state = connection.execute("SELECT origin, size FROM vallum.audit_state FOR UPDATE NOWAIT").fetchone()
    if state != (signed.origin, plan.kept):
        raise AuditRefused("the log has changed meanwhile", fix="look at it again")
    connection.execute("UPDATE vallum.audit_state SET size = %s", (signed.size,))
    detail = {
        "by": by,
        "checkpoint": str(note),
        "kept": plan.kept,
        "lost": f"{plan.kept}-{signed.size}",
        "origin": plan.origin,
        "predecessor": signed.origin,
        "reason": reason,
        "root": signed.root.hex(),
        "size": signed.size,
        **declared(connection),
    }
    entry = make_entry(KIND, detail, clock.now())
    frontier = TileReader(home.folder, signed.size).frontier()
    frontier.add(leaf_hash(entry.text.encode()))
    _append(connection, signed.size, entry)
    connection.execute(
        "UPDATE vallum.audit_state SET origin = %s, size = %s, frontier = %s, epoch = epoch + 1, at = now()",
        (plan.origin, frontier.size, frontier.to_bytes()),
    )
    connection.execute(
        "INSERT INTO vallum.audit_checkpoint VALUES (%s, %s, %s, NULL) ON CONFLICT DO NOTHING",
        (signed.size, str(note), clock.now()),
    )


def _append(connection: Connection, index: int, entry: Entry) -> None:
    make_partition(connection, index // PARTITION * PARTITION)
    connection.execute(
        "INSERT INTO vallum.audit_leaf (index, entry, at, actor) VALUES (%s, %s, %s, %s)",
        (index, entry.text, entry.at, entry.actor),
    )


def predecessors(connection: Connection) -> Sequence[Checkpoint]:
    """The last checkpoints of the logs before this one, as its own entries name them.

    Raises: psycopg.Error.
    """
    rows = connection.execute(
        "SELECT index, entry FROM vallum.audit_leaf WHERE actor = 'sequencer' AND entry LIKE %s"
        " ORDER BY index",
        (f'%"kind":"{KIND}"%',),
    )
    found = []
    for index, entry in rows:
        detail = _detail(entry)
        if detail is not None and detail["size"] == index:
            found.append(Checkpoint(detail["predecessor"], detail["size"], bytes.fromhex(detail["root"])))
    return found


def _detail(entry: str | None) -> dict[str, Any] | None:
    """What an entry declares, where it is a succession of the sequencer's own."""
    content = json.loads(entry) if entry else {}
    if content.get("kind") != KIND or not content["actor"].get("sequencer"):
        return None
    detail: dict[str, Any] = content["detail"]
    return detail
