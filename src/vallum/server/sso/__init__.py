"""Pages by which people sign in elsewhere."""

from vallum.server.sso.handle import handle

__all__ = ["handle"]
