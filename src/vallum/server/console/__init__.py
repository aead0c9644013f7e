"""The console: pages that show who can do what, and why.

Each module registers its pages with the rail; `console_pages` puts them together.
"""

from __future__ import annotations

from types import ModuleType

from vallum.server.console.site import Event, Site
from vallum.server.pages import Pages

__all__ = ["Event", "Site", "console_pages"]


def console_pages(*, audit: bool = False, providers: bool = False) -> Pages[Site]:
    """All pages of the console, in the order of the rail. `audit`: there is a trail to show.

    `providers`: people sign in here, and perhaps elsewhere.
    """
    from vallum.server.console import (
        changes,
        coverage,
        data,
        edit,
        explain,
        explorer,
        home,
        look,
        me,
        people,
        postgres,
        record,
        trail,
        who_can,
        workshop,
    )

    found: Pages[Site] = Pages()
    access = (home, data, record, edit, explorer, explain, who_can, workshop, changes, people)
    sign_on: tuple[ModuleType, ...] = ()
    if providers:
        from vallum.server.console import provider_edit
        from vallum.server.console import providers as overview

        sign_on = (overview, provider_edit)
    audits = (trail, coverage) if audit else ()
    for module in (*access, *sign_on, *audits, postgres, me, look):
        found.include(module.pages)
    return found
