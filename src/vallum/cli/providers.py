"""What the commands about single sign-on and provisioning share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vallum.cli.accounts import opened
from vallum.cli.shell import Shell
from vallum.kernel import Clock, SettingsError, SystemClock

if TYPE_CHECKING:
    from vallum.identity import Identity
    from vallum.identity.accounts_port import Accounts, Store
    from vallum.identity.sso.providers import Provider

__all__ = [
    "Adopt",
    "CaFile",
    "Create",
    "Domains",
    "Forbid",
    "Id",
    "Label",
    "More",
    "Rules",
    "Secret",
    "SignOn",
    "content_of",
    "described",
    "done",
    "rules_of",
    "save",
    "sign_on",
]

Id = Annotated[
    str, typer.Argument(metavar="ID", help="A short name of your own, as in addresses.", show_default=False)
]
Label = Annotated[str | None, typer.Option("--label", help="What people see on the button.")]
Domains = Annotated[
    list[str] | None, typer.Option("--domain", help="A mail domain it answers for; may be repeated.")
]
Forbid = Annotated[
    bool, typer.Option("--forbid-password", help="Who has such an address signs in by it alone.")
]
Create = Annotated[bool, typer.Option("--create", help="Make accounts at the first sign-in.")]
Adopt = Annotated[str | None, typer.Option("--adopt", help="never, provisioned, email or login.")]
Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rule", metavar="VALUE=GROUP,…", help="Who is in a group there is in groups here; may be repeated."
    ),
]
More = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, in JSON.")
]
Secret = Annotated[str | None, typer.Option("--secret", help="Where it is kept: file:/… or env:NAME.")]
CaFile = Annotated[Path | None, typer.Option("--ca-file", help="Whom to trust, beside none of the system's.")]


@dataclass(frozen=True, slots=True)
class SignOn:
    """The identity of the settings, with the tables of single sign-on."""

    identity: Identity
    store: Store
    accounts: Accounts
    clock: Clock


@contextmanager
def sign_on(shell: Shell) -> Iterator[SignOn]:
    """Open it; tables are made where they are missing. Raises: SettingsError, ConnectionFailed."""
    from vallum.identity.directories import DirectoryAccounts
    from vallum.postgres.migrations import migrate

    with opened(shell) as identity:
        store = identity.base.store
        with store.transaction() as tx:
            migrate(tx, "sso")
        yield SignOn(identity, store, DirectoryAccounts(identity.base), SystemClock())


def rules_of(texts: list[str] | None) -> list[dict[str, Any]]:
    """`VALUE=GROUP,GROUP`, or `ATTRIBUTE:VALUE=…`; `*` for everybody. Raises: SettingsError."""
    found = []
    for text in texts or ():
        value, equals, groups = text.rpartition("=")
        if not equals or not value or not groups:
            raise SettingsError(f"`{text}` is no rule", where="--rule", fix="write it as Sales=module.group")
        named, colon, rest = value.partition(":")
        attribute, value = (named, rest) if colon and named.isidentifier() else ("groups", value)
        rule: dict[str, Any] = {"attribute": attribute, "groups": groups.split(",")}
        found.append(rule if value == "*" else {**rule, "value": value})
    return found


def described(**given: Any) -> dict[str, Any]:
    """What was given, without what was not; `more` holds NAME=JSON. Raises: SettingsError."""
    more = given.pop("more", None) or ()
    found = {name: value for name, value in given.items() if value not in (None, [], (), False)}
    for text in more:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"`{text}` sets nothing", where="--set", fix="write it as name=value")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def save(world: SignOn, raw: dict[str, Any]) -> Provider:
    """Write a provider down, checked. Raises: ProviderMisconfigured, SettingsError."""
    from vallum.identity.sso.providers import parse
    from vallum.identity.sso.store import save_provider
    from vallum.kernel import check_secret_name

    provider = parse(raw)
    secret = getattr(provider, "secret", None)
    if secret is not None:
        check_secret_name(secret, where=provider.id)
    with world.store.transaction() as tx:
        save_provider(tx, provider, world.clock.now())
        world.accounts.record(tx, "sso.provider-saved", None, {"provider": provider.id})
    return provider


def content_of(path: Path) -> bytes:
    """The content of a file of metadata. Raises: SettingsError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError("the metadata cannot be read", where=str(path)) from error


def done(shell: Shell, data: dict[str, Any]) -> None:
    """Say what was done."""
    if shell.json:
        shell.write(data)
    else:
        shell.show(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in data.items()))
