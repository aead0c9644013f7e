"""Home: the state of the layers at a glance, and what needs attention first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vallum.analysis import cell, inexact_models
from vallum.kernel import Operation, VallumError
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, Page, Pages

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("Home", "/", "house", key="h")

_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's card: its state in a word, numbers that lead to their rows."""

    name: str
    icon: str
    kind: str
    state: str
    numbers: tuple[tuple[str, int, str], ...] = ()
    href: str = ""


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that should be looked at. `weight` orders them; the heaviest come first."""

    weight: int
    kind: str
    title: str
    text: str
    href: str


@pages.get("/")
def home(visit: Ask) -> Answer:
    """Everyone's first page: overseers see the layers, others what is open to them."""
    if not visit.viewer.oversees:
        return Page("home_own.html", {"apps": own_models(visit)})
    found = sorted(_attention(visit.site), key=lambda a: (-a.weight, a.title))
    return Page("home.html", {"layers": _layers(visit.site), "attention": found})


def own_models(visit: Ask) -> list[tuple[str, str, str]]:
    """The models a viewer may read: name, label and what they may do, those in menus first."""
    site = visit.site
    actor = site.actor(site.viewer(visit))
    in_menus = {m.action.model for m in site.eyes(visit).menus() if m.action is not None and m.action.model}
    found = []
    for model in site.models:
        if model.transient or not model.relation:
            continue
        one = cell(site.vallum.application, actor, model)
        if "r" in one.operations:
            found.append((model.name not in in_menus, model.name, model_label(model), one.operations))
    return [(name, label, letters) for _, name, label, letters in sorted(found)]


def _layers(site: Site) -> list[Layer]:
    """The layers that are there, each with its state."""
    found = [_access(site)]
    audit = _audit(site)
    return found if audit is None else [*found, audit]


def _audit(site: Site) -> Layer | None:
    """The trail, where this server is told of one."""
    if site.audit is None:
        return None
    try:
        tables = len(site.audit.audited())
    except VallumError:
        return Layer("Audit", "history", "notice", "not enabled in this database", (), "/audit/proofs")
    state = "changes are kept" if tables else "no table is audited"
    return Layer(
        "Audit",
        "history",
        "allowed" if tables else "notice",
        state,
        (("audited tables", tables, "/audit/proofs"),),
        "/audit",
    )


def _access(site: Site) -> Layer:
    policy = site.vallum.policy
    people = sum(user.active for user in site.vallum.users)
    numbers = (
        ("people", people, "/people"),
        ("groups", len(policy.groups), "/groups"),
        ("models with rights", len(policy.rights_by_model), "/access"),
        ("access rights", len(policy.rights), "/groups"),
        ("record rules", len(policy.rules), "/access?mrisk="),
    )
    return Layer("Access", "shield-check", "allowed", "the policy is read and whole", numbers, "/access")


def _attention(site: Site) -> Iterator[Attention]:
    policy, users = site.vallum.policy, site.census.users
    active = [user for user in users if user.active]
    for gap in site.vallum.gaps:
        yield Attention(90, "notice", gap.fact, f"{gap.consequence}: {gap.fix}", "")
    escalating = [u for u in active if u.id in site.census.escalating]
    if escalating:
        names = ", ".join((u.name or u.login)[:40] for u in escalating[:_KEPT])
        text = (
            f"{len(escalating)} of {len(active)} people may change rights, rules, groups or users: {names}."
        )
        yield Attention(80, "notice", "Who may change who sees what", text, "/access?risk=escalates")
    leavers = [u for u in users if not u.active and site.actor(u).groups]
    if leavers:
        text = f"{len(leavers)} inactive people still have groups; they come back with them when reactivated."
        yield Attention(30, "notice", "Inactive people with groups", text, "/people?risk=inactive")
    open_to_all = [r for r in policy.rights if r.group is None and r.operations - {Operation.READ}]
    if open_to_all:
        names = ", ".join(sorted({r.model for r in open_to_all})[:_KEPT])
        yield Attention(
            85, "refused", "Everyone may change these models", f"Rights without a group: {names}.", "/access"
        )
    inexact = inexact_models(site.vallum.schema)
    mattering = [name for name in inexact if name in policy.rights_by_model]
    if mattering:
        text = f"In {len(mattering)} models code of modules decides as well; answers there say so."
        yield Attention(20, "", "Models where code decides as well", text, "/access?mrisk=code")
