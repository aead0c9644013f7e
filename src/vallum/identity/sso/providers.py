"""What is written down about identity providers: parsed once, strictly.

Pure. Secrets are not among it: `secret` says where one is kept (`file:/run/secrets/…` or `env:NAME`).
Invariant: a key nobody knows, or a combination that would let a stranger in, is an error, never ignored.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from vallum.identity.sso.errors import ProviderMisconfigured
from vallum.identity.sso.rules import GroupRule

__all__ = ["LdapProvider", "OidcProvider", "Provider", "SamlProvider", "ScimProvider", "dump", "parse"]

# What groups are marked with that no provider has given.
_TAKEN = frozenset({"direct", "request"})

Id = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,39}\Z")]
Domain = Annotated[str, Meta(pattern=r"\A[a-z0-9.-]{1,253}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=2048)]
Skew = Annotated[int, Meta(ge=0, le=300)]
Adopt = Literal["never", "provisioned", "email", "login"]
# Signatures that only the provider can make: no `none`, nothing with a shared secret.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
MICROSOFT: Final = "https://login.microsoftonline.com/"
GOOGLE: Final = "https://accounts.google.com"
SHARED_TENANTS: Final = ("common", "organizations", "consumers")


class Common(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all kinds share.

    `domains`: the mail domains the provider answers for; where given, nobody else comes in by it.
    `forbid_password`: whoever has an address there signs in by this provider alone.
    `create`: whether somebody unknown gets an account at the first sign-in.
    `adopt`: which accounts somebody unknown may take over: none; those that the same directory provisioned;
    the one with the same verified address; the one with the same login. `skew`: seconds between two clocks.
    """

    id: Id
    label: Text
    enabled: bool = True
    domains: tuple[Domain, ...] = ()
    forbid_password: bool = False
    create: bool = False
    adopt: Adopt = "provisioned"
    rules: tuple[GroupRule, ...] = ()
    skew: Skew = 60


class OidcProvider(Common, frozen=True, kw_only=True, tag="oidc"):
    """OpenID Connect. `tenants`: those of Entra ID that are let in where the issuer is a shared one.

    `single_logout`: whether who signs out here signs out there as well, where the provider offers that.
    `secret_until`: the day on which the secret ends, as the provider says; to be reminded.
    `subject_claim`: what lasts of somebody, by which a link finds them again (Entra ID's `oid`; its `sub` is
    another one for each application). `match_claim`: what a provisioned account is recognised by, beside the
    link. `required`: claims that must have one of these values (Google's `hd`). `max_age`: seconds since the
    person proved to be there.
    `acr`, `amr`: what the provider must say about how; where it says nothing, nobody comes in.
    """

    issuer: Text
    client_id: Text
    secret: Text | None = None
    secret_until: date | None = None
    authentication: Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"] = (
        "client_secret_basic"
    )
    scopes: tuple[Text, ...] = ("openid", "profile", "email")
    subject_claim: Text = "sub"
    login_claim: Text = "preferred_username"
    match_claim: Text = "preferred_username"
    groups_claim: Text = "groups"
    tenants: tuple[Text, ...] = ()
    required: dict[str, tuple[str, ...]] = {}
    max_age: Annotated[int, Meta(ge=0)] | None = None
    acr: tuple[Text, ...] = ()
    amr: tuple[Text, ...] = ()
    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    logout_typ: bool = True
    single_logout: bool = True
    ca_file: Text | None = None

    @property
    def asks_anew(self) -> bool:
        """Whether it can be asked for the credentials once more; Google does not, nor says when it has."""
        return self.issuer != GOOGLE

    @property
    def shared_tenant(self) -> bool:
        """Whether Entra ID answers for many tenants at this issuer."""
        return self.issuer.startswith(MICROSOFT) and self.issuer.split("/")[3] in SHARED_TENANTS


class SamlProvider(Common, frozen=True, kw_only=True, tag="saml"):
    """SAML 2.0. `certificates`: PEM, from the provider's metadata; only these are believed.

    `encrypt`: whether our metadata ask for encrypted assertions. `logout_url`: where the provider takes
    requests for logout, and answers to its own unless there is a `logout_response_url`; `single_logout`:
    whether who signs out here signs out there as well.
    """

    entity_id: Text
    sign_in_url: Text
    certificates: Annotated[tuple[Text, ...], Meta(min_length=1)]
    binding: Literal["redirect", "post"] = "redirect"
    sign_requests: bool = False
    encrypt: bool = False
    logout_url: Text | None = None
    logout_response_url: Text | None = None
    logout_binding: Literal["redirect", "post"] = "redirect"
    single_logout: bool = True
    login_attribute: Text | None = None
    name_attribute: Text | None = None
    email_attribute: Text | None = None
    groups_attribute: Text = "groups"
    subject_attribute: Text | None = None
    acr: tuple[Text, ...] = ()


