"""Models and fields: what an application's data are, without any of the data.

Pure and immutable: a `Schema` is built once by a reader and never changes.
Names are Odoo's: a model has a table, fields, `_inherits` parents; a field has a
type, a comodel, groups. Facts that a source cannot tell are listed in `gaps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from vallum.kernel import UnknownField, UnknownModel

__all__ = [
    "MAGIC_FIELDS",
    "NUMBER_TYPES",
    "RELATIONAL_TYPES",
    "TEXT_TYPES",
    "X2MANY_TYPES",
    "Field",
    "Gap",
    "Model",
    "Schema",
]

RELATIONAL_TYPES: Final = frozenset({"many2one", "one2many", "many2many"})
X2MANY_TYPES: Final = frozenset({"one2many", "many2many"})
NUMBER_TYPES: Final = frozenset({"integer", "float", "monetary"})
TEXT_TYPES: Final = frozenset({"char", "text", "html"})
MAGIC_FIELDS: Final = ("create_uid", "create_date", "write_uid", "write_date")

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """A field of a model, as Odoo knows it.

    `stored` says whether values live in the database (a column of `column` type, a
    relation table, or the inverse of a many2one); `not_null` that the column refuses
    NULL. `domain` and `context` are those that take part in searches through an x2many
    field.
    """

    model: str
    name: str
    type: str
    stored: bool = True
    column: str | None = None
    string: str = ""
    comodel: str | None = None
    inverse: str | None = None
    relation: str | None = None
    column1: str | None = None
    column2: str | None = None
    groups: str | None = None
    related: tuple[str, ...] = ()
    inherited: bool = False
    computed: bool = False
    search: str | None = None
    translate: bool = False
    company_dependent: bool = False
    required: bool = False
    not_null: bool = False
    readonly: bool = False
    auto_join: bool = False
    domain: tuple[Any, ...] | None = None
    domain_unknown: bool = False
    context: Mapping[str, Any] = field(default_factory=_nothing)
    selection: tuple[str, ...] = ()

    @property
    def relational(self) -> bool:
        """Whether the field leads to records of another model."""
        return self.type in RELATIONAL_TYPES

    @property
    def x2many(self) -> bool:
        """Whether the field holds several records."""
        return self.type in X2MANY_TYPES

    def __str__(self) -> str:
        return f"{self.model}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A model: its table, its fields and the facts that searches depend on.

    `inherits` maps a parent model to the many2one field that delegates to it.
    `relation` says whether a table or view of that name exists. `overrides` maps a
    method whose code changes access or search to the modules that override it: such a
    model is *inexact* wherever that method decides.
    """

    name: str
    table: str
    fields: Mapping[str, Field]
    description: str = ""
    abstract: bool = False
    transient: bool = False
    auto: bool = True
    relation: bool = True
    rec_name: str | None = None
    rec_names_search: tuple[str, ...] = ()
    order: str = "id"
    parent_name: str = "parent_id"
    parent_store: bool = False
    active_name: str | None = None
    inherits: Mapping[str, str] = field(default_factory=_nothing)
    log_access: bool = True
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)

    def field(self, name: str) -> Field:
        """The field of that name.

        Raises: UnknownField.
        """
        try:
            return self.fields[name]
        except KeyError:
            raise UnknownField(
                f"no field `{name}` on `{self.name}`", fix=_suggestion(name, self.fields)
            ) from None


@dataclass(frozen=True, slots=True)
class Gap:
    """A fact the source could not tell, and what that makes inexact."""

    fact: str
    consequence: str
    fix: str


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """All models of one application. `version` is Odoo's major version whose semantics apply."""

    models: Mapping[str, Model]
    version: int = 18
    gaps: tuple[Gap, ...] = ()
    source: str = ""

    @classmethod
    def of(
        cls,
        models: Iterable[Model],
        *,
        version: int = 18,
        gaps: Iterable[Gap] = (),
        source: str = "",
    ) -> Schema:
        """A schema of these models, sorted by name."""
        by_name = {m.name: m for m in sorted(models, key=lambda m: m.name)}
        return cls(MappingProxyType(by_name), version, tuple(gaps), source)

    def model(self, name: str) -> Model:
        """The model of that name.

        Raises: UnknownModel.
        """
        try:
            return self.models[name]
        except KeyError:
            raise UnknownModel(f"no model `{name}`", fix=_suggestion(name, self.models)) from None

    def field(self, model: str, name: str) -> Field:
        """The field `name` of `model`.

        Raises: UnknownModel, UnknownField.
        """
        return self.model(model).field(name)

    def __contains__(self, name: object) -> bool:
        return name in self.models


def _suggestion(name: str, known: Iterable[str]) -> str | None:
    """`use ...` with the nearest known names, or nothing when none is near."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=3, cutoff=0.75)
    return "use " + " or ".join(f"`{n}`" for n in near) if near else None
