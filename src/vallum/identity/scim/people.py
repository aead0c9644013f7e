"""From a provisioned person to an account, and from groups to groups.

Directories may say who somebody is, whether they are here, and which of *their* groups they are in. What that
means here, rules say that an administrator has written down: nothing a directory writes is a right by itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from scim2_models import InvalidValueException

from vallum.identity.accounts_port import Accounts, Person, Transaction
from vallum.identity.errors import UnknownAccount
from vallum.identity.scim.matching import check_domain, keep_external
from vallum.identity.scim.store import Stored, groups_of
from vallum.identity.sso.providers import Provider
from vallum.identity.sso.rules import groups_of as by_rules

__all__ = ["follow", "person_of", "regroup"]

_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def person_of(data: dict[str, Any]) -> Person:
    """Who that is."""
    name = data.get("name") or {}
    parts = " ".join(part for part in (name.get("givenName"), name.get("familyName")) if part)
    shown = data.get("displayName") or name.get("formatted") or parts or data["userName"]
    emails = data.get("emails") or []
    first = next((one for one in emails if one.get("primary")), emails[0] if emails else {})
    return Person(data["userName"], shown, first.get("value"))


def follow(
    tx: Transaction,
    accounts: Accounts,
    provider: Provider,
    before: Stored | None,
    after: Stored,
) -> None:
    """Bring the account to what the directory now says of somebody. Raises: SCIMException, VallumError."""
    if after.account_id is None:
        raise InvalidValueException(detail="somebody without an account")
    person = person_of(after.data)
    if before is not None and person_of(before.data) != person:
        check_domain(provider, person)
        accounts.update(tx, after.account_id, person)
    keep_external(tx, provider.id, after.account_id, after.data.get("externalId"))
    if not after.data.get("active"):
        # Also where the attribute was taken away: whoever is not said to be here is not.
        # Also where it was inactive: whatever has come up in the meantime ends.
        accounts.deactivate(tx, after.account_id, provider.id)
    elif before is None or not before.data.get("active"):
        # Where an administrator has shut it, it stays so, whatever the directory says of its own.
        with suppress(UnknownAccount):
            accounts.activate(tx, after.account_id, provider.id)
    regroup(tx, accounts, provider, [after])


def regroup(tx: Transaction, accounts: Accounts, provider: Provider, people: list[Stored]) -> None:
    """Give people the groups that follow from what the directory says."""
    found = groups_of(tx, [one.id for one in people])
    for one in people:
        if one.account_id is None:
            continue
        enterprise = one.data.get(_ENTERPRISE) or {}
        said = {
            "groups": [data["displayName"] for _, data in found[one.id]],
            "userType": [one.data.get("userType")],
            "department": [enterprise.get("department")],
            "organization": [enterprise.get("organization")],
        }
        attributes = {name: [v for v in values if v] for name, values in said.items()}
        accounts.set_groups(tx, one.account_id, by_rules(provider.rules, attributes), provider.id)
