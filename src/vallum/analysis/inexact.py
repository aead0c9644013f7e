"""Which models code decides about, beside rights and rules.

Pure. Odoo lets a module override how a model is searched and who may read it. Where
Vallum has an implementation of such code it uses it in searches; verdicts that rest on
rights and rules alone are then still not the whole truth, and say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vallum.schema import Model, Schema

__all__ = ["ACCESS_METHODS", "inexact_models", "inexactness"]

# Searching by name and the names that are shown are left out: they decide about nobody.
ACCESS_METHODS: Final = frozenset(
    {
        "_search",
        "_where_calc",
        "_apply_ir_rules",
        "_table_query",
        "_check_access",
        "check_access",
        "has_access",
        "_filtered_access",
        "_filter_access_rules",
        "_filter_access_rules_python",
        "check_access_rights",
        "check_access_rule",
        "check_field_access_rights",
        "_has_field_access",
        "_check_field_access",
    }
)
# Overriding the engine itself makes every model inexact.
ENGINE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "ir.model.access": frozenset({"check", "_get_allowed_models"}),
        "ir.rule": frozenset({"_compute_domain", "_eval_context", "_get_rules"}),
        "res.users": frozenset({"_get_group_ids", "_has_group", "has_group"}),
    }
)


def inexact_models(schema: Schema) -> Mapping[str, tuple[str, ...]]:
    """The models whose access code decides as well, each with the reasons."""
    found = {name: inexactness(schema, model) for name, model in schema.models.items()}
    return MappingProxyType({name: reasons for name, reasons in found.items() if reasons})


def inexactness(schema: Schema, model: Model) -> tuple[str, ...]:
    """Why what rights and rules say about a model may not be all; empty where it is.

    The parents a model inherits from by delegation count: their rules hold as well.
    """
    reasons = [
        reason
        for name, methods in ENGINE.items()
        if name in schema
        for reason in _reasons(schema.model(name), methods)
    ]
    todo, seen = [model], {model.name}
    while todo:
        current = todo.pop(0)
        reasons.extend(_reasons(current, ACCESS_METHODS))
        parents = [p for p in current.inherits if p in schema and p not in seen]
        seen.update(parents)
        todo.extend(schema.model(p) for p in parents)
    return tuple(reasons)


def _reasons(model: Model, methods: frozenset[str]) -> list[str]:
    return [
        f"`{method}` of `{model.name}` is code of {', '.join(f'`{m}`' for m in model.overrides[method])}"
        for method in sorted(methods & model.overrides.keys())
    ]
