"""Access-right decisions beside PyCasbin's FastEnforcer: 150 groups, 4,000 rights, 1,000 questions."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import casbin

from bench.table import Row, interleaved
from vallum.kernel import Operation
from vallum.policy import AccessRight, Actor, Group, Policy, decide

GROUPS, RIGHTS, MODELS, USERS = 150, 4_000, 400, 50

_MODEL = """
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
"""


def run(*, quick: bool = False) -> list[Row]:
    """One row: microseconds a decision, ours and theirs, with equal answers checked first."""
    chance = random.Random(7)  # noqa: S311
    operations = list(Operation)
    triples = sorted(
        {
            (chance.randrange(GROUPS), f"model.{chance.randrange(MODELS)}", chance.choice(operations))
            for _ in range(RIGHTS * 2)
        },
        key=str,
    )[:RIGHTS]
    members = {u: frozenset(chance.sample(range(GROUPS), 8)) for u in range(USERS)}
    questions = [
        (chance.randrange(USERS), f"model.{chance.randrange(MODELS)}", chance.choice(operations))
        for _ in range(200 if quick else 1_000)
    ]
    policy = Policy.of(
        [Group(id=g, name=f"g{g}") for g in range(GROUPS)],
        [
            AccessRight(id=i, name="", model=m, group=g, operations=frozenset({o}))
            for i, (g, m, o) in enumerate(triples)
        ],
    )
    actors = {u: Actor(user_id=u, login=f"u{u}", groups=groups) for u, groups in members.items()}
    enforcer = _enforcer(triples, members)

    def ours() -> list[bool]:
        return [decide(policy, actors[u], o, m).allowed for u, m, o in questions]

    def peer() -> list[bool]:
        return [enforcer.enforce(f"u{u}", m, str(o)) for u, m, o in questions]

    if ours() != peer():
        raise AssertionError("the two do not agree")
    mine, theirs = interleaved(ours, peer, rounds=3 if quick else 7)
    per = 1e6 / len(questions)
    return [
        Row(
            "access-right decision, 150 groups × 4,000 rights",
            f"{mine * per:.2f} µs",
            f"PyCasbin FastEnforcer {theirs * per:.0f} µs",
            f"{theirs / mine:.0f} × faster",
            "≥ 50 ×",
            theirs / mine >= 50,
        )
    ]


def _enforcer(
    triples: list[tuple[int, str, Operation]], members: dict[int, frozenset[int]]
) -> casbin.FastEnforcer:
    with tempfile.TemporaryDirectory() as folder:
        model, rules = Path(folder, "model.conf"), Path(folder, "policy.csv")
        model.write_text(_MODEL)
        lines = [f"p, g{g}, {m}, {o}" for g, m, o in triples]
        lines += [f"g, u{u}, g{g}" for u, groups in members.items() for g in groups]
        rules.write_text("\n".join(lines))
        return casbin.FastEnforcer(str(model), str(rules), cache_key_order=[1, 2])
