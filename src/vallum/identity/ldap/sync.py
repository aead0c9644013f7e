"""Follow a directory: who is new, renamed, in other groups, switched off or gone.

`plan` is pure: it says what would change; `apply` does it, in one transaction.
Invariant: an empty answer, or one that would shut too many accounts at once, changes nothing unless told to:
a filter that was mistyped must not lock everybody out.
Invariant: somebody is shut with all they have; the next request finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Literal

from vallum.identity.accounts_port import Accounts, Person, Store, Transaction
from vallum.identity.ldap.directory import normal_dn
from vallum.identity.ldap.entry import DirectoryUser, Entry, closure, user_of
from vallum.identity.ldap.signin import directory_of, identity_of, normal_rules
from vallum.identity.sso import state
from vallum.identity.sso import store as links
from vallum.identity.sso.errors import NoSuchProvider
from vallum.identity.sso.join import domain_of
from vallum.identity.sso.providers import LdapProvider
from vallum.identity.sso.rules import groups_of
from vallum.kernel import NO_PROGRESS, Clock, ConnectionFailed, Progress, VallumError

__all__ = ["Change", "Found", "Known", "Plan", "SyncRefused", "plan", "synchronise"]

Kind = Literal["create", "update", "groups", "activate", "deactivate", "conflict"]


class SyncRefused(VallumError):
    """A synchronisation that would do more than it is trusted to."""

    code: ClassVar[str] = "sync-refused"


@dataclass(frozen=True, slots=True)
class Found:
    """Somebody in the directory, with the groups that follow here."""

    user: DirectoryUser
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Known:
    """An account that is linked to the directory."""

    account_id: int
    subject: str
    person: Person
    active: bool
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do. `detail`: for people."""

    kind: Kind
    subject: str
    login: str
    detail: str = ""
    account_id: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would change. `linked`: how many accounts the directory has here."""

    changes: tuple[Change, ...]
    linked: int
    found: int

    def count(self, kind: Kind) -> int:
        """How many of a kind."""
        return sum(change.kind == kind for change in self.changes)

    def as_dict(self) -> dict[str, object]:
        """For a program."""
        return {
            "found": self.found,
            "linked": self.linked,
            "changes": [
                {"kind": c.kind, "login": c.login, "account": c.account_id, "detail": c.detail}
                for c in self.changes
            ],
        }


def plan(
    provider: LdapProvider, found: Mapping[str, Found], known: Iterable[Known], taken: frozenset[str]
) -> Plan:
    """What would change. `found` and `known` by subject; `taken`: logins of accounts that are not linked."""
    linked = {one.subject: one for one in known}
    changes: list[Change] = []
    for subject, there in sorted(found.items()):
        here = linked.get(subject)
        if here is not None:
            changes.extend(_differences(here, there))
        elif provider.create and there.user.active:
            changes.append(_new(subject, there, taken))
    for subject, here in sorted(linked.items()):
        if subject not in found and here.active:
            changes.append(
                Change("deactivate", subject, here.person.login, "gone from the directory", here.account_id)
            )
    return Plan(tuple(changes), len(linked), len(found))


def _new(subject: str, there: Found, taken: frozenset[str]) -> Change:
    login = there.user.person.login
    if login.casefold() in taken:
        return Change("conflict", subject, login, "an account with this login is not the directory's")
    return Change("create", subject, login, ", ".join(sorted(there.groups)))


def _differences(here: Known, there: Found) -> Iterable[Change]:
    login, account = there.user.person.login, here.account_id
    if here.active and not there.user.active:
        yield Change("deactivate", here.subject, login, "switched off in the directory", account)
        return
    if not there.user.active:
        return
    if not here.active:
        yield Change("activate", here.subject, login, "", account)
    if here.person != there.user.person:
        yield Change("update", here.subject, login, f"was {here.person.login}", account)
    if here.groups != there.groups:
        gone, new = here.groups - there.groups, there.groups - here.groups
        detail = ", ".join([*(f"+{name}" for name in sorted(new)), *(f"-{name}" for name in sorted(gone))])
        yield Change("groups", here.subject, login, detail, account)


def synchronise(
    store: Store,
    accounts: Accounts,
    clock: Clock,
    provider_id: str,
    *,
    dry_run: bool = False,
    force: bool = False,
    progress: Progress = NO_PROGRESS,
) -> Plan:
    """Bring accounts to what the directory says; `dry_run`: only say what would change.

    Raises: SyncRefused, NoSuchProvider, ProviderUnavailable, ProviderMisconfigured.
    """
    try:
        return _synchronise(store, accounts, clock, provider_id, dry_run, force, progress)
    except VallumError as error:
        if not isinstance(error, ConnectionFailed):
            with store.transaction() as tx:
                state.failed(tx, provider_id, error, clock.now())
        raise


def _synchronise(
    store: Store,
    accounts: Accounts,
    clock: Clock,
    provider_id: str,
    dry_run: bool,
    force: bool,
    progress: Progress,
) -> Plan:
    with store.transaction() as tx:
        provider = links.provider(tx, provider_id)
    if not isinstance(provider, LdapProvider):
        raise NoSuchProvider(f"`{provider_id}` is no directory")
    found = read_directory(normal_rules(provider), clock.now(), progress)
    with store.transaction() as tx:
        # Two synchronisations at once would each see what the other has not done yet.
        tx.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"vallum.sync.{provider_id}",))
        wanted = plan(provider, found, _known(tx, accounts, provider_id), _taken(tx, accounts, found))
        if not dry_run:
            _check(provider, wanted, force=force)
            wanted = _apply(tx, accounts, provider_id, wanted, found, clock.now(), progress)
            state.succeeded(tx, provider_id, clock.now())
    return wanted


def read_directory(provider: LdapProvider, now: datetime, progress: Progress) -> dict[str, Found]:
    """Everybody in the directory, by subject. Raises: ProviderUnavailable, ProviderMisconfigured."""
    directory = directory_of(provider)
    groups = closure(directory.members()) if provider.rules else {}
    found: dict[str, Found] = {}
    progress.start(None, "Reading the directory")
    for entry in directory.users():
        progress.advance()
        one = _found(entry, groups, provider, now)
        if not provider.domains or domain_of(one.user.person.email) in provider.domains:
            found[one.user.subject] = one
    progress.done()
    return found


def _found(
    entry: Entry, groups: Mapping[str, frozenset[str]], provider: LdapProvider, now: datetime
) -> Found:
    user = user_of(entry, provider, now)
    identity = identity_of(user, entry, groups.get(normal_dn(entry.dn), frozenset()), provider)
    return Found(user, groups_of(provider.rules, identity.attributes))


def _known(tx: Transaction, accounts: Accounts, provider_id: str) -> list[Known]:
    found = []
    for link in links.links_of(tx, provider_id=provider_id):
        account = accounts.find(tx, link.account_id)
        if account is not None:
            person, groups = accounts.person(tx, account.id), accounts.groups(tx, account.id, provider_id)
            found.append(Known(account.id, link.subject, person, account.active, groups))
    return found


def _taken(tx: Transaction, accounts: Accounts, found: Mapping[str, Found]) -> frozenset[str]:
    logins = {one.user.person.login.casefold() for one in found.values()}
    return frozenset(login for login in logins if accounts.find_login(tx, login) is not None)


def _check(provider: LdapProvider, wanted: Plan, *, force: bool) -> None:
    gone = wanted.count("deactivate")
    if force or gone == 0:
        return
    # A handful may always go: a share of very few says nothing.
    if wanted.found == 0 or (gone > 5 and gone * 100 > provider.limit * wanted.linked):
        raise SyncRefused(
            f"{gone} of {wanted.linked} accounts would be shut; the directory shows {wanted.found} people",
            where=provider.id,
            fix="look at it with --dry-run; where it is right, repeat it with --force",
        )


def _apply(
    tx: Transaction,
    accounts: Accounts,
    provider_id: str,
    wanted: Plan,
    found: Mapping[str, Found],
    now: datetime,
    progress: Progress,
) -> Plan:
    """Do it, and say what could not be done: nobody stays because somebody else's new name is taken.

    Leavers first; whose name is taken comes once more after all others, for it may be free then.
    """
    progress.start(len(wanted.changes), "Applying")
    waiting = sorted(wanted.changes, key=lambda change: change.kind != "deactivate")
    refused: dict[Change, VallumError] = {}
    for _ in range(2):
        refused = {}
        for change in waiting:
            try:
                with tx.transaction():
                    _do(tx, accounts, provider_id, change, found.get(change.subject), now)
            except ConnectionFailed:
                raise
            except VallumError as error:
                refused[change] = error
            else:
                progress.advance()
        waiting = list(refused)
    progress.done()
    return replace(
        wanted,
        changes=tuple(
            replace(change, kind="conflict", detail=refused[change].what) if change in refused else change
            for change in wanted.changes
        ),
    )


def _do(
    tx: Transaction,
    accounts: Accounts,
    provider_id: str,
    change: Change,
    there: Found | None,
    now: datetime,
) -> None:
    account_id = change.account_id
    if change.kind == "deactivate" and account_id is not None:
        accounts.deactivate(tx, account_id, provider_id)
    elif change.kind == "activate" and account_id is not None:
        accounts.activate(tx, account_id, provider_id)
    elif change.kind == "update" and account_id is not None and there is not None:
        accounts.update(tx, account_id, there.user.person)
    elif change.kind == "groups" and account_id is not None and there is not None:
        accounts.set_groups(tx, account_id, there.groups, provider_id)
    elif change.kind == "create" and there is not None:
        account_id = accounts.create(tx, there.user.person, provider_id).id
        links.link(tx, links.Link(provider_id, f"ldap:{provider_id}", change.subject, account_id), now)
        accounts.set_groups(tx, account_id, there.groups, provider_id)
    if change.kind != "conflict":
        accounts.record(tx, f"ldap.{change.kind}", account_id, {"provider": provider_id})
