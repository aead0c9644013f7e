"""Which account somebody is whom a directory brings: by the directory's own id, and by a name only once.

Names are given to somebody new after a while, and where people choose them, whenever somebody likes. So who
has one is not who had it: the account goes with `externalId`, as long as there is one, and also after the
directory has removed the person.
Invariant: an account has at most one id of a directory, and an id at most one account.
"""

from __future__ import annotations

from scim2_models import InvalidValueException, UniquenessException

from vallum.identity.accounts_port import Account, Accounts, Person, Transaction
from vallum.identity.sso import store as links
from vallum.identity.sso.join import domain_of, speaks_for
from vallum.identity.sso.providers import Provider

__all__ = ["account_for", "check_domain", "keep_external"]


def account_for(
    tx: Transaction, accounts: Accounts, provider: Provider, person: Person, external: str | None
) -> Account:
    """A new account, or the one that is this person's already.

    Raises: UniquenessException, InvalidValueException, VallumError.
    """
    check_domain(provider, person)
    found = _by_external(tx, accounts, provider, external) or _by_name(tx, accounts, provider, person)
    if found is None:
        return accounts.create(tx, person, provider.id)
    accounts.update(tx, found.id, person)
    return found


def check_domain(provider: Provider, person: Person) -> None:
    """Raises: InvalidValueException."""
    domain = domain_of(person.email) or domain_of(person.login)
    if (provider.domains and domain not in provider.domains) or not speaks_for(provider, person.login):
        raise InvalidValueException(detail="this directory provisions other mail domains only")


def keep_external(tx: Transaction, provider_id: str, account_id: int, external: str | None) -> None:
    """Remember the directory's id of an account; one that it leaves out stays.

    Raises: UniquenessException.
    """
    if external is None:
        return
    owner = _owner(tx, provider_id, external)
    if owner == account_id:
        return
    if owner is not None:
        raise UniquenessException(detail="this externalId belongs to somebody else")
    tx.execute(
        "INSERT INTO vallum.scim_external (provider_id, external_id, account_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (provider_id, account_id) DO UPDATE SET external_id = EXCLUDED.external_id",
        (provider_id, external, account_id),
    )


def _by_external(
    tx: Transaction, accounts: Accounts, provider: Provider, external: str | None
) -> Account | None:
    owner = _owner(tx, provider.id, external) if external is not None else None
    if owner is None:
        return None
    if _is_provisioned(tx, owner):
        raise UniquenessException(detail="somebody with this externalId is provisioned already")
    return accounts.find(tx, owner)


def _by_name(tx: Transaction, accounts: Accounts, provider: Provider, person: Person) -> Account | None:
    found = accounts.find_login(tx, person.login)
    if found is None:
        return None
    if _is_provisioned(tx, found.id):
        raise UniquenessException(detail="somebody with this userName is provisioned already")
    known = links.links_of(tx, account_id=found.id)
    ours = [one for one in known if one.provider_id == provider.id]
    if found.reserved and not ours:
        raise UniquenessException(detail="this userName is a service's, or an account's for emergencies")
    if not ours and provider.adopt != "login":
        raise UniquenessException(detail="an account with this userName exists that is not this directory's")
    if tx.execute(
        "SELECT FROM vallum.scim_external WHERE provider_id = %s AND account_id = %s", (provider.id, found.id)
    ).rowcount:
        raise UniquenessException(
            detail="this userName was that of somebody with another externalId: send theirs if it is the same"
            " person, and another userName if it is not"
        )
    if not found.active and any(one.issuer == f"scim:{provider.id}" for one in ours):
        raise UniquenessException(
            detail="this directory has removed somebody with this userName, and without an externalId nobody"
            " knows whether they are back: `vallum user activate` says so"
        )
    return found


def _owner(tx: Transaction, provider_id: str, external: str) -> int | None:
    row = tx.execute(
        "SELECT account_id FROM vallum.scim_external WHERE provider_id = %s AND external_id = %s",
        (provider_id, external),
    ).fetchone()
    return int(row[0]) if row else None


def _is_provisioned(tx: Transaction, account_id: int) -> bool:
    return bool(tx.execute("SELECT FROM vallum.scim_user WHERE account_id = %s", (account_id,)).rowcount)
