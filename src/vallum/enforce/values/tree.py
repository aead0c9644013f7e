"""Keep hierarchies whole: `parent_path` follows the parent, and nothing is its own ancestor.

Moves within one table take turns, so that two of them cannot make a circle; new records only see to it
that no move is going on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from psycopg import sql

from vallum.enforce.values.call import Call
from vallum.kernel import CyclicHierarchy
from vallum.schema import Model

__all__ = ["check_circle", "is_tree", "move", "new_paths", "orphans", "settle", "take_turn"]

_TURN: Final = "SELECT {}(hashtext('vallum.hierarchy'), hashtext(%s))"
_PATHS: Final = "SELECT id, parent_path FROM {table} WHERE id = ANY(%(ids)s)"
_MOVE: Final = """
    UPDATE {table} t SET parent_path = %(path)s::text || CASE WHEN t.id = old.id THEN t.id || '/'
        ELSE substr(t.parent_path, length(old.parent_path) - length(old.id || '/') + 1) END
    FROM (SELECT id, parent_path FROM {table} WHERE id = ANY(%(ids)s)) old
    WHERE t.id = old.id OR t.parent_path LIKE old.parent_path || '%%'
"""
_CHILDREN: Final = "SELECT id FROM {table} WHERE {parent} = ANY(%(ids)s) AND id <> ALL(%(ids)s) ORDER BY id"
_ROOTS: Final = "SELECT id FROM {table} WHERE {parent} IS NULL AND id = ANY(%(ids)s)"
_ABOVE: Final = """
    WITH RECURSIVE above(id) AS (
        SELECT %(start)s::int8
        UNION
        SELECT t.{parent}::int8 FROM {table} t JOIN above ON t.id = above.id WHERE t.{parent} IS NOT NULL)
    SELECT 1 FROM above WHERE id = ANY(%(ids)s)
"""


def is_tree(model: Model) -> bool:
    """Whether the model's parent field makes a hierarchy of its own records."""
    field = model.fields.get(model.parent_name)
    return field is not None and field.type == "many2one" and field.comodel == model.name and field.stored


def take_turn(call: Call, model: Model, *, alone: bool) -> None:
    """Wait until nobody moves records of the model; with `alone`, until nobody adds any either."""
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    call.eyes.application.database.rows(_TURN.format(function), (model.table,))


def new_paths(call: Call, model: Model, parents: Sequence[tuple[int, int | None]]) -> dict[int, str]:
    """The paths of records to come, given as id and parent."""
    wanted = sorted({parent for _, parent in parents if parent is not None})
    if wanted:
        take_turn(call, model, alone=False)
    known = dict(_rows(call, model, _PATHS, ids=wanted)) if wanted else {}
    return {i: f"{known.get(parent) or '' if parent is not None else ''}{i}/" for i, parent in parents}


def check_circle(call: Call, model: Model, ids: Sequence[int], parent: int | None) -> None:
    """Raises CyclicHierarchy where a record would be above its own parent; whoever asks has the turn."""
    if parent is not None and _rows(call, model, _ABOVE, ids=list(ids), start=parent):
        raise CyclicHierarchy(
            f"a record of `{model.name}` cannot be above itself",
            where=f"{model.name}.{model.parent_name}",
            fix="choose a parent that is not below it",
        )


def move(call: Call, model: Model, ids: Sequence[int], parent: int | None) -> None:
    """Give records and all below them the paths of their new place."""
    path = ""
    if parent is not None:
        found = _rows(call, model, _PATHS, ids=[parent])
        path = (found[0][1] or f"{parent}/") if found else ""
    # One after the other: a record may be below another one that moves as well.
    for i in ids:
        _rows(call, model, _MOVE, ids=[i], path=path)


def orphans(call: Call, model: Model, ids: Iterable[int]) -> list[int]:
    """The records right below these, which will lose their parent."""
    if not (model.parent_store and is_tree(model)):
        return []
    return [row[0] for row in _rows(call, model, _CHILDREN, ids=list(ids))]


def settle(call: Call, model: Model, ids: Sequence[int]) -> None:
    """Give those of these records that have no parent any more a place of their own."""
    if ids:
        move(call, model, [row[0] for row in _rows(call, model, _ROOTS, ids=list(ids))], None)


def _rows(call: Call, model: Model, text: str, **values: Any) -> list[tuple[Any, ...]]:
    statement = sql.SQL(text).format(
        table=sql.Identifier(model.table), parent=sql.Identifier(model.parent_name)
    )
    return call.eyes.application.database.rows(statement, values)
