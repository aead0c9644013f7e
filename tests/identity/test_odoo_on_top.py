"""Users of an Odoo: its passwords and keys, with Vallum's counters, factors, sessions and keys on top."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator

import pytest

from tests.identity.world import World, client
from vallum.identity.authenticator import Refusal
from vallum.identity.base import Base
from vallum.identity.identity import Identity
from vallum.identity.local import LocalAuthenticator
from vallum.identity.odoo import OdooAuthenticator
from vallum.identity.sign_in import Refused, SignedIn, Step
from vallum.postgres import Database, connect

KEY = "0123456789abcdef0123456789abcdef01234567"


def _hash(secret: str) -> str:
    def text(raw: bytes) -> str:
        return b64encode(raw).decode().rstrip("=").replace("+", ".")

    salt = b"0123456789abcdef"
    made = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, 1000)
    return f"$pbkdf2-sha512$1000${text(salt)}${text(made)}"


@pytest.fixture
def odoo(world: World, odoo18_copy: str) -> Iterator[tuple[Identity, Database]]:
    """A real Odoo's users, `demo` with a known password and a key, and an identity over them."""
    with connect(odoo18_copy, readonly=False, autocommit=True) as connection:
        connection.execute("UPDATE res_users SET password = %s WHERE login = 'demo'", (_hash("demo-pass"),))
        connection.execute(
            "INSERT INTO res_users_apikeys (name, user_id, scope, index, key)"
            " SELECT 'k', id, 'rpc', %s, %s FROM res_users WHERE login = 'demo'",
            (KEY[:8], _hash(KEY)),
        )
    with Database(odoo18_copy, readonly=False) as database:
        for number, login in database.rows("SELECT id, login FROM res_users"):
            world.groups.logins[login] = number
        base = world.identity.base
        identity = Identity(
            Base(
                base.store, base.settings, base.keyring, base.clock, base.events, world.groups,
                OdooAuthenticator(database, base.clock),
            )
        )  # fmt: skip
        yield identity, database
        identity.close()


def test_user_of_odoo_signs_in_with_the_password_of_odoo(
    odoo: tuple[Identity, Database], world: World
) -> None:
    """And has an account from then on, without a password here."""
    identity, _ = odoo
    done = identity.sign_in.password("demo", "demo-pass", client())
    assert isinstance(done, SignedIn)
    assert (done.account.source, done.account.password_hash) == ("odoo", None)
    assert done.account.user_id == world.groups.logins["demo"]
    again = identity.sign_in.password("demo", "demo-pass", client())
    assert isinstance(again, SignedIn)
    assert again.account.id == done.account.id


def test_lockout_and_second_factor_hold_on_top(odoo: tuple[Identity, Database], world: World) -> None:
    """Five failures shut it; a factor enrolled here is asked for."""
    identity, _ = odoo
    done = identity.sign_in.password("demo", "demo-pass", client())
    assert isinstance(done, SignedIn)
    world.identity = identity
    world.totp(done.account)
    assert isinstance(identity.sign_in.password("demo", "demo-pass", client()), Step)
    assert LocalAuthenticator(identity).password("demo", "demo-pass", client()).refusal is Refusal.KEY_NEEDED
    for _ in range(5):
        assert isinstance(identity.sign_in.password("demo", "wrong", client()), Refused)
    locked = identity.sign_in.password("demo", "demo-pass", client())
    assert isinstance(locked, Refused)
    assert locked.reason is Refusal.LOCKED


@pytest.mark.parametrize("change", ["password", "active", "factor", "account"])
def test_change_on_either_side_holds_from_the_next_call(
    odoo: tuple[Identity, Database], world: World, change: str
) -> None:
    """A new password, archived user or second factor in Odoo, an account shut here: nothing outlives it."""
    identity, database = odoo
    database.rows("ALTER TABLE res_users ADD COLUMN IF NOT EXISTS totp_secret varchar")
    calls = LocalAuthenticator(identity)
    demo, odoos = world.groups.logins["demo"], OdooAuthenticator(database)
    marks = calls.mark(demo), odoos.mark(demo)
    for _ in range(2):
        assert calls.password("demo", "demo-pass", client()).accepted
        assert calls.key(KEY, client()).accepted
    if change == "password":
        database.rows("UPDATE res_users SET password = %s WHERE login = 'demo'", (_hash("other"),))
    elif change == "active":
        database.rows("UPDATE res_users SET active = false WHERE login = 'demo'")
    elif change == "factor":
        database.rows("UPDATE res_users SET totp_secret = 'x' WHERE login = 'demo'")
    else:
        identity.deactivate(identity.base.accounts.find("demo"), by=None)
    assert not calls.password("demo", "demo-pass", client()).accepted
    assert calls.key(KEY, client()).accepted is (change in ("password", "factor"))
    assert (calls.mark(demo), odoos.mark(demo)) != marks


def test_account_of_vallums_own_stands_beside_them(odoo: tuple[Identity, Database], world: World) -> None:
    """A break-glass account works by its own password, and not by the one that login has in Odoo."""
    identity, _ = odoo
    world.identity = identity
    world.person("demo", password="only-for-emergencies")
    assert isinstance(identity.sign_in.password("demo", "only-for-emergencies", client()), SignedIn)
    assert isinstance(identity.sign_in.password("demo", "demo-pass", client()), Refused)
