"""The lines of the rail that lead to pages of accounts."""

from __future__ import annotations

from typing import Final

from vallum.server.pages import Entry

__all__ = ["ENTRIES"]

ENTRIES: Final = (
    Entry("Accounts", "/account/users", "users", "People", "n", "administrator"),
    Entry("Groups given", "/account/groups", "clock", "People", "l", "administrator"),
    Entry("Second factors", "/account/coverage", "fingerprint", "People", "y", "administrator"),
    Entry("API keys", "/account/keys", "key-round", "People", "k", "administrator"),
    Entry("My account", "/account/security", "user", "Me", "i"),
    Entry("Requests", "/account/requests", "lock-open", "Me", "q"),
    Entry("A leaked key", "/account/leaked", "ban", "Me"),
)
