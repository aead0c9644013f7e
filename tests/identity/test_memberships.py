"""Groups that Vallum gives: what they add, how they end, and who decides."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from tests.identity.conftest import Maker
from tests.identity.world import World, client
from tests.support.company import METADATA, POLICY
from vallum.enforce import Application
from vallum.facade import Vallum
from vallum.facade import open as open_application
from vallum.identity.errors import NotPermitted, RequestRefused
from vallum.identity.given import give_groups
from vallum.identity.local import LocalAuthenticator
from vallum.identity.memberships import overlay
from vallum.identity.people import OfApplication, matches
from vallum.policy import Directory, Group, Policy, User, actor_of

ADMIN = "base.group_system"


def _policy() -> Policy:
    groups = [
        Group(id=1, name="User", xml_id="base.group_user"),
        Group(id=2, name="Sales", xml_id="sales.group_user", implied=frozenset({1})),
        Group(id=3, name="Manager", xml_id="sales.group_manager", implied=frozenset({2})),
    ]
    return Policy.of(groups, (), (), ())


@pytest.mark.parametrize("closed", [False, True])
def test_overlay_adds_a_group_with_all_it_implies(closed: bool) -> None:
    """To that user alone; a group nobody knows adds nothing."""
    policy = _policy()
    users = [User(id=n, login=f"u{n}", groups=frozenset({1}), groups_closed=closed) for n in (5, 6)]
    found = overlay(Directory(users), policy, {5: frozenset({"sales.group_manager", "no.such_group"})})
    assert actor_of(found.find(5), policy).groups == {1, 2, 3}
    assert actor_of(found.find(6), policy).groups == {1}


def test_membership_reaches_the_rights_of_the_example_company(world: World, company: str) -> None:
    """Marie, a salesperson, sees her own leads; as a manager for an hour everyone's; then no more."""
    with open_application(company, metadata=METADATA, policy=POLICY) as vallum:
        known = vallum.application
        account = world.person("marie", user_id=vallum.users.find("marie").id)
        base = world.identity.base

        def seen() -> int:
            given = base.memberships.by_user(world.clock.now())
            users = overlay(known.directory, known.policy, given)
            eyes = Vallum(Application(known.database, known.schema, known.policy, users))
            return len(eyes.as_user("marie").search("crm.lead", []))

        own = seen()
        end = world.clock.now() + timedelta(hours=1)
        world.identity.give_group(account, "trading.group_sale_manager", by=None, expires=end)
        assert seen() > own
        assert base.memberships.next_end(world.clock.now()) == end
        world.go_on(hours=1)
        assert seen() == own


def test_groups_of_an_account_are_the_users_and_the_given_closed(world: World) -> None:
    """An archived user of the application has none of its own."""
    policy = _policy()
    directory = Directory(
        [
            User(id=5, login="a", groups=frozenset({2})),
            User(id=6, login="b", active=False, groups=frozenset({3})),
        ]
    )
    source = OfApplication(lambda: policy, lambda: directory)
    assert source.groups(5, frozenset()) == {"sales.group_user", "base.group_user"}
    assert source.groups(6, frozenset()) == frozenset()
    assert source.groups(None, frozenset({"sales.group_user"})) == {"sales.group_user", "base.group_user"}


@pytest.mark.parametrize(
    ("group", "patterns", "expected"),
    [
        ("base.group_system", ["administrators"], True),
        ("account.group_account_invoice", ["finance"], True),
        ("trading.group_account_manager", ["finance"], True),
        ("hr.group_hr_user", ["hr"], True),
        ("base.group_user", ["administrators", "finance", "hr"], False),
        ("sales.group_manager", ["sales.*"], True),
        ("xsales.group_manager", ["sales.*"], False),
    ],
)
def test_presets_name_the_groups_of_odoo_and_of_applications(
    group: str, patterns: list[str], expected: bool
) -> None:
    """By name or by pattern."""
    assert matches([group], patterns) is expected


def test_directory_sets_its_own_groups_only(world: World) -> None:
    """What was given by hand is not the directory's to take."""
    account = world.person()
    memberships, now = world.identity.base.memberships, world.clock.now()
    world.identity.give_group(account, "a.by_hand", by=None)
    with world.store.transaction() as connection:
        added, removed = memberships.set(connection, account.id, ["a.one", "a.two"], now, source="ldap")
        assert (added, removed) == (frozenset({"a.one", "a.two"}), frozenset())
        added, removed = memberships.set(connection, account.id, ["a.two"], now, source="ldap")
        assert (added, removed) == (frozenset(), frozenset({"a.one"}))
    assert {m.group for m in memberships.of(account.id, now)} == {"a.by_hand", "a.two"}


def test_shut_account_gives_its_user_nothing(world: World) -> None:
    """Its memberships do not reach the rights of the application's user."""
    account = world.person(user_id=5)
    world.identity.give_group(account, "a.group", by=None)
    by_user = world.identity.base.memberships.by_user
    assert by_user(world.clock.now()) == {5: {"a.group"}}
    world.identity.deactivate(account, by=None)
    assert by_user(world.clock.now()) == {}


