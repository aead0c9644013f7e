"""Finding accounts, and how far second factors reach."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.identity.world import World
from vallum.identity.coverage import coverage
from vallum.identity.search import AccountQuery, Among, find_accounts


def _some(world: World) -> None:
    base = world.identity.base
    for login, name, email in (
        ("marie", "Marie Curie-Sklodowska", "marie@radium.example"),
        ("paul.d", "Paul Dupont", "paul@example.com"),
        ("o'neil", "Óscar O'Neil", None),
        ("100%_sure", "Percent", None),
        ("süß", "Straße & Söhne", None),
    ):
        base.accounts.create(login, base.now(), name=name, email=email)
    base.accounts.create("sync", base.now(), name="Dupont's robot", kind="service")


@pytest.mark.parametrize(
    ("text", "logins"),
    [
        ("mar", {"marie"}),
        ("MARIE", {"marie"}),
        ("paul@", {"paul.d"}),
        ("dup", {"paul.d", "sync"}),
        ("paul dup", {"paul.d"}),
        ("sklod", {"marie"}),
        ("o'n", {"o'neil"}),
        ("óscar", {"o'neil"}),
        ("100%", {"100%_sure"}),
        ("10_", set()),
        ("%", set()),
        ("' | !", set()),
        ("& :* <->", set()),
        ("\0", set()),
        ("\\", set()),
        ("arie", set()),
        ("x" * 5000, set()),
    ],
)
def test_account_is_found_by_the_beginning_of_what_it_is_called(
    world: World, text: str, logins: set[str]
) -> None:
    """Of its login, its address, its name, or a word of its name; signs of patterns mean themselves."""
    _some(world)
    assert {one.login for one in find_accounts(world.store, AccountQuery(text=text))} == logins


def test_accounts_are_filtered_by_how_they_stand(world: World) -> None:
    """Kind, state, second factor and group, each alone and together with a text."""
    _some(world)
    base, identity = world.identity.base, world.identity
    marie, paul = base.accounts.find("marie"), base.accounts.find("paul.d")
    base.accounts.change(marie.id, user_id=3)
    world.totp(marie)
    identity.deactivate(paul, by=None)
    identity.give_group(paul, "sales.manager", by=None, expires=base.now() + timedelta(hours=1))

    def found(**asked: object) -> set[str]:
        return {one.login for one in find_accounts(world.store, AccountQuery(**asked))}  # type: ignore[arg-type]

    assert found(kind="service") == {"sync"}
    assert found(state="shut") == {"paul.d"}
    assert found(factor="app") == {"marie"}
    assert found(factor="passkey") == set()
    assert "marie" not in found(factor="none")
    assert found(state="shut", text="dup") == {"paul.d"}
    assert found(among=Among((3,), ("sales.manager",), base.now())) == {"marie", "paul.d"}
    assert found(among=Among((3,), ("sales.manager",), base.now() + timedelta(hours=2))) == {"marie"}


def test_accounts_without_a_text_come_page_after_page(world: World) -> None:
    """Each once, in order of their ids."""
    _some(world)
    seen, after = [], 0
    while page := find_accounts(world.store, AccountQuery(), after=after, limit=2):
        seen += [one.id for one in page]
        after = page[-1].id
    assert seen == sorted(set(seen))
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("text", "fit"),
    [("person1", 20), ("somebody", 20), ("somebody 777", 11), ("person123@", 1), ("nobody", 0)],
)
def test_search_reads_indexes_alone(world: World, text: str, fit: int) -> None:
    """Whatever is asked for, and however many fit: no way to look reads all accounts."""
    with world.store.transaction() as connection:
        connection.execute(
            "INSERT INTO vallum.account (kind, login, login_key, name, email, source, handle, created)"
            " SELECT 'person', 'person' || n, 'person' || n, 'Somebody ' || n,"
            " 'person' || n || '@example.com', 'test', sha256(n::text::bytea), now()"
            " FROM generate_series(1, 20000) n"
        )
        connection.execute("ANALYZE vallum.account")
    before = _read(world)
    found = find_accounts(world.store, AccountQuery(text=text), limit=20)
    assert len(found) == fit
    assert _read(world) == before


def _read(world: World) -> int:
    """How often all accounts were read, one after the other."""
    world.store.rows("SELECT pg_stat_force_next_flush()")
    world.store.rows("SELECT pg_stat_clear_snapshot()")
    statement = "SELECT seq_scan FROM pg_stat_all_tables WHERE relid = 'vallum.account'::regclass"
    return int(world.store.rows(statement)[0][0])


def test_coverage_counts_everybody_once_in_each_group(world: World) -> None:
    """By the user's groups and those Vallum gives; shut accounts and services nowhere; grace while it is."""
    base = world.identity.base
    users = [world.person(f"person{n}", user_id=n) for n in range(1, 6)]
    world.totp(users[0])
    world.identity.deactivate(users[4], by=None)
    base.accounts.create("robot", base.now(), kind="service", user_id=1)
    world.identity.give_group(users[1], "hr.manager", by=None)
    end = base.now() + timedelta(days=3)
    world.store.rows("UPDATE vallum.account SET factor_deadline = %s WHERE id = %s", (end, users[1].id))
    groups = {
        "hr.user": Among((1, 2, 5), ("hr.user", "hr.manager"), base.now()),
        "hr.manager": Among((), ("hr.manager",), base.now()),
        "nobody": Among((), ("nobody",), base.now()),
    }
    everybody, *rows = coverage(world.store, groups, base.now())
    assert (everybody.group, everybody.people, everybody.app, everybody.none) == (None, 4, 1, 3)
    found = {one.group: one for one in rows}
    assert set(found) == {"hr.user", "hr.manager"}
    assert (found["hr.user"].people, found["hr.user"].app, found["hr.user"].grace) == (2, 1, 1)
    assert (found["hr.manager"].people, found["hr.manager"].covered) == (1, 0)
    assert found["hr.manager"].next_deadline == end
    later = coverage(world.store, groups, end)
    assert next(one for one in later if one.group == "hr.manager").grace == 0


def test_coverage_of_nobody_is_none(world: World) -> None:
    """Without accounts there are no numbers, and no division by them."""
    assert coverage(world.store, {}, world.identity.base.now()) == []
