"""Filters in SQL mean what they mean in memory, whatever they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scim2_models.path import ScimFilter

from tests.support.scim import ENTERPRISE, Directory
from vallum.enforce.statement import compiled
from vallum.identity.scim.filter_sql import condition
from vallum.identity.scim.models import KINDS, Group, Person

WORDS = [
    "marie",
    "Marie",
    "PAUL",
    "é",
    "É",
    "%",
    "_",
    "\\",
    "' OR 1=1 --",
    '"',
    "a@x.example",
    "work",
    "home",
    "",
]
TEXTS = [
    "userName",
    "displayName",
    "externalId",
    "title",
    "name.familyName",
    "emails.value",
    "emails.type",
    "emails",
    "phoneNumbers.value",
    f"{ENTERPRISE}:department",
    f"{ENTERPRISE}:manager.value",
    "groups.value",
    "groups.display",
    "id",
]
PEOPLE: list[dict[str, Any]] = [
    {"userName": "marie", "displayName": "Marie É", "title": "%"},
    {"userName": "Paul_1", "externalId": "PAUL", "active": False, "name": {"familyName": "' OR 1=1 --"}},
    {
        "userName": "éa",
        "emails": [
            {"value": "a@x.example", "type": "work", "primary": True},
            {"value": "B@x.example", "type": "home"},
        ],
        ENTERPRISE: {"department": "work", "manager": {"value": "marie"}},
    },
    {
        "userName": "zoe",
        "emails": [{"value": "a@x.example"}],
        "phoneNumbers": [{"value": "home", "type": "work"}],
    },
]


def literal(value: str) -> str:
    """As a filter writes it."""
    return ScimFilter.quote(value)


words = st.sampled_from(WORDS)
operators = st.sampled_from(["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"])
leaves = st.one_of(
    st.builds(lambda a, o, v: f"{a} {o} {literal(v)}", st.sampled_from(TEXTS), operators, words),
    st.builds(lambda a: f"{a} pr", st.sampled_from([*TEXTS, "active", "emails", "name"])),
    st.builds(
        lambda o, v: f"active {o} {v}", st.sampled_from(["eq", "ne"]), st.sampled_from(["true", "false"])
    ),
    st.builds(lambda a, o: f"{a} {o} null", st.sampled_from(TEXTS[:5]), st.sampled_from(["eq", "ne"])),
    st.builds(
        lambda t, o, v: f"emails[type eq {literal(t)} and value {o} {literal(v)}]",
        words,
        st.sampled_from(["co", "sw", "ew"]),
        words,
    ),
    st.builds(lambda v: f"emails[not (type eq {literal(v)}) or primary eq true]", words),
    st.builds(
        lambda o, n: f'meta.created {o} "20{n}-01-01T00:00:00Z"',
        st.sampled_from(["gt", "lt", "ge", "le", "ne"]),
        st.integers(20, 40),
    ),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda a, b: f"({a}) and ({b})", inner, inner),
        st.builds(lambda a, b: f"({a}) or ({b})", inner, inner),
        st.builds(lambda a: f"not ({a})", inner),
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=filters)
@example(text="groups.display pr")
@example(text='groups[display pr and type eq "direct"]')
def test_sql_finds_who_matches_in_memory(corp: Directory, text: str) -> None:
    """The reference is the library's own evaluator, over the resources as they are shown."""
    if not corp.store.rows("SELECT 1 FROM vallum.scim_user"):
        ids = [corp.add(one["userName"], **_without(one))["id"] for one in PEOPLE]
        corp.group("Work É", *ids[:2])
    try:
        wanted = ScimFilter[Person](text)
    except Exception:
        assert corp.ask("GET", "/Users?filter=" + _quoted(text)).status == 400
        return
    shown = corp.body("GET", "/Users")["Resources"]
    expected = {one["userName"] for one in shown if wanted.match(Person.model_validate(one))}
    found = corp.body("GET", "/Users?filter=" + _quoted(text))["Resources"]
    assert {one["userName"] for one in found} == expected, text


def _without(one: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key != "userName"}


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


