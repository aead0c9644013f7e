"""Events in the audit trail: with what they tell, or not at all; and no secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from tests.identity.world import CHEAP, GOOD, START, client
from vallum.audit.waiting import members
from vallum.identity.base import Base
from vallum.identity.events import Events
from vallum.identity.identity import Identity
from vallum.identity.keyring import Keyring
from vallum.identity.settings import IdentitySettings
from vallum.identity.sign_in import SignedIn
from vallum.identity.trail import AuditTrail
from vallum.kernel import FixedClock
from vallum.postgres import Database, connect
from vallum.postgres.migrations import migrate


@pytest.fixture
def identity(pg_dsn: str) -> Iterator[Identity]:
    """An identity in a database without a trail yet."""
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "identity")
    with Database(pg_dsn, readonly=False) as store:
        settings = IdentitySettings.parse({"url": "https://vallum.example", "hashing": CHEAP})
        made = Identity(Base(store, settings, Keyring.new(), FixedClock(START), Events(AuditTrail(store))))
        account = made.base.accounts.create("marie", START)
        made.passwords.replace(account, GOOD, client())
        yield made
        made.close()


def _trail(identity: Identity) -> list[tuple[str, dict[str, object]]]:
    rows = identity.base.store.rows("SELECT kind, content FROM vallum.audit_inbox ORDER BY id")
    return [(kind, members(text)) for kind, text in rows]


@pytest.mark.asvs("16.3.1")
def test_trail_that_is_switched_on_gets_what_happens_from_then_on(identity: Identity, pg_dsn: str) -> None:
    """Sign-ins and failures under their own kinds, with who, whence and which request."""
    assert isinstance(identity.sign_in.password("marie", GOOD, client()), SignedIn)
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "audit")
    assert isinstance(identity.base.clock, FixedClock)
    identity.base.clock.advance(timedelta(minutes=1))
    identity.sign_in.password("marie", "a-canary-in-the-mine", client("198.51.100.9"))
    done = identity.sign_in.password("marie", GOOD, client())
    identity.give_group(identity.base.accounts.find("marie"), "base.group_system", by=None)
    assert isinstance(done, SignedIn)
    told = _trail(identity)
    assert [kind for kind, _ in told] == ["sign-in-failed", "sign-in", "permission-change"]
    assert (told[0][1]["address"], told[0][1]["request_id"]) == ("198.51.100.9", "r-1")
    assert told[2][1]["group"] == "base.group_system"
    text = json.dumps(told)
    assert not [secret for secret in ("canary", GOOD, done.token, done.device or "-") if secret in text]


def test_trail_that_refuses_undoes_what_it_would_have_told(identity: Identity, pg_dsn: str) -> None:
    """No session that nobody can find in the trail."""

    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "audit")
        assert isinstance(identity.base.clock, FixedClock)
        identity.base.clock.advance(timedelta(minutes=1))
        connection.execute("ALTER TABLE vallum.audit_inbox ADD CONSTRAINT full_up CHECK (false) NOT VALID")
    with pytest.raises(psycopg.errors.CheckViolation):
        identity.sign_in.password("marie", GOOD, client())
    assert identity.base.store.rows("SELECT 1 FROM vallum.session") == []
