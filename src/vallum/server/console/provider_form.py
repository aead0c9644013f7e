"""The form of a provider: which settings each kind has, and from what was typed to a description.

Pure. What the form does not show stays as it was written down.
Invariant: a secret is typed and never shown; it is typed anew where it would go to another address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from vallum.kernel import InvalidValue
from vallum.policy import Policy
from vallum.server.pages import Query

__all__ = ["ADDRESSES", "FORMS", "KINDS", "Control", "controls", "rules_in", "typed"]

Shape = Literal["text", "list", "check", "number", "choice", "secret", "date", "area"]
KINDS: Final = {
    "oidc": "OpenID Connect",
    "saml": "SAML 2.0",
    "ldap": "LDAP, Active Directory",
    "scim": "SCIM",
}
# Where the secret goes: of another address, it is asked for again.
ADDRESSES: Final = {"oidc": ("issuer",), "ldap": ("url", "bind_dn")}
_ON: Final = frozenset({"single_logout"})


@dataclass(frozen=True, slots=True)
class Control:
    """One setting. `value`: as it is shown."""

    name: str
    label: str
    shape: Shape = "text"
    hint: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    value: Any = ""

    @property
    def options(self) -> list[tuple[str, str]]:
        """The choices, as a list of a form has them; the first is whatever is usual."""
        return [("", "as usual"), *((choice, choice) for choice in self.choices)]


_COMMON: Final = (
    Control("label", "Name on the button", required=True),
    Control("domains", "Mail domains it answers for", "list", "Nobody else comes in by it."),
    Control("forbid_password", "Who has such an address signs in by it alone", "check"),
    Control("create", "Make an account at the first sign-in", "check"),
    Control(
        "adopt",
        "Accounts somebody unknown may take over",
        "choice",
        "By mail address only where you trust the provider to verify it.",
        ("provisioned", "never", "email", "login"),
    ),
    Control("skew", "Seconds between both clocks", "number"),
)
_SECRET: Final = Control("secret", "Secret", "secret", "Kept on the server; never shown again.")
_UNTIL: Final = Control("secret_until", "The secret ends on", "date", "You are reminded here.")
FORMS: Final[Mapping[str, tuple[Control, ...]]] = {
    "oidc": (
        Control("issuer", "Issuer", hint="https://…, to the letter.", required=True),
        Control("client_id", "Client id", required=True),
        _SECRET,
        _UNTIL,
        Control(
            "authentication",
            "How we show the secret",
            "choice",
            choices=("client_secret_basic", "client_secret_post", "none"),
        ),
        Control("scopes", "Scopes", "list"),
        Control("subject_claim", "Claim that lasts, by which somebody is found again"),
        Control("login_claim", "Claim with the login"),
        Control("match_claim", "Claim by which a provisioned account is known"),
        Control("groups_claim", "Claim with the groups"),
        Control("tenants", "Tenants of Entra ID", "list"),
        Control("single_logout", "Signing out here signs out there as well", "check"),
        *_COMMON,
    ),
    "saml": (
        Control("metadata", "The provider's metadata", "area", "XML, from the provider's own hands."),
        Control("sign_requests", "Sign requests", "check"),
        Control("encrypt", "Ask for encrypted assertions", "check"),
        Control("single_logout", "Signing out here signs out there as well", "check"),
        Control("binding", "Requests travel by", "choice", choices=("redirect", "post")),
        Control("login_attribute", "Attribute with the login"),
        Control("name_attribute", "Attribute with the name"),
        Control("email_attribute", "Attribute with the mail address"),
        Control("groups_attribute", "Attribute with the groups"),
        Control("subject_attribute", "Attribute that lasts, where the NameID does not"),
        *_COMMON,
    ),
    "ldap": (
        Control("url", "Address", hint="ldaps://…, or ldap://… with StartTLS.", required=True),
        Control("base", "Below which people are", hint="dc=example,dc=com", required=True),
        Control("flavour", "Kind", "choice", choices=("active-directory", "generic")),
        Control("bind_dn", "Service account"),
        _SECRET,
        _UNTIL,
        Control("user_filter", "Filter of people"),
        Control("group_base", "Below which groups are"),
        Control("group_filter", "Filter of groups"),
        Control("login_attribute", "Attribute with the login"),
        Control("id_attribute", "Attribute that lasts"),
        Control("limit", "Percent of accounts that one synchronisation may shut", "number"),
        *_COMMON,
    ),
    "scim": _COMMON,
}


def controls(kind: str, raw: Mapping[str, Any], form: Query | None = None) -> list[Control]:
    """The form's controls, with what is written down, or with what was typed."""
    found = []
    for one in FORMS[kind]:
        value: Any = raw.get(one.name)
        if one.shape in ("secret", "area"):
            value = ""
        elif form is not None:
            value = bool(form.text(one.name)) if one.shape == "check" else form.text(one.name)
        elif one.shape == "list":
            value = ", ".join(value or ())
        elif one.shape == "check":
            value = bool(value) if value is not None else one.name in _ON
        choices = one.choices
        if choices and value and value not in choices:
            # Written down by command: what pages do not offer they keep.
            choices = (*choices, str(value))
        found.append(replace(one, value="" if value is None else value, choices=choices))
    return found


def typed(kind: str, form: Query, before: Mapping[str, Any]) -> dict[str, Any]:
    """The description without its secret, rules and metadata. Raises: InvalidValue."""
    found = {**before, "kind": kind}
    for one in FORMS[kind]:
        if one.shape in ("secret", "area"):
            continue
        text = form.text(one.name)
        value: Any = text or None
        if one.shape == "check":
            value = bool(text)
        elif one.shape == "list":
            value = [part for part in text.replace(",", " ").split() if part] or None
        elif one.shape == "number":
            value = form.number(one.name) if text else None
        if value is None:
            found.pop(one.name, None)
        else:
            found[one.name] = value
    return found


def rules_in(form: Query, policy: Policy) -> list[dict[str, Any]]:
    """The mapping as it was typed; rows without groups are none. Raises: InvalidValue."""
    found = []
    columns = (form.all("rule_attribute"), form.all("rule_value"), form.all("rule_groups"))
    if len({len(column) for column in columns}) != 1:
        raise InvalidValue("the rules have come in pieces", fix="reload the page and type them once more")
    for attribute, value, groups in zip(*columns, strict=True):
        names = groups.replace(",", " ").split()
        if not names and not value.strip():
            continue
        if not names or not value.strip():
            raise InvalidValue("a rule needs both sides", fix="give a value, or *, and at least one group")
        unknown = [name for name in names if name not in policy.group_ids]
        if unknown:
            raise InvalidValue(f"no group is called {unknown[0]!r:.80}", fix="give xml ids of groups")
        rule: dict[str, Any] = {"attribute": attribute.strip() or "groups", "groups": names}
        found.append(rule if value.strip() == "*" else {**rule, "value": value.strip()})
    return found
