"""What a read of some fields takes: columns of one statement, and records behind x2many fields.

Every field asked for is checked: a shut one is refused by name, as is one whose values
live in code. Without a list of fields, all are read that can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.sql import ColumnElement

from vallum.domain import Env, root
from vallum.domain.filter import Row
from vallum.domain.sql import Scope
from vallum.enforce.query.eyes import Eyes
from vallum.enforce.query.lines import check_lines
from vallum.enforce.query.names import name_value
from vallum.kernel import (
    AccessDenied,
    InvalidValue,
    UnknownField,
    UnknownModel,
    UnsupportedDomain,
    shown,
)
from vallum.schema import Field, Model

__all__ = ["Wanted", "field_names", "readable_fields", "wanted"]

_IN_CODE: Final = frozenset({"properties"})
_REFUSALS: Final = (AccessDenied, UnknownField, UnknownModel, UnsupportedDomain)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One field of a read. `lines` is the stored x2many field behind it, if it is one."""

    field: Field
    lines: Field | None = None

    @property
    def named(self) -> bool:
        """Whether its values are shown with the names of records."""
        return self.field.type == "many2one"

    def value(self, eyes: Eyes, scope: Scope, env: Env) -> ColumnElement[Any]:
        """What is selected: the value, or the id of the record that has the lines."""
        model = eyes.model(self.field.model)
        if self.field.name == "display_name" and not self.field.stored:
            named: ColumnElement[Any] = name_value(eyes, scope, model, env, scope.root)
            return named
        lowering = eyes.application.lowering
        if self.lines is not None:
            return scope.ref(lowering.id_ref(_holder(eyes, self.field, env, scope.root)[0]))
        return scope.ref(lowering.ref(self.field, env, scope.root))


def wanted(eyes: Eyes, model: Model, fields: Iterable[str] | None, env: Env) -> tuple[Wanted, ...]:
    """The fields to read, in the order given, the id not among them.

    Raises: UnknownField, AccessDenied (shut), UnsupportedDomain (its values live in code).
    """
    if fields is None:
        return readable_fields(eyes, model, env)
    return tuple(_wanted(eyes, model.field(name), env) for name in fields if name != "id")


def field_names(fields: Iterable[str] | None) -> tuple[str, ...] | None:
    """The names of fields as given, each once.

    Raises: InvalidValue for what is no list of names.
    """
    if fields is None:
        return None
    found: list[str] = []
    given: Any = fields
    for name in given if isinstance(given, Iterable) and not isinstance(given, str) else (None,):
        if not isinstance(name, str):
            raise InvalidValue(f"the fields are {shown(fields)}", fix="give a list of names")
        found.append(name)
    return tuple(dict.fromkeys(found))


def readable_fields(eyes: Eyes, model: Model, env: Env) -> tuple[Wanted, ...]:
    """All fields of the model that are open and can be read."""
    found = []
    for name in sorted(model.fields):
        try:
            if name != "id":
                found.append(_wanted(eyes, model.fields[name], env))
        except _REFUSALS:
            continue
    return tuple(found)


def _wanted(eyes: Eyes, field: Field, env: Env) -> Wanted:
    eyes.check_field(field)
    try:
        item = Wanted(field, _holder(eyes, field, env, root(eyes.model(field.model)))[1])
        item.value(eyes, Scope(root(eyes.model(field.model))), env)
        if item.lines is not None:
            check_lines(eyes, item.lines, env)
        if field.type in _IN_CODE:
            raise UnsupportedDomain(f"`{field}` is made of definitions elsewhere")
    except UnsupportedDomain as error:
        raise UnsupportedDomain(
            f"`{field}` cannot be read: {_reason(field)}", fix=_fix(eyes, field)
        ) from error
    return item


def _reason(field: Field) -> str:
    if field.type == "binary" and field.column is None:
        return "its content is kept as an attachment"
    return "its values are computed in code" if not field.stored else "its values live in code"


def _fix(eyes: Eyes, field: Field) -> str:
    names = [f.name for f in eyes.model(field.model).fields.values() if f.stored and _open(eyes, f)]
    return "read " + ", ".join(f"`{n}`" for n in sorted(names))


def _open(eyes: Eyes, field: Field) -> bool:
    try:
        eyes.check_field(field)
    except AccessDenied:
        return False
    return field.x2many or field.column is not None


def _holder(eyes: Eyes, field: Field, env: Env, row: Row) -> tuple[Row, Field | None]:
    """The row that holds an x2many field, and the stored field there; None for other fields.

    Along related fields: those of an `_inherits` parent as the actor, others as superuser.
    """
    if not field.x2many:
        return row, None
    if field.stored:
        return row, field
    lowering = eyes.application.lowering
    inner = env if field.inherited else env.sudo()
    path: Sequence[str] = field.related
    if not path:
        raise UnsupportedDomain(f"`{field}` is computed")
    model = eyes.model(field.model)
    for name in path[:-1]:
        step = model.field(name)
        if step.type != "many2one":
            raise UnsupportedDomain(f"the path of `{field}` holds several records")
        model, row = lowering.joined(step, inner, row)
    return _holder(eyes, model.field(path[-1]), inner, row)
