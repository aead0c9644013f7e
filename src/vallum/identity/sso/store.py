"""Providers, and who is who there: statements on the tables of the area `sso`, values bound."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from vallum.identity.accounts_port import Accounts, Transaction
from vallum.identity.sso import providers
from vallum.identity.sso.errors import NoSuchProvider, ProviderMisconfigured
from vallum.identity.sso.providers import Provider

__all__ = [
    "Link",
    "all_providers",
    "config_of",
    "configs",
    "exists",
    "find_link",
    "folded",
    "forget_provider",
    "hold",
    "is_provisioned",
    "is_ready",
    "link",
    "linked_among",
    "links_of",
    "provider",
    "provisioned",
    "save_provider",
    "sound_providers",
    "spend",
    "touch",
    "unlink",
]


@dataclass(frozen=True, slots=True)
class Link:
    """Somebody at a provider is an account here."""

    provider_id: str
    issuer: str
    subject: str
    account_id: int


def save_provider(tx: Transaction, wanted: Provider, now: datetime) -> None:
    """Write a provider down, or anew."""
    tx.execute(
        "INSERT INTO vallum.sso_provider (id, config, changed) VALUES (%s, %s, %s)"
        " ON CONFLICT (id) DO UPDATE SET config = EXCLUDED.config, changed = EXCLUDED.changed",
        (wanted.id, Jsonb(providers.dump(wanted)), now),
    )


def forget_provider(tx: Transaction, accounts: Accounts, provider_id: str) -> None:
    """Remove a provider: its links, tokens and what its directory said go with it, and what it gave is taken.

    Raises: NoSuchProvider.
    """
    if not tx.execute("DELETE FROM vallum.sso_provider WHERE id = %s", (provider_id,)).rowcount:
        raise _unknown(provider_id)
    accounts.forget(tx, provider_id, "sso.provider-removed")


def provider(tx: Transaction, provider_id: str) -> Provider:
    """The provider, switched on. Raises: NoSuchProvider, ProviderMisconfigured."""
    row = tx.execute("SELECT config FROM vallum.sso_provider WHERE id = %s", (provider_id,)).fetchone()
    found = providers.parse(row[0], where=provider_id) if row else None
    if found is None or not found.enabled:
        raise _unknown(provider_id)
    return found


def config_of(tx: Transaction, provider_id: str) -> dict[str, Any]:
    """What is written down of a provider, as it is. Raises: NoSuchProvider."""
    row = tx.execute("SELECT config FROM vallum.sso_provider WHERE id = %s", (provider_id,)).fetchone()
    if row is None:
        raise _unknown(provider_id)
    return dict(row[0])


def exists(tx: Transaction, provider_id: str) -> bool:
    """Whether there is a provider of that id."""
    return bool(tx.execute("SELECT FROM vallum.sso_provider WHERE id = %s", (provider_id,)).rowcount)


def is_ready(tx: Transaction) -> bool:
    """Whether the tables are there."""
    row = tx.execute("SELECT to_regclass('vallum.sso_provider')").fetchone()
    return row is not None and row[0] is not None


def all_providers(tx: Transaction) -> list[Provider]:
    """All providers, also those switched off. Raises: ProviderMisconfigured."""
    return [providers.parse(config, where=name) for name, config in configs(tx)]


def configs(tx: Transaction) -> list[tuple[str, dict[str, Any]]]:
    """What is written down of all providers, as it is."""
    return tx.execute("SELECT id, config FROM vallum.sso_provider ORDER BY id").fetchall()


def sound_providers(tx: Transaction) -> list[Provider]:
    """Those that are written down soundly: what is wrong with one is no reason to keep people from others."""
    found = []
    for name, config in configs(tx):
        try:
            found.append(providers.parse(config, where=name))
        except ProviderMisconfigured:
            continue
    return found


def find_link(tx: Transaction, provider_id: str, issuer: str, subject: str) -> int | None:
    """Whose account that is."""
    row = tx.execute(
        "SELECT account_id FROM vallum.sso_link WHERE issuer = %s AND subject = %s AND provider_id = %s",
        (issuer, subject, provider_id),
    ).fetchone()
    return row[0] if row else None


def hold(tx: Transaction, provider_id: str, issuer: str, subject: str) -> None:
    """Be the only one that links somebody, until the transaction ends; wait for whoever is before us."""
    name = hashlib.sha256("\0".join(("sso-link", provider_id, issuer, subject)).encode()).digest()
    tx.execute("SELECT pg_advisory_xact_lock(%s)", (int.from_bytes(name[:8], "big", signed=True),))


def folded(text: str) -> str:
    """A name as SCIM compares it: composed, in lower case.

    >>> folded("BJensen")
    'bjensen'
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def provisioned(tx: Transaction, provider_id: str, match: str, subject: str) -> int | None:
    """The account that the provider's own directory has provisioned under this id, if it is one.

    By the name only where the directory has sent no id: names are given to somebody new, and may be chosen.
    """
    rows = tx.execute(
        "SELECT account_id FROM vallum.scim_user WHERE provider_id = %(provider)s"
        " AND (external_id = ANY (%(ids)s) OR external_id IS NULL AND name_key = %(key)s) LIMIT 2",
        {"provider": provider_id, "ids": [match, subject], "key": folded(match)},
    ).fetchall()
    return rows[0][0] if len(rows) == 1 else None


