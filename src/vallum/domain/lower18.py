"""Lower domains as Odoo 18 reads them (16 and 17 differ in places that raise here).

Pure. Odoo 18 turns dotted paths into `any`, pushes negation inwards, merges `any` on
the same field, then reads condition by condition; leftover negation is SQL's NOT.
Source: behaviour of Odoo 18.0, held against its own answers; docs/design/domain.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from vallum.domain.ast import (
    TRUE,
    And,
    Condition,
    Constant,
    Domain,
    Not,
    Or,
    all_of,
    any_of,
)
from vallum.domain.env import Env
from vallum.domain.filter import (
    ALWAYS,
    NEVER,
    Bound,
    Compare,
    Filter,
    Ids,
    IsNull,
    Like,
    No,
    Ref,
    Row,
    RowSet,
    Select,
    Within,
    every,
    is_rows,
    some,
)
from vallum.domain.lower import NEGATIVE, POSITIVE, Lowering, has_open, root
from vallum.domain.rewrite18 import is_false, rewritten
from vallum.domain.values import column_value, is_whole_date
from vallum.kernel import InvalidValue, MalformedDomain, UnknownField, UnknownOperator, UnsupportedDomain
from vallum.schema import Field, Model

__all__ = ["Lowering18"]

_OPERATORS: Final = frozenset(
    {"=", "!=", "<=", "<", ">", ">=", "=?", "=like", "=ilike", "like", "not like", "ilike", "not ilike"}
    | {"in", "not in", "child_of", "parent_of", "any", "not any"}
)
_WILDCARD: Final = frozenset({"like", "ilike", "not like", "not ilike"})
_HIERARCHY: Final = frozenset({"child_of", "parent_of"})


class Lowering18(Lowering):
    """Odoo 18."""

    def plain_search(
        self, model: Model, domain: Domain, env: Env, *, active_test: bool = True, bypass: bool = False
    ) -> Filter:
        if env.access is not None and not bypass:
            env.access.check_model(model)
        at = root(model)
        if is_false(domain):
            return NEVER
        where = self._where(model, domain, env if active_test else env.with_active_test(False), at)
        if env.access is not None and not bypass:
            where = every((where, env.access.rules(model, env)))
        return where

    def _where(self, model: Model, domain: Domain, env: Env, row: Row) -> Filter:
        if self.active_condition(model, domain, env):
            domain = all_of((Condition(model.active_name or "", "=", 1), domain))
        return self.lower(model, domain, env, row)

    def lower(self, model: Model, domain: Domain, env: Env, row: Row) -> Filter:
        return self._lower(model, rewritten(domain, model, env.schema), env, row)

    def _lower(self, model: Model, domain: Domain, env: Env, row: Row) -> Filter:
        match domain:
            case Constant(value):
                return ALWAYS if value else NEVER
            case And(children) | Or(children):
                # From right to left, as Odoo does: of two errors the same one is raised.
                parts = [self._lower(model, c, env, row) for c in reversed(children)]
                return (every if isinstance(domain, And) else some)(reversed(parts))
            case Not(child):
                return No(self._lower(model, child, env, row))
            case Condition():
                return self._condition(model, domain, env, row)

    # one condition

    def _condition(self, model: Model, condition: Condition, env: Env, row: Row) -> Filter:
        field = model.field(condition.head)
        operator, value = _normal(condition)
        if operator not in _OPERATORS:
            raise UnknownOperator(f"Odoo {env.schema.version} has no operator `{operator}` (on `{field}`)")
        if field.inherited:
            parent, parent_row = self.inherited_row(field, model, env, row)
            return self._condition(parent, condition, env, parent_row)
        if condition.path == "id" and operator in _HIERARCHY:
            return self._within_hierarchy(
                self.id_ref(row), model, operator, self._seeds(model, value, env), env, None
            )
        if condition.rest:
            return self._beyond(field, condition, env, row)
        if operator in ("any", "not any"):
            return self._any(model, field, operator, value, env, row)
        if not field.stored:
            return self.unstored(Condition(field.name, operator, value), field, model, env, row)
        if has_open(value) and operator not in _HIERARCHY:
            opened = Condition(field.name, operator, value)
            return self.opened(field, opened, lambda c: self._condition(model, c, env, row))
        match field.type:
            case "one2many":
                return self._one2many(model, field, operator, value, env, row)
            case "many2many":
                return self._many2many(model, field, operator, value, env, row)
            case "many2one":
                return self._many2one(model, field, operator, value, env, row)
            case "binary" if field.column is None:
                return self._attached(field, operator, value, env, row)
        if operator in _HIERARCHY:
            raise UnknownOperator(f"`{operator}` does not apply to `{field}`, a {field.type}")
        if field.type == "datetime" and value is not False and is_whole_date(value):
            end = operator in (">", "<=")
            value = f"{value} 23:59:59" if end else f"{value} 00:00:00"
        return self._plain(field, operator, value, env, row)

    def _beyond(self, field: Field, condition: Condition, env: Env, row: Row) -> Filter:
        """A path behind a field that is not relational: a part of a date."""
        if field.type in ("date", "datetime") and "." not in condition.rest:
            ref = self.date_part(field, condition.rest, env, row)
            if condition.operator not in ("=", "!=", "<", "<=", ">", ">=") or not isinstance(
                condition.value, int | float
            ):
                raise UnsupportedDomain(f"`{condition.operator}` on a part of `{field}`")
            return Compare(ref, condition.operator, condition.value)
        if field.type == "properties":
            raise UnsupportedDomain(f"properties cannot be searched yet (`{field}`)")
        raise UnknownField(f"`{condition.path}` goes on behind `{field}`, which leads to no other model")

    def _any(self, model: Model, field: Field, operator: str, value: Domain, env: Env, row: Row) -> Filter:
        if not field.relational:
            raise UnknownOperator(f"`{operator}` does not apply to `{field}`, a {field.type}")
        comodel = self.comodel(field, env)
        positive = operator == "any"
        inner = env.with_active_test(False) if field.type == "many2one" else env.through(field)
        if field.stored and field.auto_join:
            return self._auto_join(field, comodel, positive, value, env, inner, row)
        if field.type == "many2one":
            rows = self.select(comodel, self.search(comodel, value, inner))
            return self._in_rows(model, field, positive, rows, env, row)
        where = self.search(comodel, all_of((self.field_domain(field, env), value)), inner)
        rows = self.select(comodel, where)
        if not field.stored:
            return self.unstored(
                Condition(field.name, "in" if positive else "not in", rows), field, model, env, row
            )
        kind = self._one2many_rows if field.type == "one2many" else self._many2many_rows
        return kind(field, positive, rows, env, inner, row)

    def _auto_join(
        self, field: Field, comodel: Model, positive: bool, value: Domain, env: Env, inner: Env, row: Row
    ) -> Filter:
        if field.type == "many2one":
            _, at = self.joined(field, env, row)
            where = self._lower(comodel, value, inner, at)
            return where if positive else some((IsNull(self.id_ref(at)), No(where)))
        if field.type != "one2many":
            raise UnsupportedDomain(f"`{field}` cannot be joined automatically")
        _, inverse = self.inverse(field, env)
        at_root = root(comodel)
        where = self._where(comodel, all_of((value, self.field_domain(field, env))), inner, at_root)
        found = Within(self.id_ref(row), Select(self.ref(inverse, inner, at_root), where))
        return found if positive else No(found)

    def _in_rows(
        self, model: Model, field: Field, positive: bool, rows: RowSet, env: Env, row: Row
    ) -> Filter:
        """A many2one within, or not within, rows of its comodel."""
        if not field.stored:
            found = self.unstored(
                Condition(field.name, "in" if positive else "not in", rows), field, model, env, row
            )
            if positive:
                return found
            return some((found, self.unstored(Condition(field.name, "=", False), field, model, env, row)))
        ref = self.ref(field, env, row)
        found = _within(ref, rows)
        return found if positive else some((No(found), IsNull(ref)))

    # relations

    def _one2many(self, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        comodel, inverse = self.inverse(field, env)
        inner = env.through(field)
        positive = operator not in NEGATIVE
        if operator in _HIERARCHY:
            seeds = self._seeds(comodel, value, inner)
            if comodel.name == model.name:
                return self._within_hierarchy(self.id_ref(row), comodel, operator, seeds, env, field.name)
            return self._one2many_rows(
                field, True, self._climbed(comodel, operator, seeds, env), env, inner, row
            )
        if value is False:
            return self._without_lines(field, comodel, inverse, not positive, inner, row)
        if isinstance(value, str):
            name = Condition("display_name", POSITIVE.get(operator, operator), value)
            where = self.search(comodel, all_of((self.field_domain(field, env), name)), inner)
            return self._one2many_rows(field, positive, self.select(comodel, where), env, inner, row)
        return self._one2many_rows(field, positive, self._given_rows(field, value), env, inner, row)

    def _one2many_rows(
        self, field: Field, positive: bool, rows: RowSet, env: Env, inner: Env, row: Row
    ) -> Filter:
        """Rows of which one of the records `rows` is a line, or none is."""
        comodel, inverse = self.inverse(field, env)
        self._check_stored_inverse(field, inverse)
        domain = self.field_domain(field, env)
        if _points_by_number(inverse) and domain != TRUE:
            ids = self.lower_rows(comodel, rows, inner)
            rows = self.select(comodel, every((ids, self.search(comodel, domain, inner))))
        at = root(comodel)
        ref = self.ref(inverse, inner, at)
        where = self.lower_rows(comodel, rows, inner)
        if where == NEVER:
            return NEVER if positive else ALWAYS
        if not inverse.required:
            where = every((where, No(IsNull(ref))))
        found = Within(self.id_ref(row), Select(ref, where))
        return found if positive else No(found)

    def lower_rows(self, model: Model, rows: RowSet, env: Env) -> Filter:
        """Membership of the model's own row in rows of its ids."""
        if isinstance(rows, Select) and rows.column == self.id_ref(root(model)):
            return rows.where
        return _within(self.id_ref(root(model)), rows)

    def _without_lines(
        self, field: Field, comodel: Model, inverse: Field, with_lines: bool, env: Env, row: Row
    ) -> Filter:
        self._check_stored_inverse(field, inverse)
        domain: Domain = Condition(inverse.name, "!=", False)
        at = root(comodel)
        if _points_by_number(inverse) and self.field_domain(field, env) != TRUE:
            where = self.search(comodel, all_of((domain, self.field_domain(field, env))), env)
        else:
            where = self._where(comodel, domain, env, at)
        found = Within(self.id_ref(row), Select(self.ref(inverse, env, at), where))
        return found if with_lines else No(found)

    def _check_stored_inverse(self, field: Field, inverse: Field) -> None:
        if not inverse.inherited and (not inverse.stored or inverse.column is None):
            raise UnsupportedDomain(f"the inverse `{inverse}` of `{field}` is computed in code")

    def _many2many(self, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        comodel = self.comodel(field, env)
        inner = env.through(field)
        positive = operator not in NEGATIVE
        if operator in _HIERARCHY:
            climbed = self._climbed(comodel, operator, self._seeds(comodel, value, inner), env)
            found = self.search(comodel, Condition("id", "in", climbed), inner)
            return self.relation(field, row, self.select(comodel, found))
        if value is False:
            found = self.relation(field, row, None)
            return No(found) if positive else found
        if isinstance(value, str):
            name = Condition("display_name", POSITIVE.get(operator, operator), value)
            where = self.search(comodel, all_of((self.field_domain(field, env), name)), inner)
            return self._many2many_rows(field, positive, self.select(comodel, where), env, inner, row)
        return self._many2many_rows(field, positive, self._given_rows(field, value), env, inner, row)

    def _many2many_rows(
        self, field: Field, positive: bool, rows: RowSet, env: Env, inner: Env, row: Row
    ) -> Filter:
        found = self.relation(field, row, rows)
        return found if positive else _negated(found)

    def _many2one(self, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        comodel = self.comodel(field, env)
        inner = env.with_active_test(False)
        if operator in _HIERARCHY:
            seeds = self._seeds(comodel, value, inner)
            if comodel.name == model.name:
                return self._within_hierarchy(self.id_ref(row), comodel, operator, seeds, env, field.name)
            return self._within_hierarchy(self.ref(field, env, row), comodel, operator, seeds, env, None)
        names = isinstance(value, tuple) and value and all(isinstance(v, str) for v in value)
        if isinstance(value, str) or names:
            operator = "in" if operator in ("<", ">", "<=", ">=") else operator
            if isinstance(value, str) and operator in ("in", "not in"):
                operator = "=" if operator == "in" else "!="
            name = Condition("display_name", POSITIVE.get(operator, operator), value)
            rows = self.select(comodel, self.search(comodel, name, inner))
            return self._in_rows(model, field, operator not in NEGATIVE, rows, env, row)
        return self._plain(field, operator, value, env, row)

    def _attached(self, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        if operator not in ("=", "!=") or value:
            raise UnsupportedDomain(
                f"`{field}` is kept as an attachment: only whether it is set can be searched"
            )
        found = self.attachment(field, env, row)
        return found if operator == "!=" else No(found)

    def _given_rows(self, field: Field, value: Any) -> RowSet:
        if is_rows(value):
            return value
        values = value if isinstance(value, tuple) else (value,)
        return Ids(self.ids(field, values))

    # hierarchy

    def _seeds(self, model: Model, value: Any, env: Env) -> RowSet:
        """The records a hierarchy condition starts from: ids, or records found by name."""
        if is_rows(value):
            return value
        opened = self.open_seeds(value)
        if opened is not None:
            return opened
        names = value if isinstance(value, tuple) else (value,)
        if value and all(isinstance(v, str) for v in names):
            found = some(self.search(model, Condition("display_name", "ilike", n), env) for n in names)
            return self.select(model, found)
        return Ids(self.ids(None, names))

    def _climbed(
        self, model: Model, operator: str, seeds: RowSet, env: Env, parent: str | None = None
    ) -> RowSet:
        return self.hierarchy(model, seeds, env, up=operator == "parent_of", parent=parent)

    def delegated_hierarchy(self, model: Model, field: Field, seeds: RowSet, up: bool, env: Env) -> RowSet:
        raise MalformedDomain(f"`{field}` leads to another model, so `{model.name}` has no hierarchy")

    def _within_hierarchy(
        self, ref: Ref, model: Model, operator: str, seeds: RowSet, env: Env, parent: str | None
    ) -> Filter:
        return _within(ref, self._climbed(model, operator, seeds, env, parent))

    # names and related fields

    def plain_display_name(self, model: Model, operator: str, value: Any, env: Env) -> Domain:
        fields = self.names_searched(model)
        if not fields:
            return TRUE
        parts: list[Domain] = []
        for path in fields:
            last = self.last_field(model, path, env)
            if last.relational:
                parts.append(Condition(f"{path}.display_name", operator, value))
            elif operator.endswith("like"):
                parts.append(Condition(path, operator, value))
            else:
                parts.extend(_castable(path, last, operator, value))
        return self.joined_names(parts, operator)

    def related(self, call: Condition, field: Field, env: Env) -> Domain:
        value = call.value
        falsy = any(v is False for v in value) if isinstance(value, tuple) else value is False
        can_be_null = (call.operator not in NEGATIVE) == falsy
        inner = env.with_active_test(False).sudo()
        model = env.schema.model(field.model)
        steps: list[Field] = []
        for name in field.related[:-1]:
            steps.append(model.field(name))
            model = self.comodel(steps[-1], env)
        domain: Domain = Condition(field.related[-1], call.operator, value)
        for step in reversed(steps):
            comodel = self.comodel(step, env)
            rows = self.select(comodel, self.search(comodel, domain, inner))
            domain = Condition(step.name, "in", rows)
            if can_be_null and step.type == "many2one" and not step.required:
                domain = any_of((domain, Condition(step.name, "=", False)))
        return domain

    # columns

    def column_condition(self, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        operator, value = _normal(Condition(field.name, operator, value))
        return self._plain(field, operator, value, env, row)

    def _plain(self, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        """A condition on a column. NULL counts as falsy where a condition allows falsy values."""
        if operator == "=?":
            if value is False:
                return ALWAYS
            operator = "="
        ref = self.ref(field, env, row)
        if is_rows(value):
            found = _within(ref, value)
            if operator != "not in":
                return found
            return some((No(found), IsNull(ref))) if isinstance(value, Bound) else No(found)
        if operator in ("in", "not in"):
            if not isinstance(value, tuple):
                raise InvalidValue(f"`{operator}` needs a list (for `{field}`)")
            return self._among(field, ref, operator == "in", value)
        if isinstance(value, tuple):
            raise InvalidValue(f"`{operator}` does not take a list (for `{field}`)")
        if field.type == "boolean" and operator in ("=", "!=") and isinstance(value, bool):
            wanted = value if operator == "=" else not value
            true = Compare(ref, "=", True)
            return true if wanted else some((IsNull(ref), Compare(ref, "=", False)))
        if (field.relational or field.name == "id") and operator in ("=", "!=") and not value:
            value = False
        if operator in ("=", "!=") and value is False:
            if self.is_number(field):
                value = 0
            elif self.is_text(field):
                value = ""
            else:
                return IsNull(ref) if operator == "=" else No(IsNull(ref))
        if operator.endswith("like"):
            return self._like(field, ref, operator, value, env)
        return self._compared(field, ref, operator, value)

    def _compared(self, field: Field, ref: Ref, operator: str, value: Any) -> Filter:
        converted = column_value(field, value) if field.name != "id" else self._id_value(field, value)
        if converted is None:
            return No(ALWAYS) if operator in ("<", ">", "<=", ">=") else IsNull(ref)
        found: Filter = Compare(ref, operator, converted)
        if operator in ("=", "!=") and bool(value) == (operator == "!="):
            found = some((found, IsNull(ref)))
        if self.is_number(field) and _admits_zero(operator, converted):
            found = some((found, IsNull(ref)))
        return found

    def _id_value(self, field: Field, value: Any) -> Any:
        return column_value(field, value)

    def _like(self, field: Field, ref: Ref, operator: str, value: Any, env: Env) -> Filter:
        if operator in _WILDCARD and not value:
            return NEVER if operator in NEGATIVE else ALWAYS
        text = f"%{value}%" if operator in _WILDCARD else str(column_value(field, value))
        fold = operator.endswith("ilike")
        found: Filter = Like(ref, text, fold, fold and env.facts.unaccent, cast=not self.is_text(field))
        if operator in NEGATIVE:
            return some((No(found), IsNull(ref)))
        return found if value else some((found, IsNull(ref)))

    def _among(self, field: Field, ref: Ref, positive: bool, values: Sequence[Any]) -> Filter:
        kept = [v for v in values if v is not False]
        with_null = len(kept) < len(values)
        if field.type == "boolean":
            kept = [True] if any(kept) else []
            if with_null:
                kept.append(False)
        elif self.is_number(field):
            if with_null and 0 not in kept:
                kept.append(0)
            with_null = with_null or 0 in kept
        elif self.is_text(field):
            if with_null and "" not in kept:
                kept.append("")
            with_null = with_null or "" in kept
        converted = [column_value(field, v) for v in kept]
        if any(v is None for v in converted):
            converted = [v for v in converted if v is not None]
        found = self.one_of(ref, converted)
        if positive:
            return some((found, IsNull(ref))) if with_null else found
        if with_null:
            return every((_negated(found), No(IsNull(ref))))
        return some((_negated(found), IsNull(ref)))


def _normal(condition: Condition) -> tuple[str, Any]:
    operator, value = condition.operator, condition.value
    if isinstance(value, bool) and operator in ("in", "not in"):
        operator = "=" if operator == "in" else "!="
    if isinstance(value, tuple) and operator in ("=", "!="):
        operator = "in" if operator == "=" else "not in"
    return operator, value


def _castable(path: str, field: Field, operator: str, value: Any) -> list[Domain]:
    """The condition with its value read as the field's type; none where that is impossible."""
    try:
        if isinstance(value, tuple):
            return [Condition(path, operator, tuple(column_value(field, v) for v in value))]
        return [Condition(path, operator, column_value(field, value))]
    except InvalidValue:
        return []


def _within(ref: Ref, rows: RowSet) -> Filter:
    if isinstance(rows, Ids) and not rows.ids:
        return NEVER
    return Within(ref, rows)


def _negated(found: Filter) -> Filter:
    if found == NEVER:
        return ALWAYS
    return NEVER if found == ALWAYS else No(found)


def _points_by_number(inverse: Field) -> bool:
    return inverse.type in ("integer", "many2one_reference")


def _admits_zero(operator: str, value: Any) -> bool:
    """Whether 0, and so NULL, satisfies the comparison."""
    return (
        (operator == ">=" and value <= 0)
        or (operator == "<=" and value >= 0)
        or (operator == "<" and value > 0)
        or (operator == ">" and value < 0)
    )