def test_application_as_it_lasts_leaves_out_what_ends(world: World, company: str) -> None:
    """What is made of it outlives the process: roles in PostgreSQL, which nobody takes away in time."""
    marie = world.person(user_id=3)
    give = world.identity.give_group
    give(marie, "trading.group_product_cost", by=None)
    give(marie, ADMIN, by=None, expires=world.clock.now() + timedelta(hours=1))
    with open_application(company, metadata=METADATA, policy=POLICY, clock=world.clock) as opened:
        application = opened.application
        ids, own = application.policy.group_ids, application.directory.find(3).groups
        give_groups(application, world.store, lasting=False)
        now, lasting = (a.directory.find(3).groups for a in (application, application.lasting()))
        assert {ids["trading.group_product_cost"], ids[ADMIN]} <= now
        assert lasting == own | {ids["trading.group_product_cost"]}
        give_groups(application, world.store)
        assert application.directory.find(3).groups == lasting


def test_only_administrators_give_groups(world: World) -> None:
    """Least of all to oneself."""
    marie = world.person(user_id=3)
    with pytest.raises(NotPermitted):
        world.identity.give_group(marie, ADMIN, by=marie)
    with pytest.raises(NotPermitted):
        world.identity.take_group(marie, ADMIN, by=marie)


# For a while


def test_request_needs_a_reason_and_an_end(world: World) -> None:
    """And is for a limited time."""
    marie = world.person()
    ask = world.identity.elevations.ask
    for reason, minutes in (("", 60), ("  ", 60), ("backup", 0), ("backup", 8 * 60 + 1)):
        with pytest.raises(RequestRefused):
            ask(marie, ADMIN, reason, minutes)


def test_request_is_granted_by_somebody_else_and_ends_by_itself(world: World) -> None:
    """Asked, approved, in force, over: without anyone doing anything."""
    marie = world.person(user_id=3)
    olga = world.person("olga", user_id=4, groups=[ADMIN])
    elevations = world.identity.elevations
    asked = elevations.ask(marie, ADMIN, "restore the backup", 60)
    assert not world.identity.is_administrator(marie)
    done = elevations.decide(asked, olga, approve=True)
    assert (done.state, done.decided_by, done.expires) == (
        "approved",
        "olga",
        world.clock.now() + timedelta(hours=1),
    )
    assert world.identity.is_administrator(marie)
    world.go_on(minutes=60)
    assert not world.identity.is_administrator(marie)
    assert world.kinds().count("group.approved") == 1


def test_nobody_decides_on_a_request_of_their_own(world: World) -> None:
    """Not even an administrator, nor by writing to the table."""
    olga = world.person("olga", user_id=4, groups=[ADMIN])
    asked = world.identity.elevations.ask(olga, "base.group_erp_manager", "more", 60)
    with pytest.raises(NotPermitted):
        world.identity.elevations.decide(asked, olga, approve=True)
    with pytest.raises(psycopg.IntegrityError):
        world.store.rows("UPDATE vallum.elevation SET decided_by = account_id")


def test_request_is_decided_once_and_by_those_who_may(world: World) -> None:
    """A colleague without the right decides nothing; a refusal is final."""
    marie, paul = world.person(user_id=3), world.person("paul", user_id=5)
    olga = world.person("olga", user_id=4, groups=[ADMIN])
    elevations = world.identity.elevations
    asked = elevations.ask(marie, ADMIN, "backup", 60)
    with pytest.raises(NotPermitted):
        elevations.decide(asked, paul, approve=True)
    assert elevations.decide(asked, olga, approve=False).state == "refused"
    with pytest.raises(RequestRefused):
        elevations.decide(asked, olga, approve=True)
    assert not world.identity.is_administrator(marie)


def test_grant_ends_before_its_time_on_word_and_with_the_account(world: World) -> None:
    """Ended means ended; and reopening an account brings nothing back."""
    marie = world.person(user_id=3)
    olga = world.person("olga", user_id=4, groups=[ADMIN])
    elevations = world.identity.elevations
    first = elevations.decide(elevations.ask(marie, ADMIN, "backup", 60), olga, approve=True)
    elevations.end(first, by="olga")
    assert not world.identity.is_administrator(marie)
    elevations.decide(elevations.ask(marie, ADMIN, "backup", 60), olga, approve=True)
    world.identity.deactivate(marie, by=olga)
    back = world.identity.activate(marie, by=olga)
    assert not world.identity.is_administrator(back)


def test_break_glass_account_raises_an_alarm(new_world: Maker) -> None:
    """Its use is told to those named, at once, and recorded as such."""
    world = new_world(alarm=["security@example.com"])
    account = world.identity.create_account("glass", by=None, break_glass=True)
    world.identity.passwords.replace(account, "only-for-emergencies", client())
    world.sign_in("glass", "only-for-emergencies")
    [mail] = world.read_mail()
    assert mail.recipient == "security@example.com"
    assert "ALARM" in mail.subject
    assert "break-glass.used" in world.kinds()


def test_break_glass_account_raises_the_alarm_over_rpc_as_well(new_world: Maker) -> None:
    """A program that calls with its password is a use like any other."""
    world = new_world(alarm=["security@example.com"])
    account = world.identity.create_account("glass", by=None, break_glass=True, user_id=3)
    world.identity.passwords.replace(account, "only-for-emergencies", client())
    calls = LocalAuthenticator(world.identity)
    assert not calls.password("glass", "a-guess-of-a-stranger", client()).accepted
    assert world.read_mail() == []
    assert calls.password("glass", "only-for-emergencies", client()).user_id == 3
    [mail] = world.read_mail()
    assert (mail.recipient, "ALARM" in mail.subject) == ("security@example.com", True)
    assert world.kinds().count("break-glass.used") == 1
