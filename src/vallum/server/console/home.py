"""Home: the state of the layers, and what needs attention first; for others, what is open to them."""

from __future__ import annotations

from vallum.analysis import cell
from vallum.server.console.attention import attention
from vallum.server.console.layers import Standing, layers
from vallum.server.console.site import Ask, Site, model_label
from vallum.server.pages import Answer, Page, Pages

__all__ = ["own_models", "pages"]

pages: Pages[Site] = Pages()
pages.entry("Home", "/", "house", key="h")


@pages.get("/")
def home(visit: Ask) -> Answer:
    """Everyone's first page: overseers see the layers, others what is open to them."""
    if not visit.viewer.oversees:
        return Page("home_own.html", {"apps": own_models(visit)})
    standing = Standing.of(visit)
    found = sorted(attention(standing), key=lambda a: (-a.weight, a.title))
    return Page("home.html", {"layers": layers(standing), "attention": found, "pending": standing.pending})


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
