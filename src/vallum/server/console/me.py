"""My access: what the system knows about the viewer, and what they may see, and why."""

from __future__ import annotations

from vallum.analysis import Membership, cell, memberships
from vallum.server.console import words
from vallum.server.console.explorer import company_names
from vallum.server.console.people import membership_picture
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, Page, Pages, twin

__all__ = ["pages"]

pages: Pages[Site] = Pages()
pages.entry("My access", "/me", "user-round-cog", section="Me", key="m")


@pages.get("/me")
def mine(visit: Ask) -> Answer:
    """The viewer's groups, companies and rights."""
    site = visit.site
    user = site.viewer(visit)
    actor, policy = site.actor(user), site.vallum.policy
    keys = memberships(policy, site.vallum.users, actor)
    member = Membership(policy, *keys)
    cells = []
    for model in site.models:
        one = cell(site.vallum.application, actor, model)
        if one.operations and not model.transient:
            cells.append((model, model_label(model), one))
    answer = twin(
        visit,
        "my-access",
        [
            {"model": m.name, "label": label, "operations": c.operations, "ruled": c.ruled}
            for m, label, c in cells
        ],
    )
    if answer is not None:
        return answer
    names = company_names(visit)
    groups = sorted((policy.groups[g] for g in actor.groups if g in policy.groups), key=lambda g: g.name)
    values = {
        "person": user,
        "groups": [(group, group.id in keys[0], words.path_words(member.path(group.id))) for group in groups],
        "companies": [names.get(c, f"company {c}") for c in user.company_ids],
        "cells": cells,
        "picture": membership_picture(policy, user, keys[0], actor.groups, links=visit.viewer.oversees),
    }
    return Page("me.html", values)