class LdapProvider(Common, frozen=True, kw_only=True, tag="ldap"):
    """A directory. `url`: ldaps://…, or ldap://… with StartTLS; never in the clear.

    `limit`: the share of known accounts (percent) that one synchronisation may shut without being told to.
    """

    url: Text
    bind_dn: Text | None = None
    secret: Text | None = None
    secret_until: date | None = None
    ca_file: Text | None = None
    base: Text
    group_base: Text | None = None
    flavour: Literal["active-directory", "generic"] = "active-directory"
    user_filter: Text | None = None
    group_filter: Text | None = None
    login_attribute: Text | None = None
    id_attribute: Text | None = None
    page: Annotated[int, Meta(ge=1, le=5000)] = 500
    timeout: Annotated[int, Meta(ge=1, le=60)] = 10
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class ScimProvider(Common, frozen=True, kw_only=True, tag="scim"):
    """A directory that provisions people here, who sign in by other means."""


Provider: TypeAlias = OidcProvider | SamlProvider | LdapProvider | ScimProvider


def parse(raw: dict[str, Any], *, where: str | None = None) -> Provider:
    """What was written down about a provider. Raises: ProviderMisconfigured."""
    try:
        provider: Provider = msgspec.convert(raw, Provider)
    except msgspec.ValidationError as error:
        raise ProviderMisconfigured(f"a provider is described wrongly: {error}", where=where) from None
    _check(provider, where or provider.id)
    return provider


def dump(provider: Provider) -> dict[str, Any]:
    """As it is stored."""
    return dict(msgspec.to_builtins(provider))


def _check(provider: Provider, where: str) -> None:
    if provider.id in _TAKEN:
        raise ProviderMisconfigured(
            f"no provider can be called `{provider.id}`: groups that people gave bear this name",
            where=where,
            fix="choose another id",
        )
    if provider.forbid_password and not provider.domains:
        raise ProviderMisconfigured(
            "passwords can be forbidden only for named mail domains", where=where, fix="give `domains`"
        )
    if provider.adopt == "email" and not provider.domains:
        raise ProviderMisconfigured(
            "accounts can be taken over by mail address only within named domains",
            where=where,
            fix="give `domains`: those whose mailboxes the provider itself hands out",
        )
    match provider:
        case OidcProvider():
            _check_oidc(provider, where)
        case SamlProvider():
            _https(provider.sign_in_url, "sign_in_url", where)
            for key in ("logout_url", "logout_response_url"):
                url = getattr(provider, key)
                if url is not None:
                    _https(url, key, where)
        case LdapProvider():
            _check_ldap(provider, where)


def _check_oidc(provider: OidcProvider, where: str) -> None:
    _https(provider.issuer, "issuer", where)
    if (provider.authentication == "none") != (provider.secret is None):
        raise ProviderMisconfigured(
            "a client has a secret or key, or authenticates by `none`", where=where, fix="give `secret`"
        )
    if "openid" not in provider.scopes:
        raise ProviderMisconfigured("the scope `openid` is missing", where=where, fix="add it to `scopes`")
    if provider.shared_tenant and not provider.tenants:
        raise ProviderMisconfigured(
            "this issuer speaks for every tenant of Entra ID",
            where=where,
            fix="list the tenants that are let in, or name one tenant in the issuer",
        )
    if provider.adopt == "email" and provider.issuer.startswith(MICROSOFT):
        raise ProviderMisconfigured(
            "Entra ID does not verify the mail addresses it sends",
            where=where,
            fix="use adopt = `provisioned` with SCIM, or link accounts by hand",
        )


def _check_ldap(provider: LdapProvider, where: str) -> None:
    if urlsplit(provider.url).scheme not in ("ldap", "ldaps"):
        raise ProviderMisconfigured("`url` is no directory's", where=where, fix="write it as ldaps://host")
    if (provider.bind_dn is None) != (provider.secret is None):
        raise ProviderMisconfigured("`bind_dn` and `secret` belong together", where=where, fix="give both")


def _https(url: str, key: str, where: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.fragment or parts.username is not None:
        raise ProviderMisconfigured(f"`{key}` must be an https address", where=where)
