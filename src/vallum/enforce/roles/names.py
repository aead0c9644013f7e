"""The names of roles, policies and helpers. Roles belong to a whole cluster, so they carry the database."""

from __future__ import annotations

import re
from dataclasses import dataclass

from psycopg import sql

__all__ = ["RoleNames", "literal", "quoted"]


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
        """The names for a database: its own name, made plain."""
        return cls("vallum_" + re.sub(r"[^a-z0-9_]", "_", database.lower())[:30])

    @property
    def everyone(self) -> str:
        """The role every user's role is in."""
        return f"{self.prefix}_everyone"

    def group(self, group: int) -> str:
        """The role of a group."""
        return f"{self.prefix}_group_{group}"

    def user(self, user: int) -> str:
        """The role of a user."""
        return f"{self.prefix}_user_{user}"

    def columns(self, number: int) -> str:
        """The role of users who see columns that others do not."""
        return f"{self.prefix}_columns_{number}"