def is_provisioned(tx: Transaction, provider_id: str, account_id: int) -> bool:
    """Whether the provider's own directory says who this is, and in which groups."""
    return bool(
        tx.execute(
            "SELECT FROM vallum.scim_user WHERE provider_id = %s AND account_id = %s",
            (provider_id, account_id),
        ).rowcount
    )


def link(tx: Transaction, wanted: Link, now: datetime) -> None:
    """Say who is who. Raises: psycopg.errors.UniqueViolation where that is said of another account."""
    tx.execute(
        "INSERT INTO vallum.sso_link (provider_id, issuer, subject, account_id, created)"
        " VALUES (%s, %s, %s, %s, %s)",
        (wanted.provider_id, wanted.issuer, wanted.subject, wanted.account_id, now),
    )


def linked_among(tx: Transaction, provider_id: str, account_ids: Iterable[int]) -> frozenset[int]:
    """Which of these accounts somebody has come in to by the provider; provisioning alone is no such link."""
    rows = tx.execute(
        "SELECT account_id FROM vallum.sso_link WHERE provider_id = %s AND issuer <> %s"
        " AND account_id = ANY (%s)",
        (provider_id, f"scim:{provider_id}", list(account_ids)),
    ).fetchall()
    return frozenset(account for (account,) in rows)


def unlink(tx: Transaction, provider_id: str, account_id: int, *, provisioned: bool = True) -> int:
    """Forget who an account is at a provider; how many links that were.

    `provisioned`: also that the provider's directory has brought it.
    """
    return tx.execute(
        "DELETE FROM vallum.sso_link WHERE provider_id = %s AND account_id = %s AND (%s OR issuer <> %s)",
        (provider_id, account_id, provisioned, f"scim:{provider_id}"),
    ).rowcount


def links_of(tx: Transaction, *, account_id: int | None = None, provider_id: str | None = None) -> list[Link]:
    """Links of an account, of a provider, or all."""
    rows = tx.execute(
        "SELECT provider_id, issuer, subject, account_id FROM vallum.sso_link"
        " WHERE (%(account)s::bigint IS NULL OR account_id = %(account)s)"
        " AND (%(provider)s::text IS NULL OR provider_id = %(provider)s)"
        " ORDER BY provider_id, issuer, subject",
        {"account": account_id, "provider": provider_id},
    ).fetchall()
    return [Link(*row) for row in rows]


def touch(tx: Transaction, found: Link, now: datetime) -> None:
    """Note that somebody came in by a link."""
    tx.execute(
        "UPDATE vallum.sso_link SET last_seen = %s WHERE issuer = %s AND subject = %s AND provider_id = %s",
        (now, found.issuer, found.subject, found.provider_id),
    )


def spend(tx: Transaction, issuer: str, token: str, expires: datetime) -> bool:
    """Use up an assertion or a logout token; False where it has been already."""
    digest = hashlib.sha256(f"{issuer}\0{token}".encode()).digest()
    done = tx.execute(
        "INSERT INTO vallum.sso_seen (token, expires) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (digest, expires),
    )
    return done.rowcount == 1


def _unknown(provider_id: str) -> NoSuchProvider:
    shown = provider_id if len(provider_id) <= 40 and provider_id.isprintable() else "…"
    return NoSuchProvider(
        f"no identity provider is called `{shown}`", fix="`vallum sso list` shows those there are"
    )
