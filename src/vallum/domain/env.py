"""What lowering a domain depends on beside the domain: the reader's eyes and the database's facts.

Pure. An `Env` says for whom a domain is read (language, companies, superuser or an
actor's access), which inactive records count, and what the database is like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from vallum.domain.ast import Open
from vallum.schema import Field, Model, Schema

if TYPE_CHECKING:
    from vallum.domain.filter import Filter
    from vallum.domain.named import Named

__all__ = ["Access", "Env", "Facts"]


class Access(Protocol):
    """What an actor may see, as far as a search needs to know."""

    def readable(self, model: Model) -> bool:
        """Whether an access right lets the actor read the model."""

    def check_model(self, model: Model) -> None:
        """Raises AccessDenied where `readable` is false."""

    def check_field(self, field: Field) -> None:
        """Raises AccessDenied where the field's groups shut the actor out."""

    def rules(self, model: Model, env: Env, operation: str = "read") -> Filter:
        """The record rules of the operation, lowered as superuser under `env`."""

    def may(self, model: Model, operation: str) -> bool:
        """Whether an access right grants the operation on the model."""

    def in_group(self, xml_id: str) -> bool:
        """Whether the actor is a member of the group."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one database that change the meaning of domains.

    `fallbacks(company)` gives the default of company-dependent fields, by (model, field).
    `document_models(table, column)` gives the distinct models a column names;
    `root_company(company)` the company at the top of a company's branch.
    """

    unaccent: bool = False
    fallbacks: Callable[[int | None], Mapping[tuple[str, str], Any]] = lambda _: MappingProxyType({})
    document_models: Callable[[str, str], tuple[str, ...]] = lambda _table, _column: ()
    root_company: Callable[[int | None], int | None] = lambda company: company


@dataclass(frozen=True, slots=True)
class Env:
    """For whom, and over which database, a domain is lowered."""

    schema: Schema
    named: Named
    now: datetime
    facts: Facts = field(default_factory=Facts)
    user_id: int | Open = 1
    partner_id: int | Open | None = None
    company: int | None = None
    companies: tuple[int | Open, ...] = ()
    lang: str = "en_US"
    tz: str | None = None
    active_test: bool = True
    access: Access | None = None

    @property
    def superuser(self) -> bool:
        """Whether nothing restricts what is seen."""
        return self.access is None

    def sudo(self) -> Env:
        """The same eyes, unrestricted."""
        return self if self.access is None else replace(self, access=None)

    def with_active_test(self, value: bool) -> Env:
        """The same eyes, counting inactive records or not."""
        return self if value == self.active_test else replace(self, active_test=value)

    def through(self, field: Field) -> Env:
        """The eyes behind an x2many field: its context may change which records count."""
        value = field.context.get("active_test")
        return self if value is None else self.with_active_test(bool(value))

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages a translated text is looked up in, best first."""
        return (self.lang, "en_US") if self.lang != "en_US" else ("en_US",)
