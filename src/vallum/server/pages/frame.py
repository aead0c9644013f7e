"""What stands around every page of an installation: the rail, what is served, where one signs in and out.

Pure. Made once, from all pages there are; who answers by other ways than `mount` gives it to templates too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vallum.server.pages import csrf
from vallum.server.pages.navigation import Navigation
from vallum.server.pages.viewer import Viewer

__all__ = ["Frame"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """`paths`: those that are served. `account`, `sign_out`: empty where signing in is not this server's."""

    navigation: Navigation = field(default_factory=lambda: Navigation(()))
    paths: frozenset[str] = frozenset()
    sign_in: str = ""
    account: str = ""
    sign_out: str = ""

    def values(self, viewer: Viewer | None, path: str) -> Mapping[str, Any]:
        """What the layouts are filled with, for a viewer, at a path."""
        return {
            "viewer": viewer,
            "csrf": csrf.disguise(viewer.csrf) if viewer else "",
            "sections": self.navigation.sections(viewer) if viewer else (),
            "current": self.navigation.current(path),
            "paths": self.paths,
            "account": self.account,
            "sign_out": self.sign_out,
        }
