"""The file of a snapshot: JSON, read strictly, written so that equal snapshots are equal bytes.

Sets of record ids are kept once each, as machine integers, and named by their index.
Invariant: a file is there whole or not at all.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from vallum.kernel import Operation, VallumError

__all__ = [
    "CodeAccess",
    "IdSet",
    "ModelEntry",
    "ScopeError",
    "ScopeSets",
    "Snapshot",
    "UserAccess",
    "UserEntry",
    "UserFields",
    "UserMenus",
    "UserVisible",
    "read_snapshot",
    "write_snapshot",
]


class IdSet(Sequence[int]):
    """Sorted record ids, eight bytes each. Immutable; equal sets are equal."""

    __slots__ = ("_ids",)

    def __init__(self, ids: Sequence[int] | array[int] = ()) -> None:
        self._ids = ids if isinstance(ids, array) else array("q", ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: Any) -> Any:
        return self._ids[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdSet) and self._ids == other._ids

    def __hash__(self) -> int:
        return hash(self._ids.tobytes())

    def __repr__(self) -> str:
        return f"IdSet({list(self._ids)!r})"


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the file: its fields and no others."""


class UserEntry(_Entry, frozen=True):
    """A user; `group_ids` with implied groups."""

    id: int
    login: str
    active: bool
    company_id: int | None
    company_ids: tuple[int, ...]
    group_ids: tuple[int, ...]


class ModelEntry(_Entry, frozen=True, omit_defaults=True):
    """A model with a table (`r`, `p`) or view (`v`, `m`); `all`: all its ids, where any rule is on it."""

    table: str
    relkind: str
    inherits: dict[str, str]
    all: int | None = None


class _OfUser(_Entry, frozen=True):
    """A part about one user, by id."""

    user: int


class UserAccess(_OfUser, frozen=True):
    """Per model the operations that access rights grant, as letters of `rwcu`."""

    models: dict[str, str]


class CodeAccess(_Entry, frozen=True):
    """Fields that code opens or shuts, whatever their groups."""

    opened: tuple[str, ...] = ()
    shut: tuple[str, ...] = ()


class UserFields(_OfUser, frozen=True):
    """Fields shut to a user by their groups; `by_code` where known code decides otherwise."""

    denied: dict[str, tuple[str, ...]]
    by_code: dict[str, CodeAccess] = msgspec.field(default_factory=dict)


class UserMenus(_OfUser, frozen=True):
    """The menu entries a user sees; None where the user may read no menus at all."""

    menu_ids: tuple[int, ...] | None


class ScopeSets(_Entry, frozen=True):
    """Per operation the ids that record rules leave: an index, or None where no rule restricts."""

    read: int | None = None
    write: int | None = None
    create: int | None = None
    unlink: int | None = None

    def of(self, operation: Operation) -> int | None:
        """The index for an operation."""
        found: int | None = getattr(self, operation.value)
        return found


class UserVisible(_OfUser, frozen=True):
    """The records that rules leave a user with these active companies, per restricted model."""

    companies: tuple[int, ...]
    company_id: int | None
    rules: dict[str, ScopeSets]


class ScopeError(_OfUser, frozen=True):
    """A scope that could not be evaluated and therefore holds nothing."""

    companies: tuple[int, ...]
    model: str
    operation: Operation
    code: str
    error: str


class Snapshot(_Entry, frozen=True, omit_defaults=True):
    """Effective access of every user at one instant; `errors` says where it could not be told."""

    odoo: str
    database: str
    users: tuple[UserEntry, ...]
    models: dict[str, ModelEntry]
    access: tuple[UserAccess, ...]
    fields: tuple[UserFields, ...]
    menus: tuple[UserMenus, ...]
    visible: tuple[UserVisible, ...]
    idsets: tuple[IdSet, ...]
    errors: tuple[ScopeError, ...] = ()


def encode(snapshot: Snapshot) -> bytes:
    """The bytes of the file before compression; equal for equal snapshots."""
    return msgspec.json.encode(snapshot, enc_hook=_plain, order="deterministic")


def write_snapshot(snapshot: Snapshot, path: Path | str) -> None:
    """Write `path` in one move; compressed where its name ends in `.gz`.

    Raises: OSError.
    """
    path = Path(path)
    content = encode(snapshot)
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_snapshot(path: Path | str) -> Snapshot:
    """The snapshot in a file; unknown keys are errors.

    Raises: VallumError (no snapshot), OSError.
    """
    path = Path(path)
    content = path.read_bytes()
    try:
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        snapshot = msgspec.json.decode(content, type=Snapshot, dec_hook=_typed)
    except (msgspec.DecodeError, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise VallumError(f"this is no snapshot: {error}", where=str(path)) from error
    _check(snapshot, str(path))
    return snapshot


def _check(snapshot: Snapshot, where: str) -> None:
    """Every index must name a set, every user an entry."""
    known = {u.id for u in snapshot.users}
    entries: tuple[tuple[_OfUser, ...], ...]
    entries = (snapshot.access, snapshot.fields, snapshot.menus, snapshot.visible)
    if strangers := {e.user for part in entries for e in part} - known:
        raise VallumError(f"the snapshot has no user {min(strangers)}", where=where)
    indexes = [m.all for m in snapshot.models.values()]
    for entry in snapshot.visible:
        for sets in entry.rules.values():
            indexes.extend((sets.read, sets.write, sets.create, sets.unlink))
    if any(i is not None and not 0 <= i < len(snapshot.idsets) for i in indexes):
        raise VallumError("the snapshot names a set of ids that it does not hold", where=where)


def _plain(value: Any) -> Any:
    if isinstance(value, IdSet):
        return list(value)
    raise NotImplementedError(f"{type(value).__name__} is not part of a snapshot")


def _typed(kind: type[Any], value: Any) -> Any:
    if kind is IdSet:
        if not isinstance(value, list) or not all(type(i) is int for i in value):
            raise ValueError("a set of ids is a list of whole numbers")
        return IdSet(value)
    raise NotImplementedError(f"{kind.__name__} is not part of a snapshot")
