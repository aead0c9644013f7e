"""`vallum scim`: directories that provision people, and the tokens they use."""

from __future__ import annotations

from typing import Annotated

import typer

from vallum.cli.accounts import rows
from vallum.cli.options import command, examples
from vallum.cli.providers import (
    Adopt,
    Domains,
    Id,
    Label,
    More,
    Rules,
    described,
    rules_of,
    save,
    sign_on,
)
from vallum.cli.shell import Shell

__all__ = ["app"]

app = typer.Typer(
    name="scim", help="Provisioning: directories say who is here, by SCIM 2.0.", no_args_is_help=True
)


@app.command(
    epilog=examples(
        "vallum scim directory corp --rule Sales=sales_team.group_sale_salesman",
        note="Only where people sign in otherwise: a provider of `vallum sso` provisions under its own id.",
    )
)
@command
def directory(
    shell: Shell,
    id: Id,
    label: Label = None,
    domain: Domains = None,
    adopt: Adopt = None,
    rule: Rules = None,
    more: More = None,
) -> None:
    """Write down a directory that only provisions, or anew."""
    given = described(id=id, label=label or id, domains=domain, adopt=adopt, rules=rules_of(rule), more=more)
    with sign_on(shell) as world:
        provider = save(world, {"kind": "scim", **given})
    shell.write({"saved": provider.id}) if shell.json else shell.show(f"saved: {provider.id}")


@app.command(
    epilog=examples(
        "vallum scim token entra --days 180",
        note="Shown once, on standard output, and kept nowhere. The directory's address: https://HOST/scim/v2",
    )
)
@command
def token(
    shell: Shell,
    id: Id,
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="Days until it ends.")] = 180,
) -> None:
    """Make a token for a directory."""
    from vallum.identity.scim.tokens import make

    with sign_on(shell) as world, world.store.transaction() as tx:
        made = make(tx, id, world.clock.now(), days=days)
        world.accounts.record(tx, "scim.token-made", None, {"provider": id})
    shell.write({"token": made, "provider": id, "days": days}) if shell.json else typer.echo(made)


@app.command(epilog=examples("vallum scim tokens", "vallum scim tokens --json"))
@command
def tokens(shell: Shell) -> None:
    """List the tokens, without what would let anyone use them."""
    from vallum.identity.scim.tokens import tokens as every

    with sign_on(shell) as world, world.store.transaction() as tx:
        found = [
            {
                "provider": one.provider_id,
                "prefix": one.prefix,
                "created": one.created.isoformat(),
                "expires": one.expires.isoformat(),
                "last_used": one.last_used.isoformat() if one.last_used else None,
            }
            for one in every(tx)
        ]
    if shell.json:
        shell.write(found)
    else:
        shell.show(rows(found, "provider", "prefix", "created", "expires", "last_used"))


@app.command(epilog=examples("vallum scim revoke vscim_0a1b2c3d", note="A leaked token may be pasted whole."))
@command
def revoke(
    shell: Shell,
    token: Annotated[
        str, typer.Argument(metavar="TOKEN", help="Its prefix, or all of it.", show_default=False)
    ],
) -> None:
    """End a token at once."""
    from vallum.identity.scim.tokens import revoke as end

    with sign_on(shell) as world, world.store.transaction() as tx:
        end(tx, token)
        world.accounts.record(tx, "scim.token-revoked", None, {})
    shell.write({"revoked": True}) if shell.json else shell.show("revoked")
