"""Optimistic concurrency: records are written only as they were when they were read.

The version of a record is its `version_id_col`, where the model has one, or its `write_date`, which
grows with every write. Odoo's clients are shown a `write_date` to the second; given back like that it
stands for the whole second, and a write within the second in which the record was read goes unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from vallum.enforce.values.call import Call
from vallum.enforce.values.parse import parsed
from vallum.kernel import Conflict, InvalidValue
from vallum.schema import Model

__all__ = ["check_versions"]

_TO_THE_SECOND: Final = len("2026-01-31 23:59:59")


def check_versions(call: Call, model: Model, held: Mapping[int, Any], version: Any) -> None:
    """Compare the versions of locked records with those the caller has read: one for all, or a dict by id.

    None asks for nothing; False stands for a version that was never set.
    Raises: Conflict, InvalidValue, AccessDenied (the field is shut).
    """
    if version is None:
        return
    name = call.version_field(model)
    if name is None:
        raise InvalidValue(
            f"`{model.name}` has no versions", fix="give it `write_date`, or a mapper with `version_id_col`"
        )
    field = model.field(name)
    call.eyes.check_field(field)
    column = call.column(field)
    if isinstance(version, Mapping):
        lacking = [i for i in held if i not in version]
        if lacking:
            raise InvalidValue(f"no version is given of the record {lacking[0]}", fix="give one for each id")
        given = {i: version[i] for i in held}
    else:
        given = dict.fromkeys(held, version)
    wanted = {i: parsed(field, column, value) for i, value in given.items()}
    other = tuple(sorted(i for i, value in held.items() if _cut(value, given[i]) != wanted[i]))
    if other:
        shown = ", ".join(map(str, other[:10])) + (", …" if len(other) > 10 else "")
        raise Conflict(
            f"records of `{model.name}` were changed since they were read: {shown}",
            ids=other,
            fix="read them again",
        )


def _cut(held: Any, given: Any) -> Any:
    """What a record holds, as exactly as the version was given."""
    if isinstance(held, datetime) and isinstance(given, str) and len(given) <= _TO_THE_SECOND:
        return held.replace(microsecond=0)
    return held
