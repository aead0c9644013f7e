"""Lower domains as Odoo 19 reads them.

Pure. Odoo 19 rewrites a domain to few operators (`in`, inequalities, `like`, `any`),
then reads it: NULL counts as the field's falsy value, negation is IS NOT TRUE, moments
are whole seconds, records are compared through `any`.
Source: behaviour of Odoo 19.0, held against its own answers; docs/design/domain.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from vallum.domain.ast import (
    FALSE,
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
    Compare,
    Filter,
    Holds,
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
from vallum.domain.rewrite19 import falsy, opposite, settled, settled_not
from vallum.domain.values import (
    column_value,
)
from vallum.kernel import InvalidValue, UnknownField, UnknownOperator, UnsupportedDomain
from vallum.schema import NUMBER_TYPES, Field, Model

__all__ = ["Lowering19"]

_INEQUALITY: Final = {"<": ">=", ">": "<=", ">=": "<", "<=": ">"}
_ANY: Final = frozenset({"any", "not any", "any!", "not any!"})


class Lowering19(Lowering):
    """Odoo 19."""

    def plain_search(
        self, model: Model, domain: Domain, env: Env, *, active_test: bool = True, bypass: bool = False
    ) -> Filter:
        if env.access is not None and not bypass:
            env.access.check_model(model)
        at = root(model)
        if active_test and self.active_condition(model, domain, env):
            domain = all_of((domain, Condition(model.active_name or "", "=", True)))
        rewritten = settled(model, domain, env)
        if rewritten == FALSE:
            return NEVER
        where = self._lower(model, rewritten, env, at)
        if env.access is not None and not bypass:
            where = every((where, env.access.rules(model, env)))
        return where

    def lower(self, model: Model, domain: Domain, env: Env, row: Row) -> Filter:
        return self._lower(model, settled(model, domain, env), env, row)

    def unset_per_company(self, field: Field) -> Any:
        return 0 if field.type in NUMBER_TYPES else None

    def uses_parent_path(self, model: Model, parent: str | None) -> bool:
        return parent is None or parent == model.parent_name

    # then: read

    def _lower(self, model: Model, domain: Domain, env: Env, row: Row) -> Filter:
        match domain:
            case Constant(value):
                return ALWAYS if value else NEVER
            case And(children):
                return every([self._lower(model, c, env, row) for c in children])
            case Or(children):
                return some([self._lower(model, c, env, row) for c in children])
            case Not(child):
                return Holds(self._lower(model, child, env, row), False)
            case Condition():
                return self._condition(model, domain, env, row)

    def _condition(self, model: Model, condition: Condition, env: Env, row: Row) -> Filter:
        field = model.field(condition.head)
        operator, value = condition.operator, condition.value
        if field.inherited:
            return self._inherited(model, field, condition, env, row)
        if not field.stored and str(field) not in env.named.columns:
            return self._unstored(condition, field, model, env, row)
        if has_open(value) and operator not in ("child_of", "parent_of"):
            opened = Condition(field.name, operator, value)
            return self.opened(field, opened, lambda c: self._lower(model, settled(model, c, env), env, row))
        if operator in ("child_of", "parent_of"):
            return self._hierarchy(model, field, condition, env, row)
        if condition.rest:
            return self._beyond(field, condition, env, row)
        if field.type == "boolean" and operator in ("in", "not in"):
            wanted = {True} if value == (True,) else {False} if value == (False,) else {True, False}
            if len(wanted) == 2:
                return ALWAYS if operator == "in" else NEVER
            true = Compare(self.ref(field, env, row), "=", True)
            return Holds(true, (True in wanted) == (operator == "in"))
        if operator in _ANY and not is_rows(value):
            if field.type == "many2one":
                return self._many2one_any(field, operator, value, env, row)
            return self._x2many_any(field, operator, value, env, row)
        if field.x2many:
            return self._x2many_in(field, operator, value, env, row)
        if field.type == "binary" and field.column is None:
            if operator not in ("in", "not in") or value != (False,):
                raise UnsupportedDomain(
                    f"`{field}` is kept as an attachment: only whether it is set can be searched"
                )
            found = self.attachment(field, env, row)
            return No(found) if operator == "in" else found
        return self._plain(field, operator, value, env, row)

    def _inherited(self, model: Model, field: Field, condition: Condition, env: Env, row: Row) -> Filter:
        """An inherited field is one of the parent's, reached without restriction."""
        link = model.field(field.related[0])
        return self._many2one_any(
            replace(link, auto_join=True),
            "any",
            settled(self.comodel(link, env), condition, env),
            env,
            row,
        )

    def _beyond(self, field: Field, condition: Condition, env: Env, row: Row) -> Filter:
        if field.type in ("date", "datetime") and "." not in condition.rest:
            ref = self.date_part(field, condition.rest, env, row)
            if condition.operator in _INEQUALITY and isinstance(condition.value, int | float):
                return Compare(ref, condition.operator, condition.value)
            if condition.operator in ("in", "not in") and all(
                isinstance(v, int) and not isinstance(v, bool) for v in condition.value
            ):
                found = self.one_of(ref, condition.value)
                return found if condition.operator == "in" else some((No(found), IsNull(ref)))
            raise UnsupportedDomain(f"`{condition.operator}` on a part of `{field}`")
        if field.type == "properties":
            raise UnsupportedDomain(f"properties cannot be searched yet (`{field}`)")
        raise UnknownField(f"`{condition.path}` goes on behind `{field}`, which leads to no other model")

    def _many2one_any(self, field: Field, operator: str, value: Domain, env: Env, row: Row) -> Filter:
        comodel, at = self.joined(field, env, row)
        positive = operator in ("any", "any!")
        ref = at.via
        if operator.endswith("!") or field.auto_join:
            where = self._lower(comodel, value, env, at)
            if positive:
                return every((No(IsNull(ref)), where))
            return some((IsNull(ref), self._lower(comodel, opposite(comodel, value), env, at)))
        rows = self.select(comodel, self.search(comodel, value, env, active_test=False))
        return _within(ref, rows) if positive else some((IsNull(ref), _negated(_within(ref, rows))))

    def _x2many_any(self, field: Field, operator: str, value: Domain, env: Env, row: Row) -> Filter:
        if env.access is not None:
            env.access.check_field(field)
        comodel = self.comodel(field, env)
        inner = env.through(field)
        parts = [value, self.field_domain(field, env)]
        if field.type == "one2many":
            _, inverse = self.inverse(field, env)
            if not inverse.required:
                parts.insert(1, Condition(inverse.name, "not in", (False,)))
        bypass = field.auto_join or operator.endswith("!")
        where = self.search(comodel, all_of(parts), inner, bypass=bypass)
        return self._x2many_rows(field, operator in ("any", "any!"), self.select(comodel, where), env, row)

    def _x2many_in(self, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        if env.access is not None:
            env.access.check_field(field)
        comodel = self.comodel(field, env)
        inner = env.sudo().with_active_test(False)
        positive = operator in ("in", "any", "any!")
        if is_rows(value):
            return self._x2many_rows(
                field, positive, self._in_field_domain(field, comodel, value, inner), env, row
            )
        if operator not in ("in", "not in"):
            raise UnknownOperator(f"`{operator}` does not apply to `{field}`, a {field.type}")
        ids = self.ids(field, value)
        parts: list[Filter] = []
        if False in value:
            whole = self.search(comodel, self.field_domain(field, env), env.sudo().with_active_test(False))
            parts.append(self._x2many_rows(field, not positive, self.select(comodel, whole), env, row))
        if ids or False not in value:
            rows = self._in_field_domain(field, comodel, Ids(ids), inner)
            parts.append(self._x2many_rows(field, positive, rows, env, row))
        return some(parts) if positive else every(parts)

    def _in_field_domain(self, field: Field, comodel: Model, rows: RowSet, env: Env) -> RowSet:
        domain = self.field_domain(field, env)
        if domain == TRUE or (isinstance(rows, Ids) and not rows.ids):
            return rows
        at = root(comodel)
        where = every((_within(self.id_ref(at), rows), self.lower(comodel, domain, env, at)))
        return self.select(comodel, where)

    def _x2many_rows(self, field: Field, positive: bool, rows: RowSet, env: Env, row: Row) -> Filter:
        """Rows linked to one of `rows`, or to none."""
        if isinstance(rows, Ids) and not rows.ids:
            return NEVER if positive else ALWAYS
        if field.type == "many2many":
            found = self.relation(
                field, row, None if isinstance(rows, Select) and rows.where == ALWAYS else rows
            )
            return found if positive else No(found)
        comodel, inverse = self.inverse(field, env)
        if not (inverse.stored or inverse.related):
            raise UnsupportedDomain(f"the inverse `{inverse}` of `{field}` is computed in code")
        at = root(comodel)
        ref = self.ref(inverse, env.sudo(), at)
        where = rows.where if isinstance(rows, Select) else _within(self.id_ref(at), rows)
        found = Within(self.id_ref(row), Select(ref, every((where, No(IsNull(ref))))))
        return found if positive else No(found)

    def _hierarchy(self, model: Model, field: Field, condition: Condition, env: Env, row: Row) -> Filter:
        if condition.value is False:
            return NEVER
        up = condition.operator == "parent_of"
        if field.name == "id":
            comodel, inner = model, env
        elif field.type == "many2one":
            comodel, inner = self.comodel(field, env), env.with_active_test(False)
        elif field.x2many:
            comodel, inner = self.comodel(field, env), env.through(field)
        else:
            raise UnknownOperator(f"`{condition.operator}` does not apply to `{field}`, a {field.type}")
        same = comodel.name == model.name
        parent = field.name if same and field.name != "id" else None
        on_id = field.name == "id" or (same and field.type == "many2one")
        seeds = self._seeds(field, comodel, condition.value, inner)
        if isinstance(seeds, Ids) and not seeds.ids:
            return NEVER
        rows = self.hierarchy(comodel, seeds, env, up=up, parent=parent)
        if on_id:
            return _within(self.id_ref(row), rows)
        by_path = comodel.parent_store and self.uses_parent_path(comodel, parent) and not up
        target = Condition(
            field.name, "any!" if by_path else "in", Condition("id", "in", rows) if by_path else rows
        )
        return self._condition(model, target, env, row)

    def _seeds(self, field: Field, comodel: Model, value: Any, env: Env) -> RowSet:
        if is_rows(value):
            return value
        opened = self.open_seeds(value)
        if opened is not None:
            return opened
        values = value if isinstance(value, tuple) else (value,)
        self.search(comodel, FALSE, env)  # Odoo searches even where it has ids: access is checked
        ids = self.ids(field, [v for v in values if not isinstance(v, str)])
        searched: list[Domain] = [Condition("display_name", "ilike", v) for v in values if isinstance(v, str)]
        if field.type == "many2many" and ids:
            searched.append(Condition("id", "in", ids))
            ids = ()
        if not searched:
            return Ids(ids)
        at = root(comodel)
        found = self.search(comodel, any_of(searched), env)
        if ids:
            found = some((found, _within(self.id_ref(at), Ids(ids))))
        return self.select(comodel, found)

    # names and fields that are not stored

    def plain_display_name(self, model: Model, operator: str, value: Any, env: Env) -> Domain:
        fields = self.names_searched(model)
        if not fields:
            return TRUE
        if operator.endswith("like") and not value and "=" not in operator:
            return FALSE if operator in NEGATIVE else TRUE
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

    def _unstored(self, condition: Condition, field: Field, model: Model, env: Env, row: Row) -> Filter:
        """Search methods know positive operators; a negative one is the opposite of its positive."""
        operator, value = condition.operator, condition.value
        if operator not in NEGATIVE:
            return self.unstored(condition, field, model, env, row)
        positive = Condition(condition.path, POSITIVE[operator], value)
        if field.name == "display_name":
            try:
                return self.unstored(condition, field, model, env, row)
            except UnsupportedDomain:
                domain = self.display_name(model, positive.operator, value, env)
                return self._lower(model, settled_not(model, domain, env), env, row)
        if field.related:
            if _asks_for_null(field, value):
                return self.unstored(condition, field, model, env, row)
            return self._lower(model, settled_not(model, self.related(positive, field, env), env), env, row)
        return Holds(self.unstored(positive, field, model, env, row), False)

    def related(self, call: Condition, field: Field, env: Env) -> Domain:
        value = call.value
        can_be_null = _asks_for_null(field, value) and call.operator not in NEGATIVE
        model = env.schema.model(field.model)
        steps: list[Field] = []
        for name in field.related[:-1]:
            steps.append(model.field(name))
            model = self.comodel(steps[-1], env)
        domain: Domain = Condition(field.related[-1], call.operator, value)
        for step in reversed(steps):
            domain = Condition(step.name, "any!", domain)
            if can_be_null and step.type == "many2one" and not step.required:
                domain = any_of((domain, Condition(step.name, "=", False)))
        return domain

    # columns

    def column_condition(self, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        if operator in ("=", "!="):
            operator, value = "in" if operator == "=" else "not in", (value,)
        return self._plain(field, operator, value, env, row)

    def _plain(self, field: Field, operator: str, value: Any, env: Env, row: Row) -> Filter:
        ref = self.ref(field, env, row)
        if is_rows(value):
            found = _within(ref, value)
            if operator in ("in", "any", "any!"):
                return found
            return some((IsNull(ref), _negated(found)))
        if operator in ("in", "not in"):
            return self._among(field, ref, operator == "in", value)
        if operator.endswith("like"):
            fold = operator.endswith("ilike")
            pattern = value if "=" in operator else f"%{value}%"
            like = Like(ref, str(pattern), fold, fold and env.facts.unaccent, cast=not self.is_text(field))
            return some((No(like), IsNull(ref))) if operator in NEGATIVE else like
        return self._compared(field, ref, operator, value)

    def _among(self, field: Field, ref: Ref, positive: bool, values: Sequence[Any]) -> Filter:
        kept = [column_value(field, v) for v in values if v is not False]
        kept = [v for v in kept if v is not None]
        with_null = len(kept) < len(values)
        null = falsy(field)
        if null is not None:
            if null in kept:
                with_null = True
            elif with_null:
                kept.append(column_value(field, null))
        found = self.one_of(ref, kept)
        if positive:
            return some((found, IsNull(ref))) if with_null else found
        if with_null:
            return No(found) if kept else No(IsNull(ref))
        return some((_negated(found), IsNull(ref)))

    def _compared(self, field: Field, ref: Ref, operator: str, value: Any) -> Filter:
        null = falsy(field)
        converted = column_value(field, value)
        if converted is None:
            return NEVER
        found: Filter = Compare(ref, operator, converted)
        if null is not None:
            holds: dict[str, Callable[[Any, Any], bool]] = {
                "<": lambda a, b: a < b,
                ">": lambda a, b: a > b,
                "<=": lambda a, b: a <= b,
                ">=": lambda a, b: a >= b,
            }
            if holds[operator](null, converted):
                found = some((found, IsNull(ref)))
        return found


def _asks_for_null(field: Field, value: Any) -> bool:
    """Whether a value, or one of a list, is what counts as nothing in the field."""
    values = value if isinstance(value, tuple) else (value,)
    null = falsy(field)
    return any(v is False or (null is not None and not is_rows(v) and v == null) for v in values)


def _castable(path: str, field: Field, operator: str, value: Any) -> list[Domain]:
    try:
        values = value if isinstance(value, tuple) else (value,)
        converted = tuple(v if v is False else column_value(field, v) for v in values)
    except InvalidValue:
        return []
    return [Condition(path, operator, converted if isinstance(value, tuple) else converted[0])]


def _within(ref: Ref, rows: RowSet) -> Filter:
    if isinstance(rows, Ids) and not rows.ids:
        return NEVER
    return Within(ref, rows)


def _negated(found: Filter) -> Filter:
    if found == NEVER:
        return ALWAYS
    return NEVER if found == ALWAYS else No(found)
