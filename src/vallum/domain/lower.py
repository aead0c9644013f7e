"""Lower a domain to a filter: what both versions of Odoo have in common.

Pure. A domain is checked against the schema while it is lowered; the meaning of every
condition is settled for one `Env`. `lower18` and `lower19` say where the versions differ.
Invariant: what cannot be lowered exactly raises, it is never dropped or widened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from vallum.domain.ast import Condition, Domain, Open, all_of, any_of, conditions
from vallum.domain.env import Env
from vallum.domain.filter import (
    NEVER,
    Admits,
    All,
    Bound,
    Compare,
    Filter,
    Hierarchy,
    Ids,
    Joined,
    Linked,
    No,
    OneOf,
    PerCompany,
    Plain,
    Property,
    Ref,
    Root,
    Row,
    RowSet,
    Select,
    Translated,
    Union,
    Within,
    every,
    is_filter,
    some,
)
from vallum.domain.parse import parse
from vallum.domain.values import column_value
from vallum.kernel import InvalidValue, UnknownField, UnsupportedDomain
from vallum.schema import NUMBER_TYPES, TEXT_TYPES, Field, Model

__all__ = ["DATE_PARTS", "NEGATIVE", "POSITIVE", "Lowering", "has_open", "model_field", "root"]

NEGATIVE: Final = frozenset(
    {"!=", "not in", "not like", "not ilike", "not =like", "not =ilike", "not any", "not any!"}
)
POSITIVE: Final = {
    "!=": "=",
    "not in": "in",
    "not like": "like",
    "not ilike": "ilike",
    "not =like": "=like",
    "not =ilike": "=ilike",
    "not any": "any",
    "not any!": "any!",
}
DATE_PARTS: Final = {
    "year_number": "year",
    "quarter_number": "quarter",
    "month_number": "month",
    "iso_week_number": "week",
    "day_of_year": "doy",
    "day_of_month": "day",
    "day_of_week": "dow",
    "hour_number": "hour",
    "minute_number": "minute",
    "second_number": "second",
}


def model_field(model: Model, reference: Field) -> str:
    """The field that names the model a many2one_reference points into.

    Raises: UnsupportedDomain.
    """
    for name in (reference.name.removesuffix("_id") + "_model", "res_model", "model"):
        if name in model.fields:
            return name
    raise UnsupportedDomain(f"the model that `{reference}` points into is not known")


def has_open(value: Any) -> bool:
    """Whether a value has open places."""
    return isinstance(value, Open) or (isinstance(value, tuple) and any(isinstance(v, Open) for v in value))


def root(model: Model) -> Root:
    """The row a search of the model ranges over.

    Raises: UnsupportedDomain where the model has no table or view.
    """
    if model.abstract or not model.relation:
        raise UnsupportedDomain(f"`{model.name}` has no table or view: its records live in code")
    return Root(model.table)


class Lowering(ABC):
    """Lowers domains under the semantics of one version of Odoo. Stateless."""

    def search(
        self,
        model: Model,
        domain: Domain,
        env: Env,
        *,
        active_test: bool = True,
        bypass: bool = False,
    ) -> Filter:
        """What a search of the model finds: domain, inactive records, access and rules.

        The filter ranges over `root(model)`. `bypass` leaves out access rights and rules
        of this model (not those of models further in).
        Raises: AccessDenied, UnknownField, UnknownOperator, InvalidValue, UnsupportedDomain.
        """
        if bypass:
            return self.plain_search(model, domain, env, active_test=active_test, bypass=True)
        if not env.superuser and (strangers := self._strangers(model, env)):
            raise UnsupportedDomain(
                f"searches of `{model.name}` are changed by code of {_listed(strangers)}",
                fix="register an implementation with `Named.with_search`",
            )
        override = env.named.searches.get(model.name)
        if override is not None:
            return override(self, model, domain, env, active_test)
        return self.plain_search(model, domain, env, active_test=active_test)

    @staticmethod
    def _strangers(model: Model, env: Env) -> tuple[str, ...]:
        """The modules whose code decides who sees records of the model, and which nobody here knows."""
        if model.name in env.named.searches:
            return env.named.strangers(model, "_search", "_check_access")
        return tuple(
            sorted({m for name in ("_search", "_check_access") for m in model.overrides.get(name, ())})
        )

    @abstractmethod
    def plain_search(
        self, model: Model, domain: Domain, env: Env, *, active_test: bool = True, bypass: bool = False
    ) -> Filter:
        """`search` without the code of the model that overrides it."""

    @abstractmethod
    def lower(self, model: Model, domain: Domain, env: Env, row: Row) -> Filter:
        """The filter of a domain alone, on a row of the model."""

    @abstractmethod
    def related(self, call: Condition, field: Field, env: Env) -> Domain:
        """A condition on an unstored related field, as one on the path it stands for."""

    def active_condition(self, model: Model, domain: Domain, env: Env) -> bool:
        """Whether a search adds that the record is active: unless the domain mentions it."""
        return (
            model.active_name is not None
            and env.active_test
            and all(c.path != model.active_name for c in conditions(domain))
        )

    @abstractmethod
    def column_condition(self, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        """A condition on a column as if it were the stored field `field`."""

    # values of a row

    def ref(self, field: Field, env: Env, row: Row) -> Ref:
        """The value of a stored field of a row.

        Raises: AccessDenied (the field is shut), UnsupportedDomain (it has no column).
        """
        if field.name == "id":
            return Ref(row, "id", Plain("int4"))
        column = env.named.columns.get(str(field))
        if column is not None:
            return self.ref(env.schema.field(field.model, column), env, row)
        if not field.stored and field.related:
            return self._related_ref(field, env, row)
        if not field.stored or field.column is None:
            raise UnsupportedDomain(f"`{field}` is not a column")
        if env.access is not None:
            env.access.check_field(field)
        if field.translate:
            return Ref(row, field.name, Translated(env.languages))
        if field.company_dependent:
            return Ref(row, field.name, self._per_company(field, env))
        return Ref(row, field.name, Plain(field.column))

    def _related_ref(self, field: Field, env: Env, row: Row) -> Ref:
        """The value a related field stands for, along many2one fields.

        Those of an `_inherits` parent are read as the actor, others as superuser.
        """
        if env.access is not None:
            env.access.check_field(field)
        inner = env if field.inherited else env.sudo()
        model = env.schema.model(field.model)
        for name in field.related[:-1]:
            step = model.field(name)
            if step.type != "many2one":
                raise UnsupportedDomain(f"`{field}` is not a column: its path holds several records")
            model, row = self.joined(step, inner, row)
        return self.ref(model.field(field.related[-1]), inner, row)

    def _per_company(self, field: Field, env: Env) -> PerCompany:
        fallback = env.facts.fallbacks(env.company).get((field.model, field.name))
        value = column_value(field, fallback) if fallback is not None else None
        comodel = env.schema.model(field.comodel) if field.comodel else None
        return PerCompany(
            env.company,
            _COMPANY_TYPES.get(field.type, "text"),
            value or self.unset_per_company(field),
            comodel.table if comodel else None,
        )

    def unset_per_company(self, field: Field) -> Any:
        """What a company-dependent field reads as where neither company nor default has a value."""
        return None

    def id_ref(self, row: Row) -> Ref:
        """The id of a row."""
        return Ref(row, "id", Plain("int4"))

    def joined(self, field: Field, env: Env, row: Row) -> tuple[Model, Joined]:
        """The record a many2one of a row leads to."""
        comodel = self.comodel(field, env)
        return comodel, Joined(self.ref(field, env, row), root(comodel).table)

    def comodel(self, field: Field, env: Env) -> Model:
        """The model a relational field leads to."""
        if field.comodel is None:
            raise UnknownField(f"`{field}` does not lead to another model")
        return env.schema.model(field.comodel)

    def inherited_row(self, field: Field, model: Model, env: Env, row: Row) -> tuple[Model, Joined]:
        """The `_inherits` parent's record that holds an inherited field."""
        return self.joined(model.field(field.related[0]), env, row)

    def select(self, model: Model, where: Filter) -> RowSet:
        """The ids of the model's records that pass."""
        if where == NEVER:
            return Ids(())
        return Select(self.id_ref(root(model)), where)

    def field_domain(self, field: Field, env: Env) -> Domain:
        """The domain of an x2many field that takes part in searches through it.

        A one2many whose inverse is a bare number also asks for the model that the
        number is of.
        Raises: UnsupportedDomain where the schema could not tell it.
        """
        named = env.named.field_domains.get(str(field))
        if named is not None:
            return named(env)
        if field.domain_unknown:
            raise UnsupportedDomain(
                f"the domain of `{field}` is code that the registry file could not compute"
            )
        domain = parse(list(field.domain or ()))
        if field.type == "one2many" and field.inverse:
            comodel, inverse = self.inverse(field, env)
            if inverse.type == "many2one_reference":
                named_model = model_field(comodel, inverse)
                return all_of((domain, Condition(named_model, "=", field.model)))
        return domain

    def inverse(self, field: Field, env: Env) -> tuple[Model, Field]:
        """The comodel of a one2many and the field there that leads back."""
        comodel = self.comodel(field, env)
        if not field.inverse:
            raise UnsupportedDomain(f"`{field}` has no inverse field")
        return comodel, comodel.field(field.inverse)

    def relation(self, field: Field, row: Row, rows: RowSet | None) -> Filter:
        """A row linked through a many2many field."""
        if not (field.relation and field.column1 and field.column2):
            raise UnsupportedDomain(f"the relation table of `{field}` is not known")
        if isinstance(rows, Ids) and not rows.ids:
            return NEVER
        return Linked(row, field.relation, field.column1, field.column2, rows)

    def ids(self, field: Field | None, values: Iterable[Any]) -> tuple[int, ...]:
        """Values as ids, falsy ones left out.

        Raises: InvalidValue.
        """
        found: list[int] = []
        for value in values:
            if value is False or value == 0:
                continue
            if isinstance(value, str) and value.strip().isdigit():
                value = int(value)
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if not isinstance(value, int) or isinstance(value, bool):
                raise InvalidValue(f"{value!r:.60} is not an id" + (f" (for `{field}`)" if field else ""))
            if abs(value) < 2**31:  # beyond that no record can be
                found.append(value)
        return tuple(dict.fromkeys(found))

    # values that are bound per actor

    def opened(self, field: Field, condition: Condition, read: Callable[[Condition], Filter]) -> Filter:
        """A condition with open places, as conditions without: the constants, then each place.

        `read` reads one of those. A place that may be without a value counts as False there.
        Raises: UnsupportedDomain for an operator whose meaning depends on the value.
        """
        operator, value = condition.operator, condition.value
        if operator not in ("=", "!=", "in", "not in"):
            raise UnsupportedDomain(f"`{operator}` on `{field}` with a value that differs by actor")
        listed = isinstance(value, tuple)
        values = value if listed else (value,)
        positive = operator in ("=", "in")
        membership = "in" if positive else "not in"
        constants = tuple(v for v in values if not isinstance(v, Open))
        parts = [read(Condition(condition.path, membership, constants))] if constants else []
        for place in (v for v in values if isinstance(v, Open)):
            parts.append(read(Condition(condition.path, membership, Bound(place))))
            if place.may_be_false and not (field.x2many and listed):
                unset = read(Condition(condition.path, "=" if positive else "!=", False))
                absent = Admits(place)
                parts.append(every((absent, unset)) if positive else some((No(absent), unset)))
        return some(parts) if positive else every(parts)

    def open_seeds(self, value: Any) -> RowSet | None:
        """The seeds of a hierarchy where places are among them; None where none is."""
        values = value if isinstance(value, tuple) else (value,)
        places = [Bound(v) for v in values if isinstance(v, Open)]
        if not places:
            return None
        ids = self.ids(None, [v for v in values if not isinstance(v, Open)])
        parts: list[RowSet] = [*places, *([Ids(ids)] if ids else [])]
        return parts[0] if len(parts) == 1 else Union(tuple(parts))

    # hierarchy

    def hierarchy(
        self, model: Model, seeds: RowSet, env: Env, *, up: bool, parent: str | None = None
    ) -> RowSet:
        """All records above or below the seeds, as superuser, inactive ones included.

        `parent` is the field to follow: a many2one of the model to itself (its
        `parent_name` by default), or the one2many that is its inverse.
        """
        if isinstance(seeds, Ids) and not seeds.ids:
            return seeds
        if model.parent_store and self.uses_parent_path(model, parent):
            return Hierarchy(root(model).table, seeds, up, model.parent_name, "parent_path")
        field = model.field(parent or model.parent_name)
        if field.inherited and field.type == "many2one" and field.comodel:
            return self.delegated_hierarchy(model, field, seeds, up, env)
        if field.comodel != model.name or not field.stored:
            raise UnsupportedDomain(f"`{field}` is not a hierarchy of `{model.name}`")
        if field.type == "one2many" and field.inverse:
            return Hierarchy(root(model).table, seeds, not up, field.inverse)
        if field.type != "many2one":
            raise UnsupportedDomain(f"`{field}` cannot be followed as a hierarchy")
        return Hierarchy(root(model).table, seeds, up, field.name)

    def delegated_hierarchy(self, model: Model, field: Field, seeds: RowSet, up: bool, env: Env) -> RowSet:
        """A hierarchy whose parent is kept in a delegated record: Odoo 19 compares ids of both alike."""
        link = model.field(field.related[0])
        holder = self.comodel(link, env)
        delegate = (link.name, root(holder).table)
        return Hierarchy(root(model).table, seeds, up, field.related[-1], None, delegate)

    def uses_parent_path(self, model: Model, parent: str | None) -> bool:
        """Whether a hierarchy along `parent` is read from the materialised path."""
        return True

    # names

    def display_name(self, model: Model, operator: str, value: Any, env: Env) -> Domain:
        """The domain that searching by display name stands for."""
        named = env.named.display_names.get(model.name)
        modules = env.named.strangers(model, "_search_display_name")
        if named is None:
            modules = model.overrides.get("_search_display_name", ())
        elif not modules and self.overrides(model, "_search_display_name", env):
            return named(self, model, operator, value, env)
        if modules:
            raise UnsupportedDomain(
                f"searching `{model.name}` by name is code of {_listed(modules)}",
                fix="register an implementation with `Named.with_display_name`",
            )
        return self.plain_display_name(model, operator, value, env)

    def overrides(self, model: Model, method: str, env: Env) -> bool:
        """Whether a named implementation stands in: always, unless the schema says nobody overrides."""
        return method in model.overrides or bool(env.schema.gaps)

    @abstractmethod
    def plain_display_name(self, model: Model, operator: str, value: Any, env: Env) -> Domain:
        """The name search of a model that does not override it."""

    def names_searched(self, model: Model) -> Sequence[str]:
        """The fields a model is searched by name with.

        Raises: UnsupportedDomain where there are none.
        """
        if model.rec_names_search:
            return model.rec_names_search
        if model.rec_name and model.rec_name in model.fields:
            return (model.rec_name,)
        return ()

    def joined_names(self, parts: Sequence[Domain], operator: str) -> Domain:
        """Name conditions on several fields: any of them, or none where negative."""
        return all_of(parts) if operator in NEGATIVE else any_of(parts)

    def last_field(self, model: Model, path: str, env: Env) -> Field:
        """The field at the end of a dotted path."""
        *prefixes, last = path.split(".")
        for name in prefixes:
            model = self.comodel(model.field(name), env)
        return model.field(last)

    # unstored fields

    def unstored(self, condition: Condition, field: Field, model: Model, env: Env, row: Row) -> Filter:
        """A condition on a field that is not stored, through its search method.

        Raises: UnsupportedDomain where there is no implementation of it.
        """
        if field.name == "display_name":
            return self.lower(
                model, self.display_name(model, condition.operator, condition.value, env), env, row
            )
        if field.related:
            return self.lower(model, self.related(condition, field, env), env, row)
        method = env.named.search_method(field)
        if method is None:
            reason = f"by its method `{field.search}`" if field.search else "by nothing"
            raise UnsupportedDomain(
                f"`{field}` is not stored and searched {reason}, which has no implementation here",
                fix="register one with `Named.with_search_method`",
            )
        found: Any = method(self, model, field, condition.operator, condition.value, env, row)
        return found if is_filter(found) else self.lower(model, found, env, row)

    # shapes that both versions use

    def is_number(self, field: Field) -> bool:
        """Whether NULL counts as 0 in the field."""
        return field.type in NUMBER_TYPES and field.name != "id"

    def is_text(self, field: Field) -> bool:
        """Whether NULL counts as the empty text in the field."""
        return field.type in TEXT_TYPES

    def one_of(self, ref: Ref, values: Sequence[Any]) -> Filter:
        """`ref IN values`."""
        if not values:
            return NEVER
        return Compare(ref, "=", values[0]) if len(values) == 1 else OneOf(ref, tuple(values))

    def attachment(self, field: Field, env: Env, row: Row) -> Filter:
        """Rows whose binary field is stored as an attachment and filled."""
        attachments = env.schema.model("ir.attachment")
        at = root(attachments)
        where = All(
            (
                Compare(Ref(at, "res_model", Plain("varchar")), "=", field.model),
                Compare(Ref(at, "res_field", Plain("varchar")), "=", field.name),
            )
        )
        return Within(self.id_ref(row), Select(Ref(at, "res_id", Plain("int4")), where))

    def date_part(self, field: Field, part: str, env: Env, row: Row) -> Ref:
        """A numbered part of a date, such as `day_of_month`.

        Raises: UnsupportedDomain.
        """
        name = DATE_PARTS.get(part)
        if name is None:
            raise UnsupportedDomain(
                f"`{field}` has no part `{part}`", fix="use one of " + ", ".join(DATE_PARTS)
            )
        if name == "dow":
            raise UnsupportedDomain("days of the week depend on the language's first day")
        self.ref(field, env, row)
        return Ref(row, field.name, Property(name, env.tz if field.type == "datetime" else None))


_COMPANY_TYPES: Final = {
    "boolean": "bool",
    "integer": "int4",
    "many2one": "int4",
    "float": "float8",
    "monetary": "numeric",
    "char": "varchar",
    "selection": "varchar",
    "text": "text",
    "html": "text",
    "date": "date",
    "datetime": "timestamp",
}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{n}`" for n in names)
