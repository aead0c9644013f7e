"""What ends while somebody is being let in: whoever came a moment too early is not remembered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.identity.world import GOOD, World, client
from vallum.identity.local import LocalAuthenticator
from vallum.postgres import connect
from vallum.postgres.migrations import migrate
from vallum.server.sessions import Sessions

OTHER = "another-horse-staple"


def test_password_changed_while_it_was_checked_is_not_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was looked at, and is refused at the next call."""
    account = world.person(user_id=3)
    calls = LocalAuthenticator(world.identity)
    check = world.identity.sign_in.check

    def changed_behind(*args: Any, **options: Any) -> Any:
        found = check(*args, **options)
        monkeypatch.undo()
        world.another().passwords.replace(account, OTHER, client())
        return found

    monkeypatch.setattr(world.identity.sign_in, "check", changed_behind)
    calls.password("marie", GOOD, client())
    assert not calls.password("marie", GOOD, client()).accepted
    assert calls.password("marie", OTHER, client()).accepted


@pytest.mark.parametrize("how", ["one", "everyone", "deactivated", "keep"])
def test_administrators_word_ends_sessions_of_programs_too(world: World, how: str) -> None:
    """A cookie of `/web/session/authenticate` is a session like any other."""
    with connect(world.dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "server")
    account, other = world.person(user_id=3), world.person("paul", user_id=4)
    sessions = Sessions(world.store, world.clock, LocalAuthenticator(world.identity).mark)
    hers, his = sessions.open(3, client()), sessions.open(4, client())
    assert (sessions.user_of(hers), sessions.user_of(his)) == (3, 4)
    if how == "one":
        world.identity.end_sessions(account, by=None)
    elif how == "everyone":
        world.identity.end_sessions(None, by=None)
    elif how == "deactivated":
        world.identity.deactivate(account, by=None)
        world.identity.activate(account, by=None)
    else:
        world.identity.base.sessions.end_all(account.id, keep=world.sign_in().token)
    assert sessions.user_of(hers) is None
    assert sessions.user_of(his) == (None if how == "everyone" else other.user_id)


def test_memberships_are_told_apart_by_whose_they_are(world: World) -> None:
    """An account tied to another user, and one shut while another is opened, are changes."""
    marie, paul = world.person(user_id=3), world.person("paul", user_id=4)
    identity, now = world.identity, world.clock.now()
    memberships = identity.base.memberships
    identity.give_group(marie, "base.group_system", by=None)
    before = memberships.digest(now)
    identity.change_account(marie, by=None, user_id=5)
    tied = memberships.digest(now)
    assert tied != before
    identity.deactivate(paul, by=None)
    shut = memberships.digest(now)
    with world.store.transaction() as connection:
        identity.base.accounts.activate(paul.id, connection=connection)
        identity.base.accounts.deactivate(marie.id, now, connection=connection)
    assert memberships.digest(now) != shut
    assert memberships.digest(now) == memberships.digest(now + timedelta(seconds=1))


def test_new_address_ends_the_links_sent_to_the_old_one(world: World) -> None:
    """Whoever reads the old mailbox chooses no password any more."""
    account = world.person()
    world.identity.passwords.start_reset("marie", client())
    token = world.link_in_mail()
    world.identity.change_account(account, by=None, email="marie@elsewhere.example")
    from vallum.identity.errors import LinkRefused

    with pytest.raises(LinkRefused):
        world.identity.passwords.finish_reset(token, OTHER, client())
