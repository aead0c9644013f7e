"""Display names: what a record is called where another one points to it.

The name is the value of the model's `rec_name`, in the actor's language. Models that
compute it in code are inexact, see `inexact_names`.
Invariant: a name shows only where the actor may read the record and the field that
names it; `names="always"` reads names as superuser, as Odoo's `read` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.sql import ColumnElement

from vallum.domain import Env, root
from vallum.domain.filter import ALWAYS, Row
from vallum.domain.sql import Scope
from vallum.enforce.query.eyes import Eyes, among, batches, own_id
from vallum.kernel import AccessDenied, InvalidValue, UnsupportedDomain
from vallum.schema import TEXT_TYPES, Field, Model

__all__ = ["Names", "check_names", "inexact_names", "name_field", "name_value", "names_of"]

Names: TypeAlias = bool | Literal["always"]

# Overridden by code that says what a stored field holds too.
_NAMED_BY: Final[Mapping[str, str]] = {
    "hr.department": "complete_name",
    "product.category": "complete_name",
    "res.partner": "complete_name",
}
_DEEPEST: Final = 4


def check_names(names: Names) -> Names:
    """The choice of names, checked.

    Raises: InvalidValue.
    """
    if names is True or names is False or names == "always":
        return names
    raise InvalidValue(f"names are {names!r:.60}", fix='give True, False or "always"')


def inexact_names(model: Model) -> tuple[str, ...]:
    """The modules whose code names the model's records otherwise; none where names are exact."""
    if model.name in _NAMED_BY and name_field(model) is model.fields.get(_NAMED_BY[model.name]):
        return ()
    return model.overrides.get("_compute_display_name", ())


def name_field(model: Model) -> Field | None:
    """The field that names records of the model; None: they are called `model,id`."""
    for name in (_NAMED_BY.get(model.name), model.rec_name):
        field = model.fields.get(name or "")
        if field is not None and (field.stored or name == model.rec_name):
            return field
    return None


def name_value(eyes: Eyes, scope: Scope, model: Model, env: Env, row: Row, depth: int = 0) -> Any:
    """The name of a row as SQL.

    Raises: AccessDenied (the field that names it is shut), UnsupportedDomain.
    """
    lowering = eyes.application.lowering
    field = name_field(model)
    if field is None or depth > _DEEPEST:
        own = scope.ref(lowering.id_ref(row))
        return sa.func.concat(sa.bindparam(None, f"{model.name},", sa.Text()), sa.cast(own, sa.Text()))
    if env.access is not None:
        env.access.check_field(field)
    if field.type == "many2one":
        comodel, joined = lowering.joined(field, env, row)
        return name_value(eyes, scope, comodel, env, joined, depth + 1)
    value: ColumnElement[Any] = scope.ref(lowering.ref(field, env, row))
    return value if field.type in TEXT_TYPES else sa.cast(value, sa.Text())


def names_of(eyes: Eyes, model: str, ids: Iterable[int], names: Names) -> dict[int, str | bool]:
    """The names of these records, False for an empty one; those not to be shown are left out."""
    wanted = sorted(set(ids))
    if not wanted or model not in eyes.application.schema.models:
        return {}
    target = eyes.model(model)

    def build(env: Env) -> sa.Select[Any]:
        every = env.with_active_test(False)
        seeing = every.sudo() if names == "always" else every
        scope = Scope(root(target))
        where = scope.where(ALWAYS if names == "always" else eyes.every_record(target, every))
        name = name_value(eyes, scope, target, seeing, scope.root)
        statement = sa.select(own_id(scope), name).select_from(scope.from_clause())
        return statement.where(where, among(own_id(scope)))

    try:
        statement = eyes.prepared(("names", model, names), build)
    except (AccessDenied, UnsupportedDomain):
        return {}
    return {i: name or False for some in batches(wanted) for i, name in eyes.rows(statement, ids=some)}
