"""`vallum sso`: identity providers and directories, and who is who there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vallum.cli import sso_describe, sso_key
from vallum.cli.accounts import account_of, ask, rows
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.providers import Id, More, content_of, described, done, save, sign_on
from vallum.cli.shell import Shell
from vallum.kernel import SettingsError

__all__ = ["app"]

app = typer.Typer(
    name="sso",
    help="Single sign-on: OpenID Connect, SAML 2.0, LDAP and Active Directory.",
    no_args_is_help=True,
)
app.add_typer(sso_describe.app)
app.add_typer(sso_key.app)

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list", epilog=examples("vallum sso list", "vallum sso list --json"))
@command
def list_(shell: Shell) -> None:
    """List the providers."""
    from vallum.identity.sso.providers import dump
    from vallum.identity.sso.state import states
    from vallum.identity.sso.store import all_providers

    with sign_on(shell) as world, world.store.transaction() as tx:
        stand = {one.id: one.as_dict() for one in states(tx)}
        found = [{**dump(one), "state": stand[one.id]} for one in all_providers(tx)]
    if shell.json:
        shell.write(found)
    else:
        shown = [{**one, "domains": list(one["domains"])} for one in found]
        shell.show(rows(shown, "id", "kind", "label", "enabled", "domains", "create", "adopt"))


@app.command(
    epilog=examples(
        "vallum sso update entra --set create=true",
        "vallum sso update corp --idp-metadata idp.xml",
        "vallum sso update entra --set enabled=false",
    )
)
@command
def update(
    shell: Shell,
    id: Id,
    idp_metadata: Annotated[
        Path | None, typer.Option("--idp-metadata", help="New metadata of a SAML provider.")
    ] = None,
    more: More = None,
) -> None:
    """Change some settings of a provider; everything else stays."""
    from vallum.identity.saml.metadata import read_provider

    with sign_on(shell) as world:
        raw = _raw(world, id)
        if idp_metadata is not None:
            now = world.clock.now()
            raw |= read_provider(content_of(idp_metadata), now, entity_id=raw.get("entity_id"))
        save(world, {**raw, **described(more=more), "id": id, "kind": raw["kind"]})
    done(shell, {"saved": id})


@app.command(epilog=examples("vallum sso check entra", note="Exit code 1: something is not well."))
@command
def check(shell: Shell, id: Id) -> int:
    """Ask a provider what a sign-in would ask, and say what was found."""
    from vallum.identity.sso.check import Finding
    from vallum.identity.sso.check import check as look
    from vallum.identity.sso.providers import parse
    from vallum.identity.sso.state import state_of

    with sign_on(shell) as world:
        found = look(parse(_raw(world, id), where=id), world.clock)
        with world.store.transaction() as tx:
            last = state_of(tx, id)
    if last.failure is not None:
        found.append(Finding("last failure", True, f"{last.failure:%Y-%m-%d %H:%M} UTC: {last.told}"))
    shown = [{"what": one.what, "well": one.well, "found": one.found} for one in found]
    if shell.json:
        shell.write(shown)
    else:
        shell.show(rows(shown, "what", "well", "found"))
    return OK if all(one.well for one in found) else REFUSED


@app.command(epilog=examples("vallum sso remove entra --yes"))
@command
def remove(shell: Shell, id: Id, yes: Yes = False) -> None:
    """Forget a provider, who is who there, and all it gave; its accounts stay, without a way in by it."""
    from vallum.identity.sso.store import forget_provider

    with sign_on(shell) as world:
        ask(shell, f"Forget the provider {id}, its links, sessions, groups and tokens?", yes=yes)
        with world.store.transaction() as tx:
            forget_provider(tx, world.accounts, id)
            world.accounts.record(tx, "sso.provider-removed", None, {"provider": id})
    done(shell, {"removed": id})


@app.command(epilog=examples("vallum sso links", "vallum sso links marie --json"))
@command
def links(
    shell: Shell,
    login: Annotated[str | None, typer.Argument(metavar="LOGIN", help="Only of this account.")] = None,
) -> None:
    """List who is who where."""
    from vallum.identity.sso.store import links_of

    with sign_on(shell) as world:
        account = account_of(world.identity, login).id if login else None
        with world.store.transaction() as tx:
            found = [
                {
                    "provider": one.provider_id,
                    "issuer": one.issuer,
                    "subject": one.subject,
                    "account": one.account_id,
                }
                for one in links_of(tx, account_id=account)
            ]
    if shell.json:
        shell.write(found)
    else:
        shell.show(rows(found, "provider", "issuer", "subject", "account", right=("account",)))


@app.command(
    epilog=examples(
        "vallum sso link marie entra 0a1b2c…",
        note="SUBJECT is what the provider calls somebody for good: `sub`, persistent NameID, objectGUID.",
    )
)
@command
def link(
    shell: Shell,
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="The account.", show_default=False)],
    id: Id,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Who that is there.", show_default=False)],
    issuer: Annotated[
        str | None, typer.Option("--issuer", help="Where a provider speaks for several.")
    ] = None,
) -> None:
    """Say who an account is at a provider."""
    from psycopg.errors import UniqueViolation

    from vallum.identity.sso.store import Link
    from vallum.identity.sso.store import link as say
    from vallum.identity.sso.store import provider as find

    with sign_on(shell) as world:
        account = account_of(world.identity, login)
        try:
            with world.store.transaction() as tx:
                wanted = Link(id, issuer or _issuer(find(tx, id)), subject, account.id)
                say(tx, wanted, world.clock.now())
                world.accounts.record(tx, "sso.linked", account.id, {"provider": id, "by": "hand"})
        except UniqueViolation:
            raise SettingsError(
                "somebody is linked to this subject already", where=id, fix="`vallum sso links` shows who"
            ) from None
    done(shell, {"linked": login, "provider": id})


@app.command(epilog=examples("vallum sso unlink marie entra"))
@command
def unlink(
    shell: Shell,
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="The account.", show_default=False)],
    id: Id,
) -> None:
    """Forget who an account is at a provider, and end the sessions it has opened."""
    from vallum.identity.sso.store import unlink as forget

    with sign_on(shell) as world:
        account = account_of(world.identity, login)
        with world.store.transaction() as tx:
            count = forget(tx, id, account.id)
            world.accounts.end_sessions(tx, "sso.unlinked", account_id=account.id, source=id)
            world.accounts.record(tx, "sso.unlinked", account.id, {"provider": id})
    done(shell, {"unlinked": count})


@app.command(
    epilog=examples(
        "vallum sso sync ad --dry-run",
        "vallum sso sync ad",
        "vallum sso sync ad --every 60",
        note="Who has left the directory is shut with all they have: their next request finds nothing.",
    )
)
@command
def sync(
    shell: Shell,
    id: Id,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also where many would be shut at once.")] = False,
    every: Annotated[
        int | None,
        typer.Option("--every", min=5, max=86_400, metavar="SECONDS", help="Go on, until it is ended."),
    ] = None,
) -> None:
    """Bring accounts to what a directory says."""
    from threading import Event

    from vallum.identity.ldap.sync import synchronise
    from vallum.kernel import VallumError

    if every is not None and (dry_run or force):
        raise SettingsError("what repeats neither only says nor forces", where="--every")
    with sign_on(shell) as world:
        while True:
            try:
                found = synchronise(
                    world.store,
                    world.accounts,
                    world.clock,
                    id,
                    dry_run=dry_run,
                    force=force,
                    progress=shell.progress,
                ).as_dict()
                if shell.json:
                    shell.write(found)
                else:
                    shell.show(rows(found["changes"], "kind", "login", "account", "detail"))  # type: ignore[arg-type]
            except VallumError as error:
                if every is None:
                    raise
                # A directory that is down for a while is followed again when it is back.
                shell.note(str(error))
            if every is None:
                return
            Event().wait(every)


def _raw(world: Any, id: str) -> dict[str, Any]:
    from vallum.identity.sso.store import config_of

    with world.store.transaction() as tx:
        return config_of(tx, id)


def _issuer(provider: Any) -> str:
    """By what a provider's people are told from those of others."""
    from vallum.identity.sso.providers import LdapProvider, OidcProvider, SamlProvider

    if isinstance(provider, OidcProvider) and not provider.shared_tenant:
        return provider.issuer
    if isinstance(provider, SamlProvider):
        return provider.entity_id
    if isinstance(provider, LdapProvider):
        return f"ldap:{provider.id}"
    raise SettingsError("this provider speaks for several issuers", fix="give --issuer")
