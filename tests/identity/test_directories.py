"""Accounts as directories see them: within one transaction, and never more than a directory may."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.identity.conftest import Maker
from tests.identity.world import GOOD, World, client
from vallum.identity.accounts_port import Accounts, Person
from vallum.identity.directories import DirectoryAccounts
from vallum.identity.errors import AccountTaken, LinkRefused, UnknownAccount
from vallum.identity.sign_in import Refused, SignedIn
from vallum.identity.sso.join import Identity, join
from vallum.identity.sso.join import SignedIn as SsoSignedIn
from vallum.identity.sso.providers import parse
from vallum.identity.sso.store import links_of, save_provider
from vallum.kernel import SettingsError
from vallum.postgres.migrations import migrate


def _port(world: World) -> Accounts:
    return DirectoryAccounts(world.identity.base)


def test_directory_makes_finds_and_describes_accounts(world: World) -> None:
    """By id, login and address; two with one address are nobody."""
    port = _port(world)
    with world.store.transaction() as tx:
        made = port.create(tx, Person("Marie", "Marie L", "m@example.com"), "scim")
        assert (
            port.find(tx, made.id)
            == port.find_login(tx, "MARIE")
            == port.find_email(tx, "M@example.com")
            == made
        )
        port.update(tx, made.id, Person("marie2", "", None))
        assert port.person(tx, made.id) == Person("marie2", "marie2", None)
        port.create(tx, Person("a", "", "x@example.com"), "scim")
        port.create(tx, Person("b", "", "x@example.com"), "scim")
        assert port.find_email(tx, "x@example.com") is None
        assert port.find(tx, 999) is None


def test_service_and_break_glass_are_reserved(world: World) -> None:
    """They are found, so that nobody else gets their names; and no provider opens a session as a service."""
    port, accounts, now = _port(world), world.identity.base.accounts, world.clock.now()
    service = accounts.create("sync", now, kind="service")
    accounts.create("glass", now, break_glass=True)
    accounts.create("marie", now)
    with world.store.transaction() as tx:
        found = {name: port.find_login(tx, name) for name in ("sync", "glass", "marie")}
    assert {name: one is not None and one.reserved for name, one in found.items()} == {
        "sync": True,
        "glass": True,
        "marie": False,
    }
    outcome = world.identity.sign_in.external(service, client(), provider="one", methods=["sso"])
    assert isinstance(outcome, Refused)


def test_taken_login_is_an_error_and_the_transaction_goes_on(world: World) -> None:
    """The rest of a synchronisation is not lost."""
    port = _port(world)
    with world.store.transaction() as tx:
        made = port.create(tx, Person("marie"), "scim")
        other = port.create(tx, Person("paul"), "scim")
        with pytest.raises(AccountTaken):
            port.create(tx, Person("MARIE"), "scim")
        with pytest.raises(AccountTaken):
            port.update(tx, other.id, Person("marie"))
        with pytest.raises(UnknownAccount):
            port.update(tx, 999, Person("x"))
        assert port.find_login(tx, "marie") == made


@pytest.mark.parametrize("adopt", ["provisioned", "login"])
def test_person_who_comes_first_several_times_at_once_is_one_account(world: World, adopt: str) -> None:
    """Each of them is signed in; one makes the account or the link, the others find it."""
    port, count = _port(world), 8
    with world.store.transaction() as tx:
        migrate(tx, "sso")
    raw = {"kind": "oidc", "id": "one", "label": "One", "issuer": "https://id.example.com", "client_id": "v"}
    rules = [{"groups": ["sales_team.group_sale_salesman"]}]
    provider = parse({**raw, "secret": "env:X", "create": True, "adopt": adopt, "rules": rules})
    with world.store.transaction() as tx:
        save_provider(tx, provider, world.clock.now())
        if adopt == "login":
            port.create(tx, Person("marie"), "local")
    issuer = "https://id.example.com"
    meeting = Barrier(count)

    def enter(_: int) -> SsoSignedIn:
        store = world.another().base.store
        who = Identity(issuer=issuer, subject="m-1", person=Person("marie", "Marie", "m@example.com"))
        with store.transaction() as tx:
            # All have a transaction before any of them looks.
            meeting.wait(30)
            return join(tx, port, provider, who, return_to="/leads", now=world.clock.now())

    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(enter, range(count)))
    assert len({one.account.id for one in found}) == 1
    assert [one.created for one in found].count(True) == (adopt == "provisioned")
    assert {one.return_to for one in found} == {"/leads"}
    with world.store.transaction() as tx:
        (linked,) = links_of(tx)
        assert linked.account_id == found[0].account.id
        assert port.groups(tx, linked.account_id, "one") == {"sales_team.group_sale_salesman"}


@pytest.mark.asvs("7.4.2")
def test_leaving_the_directory_ends_everything_with_its_transaction(world: World) -> None:
    """Not before it is committed, and all of it then."""
    port, account = _port(world), world.person()
    token = world.sign_in().token
    world.identity.passwords.send_link(account, by="admin")
    link = world.link_in_mail()
    check = world.identity.base.sessions.check

    def half() -> None:
        with world.store.transaction() as tx:
            port.deactivate(tx, account.id, "scim")
            raise RuntimeError("the directory went away")

    with pytest.raises(RuntimeError):
        half()
    assert check(token, world.clock.now()) is not None
    with world.store.transaction() as tx:
        port.deactivate(tx, account.id, "scim")
    assert check(token, world.clock.now()) is None
    assert isinstance(world.identity.sign_in.password("marie", GOOD, client()), Refused)
    with pytest.raises(LinkRefused):
        world.identity.passwords.look(link)


@pytest.mark.parametrize("source", ["scim", "administrator"])
def test_directory_does_not_open_what_an_administrator_shut(world: World, source: str) -> None:
    """Whatever it calls itself; its own it may."""
    port, account = _port(world), world.person()
    world.identity.deactivate(account, by=None)
    with world.store.transaction() as tx, pytest.raises(UnknownAccount):
        port.activate(tx, account.id, source)
    world.identity.activate(account, by=None)
    with world.store.transaction() as tx:
        port.deactivate(tx, account.id, source)
        port.activate(tx, account.id, source)
    assert world.identity.base.accounts.get(account.id).active


def test_administrators_word_stands_above_the_directorys(world: World) -> None:
    """Shut by the directory, then by hand: the directory cannot open it any more."""
    port, account = _port(world), world.person()
    with world.store.transaction() as tx:
        port.deactivate(tx, account.id, "scim")
    world.identity.deactivate(account, by=None)
    with world.store.transaction() as tx, pytest.raises(UnknownAccount):
        port.activate(tx, account.id, "scim")


@pytest.mark.parametrize(
    "person",
    [
        Person("marie", "", "m@example.com\nBcc: eve@example.com"),
        Person("marie", "", "no address"),
        Person("ma\u200brie", "", "m@example.com"),
        Person("ma\nrie"),
        Person(" "),
    ],
)
def test_name_or_address_that_cannot_be_one_is_refused_at_a_change_too(world: World, person: Person) -> None:
    """As where an account is made: what looks like another's login, or would break a mail, is no name."""
    port, account = _port(world), world.person()
    with world.store.transaction() as tx, pytest.raises(SettingsError):
        port.update(tx, account.id, person)
    assert world.identity.base.accounts.get(account.id).email == account.email


