"""Proofs of single events, to be checked by outsiders who have neither the database nor Vallum.

A bundle holds the entry, its path to the root, the signed checkpoint and what else vouches for that. Values
that the entry commits to are disclosed one by one, or not at all.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import psycopg

from vallum.audit.errors import ProofFailed
from vallum.audit.keys import signing_key
from vallum.audit.notes import Checkpoint, Note, Signer, Verifier
from vallum.audit.state import Home
from vallum.audit.tiles import TileReader
from vallum.audit.tree import check_inclusion, inclusion, leaf_hash
from vallum.audit.values import salted

__all__ = ["BUNDLE", "CHECKER", "log_key", "newest", "prove"]

Connection = psycopg.Connection[Any]
BUNDLE: Final = "vallum-proof/1"
# The program for outsiders: the standard library alone.
CHECKER: Final = Path(__file__).with_name("check_proof.py")


def log_key(home: Home, origin: str) -> Verifier:
    """The log's public key, from its private one. Raises: KeyRefused."""
    return Signer(origin, signing_key(home.signing_key)).verifier


def newest(home: Home) -> tuple[Note, Checkpoint]:
    """The newest checkpoint that was shown, its signature not checked. Raises: ProofFailed, MalformedNote."""
    try:
        note = Note.parse(home.checkpoint.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError):
        raise ProofFailed(
            "there is no checkpoint yet", where=str(home.folder), fix="run `vallum audit sequence`"
        ) from None
    return note, Checkpoint.parse(note.text)


def prove(
    connection: Connection,
    home: Home,
    index: int,
    *,
    disclose: Iterable[str] = (),
    key: Verifier | None = None,
) -> dict[str, Any]:
    """The bundle that proves the event at that place of the log.

    `disclose`: labels of values (`new.name`) to lay open, or `*`.

    Raises: ProofFailed, KeyRefused, MalformedNote, OSError, psycopg.Error.
    """
    note, checkpoint = newest(home)
    key = key or log_key(home, checkpoint.origin)
    if not note.verified_by([key]):
        raise ProofFailed("the checkpoint is not signed by the log's key", where=str(home.checkpoint))
    row = connection.execute(
        "SELECT entry, seed, secret FROM vallum.audit_leaf WHERE index = %s", (index,)
    ).fetchone()
    if row is None or row[0] is None:
        raise ProofFailed(f"event {index:,} is not in the database", fix="look in the archive of retention")
    if index >= checkpoint.size:
        raise ProofFailed(f"event {index:,} is not signed yet", fix="wait for the next checkpoint")
    entry, seed, secret = row
    path = inclusion(TileReader(home.folder, checkpoint.size), index, checkpoint.size)
    check_inclusion(leaf_hash(entry.encode()), index, checkpoint.size, path, checkpoint.root)
    bundle: dict[str, Any] = {
        "format": BUNDLE,
        "index": index,
        "entry": entry,
        "path": [base64.b64encode(step).decode() for step in path],
        "checkpoint": str(note),
        "log_key": key.text,
    }
    token = connection.execute(
        "SELECT timestamp_token FROM vallum.audit_checkpoint WHERE size = %s", (checkpoint.size,)
    ).fetchone()
    if token and token[0]:
        bundle["timestamp"] = base64.b64encode(token[0]).decode()
    shown = _disclosed(salted(seed, secret), set(disclose))
    if shown:
        bundle["values"] = shown
    return bundle


def _disclosed(values: Mapping[str, tuple[bytes, Any]], wanted: set[str]) -> dict[str, Any]:
    labels = set(values) if "*" in wanted else wanted
    unknown = labels - set(values)
    if unknown:
        raise ProofFailed(f"the event keeps no value `{min(unknown)}`", fix="use one of " + ", ".join(values))
    return {label: {"salt": values[label][0].hex(), "value": values[label][1]} for label in sorted(labels)}
