"""What a call learns of watched models by what it searches, sorts and groups by, or reads through a path.

Pure. A condition on `order_id.employee_id.salary` tells salaries as well as reading them does. Not among it:
what every reader of a record sees of others, which is their ids and the names behind a many2one; and what
record rules read, which nobody has chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from vallum.domain import Domain, conditions, parse
from vallum.domain.parse import ANY_OPERATORS
from vallum.enforce.query.order import parse_order
from vallum.kernel import VallumError
from vallum.schema import Schema

__all__ = ["Reach"]

_DEEPEST: Final = 16
# What a record's id tells is told by its being found.
_IDS: Final = frozenset({"id", "__count"})


@dataclass(frozen=True, slots=True)
class Reach:
    """Follows names of fields; `found`: the fields of watched models that were reached, with their paths."""

    schema: Schema
    watched: frozenset[str]
    found: dict[str, dict[str, str]] = field(default_factory=dict)

    def names(self, model: str, names: Iterable[str]) -> None:
        """Fields that are read or grouped by, as `field` or `field:granularity`; related ones lead on."""
        for name in names:
            self._follow(model, name.partition(":")[0].split("."), name)

    def order(self, model: str, order: str | None) -> None:
        """Fields that records are sorted by."""
        for term in parse_order(order) if isinstance(order, str) else ():
            self._follow(model, [term.field], term.field)

    def domain(self, model: str, domain: Any) -> None:
        """Fields that records are searched by, through paths and the domains of `any`."""
        try:
            parsed = parse(domain)
        except VallumError:
            # Whoever was asked has refused it already, or knows more than this.
            return
        self._conditions(model, parsed, "")

    def _conditions(self, model: str, domain: Domain, before: str) -> None:
        for condition in conditions(domain):
            path = before + condition.path
            end = self._follow(model, condition.path.split("."), path)
            if condition.operator in ANY_OPERATORS and end is not None:
                self._conditions(end, condition.value, f"{path}.")

    def _follow(self, model: str, steps: list[str], path: str, depth: int = 0) -> str | None:
        """The model at the end of the steps, where they lead to one."""
        at: str | None = model
        for step in steps:
            known = self.schema.models.get(at or "")
            found = known.fields.get(step) if known is not None else None
            if found is None or at is None:
                return None
            if at in self.watched and step not in _IDS:
                self.found.setdefault(at, {}).setdefault(step, path)
            if found.related and depth < _DEEPEST:
                self._follow(at, list(found.related), path, depth + 1)
            at = found.comodel
        return at

    def beyond(self, model: str) -> Iterator[tuple[str, dict[str, str]]]:
        """What was reached of other models than this one."""
        return ((other, fields) for other, fields in sorted(self.found.items()) if other != model)
