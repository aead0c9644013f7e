"""What PostgreSQL refuses, in our own words.

Pure. Invariant: no text of PostgreSQL reaches the error, nor is it chained: its details quote rows and
values that the actor may not see. That a unique or foreign key refuses is said, whatever row it is about.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from vallum.kernel import (
    Conflict,
    ConstraintRefused,
    InvalidValue,
    MissingValue,
    NotWritable,
    VallumError,
)
from vallum.schema import Constraint, Schema, Storage

__all__ = ["in_our_words", "passing"]

_DATA: Final = "22"
_INTEGRITY: Final = "23"
_TRIGGER: Final = "P0"


def passing(error: psycopg.Error) -> bool:
    """Whether the same transaction, tried again, may well succeed."""
    return isinstance(error, errors.DeadlockDetected | errors.SerializationFailure)


def in_our_words(error: psycopg.Error, schema: Schema, storage: Storage) -> VallumError | None:
    """The error for what PostgreSQL refused; None where it is no refusal of what was to be written."""
    state = error.sqlstate or ""
    if passing(error) or isinstance(error, errors.LockNotAvailable):
        return Conflict("others change the same records at this moment", fix="try again")
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return NotWritable("the database takes no changes: it is read-only, or a replica")
    if isinstance(error, errors.InsufficientPrivilege):
        return NotWritable(
            "PostgreSQL does not let Vallum's own role write that", fix="grant it the rights to the tables"
        )
    if isinstance(error, errors.NotNullViolation):
        return _missing(error, schema)
    if state.startswith(_INTEGRITY):
        return _refused(error, schema, storage)
    if state.startswith(_DATA):
        return InvalidValue(
            "PostgreSQL cannot store one of the values: it is out of range or of another form"
        )
    if state.startswith(_TRIGGER):
        return ConstraintRefused("a trigger of the database refuses the change")
    return None


def _missing(error: psycopg.Error, schema: Schema) -> VallumError:
    table, column = error.diag.table_name, error.diag.column_name
    model = next((m for m in schema.models.values() if m.table == table), None)
    if model is None or column is None or column not in model.fields:
        return MissingValue("a column of the database needs a value that is not given")
    return MissingValue(f"`{model.fields[column]}` needs a value", fix="give one")


def _refused(error: psycopg.Error, schema: Schema, storage: Storage) -> VallumError:
    name = error.diag.constraint_name or ""
    known = storage.constraints.get(name)
    where = f"the constraint `{name}`" if name else None
    if isinstance(error, errors.ForeignKeyViolation | errors.RestrictViolation):
        return ConstraintRefused(
            f"records that belong together would be torn apart{_about(known, schema)}",
            where=where,
            fix="the record referred to must exist, and may go only when nothing refers to it any more",
        )
    if isinstance(error, errors.UniqueViolation):
        return ConstraintRefused(
            f"the values are not unique{_about(known, schema)}", where=where, fix="give others"
        )
    return ConstraintRefused(f"the values are not allowed{_about(known, schema)}", where=where)


def _about(known: Constraint | None, schema: Schema) -> str:
    """The fields a constraint is about, with their labels."""
    if known is None or not known.fields:
        return f" in `{known.model}`" if known is not None else ""
    fields = schema.model(known.model).fields
    labels = [f"`{name}` ({fields[name].string})" for name in known.fields if name in fields]
    return f" in {', '.join(labels)} of `{known.model}`" if labels else f" in `{known.model}`"
