"""Providers that many people have, written down once.

Pure. A preset is where to begin; what somebody gives beside it has precedence.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from vallum.identity.sso.errors import ProviderMisconfigured

__all__ = ["NAMES", "preset"]

NAMES: Final = ("entra", "keycloak", "google")


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
            # `oid` is the id that SCIM from Entra ID sends as externalId; `sub` differs by application.
            known: dict[str, Any] = {
                "label": "Microsoft",
                "issuer": f"https://login.microsoftonline.com/{quote(tenant, safe='')}/v2.0",
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
                "issuer": "https://accounts.google.com",
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
