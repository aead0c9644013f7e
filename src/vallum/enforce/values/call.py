"""One call that writes: whose eyes, on which transaction, at what moment, and what it touched."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from vallum.enforce.query.eyes import Eyes
from vallum.enforce.values.rows import Rows
from vallum.kernel import InvalidValue, NotWritable, Operation
from vallum.policy import SUPERUSER_ID, refused
from vallum.schema import MAGIC_FIELDS, Column, Field, Model, Storage

__all__ = ["Call"]

_DEEPEST: Final = 16
_STAMPED: Final = frozenset({"many2one", "integer", "datetime"})
Names: TypeAlias = tuple[str, tuple[str, ...], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Call:
    """What every step of a writing call needs. `touched`: models and relation tables that changed,
    `removed`: models that lost records, so that the database's own cascades may have changed others;
    `checked`: fields by model, names and trusted names, once they have been found open.
    """

    eyes: Eyes
    storage: Storage
    rows: Rows
    now: datetime
    touched: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    checked: dict[tuple[str, tuple[str, ...], frozenset[str]], tuple[Field, ...]] = field(
        default_factory=dict
    )
    depth: int = 0

    def deeper(self) -> Call:
        """The same call, for records behind a field.

        Raises: InvalidValue, where records are nested too deep.
        """
        if self.depth >= _DEEPEST:
            raise InvalidValue(
                "records within records, too deep", fix=f"nest commands {_DEEPEST} times at most"
            )
        return replace(self, depth=self.depth + 1)

    def check_right(self, model: Model, operation: Operation) -> None:
        """Raises AccessDenied where no access right grants the operation, NotWritable where Vallum cannot."""
        access = self.eyes.access
        if access is not None and not access.may(model, operation):
            raise refused(access.policy, access.actor, operation, model.name)
        reason = self.storage.unwritable.get(model.name)
        if reason is not None:
            raise NotWritable(f"Vallum cannot write `{model.name}`: {reason}")

    def column(self, field: Field) -> Column | None:
        """How a field of its own model is stored; None for one that is not."""
        return self.storage.of(field.model).get(field.name)

    def version_field(self, model: Model) -> str | None:
        """The field that tells one state of a record from the next."""
        counted = self.storage.versions.get(model.name)
        if counted is not None:
            return counted
        return "write_date" if "write_date" in self.storage.of(model.name) else None

    def ours(self, model: Model) -> frozenset[str]:
        """The fields of the model that Vallum sets, and nobody else."""
        counted = self.storage.versions.get(model.name)
        path = {"parent_path"} if model.parent_store else set()
        return frozenset({"id", *MAGIC_FIELDS, *path, *({counted} if counted else ())})

    def stamp(self, model: Model, names: tuple[str, ...]) -> dict[str, Any]:
        """Who and when, for those of these magic fields that the model stores."""
        columns = self.storage.of(model.name)
        return {
            name: self.uid if name.endswith("uid") else self.moment(columns[name])
            for name in names
            if name in columns and model.fields[name].type in _STAMPED
        }

    @property
    def uid(self) -> int | None:
        """The user who writes; the superuser only where the directory has one."""
        if self.eyes.actor is not None:
            return self.eyes.actor.user_id
        return SUPERUSER_ID if self.eyes.application.directory.get(SUPERUSER_ID) else None

    def moment(self, column: Column) -> datetime:
        """Now, as a column of that type holds it."""
        moment = self.now.astimezone(UTC)
        return moment if column.type == "timestamptz" else moment.replace(tzinfo=None)

    @property
    def lang(self) -> str:
        """The language translated texts are written in."""
        return self.eyes.actor.lang if self.eyes.actor else "en_US"

    @property
    def company(self) -> int | None:
        """The company whose values are written."""
        return self.eyes.actor.company if self.eyes.actor else self.eyes.env().company
