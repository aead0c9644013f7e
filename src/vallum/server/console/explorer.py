"""The access explorer: users by models, a window of it at a time, with filters in the address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vallum.analysis import Cell, cell, count_cells, inexact_models
from vallum.policy import User
from vallum.schema import Model
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, Page, Pages, twin

__all__ = ["pages"]

USERS: Final = 40
MODELS: Final = 14
_MOST_IN_TWIN: Final = 500_000

pages: Pages[Site] = Pages()
pages.entry("Access explorer", "/access", "grid-3x3", section="Access", key="a", who="oversees")

# What a filter by risk means; the first is no filter.
USER_RISKS: Final = (
    ("", "anyone"),
    ("escalates", "may change who sees what"),
    ("superuser", "superusers: nothing binds them"),
    ("inactive", "inactive, with groups"),
)
MODEL_RISKS: Final = (
    ("", "all models"),
    ("shut-fields", "with fields for some groups only"),
    ("unruled", "without any record rule"),
    ("code", "where code decides as well"),
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the filters leave."""

    users: Sequence[User]
    models: Sequence[Model]


@pages.get("/access", who="oversees")
def explorer(visit: Ask) -> Answer:
    """The matrix, or its twin for machines."""
    found = _chosen(visit)
    first_user = visit.query.number("u", most=max(0, len(found.users) - 1))
    first_model = visit.query.number("m", most=max(0, len(found.models) - 1))
    users = found.users[first_user : first_user + USERS]
    models = found.models[first_model : first_model + MODELS]
    if visit.query.text("format"):
        answer = twin(visit, "access", list(_rows(visit.site, found)))
        if answer is not None:
            return answer
    counts = None
    if visit.query.text("count"):
        counts = count_cells(visit.site.vallum.application, users, models)
    values = {
        "users": [(user, _line(visit.site, user, models, counts)) for user in users],
        "models": [(model, model_label(model)) for model in models],
        "all_users": len(found.users),
        "all_models": len(found.models),
        "first_user": first_user,
        "first_model": first_model,
        "step_users": USERS,
        "step_models": MODELS,
        "counted": counts is not None,
        "groups": group_choices(visit.site),
        "apps": _apps(visit.site),
        "companies": company_choices(visit),
        "user_risks": USER_RISKS,
        "model_risks": MODEL_RISKS,
        "drawer": "",
    }
    return Page("explorer.html", values, "explorer_matrix.html" if visit.target == "matrix" else None)


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell as it is drawn."""

    model: str
    cell: Cell
    count: int | None
    words: str


def _line(site: Site, user: User, models: Iterable[Model], counts: Any | None) -> list[Shown]:
    actor = site.actor(user)
    shown = []
    for model in models:
        found = cell(site.vallum.application, actor, model)
        count = None if counts is None else counts.get((user.id, model.name))
        shown.append(Shown(model.name, found, count, _words(found, count)))
    return shown


_NAMES: Final = {"r": "read", "w": "change", "c": "create", "u": "delete"}


def _words(found: Cell, count: int | None) -> str:
    if found.superuser:
        return "everything: superuser"
    if not found.operations:
        return "nothing"
    text = ", ".join(_NAMES[letter] for letter in found.operations)
    text += "; record rules decide which" if found.ruled else "; all records"
    return text if count is None else f"{text}; {count} to read"


def _rows(site: Site, found: Chosen) -> Iterable[dict[str, Any]]:
    """The whole matrix without its empty cells, cut where it becomes too long to send."""
    sent = 0
    for user in found.users:
        actor = site.actor(user)
        for model in found.models:
            one = cell(site.vallum.application, actor, model)
            if one.operations:
                sent += 1
                if sent > _MOST_IN_TWIN:
                    return
                yield {
                    "user_id": user.id,
                    "login": user.login,
                    "model": model.name,
                    "operations": one.operations,
                    "ruled": one.ruled,
                    "superuser": one.superuser,
                }


# filters


def _chosen(visit: Ask) -> Chosen:
    return Chosen(chosen_users(visit), chosen_models(visit))


def chosen_users(visit: Ask) -> list[User]:
    """The users that the filters of an address leave; active ones, unless others are asked for."""
    site, query = visit.site, visit.query
    text = query.text("q").casefold()
    group = query.number("group")
    company = query.number("company")
    risk = query.text("risk")
    found = []
    for user in site.census.users:
        if user.active == (risk == "inactive"):
            continue
        if text and text not in user.login.casefold() and text not in user.name.casefold():
            continue
        if company and company not in user.company_ids and company != user.company_id:
            continue
        if group or risk:
            actor = site.actor(user)
            if group and group not in actor.groups:
                continue
            if risk == "escalates" and user.id not in site.census.escalating:
                continue
            if risk == "superuser" and not actor.superuser:
                continue
            if risk == "inactive" and not actor.groups:
                continue
        found.append(user)
    return found


def chosen_models(visit: Ask) -> list[Model]:
    """The models that the filters of an address leave: with rights, unless the search names others."""
    site, query = visit.site, visit.query
    text, app, risk = query.text("model").casefold(), query.text("app"), query.text("mrisk")
    policy = site.vallum.policy
    inexact = inexact_models(site.vallum.schema) if risk == "code" else {}
    found = []
    for model in site.models:
        if model.transient or (not text and model.name not in policy.rights_by_model):
            continue
        if text and text not in model.name.casefold() and text not in model_label(model).casefold():
            continue
        if app and _app(model) != app:
            continue
        if risk == "shut-fields" and not any(field.groups for field in model.fields.values()):
            continue
        if risk == "unruled" and model.name in policy.rules_by_model:
            continue
        if risk == "code" and model.name not in inexact:
            continue
        found.append(model)
    return found


def _app(model: Model) -> str:
    return model.name.partition(".")[0]


def _apps(site: Site) -> list[tuple[str, str]]:
    names = sorted({_app(model) for model in site.models if not model.transient})
    return [("", "all apps"), *((name, name) for name in names)]


def group_choices(site: Site) -> list[tuple[str, str]]:
    """The groups, to choose from."""
    groups = sorted(site.vallum.policy.groups.values(), key=lambda g: g.name or g.label)
    return [("", "any group"), *((str(group.id), group.name or group.label) for group in groups)]


def company_choices(visit: Ask) -> list[tuple[str, str]]:
    """The companies people belong to, by name where the viewer may read it."""
    ids = sorted({c for user in visit.site.census.users for c in (*user.company_ids, user.company_id) if c})
    return [("", "any company"), *((str(i), company_names(visit).get(i, f"company {i}")) for i in ids)]


def company_names(visit: Ask) -> dict[int, str]:
    """Names of companies that the viewer may read."""
    if "res.company" not in visit.site.vallum.schema:
        return {}
    eyes = visit.site.eyes(visit)
    if not eyes.can("read", "res.company").allowed:
        return {}
    return {i: str(name) for i, name in eyes.name_search("res.company", "", limit=1000)}
