"""What every page needs, done before the first is asked for: templates, modules, a census of users."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread
from typing import Final

from vallum.kernel import VallumError
from vallum.server.console.site import Site
from vallum.server.console.state import check_by_groups, states
from vallum.server.pages import environment

__all__ = ["warm"]

_LOG: Final = logging.getLogger("vallum.pages")


def warm(site: Callable[[], Site]) -> None:
    """Begin, beside what the process is doing. A failure is only told: the pages do it themselves then."""
    Thread(target=_warm, args=(site,), name="warm", daemon=True).start()


def _warm(site: Callable[[], Site]) -> None:
    try:
        found = environment()
        for name in found.list_templates():
            found.get_template(name)
        opened = site()
        _ = opened.census.escalating
        states(opened.vallum.application).check.get(lambda: check_by_groups(opened), wait=0)
    except VallumError as error:
        _LOG.info("pages could not be prepared", extra={"kind": type(error).__name__})
    except Exception as error:
        _LOG.warning("pages could not be prepared", extra={"kind": type(error).__name__})
