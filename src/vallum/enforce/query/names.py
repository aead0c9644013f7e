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
from vallum.enforce.query.eyes import CHUNK, Eyes, among, batches, own_id
from vallum.kernel import AccessDenied, InvalidValue, UnsupportedDomain
from vallum.schema import TEXT_TYPES, Field, Model

__all__ = ["Names", "check_names", "inexact_names", "name_field", "name_value", "names_of", "names_of_all"]

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
        return _naming(eyes, target, env, names)

    try:
        statement = eyes.prepared(("names", model, names), build)
    except (AccessDenied, UnsupportedDomain):
        return {}
    return {i: name or False for some in batches(wanted) for i, name in eyes.rows(statement, ids=some)}


def names_of_all(
    eyes: Eyes, wanted: Mapping[str, Iterable[int]], names: Names
) -> Mapping[str, Mapping[int, str | bool]]:
    """As `names_of`, for several models; in one statement where no rule is part of it.

    Rules may bring expressions that are named by where they stand, and two statements would share the names.
    """
    ids = {model: sorted(set(found)) for model, found in wanted.items()}
    models = [m for m, found in ids.items() if found and m in eyes.application.schema.models]
    if names != "always" or len(models) < 2 or any(len(ids[model]) > CHUNK for model in models):
        return {model: names_of(eyes, model, ids[model], names) for model in models}

    def build(env: Env) -> sa.CompoundSelect[Any]:
        return sa.union_all(
            *(_naming(eyes, eyes.model(model), env, names, place) for place, model in enumerate(models))
        )

    try:
        statement = eyes.prepared(("names", *models, names), build)
    except (AccessDenied, UnsupportedDomain):
        # One of them has no names to show; the others may have.
        return {model: names_of(eyes, model, ids[model], names) for model in models}
    known: dict[str, dict[int, str | bool]] = {model: {} for model in models}
    bound = {f"ids_{place}": ids[model] for place, model in enumerate(models)}
    for i, name, place in eyes.rows(statement, **bound):
        known[models[place]][i] = name or False
    return known


def _naming(eyes: Eyes, target: Model, env: Env, names: Names, place: int | None = None) -> sa.Select[Any]:
    """Ids and names of a model's records; with a place, that as well, and ids and names of one type."""
    every = env.with_active_test(False)
    seeing = every.sudo() if names == "always" else every
    scope = Scope(root(target))
    where = scope.where(ALWAYS if names == "always" else eyes.every_record(target, every))
    own, name = own_id(scope), name_value(eyes, scope, target, seeing, scope.root)
    start = scope.from_clause()
    if place is None:
        return sa.select(own, name).select_from(start).where(where, among(own))
    columns: tuple[ColumnElement[Any], ...] = (
        sa.cast(own, sa.BigInteger()),
        sa.cast(name, sa.Text()),
        sa.literal_column(str(place)),
    )
    return sa.select(*columns).select_from(start).where(where, among(own, f"ids_{place}"))