def test_link_on_its_way_to_an_address_is_over_with_the_address(world: World) -> None:
    """Whoever reads the old mailbox is not its holder any more; the same address leaves it good."""
    port, account = _port(world), world.person()
    passwords = world.identity.passwords
    link = passwords.make_link(account, by="server").partition("#")[2]
    with world.store.transaction() as tx:
        port.update(tx, account.id, Person("marie", "Marie M", account.email))
    assert passwords.look(link)[1].id == account.id
    with world.store.transaction() as tx:
        port.update(tx, account.id, Person("marie", "Marie M", "new@example.com"))
    with pytest.raises(LinkRefused):
        passwords.look(link)
    told = [
        row[0]
        for row in world.store.rows("SELECT recipient FROM vallum.outbox WHERE kind = 'address-changed'")
    ]
    assert sorted(told) == sorted([str(account.email), "new@example.com"])


def test_directory_sets_its_groups(world: World) -> None:
    """And sees its own only."""
    port, account = _port(world), world.person()
    world.identity.give_group(account, "a.by_hand", by=None)
    with world.store.transaction() as tx:
        port.set_groups(tx, account.id, frozenset({"a.x", "a.y"}), "scim")
        assert port.groups(tx, account.id, "scim") == {"a.x", "a.y"}
        port.set_groups(tx, account.id, frozenset(), "scim")
        assert port.groups(tx, account.id, "direct") == {"a.by_hand"}
    assert world.kinds().count("group.taken") == 2


