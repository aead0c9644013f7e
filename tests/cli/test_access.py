"""`vallum access`: verdicts, holders, snapshots, and their exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Outcome, run

Command = Callable[..., Outcome]


def _first(vallum: Command, model: str, domain: str) -> str:
    """The first record of a domain, with the superuser's eyes."""
    found = vallum("search", "admin", model, domain, "--sudo", "--limit", "1", "--order", "id", "--json").json
    return str(found["records"][0]["id"])


@pytest.fixture
def lead_of_marie(vallum: Command) -> str:
    return _first(vallum, "crm.lead", "[('user_id.login', '=', 'marie'), ('company_id', '=', 1)]")


@pytest.fixture
def lead_of_paul(vallum: Command) -> str:
    return _first(vallum, "crm.lead", "[('user_id.login', '=', 'paul'), ('company_id', '=', 1)]")


def test_allowed_ends_with_zero(vallum: Command, lead_of_marie: str) -> None:
    """A script may go on."""
    done = vallum("access", "explain", "marie", "write", "crm.lead", lead_of_marie)
    assert done.code == 0
    assert "✔ allowed" in done.out
    assert "trading.rule_crm_lead_own" in done.out


def test_refused_ends_with_one_and_names_the_condition(vallum: Command, lead_of_paul: str) -> None:
    """A script must stop; who reads it learns what fails."""
    done = vallum("access", "explain", "marie", "write", "crm.lead", lead_of_paul)
    assert done.code == 1
    assert "✘ refused" in done.out
    assert "user_id = 3" in done.out


def test_refused_in_json_has_the_same_verdict(vallum: Command, lead_of_paul: str) -> None:
    """Programs get the whole chain."""
    done = vallum("access", "explain", "marie", "write", "crm.lead", lead_of_paul, "--json")
    assert done.code == 1
    assert done.json["allowed"] is False
    assert done.json["reasons"]


def test_shut_field_is_refused(vallum: Command) -> None:
    """Field groups count."""
    assert vallum("access", "explain", "bruno", "read", "sale.order", "--field", "margin").code == 1
    assert vallum("access", "explain", "sofia", "read", "sale.order", "--field", "margin").code == 0


def test_user_may_be_given_by_id(vallum: Command) -> None:
    """Where no login is written like that."""
    assert vallum("access", "explain", "3", "read", "crm.lead", "--json").json["actor"]["login"] == "marie"


def test_companies_all_are_those_of_the_user(vallum: Command) -> None:
    """All companies switched on, as in Odoo's menu."""
    done = vallum("access", "explain", "isabel", "read", "crm.lead", "--companies", "all", "--json")
    assert done.json["actor"]["companies"] == [1, 2, 3, 4]


def test_who_can_lists_holders_with_reasons(vallum: Command) -> None:
    """Who sees salaries."""
    done = vallum("access", "who-can", "read", "hr.employee", "--field", "salary", "--json")
    assert done.code == 0
    assert {h["login"] for h in done.json["holders"]} == {"admin", "helene"}
    assert all(h["reasons"] for h in done.json["holders"])
    shown = vallum("access", "who-can", "read", "hr.employee", "--field", "salary").out
    assert "2 of 28 users" in shown


def test_who_can_counts_on_request(vallum: Command) -> None:
    """How many records each, and nobody with none."""
    holders = vallum("access", "who-can", "write", "crm.lead", "--count", "--json").json["holders"]
    assert holders
    assert all(h["count"] > 0 for h in holders)


def test_who_can_with_nobody_is_no_error(vallum: Command) -> None:
    """An answer like any other."""
    done = vallum("access", "who-can", "unlink", "res.company", "--json")
    assert done.code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nobody", "read", "crm.lead"], "unknown-user"),
        (["marie", "delete", "crm.lead"], "unknown-operation"),
        (["marie", "read", "crm.laed"], "unknown-model"),
        (["marie", "read", "crm.lead", "--field", "ownr"], "unknown-field"),
        (["marie", "read", "crm.lead", "--companies", "2"], "company-not-allowed"),
        (["marie", "read", "crm.lead", "--companies", "one"], "settings"),
    ],
)
def test_bad_question_ends_with_two(vallum: Command, arguments: list[str], code: str) -> None:
    """Nothing was decided; programs read the code, people a line and a way out."""
    done = vallum("access", "explain", *arguments, "--json")
    assert (done.code, done.error["code"], done.out) == (2, code, "")
    shown = vallum("access", "explain", *arguments)
    first, *rest = shown.err.splitlines()
    assert first.startswith("error: ")
    assert len(rest) <= 1
    assert "Traceback" not in shown.err


def test_unknown_user_is_told_who_is_near(vallum: Command) -> None:
    """A misprint is mended at once."""
    assert "fix: use `marie`" in vallum("access", "explain", "mari", "read", "crm.lead").err


def test_record_that_is_not_there_is_refused(vallum: Command) -> None:
    """And the reason says so."""
    done = vallum("access", "explain", "marie", "read", "crm.lead", "999999")
    assert done.code == 1
    assert "does not exist" in done.out


def test_snapshot_is_written_and_equal_to_itself(vallum: Command, tmp_path: Path) -> None:
    """Two snapshots of the same state do not differ; comparing needs no database."""
    one, two = tmp_path / "one.json.gz", tmp_path / "two.json.gz"
    assert vallum("access", "snapshot", "--out", str(one), "--users", "marie,paul").code == 0
    assert (
        vallum("access", "snapshot", "--out", str(two), "--users", "marie,paul", "--json").json["users"] == 2
    )
    assert one.read_bytes() == two.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.json.gz", "two.json.gz"]
    assert run("access", "diff", str(one), str(two)).code == 0


def test_snapshot_of_unknown_user_writes_nothing(vallum: Command, tmp_path: Path) -> None:
    """No file, no journal."""
    done = vallum("access", "snapshot", "--out", str(tmp_path / "one.json"), "--users", "nobody")
    assert done.code == 2
    assert list(tmp_path.iterdir()) == []


def test_diff_of_something_else_is_an_error(tmp_path: Path) -> None:
    """A file that is no snapshot, and one that is not there."""
    path = tmp_path / "x.json"
    path.write_text("{}")
    assert run("access", "diff", str(path), str(path)).code == 2
    missing = run("access", "diff", str(tmp_path / "a"), str(tmp_path / "b"), "--json")
    assert (missing.code, missing.error["code"]) == (2, "file")
