"""Relation tables of many2many fields: a link is readable where both its ends are.

Pure. The policy of a relation table asks the tables at its ends, as whoever asks: their own
policies decide there, and mention no relation table in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from vallum.enforce.roles.columns import ColumnGrant
from vallum.enforce.roles.found import Relation
from vallum.enforce.roles.items import Item, Locked
from vallum.enforce.roles.names import RoleNames, quoted
from vallum.enforce.roles.tables import row_security, target
from vallum.schema import Field, Schema

__all__ = ["Link", "ends_readable", "link_grant", "link_items", "links"]


@dataclass(frozen=True, slots=True)
class Link:
    """A relation table: the model each of its two columns leads to, and the fields over it."""

    relation: Relation
    ends: tuple[tuple[str, str], tuple[str, str]]
    fields: tuple[Field, ...]


def links(
    schema: Schema, relations: Mapping[str, Relation], tables: Collection[str], shut: Collection[str]
) -> tuple[list[Link], list[Locked]]:
    """The relation tables of a schema, and those no one may read.

    `tables`: those that are a model's own; `shut`: models nobody may read.
    """
    fields: dict[str, list[Field]] = {}
    for model in schema.models.values():
        if model.abstract or model.table not in relations:
            continue
        for field in model.fields.values():
            if _has_table(field) and field.relation in relations and field.relation not in tables:
                fields.setdefault(field.relation or "", []).append(field)
    found, locked = [], []
    for name in sorted(fields):
        relation, over = relations[name], _of_tables(schema, relations, fields[name])
        ends = {tuple(sorted(_ends(field))) for field in over}
        reason = _reason(relation, ends, shut)
        if reason:
            locked.append(Locked(name, reason))
            continue
        first, second = next(iter(ends))
        found.append(Link(relation, (first, second), tuple(over)))
    return found, locked


def _has_table(field: Field) -> bool:
    return field.type == "many2many" and field.stored and not field.inherited


def _of_tables(schema: Schema, relations: Mapping[str, Relation], over: list[Field]) -> list[Field]:
    """Without the fields of reports, which are views that borrow the relation table of a model."""
    own = [f for f in over if relations[schema.model(f.model).table].kind not in "vm"]
    return own or over


def _ends(field: Field) -> list[tuple[str, str]]:
    return [(field.column1 or "", field.model), (field.column2 or "", field.comodel or "")]


def _reason(
    relation: Relation, ends: Iterable[tuple[tuple[str, str], ...]], shut: Collection[str]
) -> str | None:
    known = list(ends)
    if len(known) > 1:
        return "fields of different models share the relation table"
    columns = [column for column, _ in known[0]]
    if len(set(columns)) < 2 or not set(columns) <= set(relation.columns):
        return "its columns are not those of the field"
    locked = sorted({model for _, model in known[0]} & set(shut))
    if locked:
        return f"it leads to `{locked[0]}`, which is locked"
    if not relation.mine:
        return f"it belongs to {relation.owner}"
    return "a policy of others opens it to everybody" if relation.widened else None


def link_grant(
    link: Link, readers: Mapping[str, frozenset[int]], opened: Callable[[Field], frozenset[int]]
) -> ColumnGrant | None:
    """Whoever may read both models, and a field over the table."""
    (column1, model1), (column2, model2) = link.ends
    let_in: frozenset[int] = frozenset().union(*(opened(field) for field in link.fields))
    members = let_in & readers.get(model1, frozenset()) & readers.get(model2, frozenset())
    return ColumnGrant(link.relation.name, members, (column1, column2)) if members else None


def ends_readable(
    link: Link, ends: Mapping[str, Relation], restricted: Collection[str], schema: str
) -> list[str]:
    """What holds of a link whose ends may be read; nothing where neither end has rules."""
    table = quoted(schema, link.relation.name)
    return [
        f"EXISTS (SELECT FROM {target(ends[model], schema)} vallum_end"
        f" WHERE vallum_end.id = {table}.{quoted(column)})"
        for column, model in link.ends
        if model in restricted
    ]


def link_items(link: Link, conditions: Collection[str], names: RoleNames, schema: str) -> list[Item]:
    """The policy of a relation table whose links have to hold these conditions to be read."""
    table = quoted(schema, link.relation.name)
    make = (
        f"CREATE POLICY vallum_ends ON {table} AS PERMISSIVE FOR SELECT TO {quoted(names.everyone)}"
        f" USING ({' AND '.join(conditions) or 'true'})"
    )
    undo = f"DROP POLICY IF EXISTS vallum_ends ON {table}"
    return [
        *row_security(link.relation, names, schema),
        Item("policy", f"{link.relation.name}: vallum_ends", make, undo),
    ]
