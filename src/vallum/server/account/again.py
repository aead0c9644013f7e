"""A form that was sent, and waits until it is known who sent it: carried along, never kept on the server.

Pure. Passwords, codes, keys and tokens are not carried: what needs one asks for it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Again"]

_PREFIX: Final = "kept."
_SECRET: Final = frozenset({"form", "csrf", "password", "current", "code", "key", "token"})


@dataclass(frozen=True, slots=True)
class Again:
    """Where a form goes, and its fields."""

    path: str
    fields: Mapping[str, str]

    @classmethod
    def of(cls, path: str, form: Mapping[str, str]) -> Again:
        """A form as it was sent."""
        return cls(path, {name: value for name, value in form.items() if name not in _SECRET})

    @classmethod
    def carried(cls, form: Mapping[str, str]) -> Again | None:
        """The form that another one has carried; none where it has not, or to where forms of ours do not go.

        >>> Again.carried({"again": "/account/keys", "kept.name": "sync", "password": "x"})
        Again(path='/account/keys', fields={'name': 'sync'})
        >>> Again.carried({"again": "//elsewhere/account"}) is None
        True
        """
        path = form.get("again", "")
        if not path.startswith("/account/") or "//" in path or any(char in path for char in "\\?#"):
            return None
        sent = {name.removeprefix(_PREFIX): form[name] for name in form if name.startswith(_PREFIX)}
        return cls.of(path, sent)
