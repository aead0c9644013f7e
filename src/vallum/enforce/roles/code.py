"""Models whose own code takes part in who sees a record: rows the database alone cannot tell.

Pure.
"""

from __future__ import annotations

from typing import Final

from vallum.domain import Named
from vallum.domain.named.base import plain
from vallum.schema import Model

__all__ = ["hidden_by_code"]

# Code that hides nothing from whoever may read the model: it serves those who may not, or rewrites names.
_HARMLESS: Final = frozenset({"hr.employee", "account.tax"})
# The module whose code is known to hide nothing: another module's code on top of it is not.
_KNOWN: Final = {
    "account.tax": "account",
    "hr.employee": "hr",
    "hr.leave.type": "hr_holidays",
    "mail.blacklist": "mail",
    "product.product": "product",
    "res.groups": "base",
    "res.users": "base",
    "stock.quant": "stock",
}


def hidden_by_code(model: Model, named: Named) -> str | None:
    """Why record rules alone do not tell who sees a model's records; None where they do."""
    search = named.searches.get(model.name)
    by = {m for method in ("_search", "_check_access") for m in model.overrides.get(method, ())}
    if model.name in _KNOWN:
        by.discard(_KNOWN[model.name])
    if by and (search is None or model.name in _KNOWN):
        return f"code of {', '.join(sorted(by))} decides who sees its records"
    if search is None or search is plain or model.name in _HARMLESS:
        return None
    return "code of its module decides with the record rules who sees its records"
