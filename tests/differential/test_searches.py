"""Searches held against Odoo's own answers: thousands of domains, as superuser and as users."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.application import opened
from tests.support.odoo import OdooReference
from vallum.enforce import Application, Query
from vallum.kernel import AccessDenied, UnsupportedDomain, VallumError

ALLOWED_UNSUPPORTED = 0.015


@pytest.fixture(params=[18, 19])
def reference(request: pytest.FixtureRequest) -> OdooReference:
    """Each of the reference databases."""
    found: OdooReference = request.getfixturevalue(f"odoo{request.param}")
    return found


@pytest.mark.odoo
def test_every_domain_finds_what_odoo_finds(reference: OdooReference) -> None:
    """As superuser: no wrong answer; what cannot be answered exactly says so."""
    application = opened(reference)
    cases = reference.answers("search")["cases"]
    query = Query(application, None)
    _hold(cases, lambda case: query.search(case["model"], case["domain"], active_test=case["active_test"]))


@pytest.mark.odoo
def test_every_user_finds_what_odoo_lets_them(reference: OdooReference) -> None:
    """As users: rights, rules, field groups and comodel rules together; never a record too many."""
    application = opened(reference)
    _hold(reference.answers("search_as_user")["cases"], lambda case: _as_user(application, case))


def _as_user(application: Application, case: dict[str, Any]) -> list[int]:
    actor = application.actor(case["user"], case["companies"])
    return Query(application, actor).search(case["model"], case["domain"], active_test=case["active_test"])


def _hold(cases: list[dict[str, Any]], search: Callable[[dict[str, Any]], list[int]]) -> None:
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for case in cases:
        outcome = _outcome(case, search)
        outcomes[outcome] += 1
        if outcome == "wrong":
            wrong.append(f"{case['model']} {case['domain']} as {case.get('user', 'superuser')}")
    assert not wrong, f"{len(wrong)} of {len(cases)}: " + "; ".join(wrong[:5])
    assert outcomes["right"] > 0
    assert outcomes["unsupported"] <= ALLOWED_UNSUPPORTED * len(cases), outcomes


def _outcome(case: dict[str, Any], search: Callable[[dict[str, Any]], list[int]]) -> str:
    try:
        found = sorted(search(case))
    except UnsupportedDomain:
        return "unsupported"
    except AccessDenied:
        return "right" if case.get("error") == "AccessError" else "wrong"
    except VallumError:
        return "right" if case.get("error") == "ValueError" else "wrong"
    if case.get("error"):
        return "wrong"
    if "ids" in case:
        return "right" if found == case["ids"] else "wrong"
    digest = hashlib.sha256(",".join(map(str, found)).encode()).hexdigest()
    return "right" if digest == case["sha256"] else "wrong"
