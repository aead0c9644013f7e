"""`vallum sso oidc`, `saml` and `ldap`: write down a provider."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vallum.cli.options import command, examples
from vallum.cli.providers import (
    Adopt,
    CaFile,
    Create,
    Domains,
    Forbid,
    Id,
    Label,
    More,
    Rules,
    Secret,
    content_of,
    described,
    done,
    rules_of,
    save,
    sign_on,
)
from vallum.cli.shell import Shell

__all__ = ["app"]

app = typer.Typer()


@app.command(
    epilog=examples(
        "vallum sso oidc entra --preset entra --tenant 1111-… --client-id 2222-… --secret file:/run/entra",
        "vallum sso oidc staff --preset keycloak --url https://id.example.com --realm staff"
        " --client-id vallum --secret env:KEYCLOAK_SECRET --rule sales=sales_team.group_sale_salesman",
        note="At the provider, register the address https://HOST/sso/ID/callback.",
    )
)
@command
def oidc(
    shell: Shell,
    id: Id,
    client_id: Annotated[str, typer.Option("--client-id", help="What the provider calls us.")],
    issuer: Annotated[str | None, typer.Option("--issuer", help="The provider, to the letter.")] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="entra, keycloak or google.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Of Entra ID.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Of Keycloak.")] = None,
    realm: Annotated[str | None, typer.Option("--realm", help="Of Keycloak.")] = None,
    secret: Secret = None,
    ca_file: CaFile = None,
    label: Label = None,
    domain: Domains = None,
    forbid_password: Forbid = False,
    create: Create = False,
    adopt: Adopt = None,
    rule: Rules = None,
    more: More = None,
) -> None:
    """Write down a provider of OpenID Connect, or anew."""
    from vallum.identity.oidc import presets

    given = described(
        id=id,
        client_id=client_id,
        issuer=issuer,
        secret=secret,
        ca_file=str(ca_file.absolute()) if ca_file else None,
        label=label,
        domains=domain,
        forbid_password=forbid_password,
        create=create,
        adopt=adopt,
        rules=rules_of(rule),
        more=more,
    )
    if preset is not None:
        raw = presets.preset(preset, given, tenant=tenant, url=url, realm=realm)
    else:
        raw = {"kind": "oidc", "label": id, **given}
    _saved(shell, raw)


@app.command(
    epilog=examples(
        "vallum sso saml corp --idp-metadata idp.xml --create",
        note="Give the provider our own metadata: `vallum sso metadata corp`. It must sign assertions."
        " Signed requests, encryption (`--set encrypt=true`) and logout need `vallum sso key` first.",
    )
)
@command
def saml(
    shell: Shell,
    id: Id,
    idp_metadata: Annotated[
        Path, typer.Option("--idp-metadata", help="The provider's metadata, from its own hands.")
    ],
    entity_id: Annotated[str | None, typer.Option("--entity-id", help="Which one, of several.")] = None,
    label: Label = None,
    domain: Domains = None,
    forbid_password: Forbid = False,
    create: Create = False,
    adopt: Adopt = None,
    rule: Rules = None,
    more: More = None,
) -> None:
    """Write down a provider of SAML 2.0 by its metadata, or anew."""
    from vallum.identity.saml.metadata import read_provider
    from vallum.kernel import SystemClock

    read = read_provider(content_of(idp_metadata), SystemClock().now(), entity_id=entity_id)
    given = described(
        id=id,
        label=label or id,
        domains=domain,
        forbid_password=forbid_password,
        create=create,
        adopt=adopt,
        rules=rules_of(rule),
        more=more,
    )
    _saved(shell, {"kind": "saml", **read, **given})


@app.command(
    epilog=examples(
        "vallum sso ldap ad --url ldaps://dc1.example.com --base dc=example,dc=com"
        " --bind-dn svc@example.com --secret file:/run/secrets/ad --create",
        "vallum sso ldap open --flavour generic --url ldap://ldap.example.com --base dc=example,dc=com",
        note="Needs `vallum[ldap]`. ldap:// uses StartTLS; nothing is ever sent in the clear.",
    )
)
@command
def ldap(
    shell: Shell,
    id: Id,
    url: Annotated[str, typer.Option("--url", help="ldaps://… or ldap://…")],
    base: Annotated[str, typer.Option("--base", help="Below which people are.")],
    bind_dn: Annotated[str | None, typer.Option("--bind-dn", help="The service account.")] = None,
    secret: Secret = None,
    flavour: Annotated[str | None, typer.Option("--flavour", help="active-directory or generic.")] = None,
    ca_file: CaFile = None,
    label: Label = None,
    domain: Domains = None,
    forbid_password: Forbid = False,
    create: Create = False,
    adopt: Adopt = None,
    rule: Rules = None,
    more: More = None,
) -> None:
    """Write down a directory, or anew."""
    given = described(
        id=id,
        label=label or id,
        url=url,
        base=base,
        bind_dn=bind_dn,
        secret=secret,
        flavour=flavour,
        ca_file=str(ca_file.absolute()) if ca_file else None,
        domains=domain,
        forbid_password=forbid_password,
        create=create,
        adopt=adopt,
        rules=rules_of(rule),
        more=more,
    )
    _saved(shell, {"kind": "ldap", **given})


def _saved(shell: Shell, raw: dict[str, Any]) -> None:
    with sign_on(shell) as world:
        provider = save(world, raw)
    done(shell, {"saved": provider.id})
