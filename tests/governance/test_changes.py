"""Changes of a policy: proposed, decided by a second person, in force, refused where they conflict."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

import psycopg
import pytest

import vallum
from examples.trading import generate
from tests.support.company import METADATA, POLICY
from vallum import Vallum
from vallum.governance import ChangeConflict, ChangeRefused, Changes, Person, UnknownChange, retire
from vallum.kernel import InvalidValue, MalformedPolicy, MissingReference, VallumError
from vallum.policy.change import Change, Item, item_of
from vallum.postgres import EmbeddedServer, connect
from vallum.postgres.migrations import unmigrate

OLGA, ADMIN = Person(16, "olga"), Person(2, "admin")
RULE = "trading.crm_rule_personal_lead"


@pytest.fixture(scope="module")
def database(pg_server: EmbeddedServer) -> Iterator[str]:
    """A company of the module's own."""
    name = f"changes_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    yield dsn
    pg_server.drop_database(name)


@pytest.fixture
def company(database: str) -> str:
    """The company without any change."""
    with connect(database, readonly=False, autocommit=True) as connection:
        unmigrate(connection, "policy")
    return database


def opened(dsn: str, policy: str | Path = POLICY) -> Vallum:
    return vallum.open(dsn, metadata=METADATA, policy=str(policy))


def rule_of(app: Vallum) -> str:
    """A rule of leads that has groups."""
    return next(r.xml_id for r in app.policy.rules if r.model == "crm.lead" and r.groups and r.xml_id)


def to(app: Vallum, xml_id: str, **values: Any) -> Change:
    """The change of a rule to these values."""
    before = item_of(app.policy, "rule", xml_id)
    assert before is not None
    return Change(kind="rule", xml_id=xml_id, before=before, after={**before, **values})


def domain_of(dsn: str, xml_id: str, policy: str | Path = POLICY) -> Any:
    with opened(dsn, policy) as app:
        item = item_of(app.policy, "rule", xml_id)
        return item and item["domain"]


def test_approved_change_holds_in_every_application_opened_since(company: str) -> None:
    """What waits changes nothing; what a second person approves does, also for whoever opens anew."""
    told: list[Any] = []
    with opened(company) as app:
        name = rule_of(app)
        was = domain_of(company, name)
        changes = Changes(app.application, told.append)
        made = changes.propose(to(app, name, domain="[('id', '=', 7)]"), "  a test ", OLGA)
        assert (made.state, made.reason, made.author) == ("waiting", "a test", OLGA)
        assert domain_of(company, name) == was
        done = changes.approve(made.id, ADMIN, "fine")
    assert (done.state, done.decider, done.comment) == ("approved", ADMIN, "fine")
    assert domain_of(company, name) == "[('id', '=', 7)]"
    with opened(company) as app:
        found = app.as_user("marie").search("crm.lead", [])
        assert set(found) <= {7}
    assert [facts["act"] for facts in told] == ["change proposed", "change approved"]
    assert told[1]["after"]["domain"] == "[('id', '=', 7)]"


