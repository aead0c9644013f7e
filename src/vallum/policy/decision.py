"""Verdicts: allowed or refused, with every reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from vallum.domain.ast import Domain
from vallum.domain.expression import depends_on_time
from vallum.kernel import Operation
from vallum.policy.model import AccessRight, RecordRule

__all__ = ["AppliedRule", "Decision", "Scope"]


class _NoTruth:
    """A verdict is asked for its parts; as a condition it would always be true."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is no truth value; ask for `.allowed` or its like")


@dataclass(frozen=True, slots=True)
class Decision(_NoTruth):
    """Whether an access right grants an operation on a model.

    `granting` are the rights that do; `would_grant` those of other groups.
    """

    allowed: bool
    operation: Operation
    model: str
    granting: tuple[AccessRight, ...] = ()
    would_grant: tuple[AccessRight, ...] = ()
    superuser: bool = False


@dataclass(frozen=True, slots=True)
class AppliedRule:
    """A record rule bound to an actor."""

    rule: RecordRule
    domain: Domain


@dataclass(frozen=True, slots=True)
class Scope(_NoTruth):
    """The records of a model that an actor may touch: the bound domain and where it comes from.

    All of `global_rules` must hold, one of `group_rules` where there is any, and the
    scopes of `parents` (by the field that delegates to them). `domain` says all that.
    """

    model: str
    operation: Operation
    domain: Domain
    restricted: bool
    global_rules: tuple[AppliedRule, ...] = ()
    group_rules: tuple[AppliedRule, ...] = ()
    parents: tuple[tuple[str, Scope], ...] = ()
    superuser: bool = False

    @property
    def depends_on_time(self) -> bool:
        """Whether a rule mentions the present moment, so that the scope must not be kept."""
        rules = (*self.global_rules, *self.group_rules)
        return any(depends_on_time(r.rule.domain) for r in rules) or any(
            parent.depends_on_time for _, parent in self.parents
        )
