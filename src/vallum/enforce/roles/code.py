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


def hidden_by_code(model: Model, named: Named) -> str | None:
    """Why record rules alone do not tell who sees a model's records; None where they do."""
    search = named.searches.get(model.name)
    if search is None:
        by = model.overrides.get("_search") or model.overrides.get("_check_access")
        return f"code of {', '.join(by)} decides who sees its records" if by else None
    if search is plain or model.name in _HARMLESS:
        return None
    return "code of its module decides with the record rules who sees its records"
