"""Providers: by what people sign in and directories provision, how that goes, and what gives which groups.

Whoever may use these pages can let in whom they like: administrators, freshly proven for whatever changes
something or shows what a directory holds.
Invariant: no page shows a secret; a token of SCIM is shown in the answer that makes it, and nowhere else.
"""

from __future__ import annotations

from typing import Any, Final

from vallum.identity.ldap.sync import synchronise
from vallum.identity.scim import tokens
from vallum.identity.sso import store
from vallum.identity.sso.providers import ScimProvider, dump, parse
from vallum.identity.sso.state import SOON, State, state_of, states
from vallum.kernel import InvalidValue
from vallum.server.console.provider_form import KINDS, controls
from vallum.server.console.site import Ask, Site
from vallum.server.pages import Answer, NotFound, Page, Pages, Query, Redirect, twin
from vallum.server.sso.parts import SignOn

__all__ = ["ask_again", "config_in", "pages", "sign_on_of", "state_in"]

pages: Pages[Site] = Pages()
pages.entry("Providers", "/providers", "log-in", section="People", key="o", who="administrator")

CONFIRM: Final = "/account/confirm"


@pages.get("/providers", who="administrator")
def overview(visit: Ask) -> Answer:
    """All of them, with how they are."""
    on = sign_on_of(visit)
    with on.store.transaction() as tx:
        found = states(tx)
    answer = twin(visit, "providers", [one.as_dict() for one in found])
    if answer is not None:
        return answer
    return Page("providers.html", {"found": found, "kinds": KINDS, "soon": on.clock.now() + SOON})


@pages.get("/providers/{provider:str}", who="administrator")
def one(visit: Ask) -> Answer:
    """One of them."""
    return _one_page(visit, state_in(visit))


@pages.post("/providers/{provider:str}/switch", who="administrator")
def switch(visit: Ask) -> Answer:
    """On, or off."""
    found, on = state_in(visit), sign_on_of(visit)
    ask = ask_again(visit)
    if ask is not None:
        return ask
    raw = {**config_in(visit, found.id), "enabled": visit.form.text("to") == "on"}
    provider = parse(raw, where=found.id)
    visit.site.told(visit, "administration", act="provider switched", of=found.id, on=provider.enabled)
    with on.store.transaction() as tx:
        store.save_provider(tx, provider, on.clock.now())
    return Redirect(f"/providers/{found.id}?done=switched")


@pages.post("/providers/{provider:str}/test", who="administrator")
def test(visit: Ask) -> Answer:
    """Ask it what a sign-in would ask."""
    # Loaded with the first test: it brings the clients of OpenID Connect.
    from vallum.identity.sso.check import check

    found = state_in(visit)
    ask = ask_again(visit)
    if ask is not None:
        return ask
    if found.provider is None:
        raise InvalidValue(found.fault or "it is written down wrongly", fix="mend it first")
    return _one_page(visit, found, findings=check(found.provider, sign_on_of(visit).clock))


@pages.post("/providers/{provider:str}/preview", who="administrator")
def preview(visit: Ask) -> Answer:
    """What a synchronisation would change; nothing is changed."""
    found, on = state_in(visit), sign_on_of(visit)
    ask = ask_again(visit)
    if ask is not None:
        return ask
    plan = synchronise(on.store, on.accounts, on.clock, found.id, dry_run=True)
    return _one_page(visit, found, plan=plan)


@pages.post("/providers/{provider:str}/tokens", who="administrator")
def issue(visit: Ask) -> Answer:
    """A token for a directory; or the end of one."""
    found, on = state_in(visit), sign_on_of(visit)
    ask = ask_again(visit)
    if ask is not None:
        return ask
    if visit.form.text("act") == "revoke":
        prefix = visit.form.text("prefix")
        visit.site.told(visit, "administration", act="token of SCIM revoked", of=found.id, prefix=prefix)
        with on.store.transaction() as tx:
            if prefix not in {one.prefix for one in tokens.tokens(tx) if one.provider_id == found.id}:
                raise NotFound("this directory has no such token", fix="choose one of the list")
            tokens.revoke(tx, prefix)
        return Redirect(f"/providers/{found.id}?done=revoked")
    if not isinstance(found.provider, ScimProvider) and found.provider is not None:
        visit.site.told(visit, "administration", act="provisioning begun", of=found.id)
    days = visit.form.number("days", 180, least=1, most=365)
    visit.site.told(visit, "administration", act="token of SCIM made", of=found.id, days=days)
    with on.store.transaction() as tx:
        token = tokens.make(tx, found.id, on.clock.now(), days=days)
    return _one_page(visit, state_in(visit), token=token)


# What the pages share


def sign_on_of(visit: Ask) -> SignOn:
    if visit.site.sso is None:
        raise NotFound("nobody signs in at this server", fix="see docs/how-to/accounts.md")
    return visit.site.sso


def ask_again(visit: Ask) -> Answer | None:
    """Credentials once more, where they were shown too long ago; then back to the page."""
    if visit.viewer.fresh:
        return None
    back = visit.path if not visit.post else visit.path.removesuffix("/" + visit.path.rpartition("/")[2])
    return Redirect(f"{CONFIRM}?{Query().but(next=back)}")


def state_in(visit: Ask) -> State:
    with sign_on_of(visit).store.transaction() as tx:
        return state_of(tx, visit.parts["provider"])


def config_in(visit: Ask, provider_id: str) -> dict[str, Any]:
    with sign_on_of(visit).store.transaction() as tx:
        return store.config_of(tx, provider_id)


def _one_page(visit: Ask, found: State, **more: Any) -> Page:
    on = sign_on_of(visit)
    with on.store.transaction() as tx:
        known = [one for one in tokens.tokens(tx) if one.provider_id == found.id]
    keys = on.keys() if found.kind == "saml" else ()
    settings = _settings(found) if found.provider is not None else []
    values = {
        "found": found,
        "kind": KINDS.get(found.kind, found.kind),
        "settings": settings,
        "rules": found.provider.rules if found.provider is not None else (),
        "tokens": known,
        "addresses": _addresses(on, found),
        "keys": keys,
        "soon": on.clock.now() + SOON,
        "done": visit.query.text("done"),
        "group_names": {g.xml_id: g.name for g in visit.site.vallum.policy.groups.values()},
        "findings": None,
        "plan": None,
        "token": None,
        **more,
    }
    return Page("provider.html", values)


def _settings(found: State) -> list[tuple[str, str]]:
    """What is written down, for people; of a secret, that there is one."""
    if found.provider is None:
        return []
    raw = dump(found.provider)
    shown = []
    for control in controls(found.kind, raw):
        value = control.value
        if control.shape == "secret":
            value = "is set" if raw.get(control.name) else ""
        elif control.shape == "check":
            value = "yes" if value else "no"
        if value not in ("", None):
            shown.append((control.label, str(value)))
    if found.kind == "saml":
        shown[:0] = [("Entity id", raw["entity_id"]), ("Signs in at", raw["sign_in_url"])]
    return shown


def _addresses(on: SignOn, found: State) -> list[tuple[str, str]]:
    """What the other side is to be told."""
    base = f"{on.base_url}/sso/{found.id}"
    return {
        "oidc": [
            ("Redirect address", f"{base}/callback"),
            ("After signing out", f"{on.base_url}/"),
            ("Back-channel logout", f"{base}/back-channel"),
        ],
        "saml": [("Our metadata", f"{base}/metadata")],
        "scim": [("SCIM", f"{on.base_url}/scim/v2")],
    }.get(found.kind, [])
