"""What every page is made of: layout, style, forms, tables, graphs, and the way into Litestar."""

from vallum.server.pages import csrf
from vallum.server.pages.answers import (
    Answer,
    Download,
    NotFound,
    NotYours,
    Page,
    Query,
    Redirect,
    Stale,
    Stream,
    Visit,
    local,
)
from vallum.server.pages.csp import CONTENT_SECURITY_POLICY, PAGE_HEADERS
from vallum.server.pages.environment import environment, render
from vallum.server.pages.frame import Frame
from vallum.server.pages.mount import Handler, Pages, asset_handler
from vallum.server.pages.navigation import Entry, Navigation
from vallum.server.pages.table import as_csv, as_json, twin
from vallum.server.pages.viewer import Viewer

__all__ = [
    "CONTENT_SECURITY_POLICY",
    "PAGE_HEADERS",
    "Answer",
    "Download",
    "Entry",
    "Frame",
    "Handler",
    "Navigation",
    "NotFound",
    "NotYours",
    "Page",
    "Pages",
    "Query",
    "Redirect",
    "Stale",
    "Stream",
    "Viewer",
    "Visit",
    "as_csv",
    "as_json",
    "asset_handler",
    "csrf",
    "environment",
    "local",
    "render",
    "twin",
]
