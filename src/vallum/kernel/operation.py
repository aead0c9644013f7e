"""The four operations of Odoo's security model."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Operation"]


class Operation(StrEnum):
    """What an actor wants to do with a record. `letter` is Odoo's order r, w, c, u."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"
    UNLINK = "unlink"

    @property
    def letter(self) -> str:
        """One letter as in an effective-access snapshot: r, w, c or u."""
        return self.value[0]
