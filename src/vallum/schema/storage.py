"""How fields are stored, as far as writing them needs to know: defaults, sizes, constraints.

Immutable, beside the `Schema`: only an application of one's own has it. An Odoo database has
none, since what else has to happen when a record is written lives in Odoo's code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

__all__ = ["Column", "Constraint", "Default", "Storage"]

_NONE: Final[Mapping[str, Column]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Default:
    """What a column holds where nothing is given: made by `compute` from the other values of the record,
    or by PostgreSQL from the SQL `expression` (a SQLAlchemy clause). One of them is set.
    """

    compute: Callable[[Mapping[str, Any]], Any] | None = None
    expression: Any = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """The column behind a stored field. `type`: PostgreSQL's; `size`: characters.

    `default` is the application's, `server_default` the table's own; `on_update` is set at every write.
    `bind` is what the column's Python type makes of a value before it is stored.
    """

    type: str
    size: int | None = None
    precision: int | None = None
    scale: int | None = None
    default: Default | None = None
    on_update: Default | None = None
    server_default: bool = False
    server_expression: Any = None
    on_delete: str | None = None
    bind: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Constraint:
    """A constraint of a model's table, by what it is about. `kind`: unique, check or reference."""

    model: str
    fields: tuple[str, ...]
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Storage:
    """How the fields of all models are stored.

    `columns` by model, then field; `versions` the field that counts a model's changes, `constraints` by name;
    `unwritable`: models that Vallum cannot write, each with the reason.
    """

    columns: Mapping[str, Mapping[str, Column]]
    versions: Mapping[str, str]
    constraints: Mapping[str, Constraint]
    unwritable: Mapping[str, str]

    def of(self, model: str) -> Mapping[str, Column]:
        """The columns of a model by field."""
        return self.columns.get(model, _NONE)
