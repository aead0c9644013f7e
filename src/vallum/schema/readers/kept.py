"""Keep the schema of an Odoo database, and read it anew only where what it is read from has changed.

A server reads policy and users after each of their changes. The schema, which is most of what is read
and held, changes only with Odoo's modules: two of them at once would be a sixth of a worker's memory.
Invariant: the stamp is taken before the schema is read, so a change meanwhile has it read again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from vallum.schema.model import Schema
from vallum.schema.readers.odoo import Queryable, read_odoo

__all__ = ["KeptSchema"]

_OURS: Final = "relnamespace = current_schema()::regnamespace AND relkind IN ('r','p','v','m')"
# Rows are told by the transaction that wrote them: whatever changed a row, the sum is another one.
_STAMP: Final = " UNION ALL ".join(
    f"SELECT count(*), sum(hashint8extended(xmin::text::bigint, 0)) FROM {source}"  # noqa: S608 - constants
    for source in (
        "ir_model",
        "ir_model_fields",
        "ir_model_inherit",
        "ir_module_module",
        f"pg_class WHERE {_OURS}",
        f"pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE {_OURS})",  # noqa: S608 - as above
    )
)


class KeptSchema:
    """The schema of one database, as it was read last. For one thread at a time."""

    def __init__(self) -> None:
        self._known: tuple[object, Schema] | None = None

    def read(self, database: Queryable, registry: Path | None = None) -> Schema:
        """As `read_odoo`; the same schema as long as nothing has changed.

        Raises: as `read_odoo`.
        """
        stamp = _stamp(database, registry)
        if self._known is None or stamp is None or self._known[0] != stamp:
            self._known = (stamp, read_odoo(database, registry))
        return self._known[1]


def _stamp(database: Queryable, registry: Path | None) -> object:
    """What is another one after every change; None where there is no telling, as this is no Odoo."""
    if database.rows("SELECT 1 WHERE to_regclass('ir_model_inherit') IS NULL"):
        return None
    status = registry.stat() if registry is not None and registry.exists() else None
    file = (registry, status.st_mtime_ns, status.st_size, status.st_ino) if status is not None else registry
    return (file, tuple(database.rows(_STAMP)))
