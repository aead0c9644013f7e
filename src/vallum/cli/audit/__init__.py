"""`vallum audit`: the tamper-evident trail of every change."""

from vallum.cli.audit import checking, letting_go, reading, succession, tables, writing
from vallum.cli.audit.common import app

__all__ = ["app"]

for part in (tables, writing, reading, checking, letting_go, succession):
    part.register(app)