@pytest.mark.parametrize("same", [OLGA, Person(16, "olga.other"), Person(99, "OLGA")])
def test_author_approves_nothing_of_their_own(company: str, same: Person) -> None:
    """Neither under the same user nor under the same login; the table refuses it as well."""
    with opened(company) as app:
        changes = Changes(app.application)
        made = changes.propose(to(app, rule_of(app), name="Another"), "why", OLGA)
        with pytest.raises(ChangeRefused, match="does not approve"):
            changes.approve(made.id, same)
        assert changes.get(made.id).state == "waiting"
    with (
        connect(company, readonly=False, autocommit=True) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute(
            "UPDATE vallum.policy_change SET state = 'approved', turn = 1, decider = %s, decider_id = %s",
            (same.login, same.user),
        )


def test_second_of_two_drafts_is_refused(company: str) -> None:
    """Both were made from the same text: when one holds, the other was made from what is no more."""
    with opened(company) as app:
        changes = Changes(app.application)
        first = changes.propose(to(app, rule_of(app), name="First"), "why", OLGA)
        second = changes.propose(to(app, rule_of(app), name="Second"), "why", ADMIN)
        assert [c.id for c in changes.rivals(first)] == [second.id]
        changes.approve(first.id, ADMIN)
        assert changes.conflicts(changes.get(second.id))
        with pytest.raises(ChangeConflict):
            changes.approve(second.id, OLGA)
        # This process has not read the policy anew: the table tells it.
        with pytest.raises(ChangeConflict):
            changes.propose(to(app, rule_of(app), name="Third"), "why", OLGA)


def test_decided_change_is_not_decided_again(company: str) -> None:
    """Withdrawn by its author alone, refused by anybody who may; then it is over."""
    with opened(company) as app:
        changes = Changes(app.application)
        one = changes.propose(to(app, rule_of(app), name="One"), "why", OLGA)
        with pytest.raises(ChangeRefused, match="only who proposed"):
            changes.withdraw(one.id, ADMIN)
        assert changes.withdraw(one.id, OLGA).state == "withdrawn"
        other = changes.propose(to(app, rule_of(app), name="Two"), "why", OLGA)
        assert changes.refuse(other.id, ADMIN, "no").comment == "no"
        for number in (one.id, other.id):
            with pytest.raises(ChangeRefused, match="already"):
                changes.approve(number, ADMIN)
        with pytest.raises(UnknownChange):
            changes.approve(10**6, ADMIN)


def test_rolling_back_is_a_change_to_what_was_before(company: str) -> None:
    """What was approved is undone by the same way, and both stay in the history."""
    with opened(company) as app:
        name, was = rule_of(app), item_of(app.policy, "rule", rule_of(app))
        changes = Changes(app.application)
        changes.approve(changes.propose(to(app, name, domain="[]"), "open", OLGA).id, ADMIN)
    with opened(company) as app:
        changes = Changes(app.application)
        now = item_of(app.policy, "rule", name)
        back = Change(kind="rule", xml_id=name, before=now, after=was)
        changes.approve(changes.propose(back, "undo", ADMIN).id, OLGA)
        assert [c.reason for c in changes.some(item=("rule", name))] == ["undo", "open"]
    with opened(company) as app:
        assert item_of(app.policy, "rule", name) == was


def test_new_group_right_and_rule_hold_and_can_be_removed(company: str) -> None:
    """A group that is approved may be named by what comes after it; a right that is removed opens nothing."""
    with opened(company) as app:
        right = next(r for r in app.policy.rights if r.model == "crm.lead" and r.xml_id and r.group)
        assert right.xml_id is not None
        changes = Changes(app.application)
        group = Change(
            kind="group", xml_id="trading.readers", before=None, after={"name": "Readers", "implied": []}
        )
        item: Item = {
            "name": "readers",
            "model": "crm.lead",
            "operations": ["read"],
            "group": "trading.readers",
        }
        added = Change(kind="right", xml_id="trading.access_readers", before=None, after=item)
        with pytest.raises(MissingReference):
            changes.propose(added, "too soon", OLGA)
        changes.approve(changes.propose(group, "readers", OLGA).id, ADMIN)
    with opened(company) as app:
        changes = Changes(app.application)
        changes.approve(changes.propose(added, "they read", OLGA).id, ADMIN)
        gone = Change(
            kind="right",
            xml_id=right.xml_id,
            before=item_of(app.policy, "right", right.xml_id),
            after=None,
        )
        changes.approve(changes.propose(gone, "not needed", OLGA).id, ADMIN)
    with opened(company) as app:
        assert item_of(app.policy, "right", "trading.access_readers") == item
        assert item_of(app.policy, "right", right.xml_id) is None
        renamed = Change(
            kind="group",
            xml_id="trading.readers",
            before={"name": "Readers", "implied": []},
            after={"name": "People who read", "implied": ["base.group_user"]},
        )
        changes = Changes(app.application)
        changes.approve(changes.propose(renamed, "clearer", OLGA).id, ADMIN)
    with opened(company) as app:
        assert app.policy.group("trading.readers").name == "People who read"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"domain": "[('nothing', '=', 1)]"}, "nothing"),
        ({"domain": "__import__('os')"}, "import"),
        ({"groups": ["trading.nobody"]}, "nobody"),
        ({"operations": []}, "operation"),
        ({"model": "no.model"}, r"no\.model"),
        ({}, "changes nothing"),
    ],
)
def test_change_that_cannot_hold_is_not_proposed(company: str, values: dict[str, Any], message: str) -> None:
    """A rule that cannot be read would shut everybody out: it is refused before anybody decides."""
    with opened(company) as app:
        changes = Changes(app.application)
        with pytest.raises(VallumError, match=message):
            changes.propose(to(app, rule_of(app), **values), "why", OLGA)
        assert changes.some() == []


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2_001])
def test_change_without_a_reason_is_not_proposed(company: str, reason: str) -> None:
    """Neither without any, nor with a book."""
    with opened(company) as app, pytest.raises(InvalidValue):
        Changes(app.application).propose(to(app, rule_of(app), name="N"), reason, OLGA)


def test_act_that_cannot_be_recorded_is_not_done(company: str) -> None:
    """The trail comes first."""

    def refuses(facts: Any) -> None:
        raise VallumError("no trail")

    with opened(company) as app:
        made = Changes(app.application).propose(to(app, rule_of(app), name="N"), "why", OLGA)
        with pytest.raises(VallumError, match="no trail"):
            Changes(app.application, refuses).approve(made.id, ADMIN)
        assert Changes(app.application).get(made.id).state == "waiting"


def test_file_that_moved_on_denies_until_it_is_settled(company: str, tmp_path: Path) -> None:
    """Two texts of one rule, and nobody said which holds: an error; the file may take what was approved."""
    folder = tmp_path / "trading" / "security"
    copytree(POLICY, folder)
    with opened(company, folder) as app:
        name = rule_of(app)
        item = item_of(app.policy, "rule", name)
        assert item is not None
        old, new = str(item["domain"]), "[('id', '=', 5)]"
        changes = Changes(app.application)
        changes.approve(changes.propose(to(app, name, domain=new), "why", OLGA).id, ADMIN)

    rules = folder / "rules.xml"
    text = rules.read_text()
    start = text.index(f'id="{name.partition(".")[2]}"')
    at = text.index("</field>", text.index('name="domain_force"', start))
    begin = text.rindex(">", 0, at) + 1

    def write(domain: str) -> None:
        rules.write_text(text[:begin] + domain.replace("<", "&lt;") + text[at:])

    assert domain_of(company, name, folder) == new
    write("[('id', '=', 6)]")
    with pytest.raises(MalformedPolicy, match="has another text"):
        opened(company, folder)
    write(new)
    assert domain_of(company, name, folder) == new
    assert [c.change.xml_id for c in retire(company, "rule", name)] == [name]
    write("[('id', '=', 6)]")
    assert domain_of(company, name, folder) == "[('id', '=', 6)]"
    write(old)
    assert domain_of(company, name, folder) == old
