"""`vallum search` and `vallum read`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.command import Outcome

Command = Callable[..., Outcome]


def test_search_shows_what_the_user_sees(vallum: Command) -> None:
    """Fewer than there are, and the count says how many."""
    own = vallum("search", "marie", "crm.lead", "--limit", "3", "--json").json
    everything = vallum("search", "marie", "crm.lead", "--sudo", "--limit", "1", "--json").json
    assert 0 < own["count"] < everything["count"]
    assert len(own["records"]) == 3


def test_domain_may_be_python_or_json(vallum: Command) -> None:
    """The same domain, the same records."""
    python = vallum("search", "marie", "crm.lead", "[('active', '=', False)]", "--all", "--json").json
    json = vallum("search", "marie", "crm.lead", '[["active", "=", false]]', "--all", "--json").json
    assert python == json
    assert python["count"] > 0


def test_fields_and_order_are_those_asked_for(vallum: Command) -> None:
    """As a table for people, with names of other records."""
    done = vallum("search", "marie", "crm.lead", "--fields", "name,user_id", "--order", "id", "--limit", "2")
    head, _, first, *_ = done.out.splitlines()
    assert head.split() == ["id", "name", "user_id"]
    assert "Marie Laurent" in first
    assert "2 shown" in done.out


def test_read_shows_the_fields_that_are_open(vallum: Command) -> None:
    """Costs are not among them."""
    record = vallum("search", "marie", "sale.order", "--limit", "1", "--json").json["records"][0]["id"]
    found = vallum("read", "marie", "sale.order", str(record), "--json").json["records"][0]
    assert "amount_total" in found
    assert "margin" not in found
    assert "amount_total" in vallum("read", "marie", "sale.order", str(record)).out


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "olaf", "crm.lead"],
        ["search", "marie", "sale.order", "[('margin', '>', 0)]"],
        ["read", "marie", "sale.order", "1", "--fields", "margin"],
        ["read", "marie", "crm.lead", "999999"],
    ],
)
def test_what_is_shut_ends_with_one(vallum: Command, arguments: list[str]) -> None:
    """Refused is no error, and no answer either."""
    done = vallum(*arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("refused: ")
    assert vallum(*arguments, "--json").error["code"] == "access-denied"


@pytest.mark.parametrize(
    ("domain", "code"),
    [
        ("[('name', '=')]", "malformed-domain"),
        ("name = 1", "malformed-domain"),
        ("__import__('os')", "malformed-domain"),
        ("[('name', '~', 'x')]", "unknown-operator"),
        ("[('ownr', '=', 1)]", "unknown-field"),
    ],
)
def test_bad_domain_ends_with_two(vallum: Command, domain: str, code: str) -> None:
    """Each with its own code, and nothing on standard output."""
    done = vallum("search", "marie", "crm.lead", domain, "--json")
    assert (done.code, done.error["code"], done.out) == (2, code, "")


def test_bad_ids_end_with_two(vallum: Command) -> None:
    """Ids are numbers."""
    assert vallum("read", "marie", "crm.lead", "a,b").code == 2


def test_bad_order_ends_with_two(vallum: Command) -> None:
    """An order is not SQL."""
    assert vallum("search", "marie", "crm.lead", "--order", "id; DROP TABLE crm_lead").code == 2
