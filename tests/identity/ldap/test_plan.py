"""What a synchronisation would do, without a directory; and what entries say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.identity.accounts_port import Person
from vallum.identity.ldap.entry import DirectoryUser, Entry, closure, is_active, user_of
from vallum.identity.ldap.sync import Found, Known, SyncRefused, _check, plan
from vallum.identity.sso.errors import ProviderMisconfigured
from vallum.identity.sso.providers import LdapProvider, parse

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def provider(**given: Any) -> LdapProvider:
    """A directory, as written down."""
    described = {"kind": "ldap", "id": "corp", "label": "Corp", "url": "ldaps://dc", "base": "dc=x"}
    found = parse({**described, **given})
    assert isinstance(found, LdapProvider)
    return found


def there(name: str, *groups: str, active: bool = True) -> Found:
    """Somebody in the directory."""
    return Found(DirectoryUser(name, f"cn={name}", Person(name), active), frozenset(groups))


def here(number: int, name: str, *groups: str, active: bool = True, login: str = "") -> Known:
    """Somebody linked."""
    return Known(number, name, Person(login or name), active, frozenset(groups))


def kinds(found: list[Found], known: list[Known], **given: Any) -> list[tuple[str, str]]:
    """What would be done."""
    wanted = plan(provider(**given), {f.user.subject: f for f in found}, known, frozenset({"taken"}))
    return [(change.kind, change.subject) for change in wanted.changes]


def test_plan_says_every_difference() -> None:
    """New, renamed, in other groups, back, off and gone; who is the same is left alone."""
    found = [there("a", "g"), there("b", "g", "h"), there("c"), there("d", active=False), there("new", "g")]
    known = [
        here(1, "a", "g", login="old"),
        here(2, "b", "g"),
        here(3, "c", active=False),
        here(4, "d"),
        here(5, "e"),
    ]
    assert kinds(found, known, create=True) == [
        ("update", "a"),
        ("groups", "b"),
        ("activate", "c"),
        ("deactivate", "d"),
        ("create", "new"),
        ("deactivate", "e"),
    ]


def test_nobody_is_made_where_that_is_off_or_the_login_is_taken() -> None:
    """And nobody who is switched off there."""
    assert kinds([there("new")], []) == []
    assert kinds([there("off", active=False)], [], create=True) == []
    assert kinds([there("taken")], [], create=True) == [("conflict", "taken")]


def test_who_is_off_on_both_sides_is_left_alone() -> None:
    """A second run does nothing."""
    assert kinds([there("a", active=False)], [here(1, "a", active=False), here(2, "b", active=False)]) == []


@pytest.mark.parametrize(
    ("linked", "gone", "allowed"), [(5, 4, True), (100, 20, True), (100, 21, False), (10, 6, False)]
)
def test_too_many_at_once_are_not_shut(linked: int, gone: int, allowed: bool) -> None:
    """A mistyped filter does not lock everybody out; whoever is sure says so."""
    known = [here(n, f"u{n}") for n in range(linked)]
    found = {f"u{n}": there(f"u{n}") for n in range(gone, linked)}
    wanted = plan(provider(), found, known, frozenset())
    assert wanted.count("deactivate") == gone
    if not allowed:
        with pytest.raises(SyncRefused, match="--force"):
            _check(provider(), wanted, force=False)
    else:
        _check(provider(), wanted, force=False)
    _check(provider(), wanted, force=True)


def test_empty_directory_shuts_nobody() -> None:
    """Not even a single account."""
    wanted = plan(provider(), {}, [here(1, "a")], frozenset())
    with pytest.raises(SyncRefused):
        _check(provider(), wanted, force=False)


@given(st.dictionaries(st.integers(0, 8), st.lists(st.integers(0, 8))))
def test_closure_is_what_walking_finds(edges: dict[int, list[int]]) -> None:
    """Every group that can be reached upwards, and no other, whatever the circles."""
    groups = {f"g{group}": [f"g{member}" for member in members] for group, members in edges.items()}
    found = closure(groups)
    for member in {m for members in groups.values() for m in members}:
        reached: set[str] = set()
        while True:
            wider = reached | {g for g, inside in groups.items() if {member, *reached} & set(inside)}
            if wider == reached:
                break
            reached = wider
        assert found[member] == reached


def entry(**attributes: str | bytes) -> Entry:
    """An entry."""
    values = {k.lower(): (v if isinstance(v, bytes) else v.encode(),) for k, v in attributes.items()}
    return Entry("cn=x", values)


def ticks(moment: datetime) -> str:
    """As Active Directory counts."""
    return str(int((moment - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds()) * 10_000_000)


@pytest.mark.parametrize(
    ("attributes", "active"),
    [
        ({"userAccountControl": "512"}, True),
        ({"userAccountControl": "514"}, False),
        ({"userAccountControl": "66050"}, False),
        ({}, False),
        ({"userAccountControl": "x"}, False),
        ({"userAccountControl": "512", "accountExpires": "0"}, True),
        ({"userAccountControl": "512", "accountExpires": str(2**63 - 1)}, True),
        ({"userAccountControl": "512", "accountExpires": ticks(NOW + timedelta(seconds=1))}, True),
        ({"userAccountControl": "512", "accountExpires": ticks(NOW)}, False),
    ],
)
def test_active_directory_says_who_is_active(attributes: dict[str, str], active: bool) -> None:
    """By the disabled bit and the expiry; where the bit is missing, nobody is."""
    assert is_active(entry(**attributes), provider(), NOW) is active


@pytest.mark.parametrize(
    ("attributes", "active"),
    [
        ({}, True),
        ({"pwdAccountLockedTime": "000001010000Z"}, False),
        ({"pwdAccountLockedTime": "20260101000000Z"}, True),
        ({"nsAccountLock": "TRUE"}, False),
    ],
)
def test_other_directories_say_who_is_active(attributes: dict[str, str], active: bool) -> None:
    """Locked for good, or shut by 389 Directory Server; a lock that ends is the bind's to see."""
    assert is_active(entry(**attributes), provider(flavour="generic"), NOW) is active


def test_entry_without_an_id_is_an_error() -> None:
    """Nobody is told apart by a name that may change."""
    guid = bytes(range(16))
    who = user_of(entry(objectGUID=guid, sAMAccountName="marie"), provider(), NOW)
    assert who.subject == "03020100-0504-0706-0809-0a0b0c0d0e0f"
    for attributes in (
        {"sAMAccountName": "m"},
        {"objectGUID": b"x", "sAMAccountName": "m"},
        {"objectGUID": guid},
    ):
        with pytest.raises(ProviderMisconfigured):
            user_of(entry(**attributes), provider(), NOW)


@pytest.mark.parametrize(
    "change",
    [{"url": "http://dc"}, {"bind_dn": "cn=x"}, {"secret": "file:/x"}, {"page": 0}, {"flavour": "x"}],
)
def test_directory_described_wrongly_is_refused(change: dict[str, Any]) -> None:
    """Before anybody is asked."""
    with pytest.raises(ProviderMisconfigured):
        provider(**change)
