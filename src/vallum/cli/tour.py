"""What `vallum demo` shows: who sees how much of the example company, and why. Data only.

Whoever is named here is in `examples/trading/people.py`, for every seed and size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vallum.kernel import Operation

if TYPE_CHECKING:
    from vallum.analysis import Explanation
    from vallum.facade import Session, Vallum

__all__ = ["CAST", "Question", "Row", "Tour", "Why", "look"]

# Login, and in a word or two who that is.
CAST: Final[Mapping[str, str]] = {
    "marie": "sells",
    "paul": "sales support",
    "isabel": "director",
    "olaf": "warehouse",
    "helene": "head of HR",
    "bruno": "customer",
    "public": "visitor",
}
_MODELS: Final = (
    "crm.lead",
    "sale.order",
    "account.move",
    "purchase.order",
    "stock.move",
    "project.task",
    "hr.employee",
    "res.partner",
    "product.product",
)
_SHOWN: Final = "crm.lead"


@dataclass(frozen=True, slots=True)
class Row:
    """How many records of a model there are, and how many each sees; None: the model is shut."""

    model: str
    name: str
    total: int
    seen: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Why:
    """Why somebody sees that many records of the model that is looked at more closely.

    `every` rules hold all, of the `some` one does; `needs` are the groups that would open it.
    """

    login: str
    every: tuple[str, ...]
    some: tuple[str, ...]
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A question to `vallum access explain`, and its answer."""

    login: str
    operation: str
    model: str
    record: int
    field: str | None
    answer: Explanation

    @property
    def command(self) -> str:
        """The command that asks it."""
        parts = ["vallum access explain", self.login, self.operation, self.model, str(self.record)]
        return " ".join([*parts, *(["--field", self.field] if self.field else [])])


@dataclass(frozen=True, slots=True)
class Tour:
    """All that is shown."""

    size: Mapping[str, int]
    rows: tuple[Row, ...]
    closer: str
    whys: tuple[Why, ...]
    questions: tuple[Question, ...]

    def as_dict(self) -> dict[str, Any]:
        """The tour, ready for JSON."""
        return {
            "size": dict(self.size),
            "records": [{"model": r.model, "total": r.total, "seen": dict(r.seen)} for r in self.rows],
            "questions": [{"command": q.command, **q.answer.as_dict()} for q in self.questions],
        }


def look(company: Vallum) -> Tour:
    """Look around in the example company."""
    eyes = {login: company.as_user(login, company.users.find(login).company_ids) for login in CAST}
    everything = company.sudo()
    rows = [
        Row(
            name,
            company.schema.model(name).description,
            everything.search_count(name),
            {login: _count(session, name) for login, session in eyes.items()},
        )
        for name in _MODELS
    ]
    policy = company.policy
    size = {
        "models": len(company.schema.models),
        "records": sum(everything.search_count(m, active_test=False) for m in company.schema.models),
        "users": len(company.users),
        "groups": len(policy.groups),
        "access rights": len(policy.rights),
        "record rules": len(policy.rules),
    }
    return Tour(
        size,
        tuple(rows),
        _SHOWN,
        tuple(_why(company, session, login) for login, session in eyes.items()),
        tuple(_questions(company)),
    )


def _count(session: Session, model: str) -> int | None:
    return session.search_count(model) if session.can(Operation.READ, model).allowed else None


def _why(company: Vallum, session: Session, login: str) -> Why:
    decision = session.can(Operation.READ, _SHOWN)
    if not decision.allowed:
        groups = {company.policy.groups[r.group].name for r in decision.would_grant if r.group is not None}
        return Why(login, (), (), tuple(sorted(groups)))
    scope = session.scope(Operation.READ, _SHOWN)
    return Why(
        login,
        tuple(r.rule.name for r in scope.global_rules),
        tuple(r.rule.name for r in scope.group_rules),
        (),
    )


def _questions(company: Vallum) -> list[Question]:
    """One that is allowed, one that a rule refuses, one that a field's groups refuse."""
    everything = company.sudo()
    leads = [("company_id", "=", 1)]
    own = everything.search("crm.lead", [*leads, ("user_id.login", "=", "marie")], limit=1, order="id")
    paul = everything.search("crm.lead", [*leads, ("user_id.login", "=", "paul")], limit=1, order="id")
    order = company.as_user("bruno").search("sale.order", limit=1, order="id")
    asked = [
        ("marie", "write", "crm.lead", own, None),
        ("marie", "write", "crm.lead", paul, None),
        ("bruno", "read", "sale.order", order, "margin"),
    ]
    return [
        Question(
            login, operation, model, ids[0], field, company.explain(login, operation, model, ids[0], field)
        )
        for login, operation, model, ids, field in asked
    ]
