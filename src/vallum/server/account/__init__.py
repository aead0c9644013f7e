"""Pages for whoever has an account, and for those who look after accounts: without inline script."""

from vallum.server.account.handle import handle

__all__ = ["handle"]
