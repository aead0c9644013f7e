"""Which other models a call reaches by its arguments: read behind a relation, or written there.

Pure. A key that is restricted to models must be for these as well. Not among them: what every reader of a
record sees of others (their ids, and the names behind a many2one), links of a many2many, and copies. Nor what
a model's own order says of others: where a key is not for them, records are ordered by ids instead.
What is wrong with an argument is not said here: it is read again by whatever it is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from vallum.domain.parse import ANY_OPERATORS
from vallum.enforce.query.names import name_field
from vallum.enforce.query.order import parse_order
from vallum.enforce.values.commands import Command, parse_commands
from vallum.kernel import MalformedDomain, Operation
from vallum.schema import Field, Schema, Storage

__all__ = ["Reached", "reached"]

Reached = tuple[str, Operation]
# What says of a many2one no more than reading it does.
_NAMED: Final = frozenset({"id", ".id", "display_name"})
_HIERARCHY: Final = frozenset({"child_of", "parent_of"})
# With no name, these find everything: nothing is searched.
_ANY_NAME: Final = (None, "like", "ilike")
# Where external ids are.
_EXTERNAL: Final = "ir.model.data"
_MADE: Final = {
    Command.CREATE: Operation.CREATE,
    Command.UPDATE: Operation.WRITE,
    Command.DELETE: Operation.UNLINK,
}
_LETS_GO: Final = frozenset({Command.UNLINK, Command.CLEAR, Command.SET})


def reached(
    schema: Schema,
    storage: Storage | None,
    model: str,
    arguments: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Iterator[Reached]:
    """The other models, and what is done with them. `defaults`: values that the context gives new records."""
    reach = _Reach(schema, storage)
    for name, value in arguments.items():
        match name:
            case "domain":
                yield from reach.domain(model, value)
            case "name":
                if value or arguments.get("operator") not in _ANY_NAME:
                    yield from reach.names(model)
            case "order" | "orderby":
                yield from reach.order(model, value)
            case "groupby":
                yield from reach.groups(model, value)
            case "specification":
                yield from reach.tree(model, value)
            case "fields_to_export":
                yield from reach.paths(model, value)
            case "vals_list":
                for values in value if isinstance(value, list | tuple) else [value]:
                    yield from reach.values(model, values, new=True)
                yield from reach.values(model, defaults, new=True)
            case "vals":
                yield from reach.values(model, value, new=False)
            case "default":
                yield from reach.values(model, value, new=True)


class _Reach:
    """Follows names of fields through a schema."""

    def __init__(self, schema: Schema, storage: Storage | None) -> None:
        self._schema = schema
        self._storage = storage

    def domain(self, model: str, domain: Any) -> Iterator[Reached]:
        """Through dotted paths, the domains of `any`, names and hierarchies."""
        for item in domain if isinstance(domain, list | tuple) else ():
            if not isinstance(item, list | tuple) or len(item) != 3 or not isinstance(item[0], str):
                continue
            *steps, last = item[0].split(".")
            target: str | None = model
            for step in steps:
                target = self._comodel(target, step)
                if target is None:
                    break
                yield target, Operation.READ
            if target is not None:
                yield from self._condition(target, last, str(item[1]), item[2])

    def _condition(self, model: str, name: str, operator: str, value: Any) -> Iterator[Reached]:
        """By what is asked of a field of the model itself."""
        field = self._field(model, name)
        if name == "display_name":
            yield from self.names(model)
        if field is None or field.comodel is None:
            return
        if operator in ANY_OPERATORS:
            yield field.comodel, Operation.READ
            yield from self.domain(field.comodel, value)
        elif operator in _HIERARCHY:
            yield field.comodel, Operation.READ
        elif "like" in operator or _has_text(value):
            yield from self._named(field, frozenset())

    def names(self, model: str, seen: frozenset[str] = frozenset()) -> Iterator[Reached]:
        """By searching a model for a name: through the paths of the fields that name its records."""
        known = self._schema.models.get(model)
        if known is None or model in seen:
            return
        for path in known.rec_names_search or (known.rec_name or "",):
            *steps, last = path.split(".")
            target: str | None = model
            for step, following in pairwise([*steps, last]):
                through = self._field(target, step)
                target = None if through is None else through.comodel
                if through is None or target is None:
                    break
                if through.x2many or not self._names(target, following):
                    yield target, Operation.READ
            field = self._field(target, last)
            if field is not None and field.comodel is not None:
                yield from self._named(field, seen | {model})

    def _named(self, field: Field, seen: frozenset[str]) -> Iterator[Reached]:
        """By searching through a relation for a name: it may be another field that is called so."""
        comodel = self._schema.models.get(field.comodel or "")
        if comodel is None:
            return
        searched = comodel.rec_names_search or (comodel.rec_name or "",)
        if field.x2many or not all(self._names(comodel.name, name) for name in searched):
            yield comodel.name, Operation.READ
        yield from self.names(comodel.name, seen)

    def _names(self, model: str, name: str) -> bool:
        """Whether a field is the one that shows as the name of a record."""
        known = self._schema.models.get(model)
        naming = None if known is None else name_field(known)
        return naming is not None and naming.name == name

    def order(self, model: str, order: Any) -> Iterator[Reached]:
        """By the order of the records behind a many2one; unless its bare id decides."""
        try:
            terms = parse_order(order) if isinstance(order, str) else ()
        except MalformedDomain:
            return
        for term in terms:
            comodel = None if term.by_id else self._comodel(model, term.field)
            if comodel is not None:
                yield comodel, Operation.READ

    def groups(self, model: str, specs: Any) -> Iterator[Reached]:
        """By the names of records that no reader of a record is shown."""
        for spec in [specs] if isinstance(specs, str) else specs if isinstance(specs, list | tuple) else ():
            field = self._field(model, spec.partition(":")[0]) if isinstance(spec, str) else None
            if field is not None and field.x2many and field.comodel is not None:
                yield field.comodel, Operation.READ

    def tree(self, model: str, tree: Any) -> Iterator[Reached]:
        """Through the fields within fields of a specification."""
        for name, inner in _items(tree):
            field, wanted = self._field(model, name), _member(inner, "fields")
            if field is None or field.comodel is None:
                continue
            if field.x2many:
                beyond = wanted is not None or bool(_member(inner, "order"))
            else:
                beyond = any(key not in _NAMED for key, _ in _items(wanted))
            if beyond:
                yield field.comodel, Operation.READ
            yield from self.order(field.comodel, _member(inner, "order"))
            yield from self.tree(field.comodel, wanted)

    def paths(self, model: str, paths: Any) -> Iterator[Reached]:
        """Through paths such as `user_id/name`."""
        for path in paths if isinstance(paths, list | tuple) else ():
            target = model
            parts = [part for part in path.split("/") if part] if isinstance(path, str) else []
            if parts[-1:] == ["id"] and _EXTERNAL in self._schema.models:
                yield _EXTERNAL, Operation.READ
            for name, rest in zip(parts, [*parts[1:], None], strict=False):
                field = self._field(target, name)
                if field is None or field.comodel is None:
                    break
                if field.x2many or not (rest is None or rest in _NAMED):
                    yield field.comodel, Operation.READ
                target = field.comodel

    def values(self, model: str, values: Any, *, new: bool) -> Iterator[Reached]:
        """Through the commands for x2many fields; a new record has no lines to let go."""
        for name, value in _items(values):
            field = self._field(model, name)
            if field is None or field.comodel is None or not field.x2many:
                continue
            for step in parse_commands(field, value):
                if step.command in _MADE:
                    yield field.comodel, _MADE[step.command]
                    inner = step.values or {}
                    yield from self.values(field.comodel, inner, new=step.command is Command.CREATE)
                elif field.type == "one2many":
                    yield from self._tied(field, step.command, bool(step.ids), new=new)

    def _tied(self, field: Field, command: Command, given: bool, *, new: bool) -> Iterator[Reached]:
        """The lines of a one2many are written where they are tied to a record, or let go; or deleted then."""
        comodel = field.comodel or ""
        if given:
            yield comodel, Operation.WRITE
        if command in _LETS_GO and not new:
            column = self._storage.of(comodel).get(field.inverse or "") if self._storage else None
            cascades = column is not None and column.on_delete == "CASCADE"
            yield comodel, Operation.UNLINK if cascades else Operation.WRITE

    def _field(self, model: str | None, name: Any) -> Field | None:
        known = self._schema.models.get(model or "")
        return known.fields.get(name) if known is not None and isinstance(name, str) else None

    def _comodel(self, model: str | None, name: str) -> str | None:
        field = self._field(model, name)
        return field.comodel if field is not None else None


def _has_text(value: Any) -> bool:
    return any(isinstance(v, str) for v in (value if isinstance(value, list | tuple) else (value,)))


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, Mapping) else ()


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
