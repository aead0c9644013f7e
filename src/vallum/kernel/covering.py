"""Names of models as a key gives them: one, or all that begin so."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["covered"]


def covered(model: str, names: Iterable[str]) -> bool:
    """Whether a model is one of those named; `sale.*` names all below `sale`.

    >>> covered("sale.order", ["res.users", "sale.*"]), covered("sales.order", ["sale.*"])
    (True, False)
    """
    return any(model == name or (name.endswith(".*") and model.startswith(name[:-1])) for name in names)
