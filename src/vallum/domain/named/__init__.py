"""Named implementations of what Odoo's modules write in code.

Search methods of unstored fields, searches by display name, overridden searches and
computed domains cannot be read from a database. The common ones are implemented here,
by area; a team adds its own with `Named.with_…`. What is not named stays unsupported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vallum.schema import Field, Model

if TYPE_CHECKING:
    from vallum.domain.ast import Domain
    from vallum.domain.env import Access, Env
    from vallum.domain.filter import Filter, Row
    from vallum.domain.lower import Lowering

__all__ = [
    "FIELD_METHODS",
    "DisplayName",
    "FieldAccess",
    "FieldDomain",
    "Named",
    "Search",
    "SearchMethod",
    "odoo_named",
]

# The methods by which code decides who reads a field: Odoo 18's, and 19's.
FIELD_METHODS: Final = ("check_field_access_rights", "_has_field_access", "_check_field_access")

SearchMethod: TypeAlias = "Callable[[Lowering, Model, Field, str, Any, Env, Row], Domain | Filter]"
DisplayName: TypeAlias = "Callable[[Lowering, Model, str, Any, Env], Domain]"
Search: TypeAlias = "Callable[[Lowering, Model, Domain, Env, bool], Filter]"
FieldDomain: TypeAlias = "Callable[[Env], Domain]"
FieldAccess: TypeAlias = "Callable[[Model, Field, Access, int], bool]"


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A registry of named implementations; immutable, extended by copies.

    `methods` are found by `model.field`, or by the method's name where a mixin gives the
    same method to many models;
    `columns` name the stored field that an unstored `model.field` is read from.
    `modules` say, by method and model, whose code is known: another module's override on top of
    it is not, and is a stranger. None: whatever overrides the method is known.
    """

    methods: Mapping[str, SearchMethod] = field(default_factory=dict)
    display_names: Mapping[str, DisplayName] = field(default_factory=dict)
    searches: Mapping[str, Search] = field(default_factory=dict)
    field_domains: Mapping[str, FieldDomain] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    field_access: Mapping[str, FieldAccess] = field(default_factory=dict)
    modules: Mapping[tuple[str, str], frozenset[str] | None] = field(default_factory=dict)

    def strangers(self, model: Model, *methods: str) -> tuple[str, ...]:
        """The modules whose override of one of the methods no implementation stands for."""
        found: set[str] = set()
        for method in methods:
            known = self.modules.get((method, model.name), frozenset())
            if known is not None:
                found.update(set(model.overrides.get(method, ())) - known)
        return tuple(sorted(found))

    def with_search_method(self, name: str, method: SearchMethod) -> Named:
        """A copy that knows the search method `name` (or of the field `model.field`)."""
        return replace(self, methods=MappingProxyType({**self.methods, name: method}))

    def with_display_name(
        self, model: str, method: DisplayName, modules: Iterable[str] | None = None
    ) -> Named:
        """A copy that knows how the model is searched by display name.

        `modules`: whose code it stands for; all there is where it is None, here and below.
        """
        named = {**self.display_names, model: method}
        return replace(self, display_names=MappingProxyType(named))._knowing(
            model, ("_search_display_name",), modules
        )

    def with_search(self, model: str, search: Search, modules: Iterable[str] | None = None) -> Named:
        """A copy that knows how the model overrides its search, and the access to its records."""
        named = {**self.searches, model: search}
        return replace(self, searches=MappingProxyType(named))._knowing(
            model, ("_search", "_check_access"), modules
        )

    def with_field_domain(self, field: str, domain: FieldDomain) -> Named:
        """A copy that knows the computed domain of the x2many field `model.field`."""
        return replace(self, field_domains=MappingProxyType({**self.field_domains, field: domain}))

    def with_field_access(
        self, model: str, access: FieldAccess, modules: Iterable[str] | None = None
    ) -> Named:
        """A copy that knows which fields of the model its code shuts, beside field groups."""
        named = {**self.field_access, model: access}
        return replace(self, field_access=MappingProxyType(named))._knowing(model, FIELD_METHODS, modules)

    def _knowing(self, model: str, methods: Iterable[str], modules: Iterable[str] | None) -> Named:
        known = None if modules is None else frozenset(modules)
        more = {(method, model): known for method in methods}
        return replace(self, modules=MappingProxyType({**self.modules, **more}))

    def search_method(self, field: Field) -> SearchMethod | None:
        """The implementation of a field's search method, if there is one."""
        return self.methods.get(str(field)) or self.methods.get(field.search or "")


@cache
def odoo_named() -> Named:
    """The implementations for Odoo's own modules."""
    from vallum.domain.named import account, base, hr, mail, product, project, website

    named = Named()
    for module in (base, mail, hr, account, product, project, website):
        named = replace(
            named,
            methods={**named.methods, **module.METHODS},
            display_names={**named.display_names, **module.DISPLAY_NAMES},
            searches={**named.searches, **module.SEARCHES},
            field_domains={**named.field_domains, **module.FIELD_DOMAINS},
            columns={**named.columns, **module.COLUMNS},
            field_access={**named.field_access, **module.FIELD_ACCESS},
            modules={
                **named.modules,
                **{
                    (method, model): frozenset({name})
                    for model, name in module.MODULES.items()
                    for method in ("_search", "_check_access", "_search_display_name", *FIELD_METHODS)
                },
            },
        )
    return named