def test_source_that_is_forgotten_leaves_neither_sessions_nor_groups(world: World) -> None:
    """What others gave stays, and so does the account; each group that is taken is told."""
    port = _port(world)
    account = world.person(groups=())
    world.identity.give_group(account, "by.hand", by=None)
    with world.store.transaction() as tx:
        port.set_groups(tx, account.id, frozenset({"a.b", "c.d"}), "corp")
        port.set_groups(tx, account.id, frozenset({"a.b"}), "other")
        for provider in ("corp", None):
            world.identity.base.sessions.start(
                tx, account.id, client(), ("pwd",), world.clock.now(), provider=provider
            )
        world.events.clear()
        port.forget(tx, "corp", "gone")
        told = [*world.events]
        for name in ("direct", "request"):
            port.forget(tx, name, "a namesake of what people gave")
    base = world.identity.base
    held = {(one.group, one.source) for one in base.memberships.of(account.id, world.clock.now())}
    assert held == {("by.hand", "direct"), ("a.b", "other")}
    assert [one.provider for one in base.sessions.of(account.id, world.clock.now())] == [None]
    seen = [(event.kind, event.facts.get("group"), event.facts.get("sessions")) for event in told]
    assert seen == [
        ("session.all-ended", None, 1),
        ("group.taken", "a.b", None),
        ("group.taken", "c.d", None),
    ]
    assert base.accounts.get(account.id).active


def test_source_ends_the_sessions_it_began_and_the_steps_too(world: World) -> None:
    """One by its name there, all of the source, or all."""
    port, account = _port(world), world.person()
    external = world.identity.sign_in.external

    def begun(source: str, sid: str) -> str:
        done = external(account, client(), provider=source, methods=["sso"], provider_session=sid)
        assert isinstance(done, SignedIn)
        return done.token

    one, two, other, own = begun("a", "1"), begun("a", "2"), begun("b", "1"), world.sign_in().token
    check = world.identity.base.sessions.check

    def alive() -> list[bool]:
        return [check(token, world.clock.now()) is not None for token in (one, two, other, own)]

    with world.store.transaction() as tx:
        assert port.end_provider_session(tx, "a", "1", "logout") == 1
    assert alive() == [False, True, True, True]
    with world.store.transaction() as tx:
        assert port.end_sessions(tx, "logout", account_id=account.id, source="b", sid="9") == 0
        assert port.end_sessions(tx, "logout", account_id=account.id, source="a") == 1
    assert alive() == [False, False, True, True]
    with world.store.transaction() as tx:
        assert port.end_sessions(tx, "left", account_id=account.id) == 2
    assert alive() == [False] * 4


@pytest.mark.parametrize(
    ("allowed", "login", "tied"),
    [
        (False, "paul", None),
        (True, "paul", 4),
        (True, "admin", None),
        (True, "__system__", None),
        (True, "new", None),
    ],
)
def test_directory_ties_accounts_to_users_only_where_it_may(
    new_world: Maker, allowed: bool, login: str, tied: int | None
) -> None:
    """Never to the superuser or an administrator, whatever login it says."""
    world = new_world(link_users=allowed)
    world.groups.logins = {"paul": 4, "admin": 2, "__system__": 1}
    world.groups.of = {2: frozenset({"base.group_system"})}
    with world.store.transaction() as tx:
        made = _port(world).create(tx, Person(login), "scim")
        again = _port(world).create(tx, Person(login + "2"), "scim")
    assert world.identity.base.accounts.get(made.id).user_id == tied
    assert world.identity.base.accounts.get(again.id).user_id is None
