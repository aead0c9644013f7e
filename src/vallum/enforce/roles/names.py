"""The names of roles, policies and helpers. Roles belong to a whole cluster, so they carry the database."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import sql

__all__ = ["RoleNames", "key_of", "literal", "pattern", "quoted"]


def quoted(*names: str) -> str:
    """A quoted identifier, schema first."""
    return sql.Identifier(*names).as_string(None)


def literal(value: object) -> str:
    """A quoted value."""
    return sql.Literal(value).as_string(None)


@dataclass(frozen=True, slots=True)
class RoleNames:
    """Names of the roles of one database; `prefix` begins each of them."""

    prefix: str

    @classmethod
    def of(cls, database: str) -> RoleNames:
        """The names for a database: its own name, made plain; where that loses something, told apart."""
        plain = re.sub(r"[^a-z0-9_]", "_", database.lower())[:30]
        if plain != database:
            plain = f"{plain[:21]}_{hashlib.sha256(database.encode()).hexdigest()[:8]}"
        return cls(f"vallum_{plain}")

    @property
    def everyone(self) -> str:
        """The role every user's role is in."""
        return f"{self.prefix}_everyone"

    @property
    def guard(self) -> str:
        """The role nobody is in."""
        return f"{self.prefix}_guard"

    def group(self, group: int) -> str:
        """The role of a group."""
        return f"{self.prefix}_group_{group}"

    def user(self, user: int) -> str:
        """The role of a user."""
        return f"{self.prefix}_user_{user}"

    def columns(self, key: str) -> str:
        """The role of users who may read the same columns; `key` follows from these."""
        return f"{self.prefix}_columns_{key}"

    def free(self, key: str) -> str:
        """The role of users in none of some groups; `key` follows from these."""
        return f"{self.prefix}_free_{key}"

    def alike(self, key: str) -> str:
        """The role of users of the same roles; `key` follows from these."""
        return f"{self.prefix}_alike_{key}"


def pattern(names: RoleNames) -> str:
    """A regular expression for the names of our roles, and not those of a database named alike."""
    return f"^{re.escape(names.prefix)}_(everyone|guard|[a-z]+_[0-9a-f]+)$"


def key_of(parts: Iterable[object]) -> str:
    """A short name for a set of things, the same in any order."""
    return hashlib.sha256("\n".join(sorted(map(str, parts))).encode()).hexdigest()[:12]
