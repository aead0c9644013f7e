"""Sign in with a directory's login and password.

The shell. Whoever is unknown, has the wrong password, or may not come in any more hears the same, after the
same questions to the directory; the trail knows the reason. Counting attempts is the caller's.
"""

from __future__ import annotations

from typing import Final

from vallum.identity.accounts_port import Accounts, Store
from vallum.identity.ldap.directory import Directory, normal_dn
from vallum.identity.ldap.entry import DirectoryUser, Entry, user_of
from vallum.identity.sso import store as links
from vallum.identity.sso.errors import NoSuchProvider, SignInRefused
from vallum.identity.sso.join import Identity, SignedIn, join
from vallum.identity.sso.pending import local_path
from vallum.identity.sso.providers import LdapProvider
from vallum.identity.sso.rules import GroupRule
from vallum.kernel import Clock, read_secret

__all__ = ["LdapFlow", "directory_of", "identity_of", "normal_rules"]

REFUSED: Final = "this login and password are not right, or may not sign in here"


class LdapFlow:
    """Sign-ins at any number of directories."""

    def __init__(self, store: Store, accounts: Accounts, clock: Clock) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock

    def sign_in(
        self,
        provider_id: str,
        login: str,
        password: str,
        *,
        return_to: str | None = None,
        account_id: int | None = None,
    ) -> SignedIn:
        """Who that is. Raises: SignInRefused, NoSuchProvider, ProviderUnavailable, ProviderMisconfigured."""
        with self._store.transaction() as tx:
            provider = links.provider(tx, provider_id)
        if not isinstance(provider, LdapProvider):
            raise NoSuchProvider(f"`{provider_id}` is no directory")
        if not password or not login or len(login) > 255 or len(password) > 1024:
            raise _refused("empty", provider_id)
        directory = directory_of(provider)
        found = directory.find(login)
        # Groups are asked for after the password: for a stranger's login there are none to wait for.
        if not directory.verify(found.dn if found else None, password) or found is None:
            raise _refused("unknown" if found is None else "wrong", provider_id)
        user = user_of(found, provider, self._clock.now())
        if not user.active:
            raise _refused("inactive", provider_id)
        identity = identity_of(user, found, directory.groups_of(found.dn), provider)
        with self._store.transaction() as tx:
            return join(
                tx,
                self._accounts,
                normal_rules(provider),
                identity,
                return_to=local_path(return_to),
                now=self._clock.now(),
                wanted=account_id,
            )


def directory_of(provider: LdapProvider) -> Directory:
    """The directory. Raises: SettingsError, ProviderMisconfigured."""
    secret = read_secret(provider.secret, where=provider.id) if provider.secret else None
    return Directory(provider, secret)


def identity_of(
    user: DirectoryUser, entry: Entry, groups: frozenset[str], provider: LdapProvider
) -> Identity:
    """Somebody, as the directory has them."""
    more = {rule.attribute for rule in provider.rules} - {"groups"}
    attributes = {name: _texts(entry, name) for name in more}
    return Identity(
        issuer=f"ldap:{provider.id}",
        subject=user.subject,
        person=user.person,
        # The directory hands out the addresses, as far as `domains` says so.
        email_verified=user.person.email is not None,
        match=user.person.login,
        attributes={**attributes, "groups": tuple(sorted(groups))},
    )


def normal_rules(provider: LdapProvider) -> LdapProvider:
    """The provider with the names of groups in its rules as they are compared."""
    rules = tuple(
        GroupRule(attribute="groups", value=normal_dn(rule.value), groups=rule.groups)
        if rule.attribute == "groups" and rule.value is not None
        else rule
        for rule in provider.rules
    )
    import msgspec

    return msgspec.structs.replace(provider, rules=rules)


def _texts(entry: Entry, name: str) -> tuple[str, ...]:
    return tuple(value.decode("utf-8", "replace") for value in entry.attributes.get(name.lower(), ()))


def _refused(reason: str, provider_id: str) -> SignInRefused:
    return SignInRefused(
        REFUSED, reason=reason, where=provider_id, fix="try again, or ask your administrator"
    )
