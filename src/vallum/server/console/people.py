"""People and groups: who is in what, through what, and what that opens."""

from __future__ import annotations

from typing import Any, Final

from vallum.analysis import Membership, cell, may_escalate, memberships, readable_models
from vallum.kernel import Operation
from vallum.policy import Group, Policy, User
from vallum.server.console import words
from vallum.server.console.explorer import chosen_users, company_choices, company_names, group_choices
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, NotFound, Page, Pages, twin
from vallum.server.pages.graph import Edge, Kind, Node, draw

__all__ = ["membership_picture", "pages"]

pages: Pages[Site] = Pages()
pages.entry("People", "/people", "user", section="People", key="p", who="oversees")
pages.entry("Groups", "/groups", "group", section="People", key="u", who="oversees")

SHOWN: Final = 100
MOST_NODES: Final = 60


@pages.get("/people", who="oversees")
def people(visit: Ask) -> Answer:
    """The users, filtered."""
    site = visit.site
    found = chosen_users(visit)
    answer = (
        twin(visit, "people", [_row(site, user) for user in found]) if visit.query.text("format") else None
    )
    if answer is not None:
        return answer
    first = visit.query.number("from", most=max(0, len(found) - 1))
    window = found[first : first + SHOWN]
    values = {
        "found": [(user, _row(site, user), user.id in site.census.escalating) for user in window],
        "total": len(found),
        "first": first,
        "step": SHOWN,
        "groups": group_choices(site),
        "companies": company_choices(visit),
        "company_names": company_names(visit),
    }
    return Page("people.html", values)


def _row(site: Site, user: User) -> dict[str, Any]:
    actor = site.actor(user)
    return {
        "id": user.id,
        "login": user.login,
        "name": user.name,
        "active": user.active,
        "superuser": actor.superuser,
        "company_ids": list(user.company_ids),
        "groups": len(actor.groups),
        "readable_models": readable_models(site.vallum.application, actor),
    }


@pages.get("/people/{user:int}", who="oversees")
def person(visit: Ask) -> Answer:
    """One user: groups as a picture, and what they open."""
    site = visit.site
    user = site.user(int(visit.parts["user"]))
    actor = site.actor(user)
    policy = site.vallum.policy
    member = Membership(policy, *memberships(policy, site.vallum.users, actor))
    given = memberships(policy, site.vallum.users, actor)[0]
    cells = [
        (model, model_label(model), found)
        for model in site.models
        if not model.transient and (found := cell(site.vallum.application, actor, model)).operations
    ]
    rows = [
        {"model": m.name, "label": label, "operations": c.operations, "ruled": c.ruled}
        for m, label, c in cells
    ]
    answer = twin(visit, f"rights-of-{user.id}", rows)
    if answer is not None:
        return answer
    names = company_names(visit)
    values = {
        "person": user,
        "actor": actor,
        "given": sorted((policy.groups[g] for g in given if g in policy.groups), key=lambda g: g.name),
        "implied": sorted(
            (policy.groups[g] for g in actor.groups - given if g in policy.groups), key=lambda g: g.name
        ),
        "member": member,
        "words": words,
        "cells": cells,
        "companies": [names.get(c, f"company {c}") for c in user.company_ids],
        "escalates": may_escalate(policy, actor),
        "picture": membership_picture(policy, user, given, actor.groups),
    }
    return Page("person.html", values)


def membership_picture(
    policy: Policy, user: User, given: frozenset[int], groups: frozenset[int], *, links: bool = True
) -> Any:
    """A user's groups and how they include each other. `links`: to the pages of the groups."""
    nodes = [Node("user", user.name or user.login, user.login, "neutral")]
    edges: list[Edge] = []
    shown = [g for g in sorted(groups, key=lambda g: (g not in given, g)) if g in policy.groups][:MOST_NODES]
    for g in shown:
        group = policy.groups[g]
        kind: Kind = "plain" if g in given else "inherited"
        nodes.append(
            Node(
                f"g{g}",
                group.name or group.label,
                "given" if g in given else "included",
                kind,
                f"/groups/{g}" if links else "",
            )
        )
        if g in given:
            edges.append(Edge("user", f"g{g}"))
        edges.extend(Edge(f"g{g}", f"g{i}", "inherited") for i in sorted(group.implied) if i in shown)
    return draw(nodes, edges, f"The groups of {user.name or user.login} and what they include")


@pages.get("/groups", who="oversees")
def groups(visit: Ask) -> Answer:
    """The groups, with members, rights and rules."""
    site, policy = visit.site, visit.site.vallum.policy
    text = visit.query.text("q").casefold()
    members = site.census.members
    found = [
        group
        for group in sorted(policy.groups.values(), key=lambda g: g.name or g.label)
        if text in (group.name or "").casefold() or text in (group.xml_id or "").casefold()
    ]
    rows = [
        {
            "id": g.id,
            "name": g.name,
            "xml_id": g.xml_id,
            "members": len(members.get(g.id, ())),
            "implies": len(policy.closure[g.id]) - 1,
            "rights": sum(r.group == g.id for r in policy.rights),
            "rules": sum(g.id in r.groups for r in policy.rules),
        }
        for g in found
    ]
    answer = twin(visit, "groups", rows)
    return answer if answer is not None else Page("groups.html", {"rows": rows})


@pages.get("/groups/{group:int}", who="oversees")
def group(visit: Ask) -> Answer:
    """One group: what it includes and what includes it as a picture, members, rights, rules."""
    site, policy = visit.site, visit.site.vallum.policy
    found = policy.groups.get(int(visit.parts["group"]))
    if found is None:
        raise NotFound(f"there is no group {visit.parts['group']}", fix="choose one of the list")
    closure = policy.closure[found.id]
    members = site.census.members.get(found.id, ())
    values = {
        "group": found,
        "members": members,
        "shown_members": members[:200],
        "implied": sorted((policy.groups[g] for g in closure - {found.id}), key=lambda g: g.name),
        "rights": [
            (r, "".join(o.letter if o in r.operations else "·" for o in Operation))
            for r in policy.rights
            if r.group in closure
        ],
        "rules": [r for r in policy.rules if not r.groups.isdisjoint(closure)],
        "picture": _group_picture(policy, found),
        "policy": policy,
    }
    return Page("group.html", values)


def _group_picture(policy: Policy, group: Group) -> Any:
    below = policy.closure[group.id]
    above = {g for g, closure in policy.closure.items() if group.id in closure}
    shown = sorted(above | below, key=lambda g: (g != group.id, g))[:MOST_NODES]
    nodes: list[Node] = []
    edges: list[Edge] = []
    for g in shown:
        one = policy.groups[g]
        kind: Kind = "neutral" if g == group.id else "inherited" if g in below else "plain"
        sub = "this group" if g == group.id else "included" if g in below else "includes it"
        nodes.append(Node(f"g{g}", one.name or one.label, sub, kind, f"/groups/{g}"))
        edges.extend(Edge(f"g{g}", f"g{i}", "inherited") for i in sorted(one.implied) if i in shown)
    return draw(nodes, edges, f"What includes {group.name or group.label}, and what it includes")
