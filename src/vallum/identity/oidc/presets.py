"""Providers that many people have, written down once.

Pure. A preset is where to begin; what somebody gives beside it has precedence.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from vallum.identity.sso.errors import ProviderMisconfigured
from vallum.identity.sso.providers import GOOGLE, MICROSOFT, SHARED_TENANTS

__all__ = ["NAMES", "preset"]

NAMES: Final = ("entra", "keycloak", "google")
_TENANT: Final = re.compile(r"\A[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def preset(name: str, given: dict[str, Any], *, tenant: str | None = None, url: str | None = None,
           realm: str | None = None) -> dict[str, Any]:  # fmt: skip
    """A provider's description. `tenant`: of Entra ID; `url` and `realm`: of Keycloak.

    >>> preset("keycloak", {}, url="https://id.example.com/", realm="staff")["issuer"]
    'https://id.example.com/realms/staff'

    Raises: ProviderMisconfigured.
    """
    match name:
        case "entra":
            tenant = _needed(tenant, "tenant", name)
            if not _TENANT.match(tenant) and tenant not in SHARED_TENANTS:
                # Tokens carry the id: by a domain, nobody would ever come in.
                raise ProviderMisconfigured(
                    "tokens of Entra ID name their tenant by its id, not by a domain",
                    where=name,
                    fix="give the tenant's id, as in 72f988bf-86f1-41af-91ab-2d7cd011db47",
                )
            # `oid` is the id that SCIM from Entra ID sends as externalId, and that its administrators see;
            # `sub` differs by application. It is one of a tenant, which the issuer of a token names.
            known: dict[str, Any] = {
                "label": "Microsoft",
                "issuer": f"{MICROSOFT}{tenant.lower()}/v2.0",
                "subject_claim": "oid",
                "match_claim": "oid",
            }
        case "keycloak":
            base, realm = _needed(url, "url", name).rstrip("/"), _needed(realm, "realm", name)
            known = {"label": "Keycloak", "issuer": f"{base}/realms/{quote(realm, safe='')}"}
        case "google":
            if not given.get("domains"):
                raise ProviderMisconfigured(
                    "everybody in the world can have an account at Google", where=name, fix="give `domains`"
                )
            known = {
                "label": "Google",
                "issuer": GOOGLE,
                "login_claim": "email",
                "match_claim": "email",
                "required": {"hd": tuple(given["domains"])},
            }
        case _:
            raise ProviderMisconfigured(f"no preset is called `{name}`", fix="use one of " + ", ".join(NAMES))
    return {"kind": "oidc", **known, **given}


def _needed(value: str | None, key: str, name: str) -> str:
    if not value:
        raise ProviderMisconfigured(f"the preset `{name}` needs `{key}`")
    return value
