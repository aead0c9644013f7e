"""Write a provider down by a form, or anew; whatever is wrong, the form comes back with what was typed."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from vallum.identity.sso import store
from vallum.identity.sso.providers import parse
from vallum.identity.sso.secrets import keep_secret
from vallum.kernel import InvalidValue, VallumError
from vallum.server.console.provider_form import ADDRESSES, FORMS, KINDS, controls, rules_in, typed
from vallum.server.console.providers import ask_again, config_in, sign_on_of, state_in
from vallum.server.console.site import Ask, Site
from vallum.server.pages import Answer, NotFound, Page, Pages, Redirect
from vallum.server.pages.failures import failure_of

__all__ = ["pages"]

pages: Pages[Site] = Pages()

SPARE_ROWS: Final = 3


@pages.get("/providers/new", who="administrator")
def new(visit: Ask) -> Answer:
    """An empty form, of the kind that is asked for."""
    kind = visit.query.text("kind", "oidc")
    if kind not in FORMS:
        raise NotFound(f"there is no kind `{kind:.40}`", fix="choose one of the list")
    return ask_again(visit) or _form_page(visit, kind, None, {}, None)


@pages.post("/providers/new", who="administrator")
def create(visit: Ask) -> Answer:
    """Write one down."""
    kind = visit.form.text("kind")
    if kind not in FORMS:
        raise NotFound(f"there is no kind `{kind:.40}`", fix="choose one of the list")
    return ask_again(visit) or _saved(visit, kind, None, {})


@pages.get("/providers/{provider:str}/edit", who="administrator")
def edit(visit: Ask) -> Answer:
    """The form."""
    found = state_in(visit)
    raw = config_in(visit, found.id)
    return ask_again(visit) or _form_page(visit, found.kind, found.id, raw, None)


@pages.post("/providers/{provider:str}/edit", who="administrator")
def write(visit: Ask) -> Answer:
    """Write it down anew."""
    found = state_in(visit)
    return ask_again(visit) or _saved(visit, found.kind, found.id, config_in(visit, found.id))


def _form_page(
    visit: Ask, kind: str, provider_id: str | None, raw: Mapping[str, Any], failure: VallumError | None
) -> Page:
    form = visit.form if failure is not None else None
    rules = [
        (rule.get("attribute", "groups"), rule.get("value") or "*", " ".join(rule["groups"]))
        for rule in raw.get("rules", ())
    ]
    if form is not None:
        rules = list(
            zip(form.all("rule_attribute"), form.all("rule_value"), form.all("rule_groups"), strict=False)
        )
    values: dict[str, Any] = {
        "kind": kind,
        "kind_label": KINDS[kind],
        "id": provider_id,
        "typed_id": form.text("id") if form is not None else "",
        "controls": controls(kind, raw, form),
        "rules": [*rules, *[("groups", "", "")] * SPARE_ROWS],
        "groups": sorted(visit.site.vallum.policy.groups.values(), key=lambda g: g.name or ""),
        "failure": failure_of(failure) if failure is not None else None,
        "has_secret": bool(raw.get("secret")),
    }
    status = HTTPStatus(failure_of(failure).status) if failure is not None else HTTPStatus.OK
    return Page("provider_edit.html", values, status=status)


def _saved(visit: Ask, kind: str, provider_id: str | None, before: Mapping[str, Any]) -> Answer:
    """Write down what was typed; whatever is wrong, the form comes back with it."""
    on, form = sign_on_of(visit), visit.form
    try:
        raw = typed(kind, form, before)
        raw["id"] = provider_id or form.text("id")
        raw["rules"] = rules_in(form, visit.site.vallum.policy)
        if kind == "saml" and (form.text("metadata") or not before):
            # Loaded with the first provider of the kind, as everything of SAML.
            from vallum.identity.saml.metadata import read_provider

            content = form.text("metadata").encode()
            raw |= read_provider(content, on.clock.now(), entity_id=before.get("entity_id"))
            # What the provider asks for in its metadata is kept; more may be asked for here.
            raw["sign_requests"] = raw["sign_requests"] or bool(form.text("sign_requests"))
        secret = form.get("secret", "")
        if secret:
            raw["secret"] = "file:/to-be-kept"  # noqa: S105 - a place, so that it can be checked before
        elif any(raw.get(name) != before.get(name) for name in ADDRESSES.get(kind, ())) and before:
            _forget_secret(raw)
        provider = parse(raw, where=raw["id"] or "the form")
        with on.store.transaction() as tx:
            if provider_id is None and store.exists(tx, provider.id):
                raise InvalidValue("there is a provider of this id already", fix="choose another")
        visit.site.told(visit, "administration", act="provider saved", of=provider.id)
        if secret:
            raw["secret"] = keep_secret(on.secrets, provider.id, secret)
            provider = parse(raw, where=provider.id)
        with on.store.transaction() as tx:
            store.save_provider(tx, provider, on.clock.now())
            on.accounts.record(
                tx, "sso.provider-saved", None, {"provider": provider.id, "by": visit.viewer.login}
            )
    except (VallumError, OSError) as error:
        shown = error if isinstance(error, VallumError) else VallumError("the secret cannot be kept")
        return _form_page(visit, kind, provider_id, before, shown)
    return Redirect(f"/providers/{provider.id}?done=saved")


def _forget_secret(raw: dict[str, Any]) -> None:
    """It was for another address: whoever names a new one gives the secret as well."""
    if raw.pop("secret", None) is not None:
        raise InvalidValue(
            "the secret was for another address", fix="type it again: it would be sent to the new one"
        )
