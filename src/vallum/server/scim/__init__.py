"""SCIM 2.0 for directories, each with a token of its own."""

from vallum.server.scim.handle import handle

__all__ = ["handle"]
