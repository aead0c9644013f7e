"""Accounts and keys for the people of the example company, and keys of Odoo's users."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vallum.identity import open_identity
from vallum.identity.keys.scope import Scope
from vallum.identity.opening import prepare
from vallum.kernel import Settings, SystemClock
from vallum.postgres import Database, connect

__all__ = ["People", "hashed", "odoo_key", "people"]

# As many rounds as a test needs.
_ROUNDS: Final = 1_000
_MODELS: Final = ("crm.*", "res.*", "sale.*", "product.*", "hr.*", "account.*")


@dataclass
class People:
    """Who can sign in, with which password or key."""

    passwords: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


def hashed(secret: str, rounds: int = _ROUNDS) -> str:
    """The hash of a secret as Odoo keeps it."""
    salt = os.urandom(16)
    return f"$pbkdf2-sha512${rounds}${_text(salt)}${_text(_derived(secret, salt, rounds))}"


def _derived(secret: str, salt: bytes, rounds: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, rounds)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=").replace("+", ".")


def odoo_key(dsn: str, login: str, *, scope: str | None = "rpc", expires: str | None = None) -> str:
    """A new API key of an Odoo's user. `expires`: an interval from now, such as `-1 day`."""
    key = os.urandom(20).hex()
    with connect(dsn, readonly=False, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO res_users_apikeys (name, user_id, scope, index, key, create_date, expiration_date)"
            " SELECT 'test', id, %s, %s, %s, now() AT TIME ZONE 'utc',"
            "  (now() AT TIME ZONE 'utc') + %s::interval FROM res_users WHERE login = %s",
            (scope, key[:8], hashed(key), expires, login),
        )
    return key


def people(folder: Path, dsn: str, logins: Iterable[str], models: Sequence[str] = _MODELS) -> People:
    """Accounts with a password, and service accounts with a key, for users of the company."""
    prepare(dsn)
    settings = Settings.load(folder, environ={"VALLUM_DATA_DIR": str(folder)})
    found = People()
    with Database(dsn, readonly=False) as store:
        identity = open_identity(store, settings)
        try:
            for login in logins:
                ((user_id,),) = store.rows("SELECT id FROM res_users WHERE login = %s", (login,))
                password = f"{login}-{os.urandom(8).hex()}"
                line = {"id": str(user_id), "login": login, "password": hashed(password)}
                assert identity.import_person(line) is None
                found.passwords[login] = password
                program = identity.create_account(
                    f"{login}-program", by=None, user_id=user_id, kind="service"
                )
                scope = Scope.parse(list(models), ["read", "write", "create", "unlink"])
                made = identity.keys.create(program, "test", scope, SystemClock().now(), days=30, by="test")
                found.keys[login] = made.text
        finally:
            identity.close()
    return found
