"""How the cost of binding scopes grows with rules and with users: 1 ×, 4 ×, 16 ×."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from bench.table import Row, seconds
from vallum.domain import Env, RuleContext, lowering_for, odoo_named, root
from vallum.kernel import Operation
from vallum.policy import Actor, Group, Policy, RecordRule, scope
from vallum.schema import Field, Model, Schema

NOW = datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None)
MODELS, USERS, RULES = 10, 10, 100


def run(*, quick: bool = False) -> list[Row]:
    """Rows for rules and for users: milliseconds, and the growth per step of four."""
    rows = []
    for what, sizes in (
        ("rules", [(USERS, RULES * n) for n in (1, 4, 16)]),
        ("users", [(USERS * n, RULES) for n in (1, 4, 16)]),
    ):
        times = [_bind(users, rules, rounds=2 if quick else 5) for users, rules in sizes]
        growth = [times[i + 1] / times[i] for i in range(2)]
        rows.append(
            Row(
                f"bind and lower all scopes, 1 ×, 4 ×, 16 × {what}",
                ", ".join(f"{t * 1e3:.0f} ms" for t in times),
                ratio=", ".join(f"{g:.1f}" for g in growth),
                asked="about 4 a step",
                ok=max(growth) < 6,
            )
        )
    return rows


def _bind(users: int, rules: int, rounds: int) -> float:
    schema, policy = _schema(), _policy(rules)
    actors = [
        Actor(user_id=u, login=f"u{u}", groups=frozenset({u % 5}), companies=(1,)) for u in range(users)
    ]
    lowering = lowering_for(18)
    env = Env(schema=schema, named=odoo_named(), now=NOW)

    def work() -> None:
        for actor in actors:
            context = RuleContext(_Reader(schema), actor.user_id, 1, (1,), (1,), lambda: NOW)
            for model in schema.models.values():
                bound = scope(policy, schema, actor, Operation.READ, model.name, context)
                lowering.lower(model, bound.domain, env, root(model))

    return seconds(work, rounds=rounds)


class _Reader:
    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def read(self, model: str, ids: Sequence[int], field: str) -> Mapping[int, Any]:
        raise AssertionError(f"{model}.{field} was read")


def _schema() -> Schema:
    models = []
    for number in range(MODELS):
        name = f"model.{number}"
        fields = {
            n: Field(model=name, name=n, type="integer", column="int4") for n in ("id", "owner", "company")
        }
        models.append(Model(name=name, table=name.replace(".", "_"), fields=MappingProxyType(fields)))
    return Schema.of(models)


def _policy(rules: int) -> Policy:
    domains = ("[('company', 'in', company_ids + [False])]", "[('owner', '=', user.id)]")
    return Policy.of(
        [Group(id=g, name=f"g{g}") for g in range(5)],
        rules=[
            RecordRule(
                id=i,
                name=f"r{i}",
                model=f"model.{i % MODELS}",
                domain=domains[i % 2],
                groups=frozenset({i % 5}) if i % 3 else frozenset(),
                operations=frozenset(Operation),
            )
            for i in range(rules)
        ],
    )