@given(text=filters)
@pytest.mark.attacks("injection: SCIM filter")
def test_values_are_bound_and_nothing_else_is_from_the_client(text: str) -> None:
    """No word of a filter stands in the statement."""
    try:
        wanted = ScimFilter[Person](text.replace("marie", "canary4711"))
    except Exception:
        return
    statement, values = compiled(condition(wanted, Person))
    assert "canary4711" not in statement
    assert "OR 1=1" not in statement
    assert isinstance(values, dict)


@pytest.mark.parametrize(
    "text",
    [
        "userName",
        "userName eq",
        'userName eq "a" and',
        'nonsense eq "a"',
        'password eq "a"',
        'password sw "a"',
        'userName xx "a"',
        'userName[type eq "a"]',
        "active gt true",
        'active eq "maybe"',
        'meta.version eq "a"',
        'meta.created gt "yesterday"',
        'emails[value[type eq "a"] eq "b"]',
        "userName eq 'a'",
        'userName eq "a"; DROP TABLE vallum.scim_user',
        "(" * 3000 + 'userName eq "a"' + ")" * 3000,
        " or ".join(['userName eq "a"'] * 300),
    ],
)
@pytest.mark.attacks("injection: SCIM filter")
def test_filter_that_is_none_is_refused(corp: Directory, text: str) -> None:
    """With the error that the standard has for it."""
    answer = corp.ask("GET", "/Users?filter=" + _quoted(text))
    assert answer.status == 400
    assert (answer.body or {})["scimType"] == "invalidFilter"


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("Users", 'userName eq "MARIE"', ["marie"]),
        ("Users", 'externalId eq "paul"', []),
        ("Users", 'groups.display eq "sales"', ["marie"]),
        ("Groups", 'displayName eq "SALES"', ["Sales"]),
        ("Groups", "members pr", ["Sales"]),
        ("Groups", "not (members pr)", ["Empty"]),
        ("Groups", "externalId pr and displayName pr", []),
    ],
)
def test_groups_and_members_are_found(corp: Directory, kind: str, text: str, found: list[str]) -> None:
    """Through the table in between."""
    marie = corp.add("marie", displayName="Marie")
    corp.add("zoe", externalId="PAUL")
    corp.group("Sales", marie["id"])
    corp.group("Empty")
    rows = corp.body("GET", f"/{kind}?filter=" + _quoted(text))["Resources"]
    assert [one["userName" if kind == "Users" else "displayName"] for one in rows] == found


def test_member_is_found_by_id(corp: Directory) -> None:
    """As Entra ID asks before it adds one."""
    marie, paul = corp.add("marie")["id"], corp.add("paul")["id"]
    group = corp.group("Sales", marie)["id"]
    for text, total in ((f'id eq "{group}" and members eq "{marie}"', 1), (f'members[value eq "{paul}"]', 0)):
        answer = corp.body("GET", "/Groups?excludedAttributes=members&filter=" + _quoted(text))
        assert answer["totalResults"] == total
        assert all("members" not in one for one in answer["Resources"])


def test_pages_and_order(corp: Directory) -> None:
    """From anywhere, in either direction, case not counting; a bound on each page."""
    for name in ("b", "C", "a", "é", "D"):
        corp.add(name, **({"title": name.upper()} if name != "a" else {}))

    def names(query: str) -> list[str]:
        return [one["userName"] for one in corp.body("GET", f"/Users?{query}")["Resources"]]

    assert names("sortBy=userName") == ["a", "b", "C", "D", "é"]
    assert names("sortBy=userName&sortOrder=descending&count=2") == ["é", "D"]
    assert names("sortBy=userName&startIndex=3&count=2") == ["C", "D"]
    assert names("sortBy=title")[-1] == "a"
    assert names("sortBy=emails") == names("sortBy=emails")
    assert names("count=0") == names("startIndex=99") == []
    assert names("sortBy=userName&startIndex=-5&count=1") == ["a"]
    assert corp.body("GET", "/Users?count=0")["totalResults"] == 5
    assert corp.ask("GET", "/Users?sortBy=nonsense").status == 400
    assert corp.ask("GET", "/Users?count=x").status == 400


def test_every_kind_has_a_filter() -> None:
    """For both kinds of resource."""
    assert set(KINDS) == {"Users", "Groups"}
    for kind, text in ((Person, "active eq true"), (Group, "members pr")):
        assert "%(" in compiled(condition(ScimFilter(text), kind))[0]
