"""The time of a refusal tells nothing of whether there is such an account."""

from __future__ import annotations

import random
import statistics
import time

import pytest

from tests.identity.conftest import Maker
from tests.identity.world import client

TRIES = 2000


@pytest.mark.slow
@pytest.mark.asvs("6.3.8")
def test_unknown_and_known_accounts_take_the_same_time(new_world: Maker) -> None:
    """2,000 refusals in random order: a rank test finds no difference, or none of 2 % between the medians.

    A rank test of equal distributions fails once in ten thousand runs by chance; then it is run again, and a
    real difference fails again. It is no bound on a time, so a slow machine does not fail it.
    """
    limit = {"failures": 10**6}
    world = new_world(lockout={"account": limit, "address": limit, "network": limit})
    for number in range(20):
        world.person(f"known{number}", email=None)
    for last in (False, True):
        known, unknown = _measure(world.identity.sign_in.password)
        ratio = statistics.median(known) / statistics.median(unknown)
        if abs(_z(known, unknown)) < 3.89 or abs(ratio - 1) < 0.02:
            return
        assert not last, f"medians differ by {ratio:.3f}"


def _measure(sign_in: object) -> tuple[list[float], list[float]]:
    order = [number % 2 == 0 for number in range(TRIES)]
    random.Random(7).shuffle(order)  # noqa: S311 - an order, no secret
    found: dict[bool, list[float]] = {True: [], False: []}
    for number, is_known in enumerate(order):
        login = f"{'known' if is_known else 'absent'}{number % 20}"
        started = time.perf_counter()
        sign_in(login, "wrong-horse-battery", client())  # type: ignore[operator]
        found[is_known].append(time.perf_counter() - started)
    return found[True], found[False]


def _z(one: list[float], other: list[float]) -> float:
    """Mann-Whitney's U as a standard normal variable."""
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    ranks = sum(rank for rank, (_, mine) in enumerate(ranked, 1) if mine)
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    return float((u - n * m / 2) / (n * m * (n + m + 1) / 12) ** 0.5)
