"""Named implementations for products and stock: searches by name and by code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from vallum.domain.ast import Condition, Domain, all_of, any_of
from vallum.domain.env import Env
from vallum.domain.lower import NEGATIVE, Lowering
from vallum.domain.named import DisplayName, FieldAccess, FieldDomain, Search, SearchMethod
from vallum.domain.named.base import plain
from vallum.schema import Model


def product_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Products: by name, internal reference, exact barcode, or a reference in brackets."""
    parts: list[Domain] = [Condition("name", operator, value), Condition("default_code", operator, value)]
    if operator in NEGATIVE:
        return lowering.joined_names(parts, operator)
    texts = value if isinstance(value, tuple) else (value,)
    if operator in ("=", "in") or operator.endswith("like"):
        parts.append(Condition("barcode", "in", tuple(texts)))
    if operator in ("=", "in"):
        found = (re.search(r"\[(.*?)\]", t) for t in texts if isinstance(t, str))
        parts.extend(Condition("default_code", "=", match[1]) for match in found if match)
    return any_of(parts)


def template_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Product templates: by their own name or by that of a variant."""
    plain = lowering.plain_display_name(model, operator, value, env)
    if not value:
        return plain
    return lowering.joined_names((plain, Condition("product_variant_ids", operator, value)), operator)


def picking_type_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Operation types: by name, or as `Warehouse: Type`."""
    plain = lowering.plain_display_name(model, operator, value, env)
    parts = value.split(": ") if isinstance(value, str) else []
    if len(parts) != 2:
        return plain
    warehouse, name = parts
    both = (Condition("warehouse_id.name", operator, warehouse), Condition("name", operator, name))
    return any_of((plain, all_of(both)))


METHODS: Final[Mapping[str, SearchMethod]] = {}
DISPLAY_NAMES: Final[Mapping[str, DisplayName]] = {
    "product.product": product_name,
    "product.template": template_name,
    "stock.picking.type": picking_type_name,
}
SEARCHES: Final[Mapping[str, Search]] = {"product.product": plain, "stock.quant": plain}
FIELD_DOMAINS: Final[Mapping[str, FieldDomain]] = {}
COLUMNS: Final[Mapping[str, str]] = {}
FIELD_ACCESS: Final[Mapping[str, FieldAccess]] = {}
# Whose code is known, by model.
MODULES: Final[Mapping[str, str]] = {
    "product.product": "product",
    "product.template": "product",
    "stock.picking.type": "stock",
    "stock.quant": "stock",
}
