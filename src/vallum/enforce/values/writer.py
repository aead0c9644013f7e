"""Create, write and unlink as an actor: the order in which everything is checked and done.

Access right, then the fields by name, then record rules: on the records before a write or unlink, on the
new records after a create. Records behind fields and delegated parents go the same way, each with the rights
and rules of their own model. Invariant: nothing here commits; whoever calls rolls all of it back on an error.
Source: Odoo's own order, docs/design/values.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from psycopg import sql

from vallum.enforce.query.eyes import record_ids
from vallum.enforce.values import tree
from vallum.enforce.values.call import Call
from vallum.enforce.values.checks import check_left, lock
from vallum.enforce.values.draft import Draft, draft
from vallum.enforce.values.lines import apply_lines
from vallum.enforce.values.stored import changed, new
from vallum.enforce.values.targets import check_targets
from vallum.enforce.values.version import check_versions
from vallum.kernel import Operation
from vallum.schema import Model

__all__ = ["create", "unlink", "write"]

_NOBODY: Final[frozenset[str]] = frozenset()
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def create(
    call: Call,
    name: str,
    records: Sequence[Mapping[str, Any]],
    trusted: frozenset[str] = _NOBODY,
    raw: Mapping[str, Any] = _NOTHING,
) -> list[int]:
    """Create records; their ids in the order given.

    `trusted`: fields that Vallum itself set; `raw`: columns of all of them, as they are stored.
    Raises: AccessDenied, UnknownField, ReadonlyField, InvalidValue, MissingValue, psycopg.Error.
    """
    model = call.eyes.model(name)
    call.check_right(model, Operation.CREATE)
    drafts = [draft(call, model, values, trusted) for values in records]
    if not drafts:
        return []
    check_targets(call, model, [d.own for d in drafts], trusted)
    for parent, via in model.inherits.items():
        if via not in raw:
            _delegate(call, parent, via, drafts)
    rows = new(call, model, [d.own for d in drafts], raw)
    ids = call.rows.new_ids(model, len(rows))
    for i, row in zip(ids, rows, strict=True):
        row["id"] = i
    if model.parent_store and tree.is_tree(model):
        paths = tree.new_paths(call, model, [(row["id"], row.get(model.parent_name)) for row in rows])
        for row in rows:
            row["parent_path"] = paths[row["id"]]
    call.rows.insert(model, call.storage.of(name), rows)
    call.touched.add(name)
    apply_lines(call, model, {i: d.lines for i, d in zip(ids, drafts, strict=True)})
    check_left(call, model, ids, Operation.CREATE)
    return ids


def _delegate(call: Call, parent: str, via: str, drafts: Sequence[Draft]) -> None:
    """Write the delegated parents that are given, and create the others."""
    lacking = []
    for d in drafts:
        if d.own.get(via) is None:
            lacking.append(d)
        elif via in d.parents:
            write(call.deeper(), parent, [d.own[via]], d.parents[via])
    made = create(call.deeper(), parent, [d.parents.get(via, {}) for d in lacking])
    for d, i in zip(lacking, made, strict=True):
        d.own[via] = i


def write(
    call: Call,
    name: str,
    ids: Sequence[int],
    values: Mapping[str, Any],
    *,
    version: Any = None,
    trusted: frozenset[str] = _NOBODY,
) -> None:
    """Write the same values to all the records.

    Raises: AccessDenied, UnknownRecord (superuser only), Conflict (another version), UnknownField,
    ReadonlyField, InvalidValue, MissingValue, CyclicHierarchy, psycopg.Error.
    """
    model = call.eyes.model(name)
    call.check_right(model, Operation.WRITE)
    given = list(dict.fromkeys(record_ids(ids)))
    wanted = draft(call, model, values, trusted)
    if not given:
        return
    moved = tree.is_tree(model) and model.parent_name in wanted.own
    if moved:
        tree.take_turn(call, model, alone=True)
    versions = lock(call, model, given, Operation.WRITE)
    check_versions(call, model, versions, version)
    check_targets(call, model, [wanted.own], trusted, lambda field: _distinct(call, model, given, field))
    if moved:
        tree.check_circle(call, model, given, wanted.own[model.parent_name])
    if wanted:
        call.rows.update(model, given, changed(call, model, wanted.own))
        call.touched.add(model.name)
    if moved and model.parent_store:
        tree.move(call, model, given, wanted.own[model.parent_name])
    for via, inherited in wanted.parents.items():
        parent = model.field(via).comodel or ""
        write(call.deeper(), parent, _distinct(call, model, given, via), inherited)
    apply_lines(call, model, dict.fromkeys(given, wanted.lines))
    if call.eyes.application.check_after_write:
        check_left(call, model, given, Operation.WRITE)


def unlink(call: Call, name: str, ids: Sequence[int]) -> None:
    """Delete all the records; what refers to them follows the database's own ON DELETE.

    Raises: AccessDenied, UnknownRecord (superuser only), psycopg.Error.
    """
    model = call.eyes.model(name)
    call.check_right(model, Operation.UNLINK)
    given = list(dict.fromkeys(record_ids(ids)))
    if not given:
        return
    if model.parent_store:
        tree.take_turn(call, model, alone=True)
    lock(call, model, given, Operation.UNLINK)
    orphans = tree.orphans(call, model, given)
    call.rows.delete(model, given)
    tree.settle(call, model, orphans)
    call.touched.add(model.name)
    call.removed.add(model.name)


def _distinct(call: Call, model: Model, ids: Sequence[int], field: str) -> list[Any]:
    """The distinct values of a column in these records, read as superuser; NULL not among them."""
    statement = sql.SQL(
        "SELECT DISTINCT {0} FROM {1} WHERE id = ANY(%(ids)s) AND {0} IS NOT NULL ORDER BY 1"
    ).format(sql.Identifier(field), sql.Identifier(model.table))
    return [row[0] for row in call.eyes.application.database.rows(statement, {"ids": list(ids)})]
