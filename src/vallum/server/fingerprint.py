"""A digest of everything that decides who may do what: another one after every change of it.

Rows are told by the transaction that wrote them: a row that was inserted, updated or deleted by whatever
means changes the sum. Nothing is written to the database, and no trigger is needed.
Files of a policy are told by their size and time of change. It is another one also after users were read for
a call: they may be of a moment whose changes are undone since, which no row tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from psycopg import sql

from vallum.enforce import Application
from vallum.policy.readers.changes import TABLE, are_there
from vallum.postgres import Database

__all__ = ["Fingerprint"]

# Tables that policy and users are read from, and what signing in depends on. Odoo's names, which
# applications of one's own share as far as they have them.
_TABLES: Final = (
    "res_users",
    "res_groups",
    "res_groups_users_rel",
    "res_groups_implied_rel",
    "ir_model_access",
    "ir_rule",
    "rule_group_rel",
    "ir_ui_menu",
    "ir_ui_menu_group_rel",
    "res_company",
    "res_company_users_rel",
    "res_users_apikeys",
    "ir_default",
    "ir_module_module",
    "res_lang",
)
# What of a user stands in the contact: of those alone, for there may be millions.
_CONTACTS: Final = (
    "SELECT count(*), sum(hashint8extended(p.xmin::text::bigint, 0)) FROM res_partner p"
    " JOIN res_users u ON u.partner_id = p.id"
)


class Fingerprint:
    """Takes digests of one application."""

    def __init__(
        self,
        database: Database,
        application: Application,
        files: Sequence[Path],
        more: Callable[[], object] = lambda: None,
    ) -> None:
        self._database = database
        self._application = application
        self._more = more
        self._files = files
        self._statement = self._made(application)

    def take(self) -> object:
        """The digest now. Equal digests: nothing has changed.

        Raises: ConnectionFailed.
        """
        of_tables = tuple(self._database.rows(self._statement))
        return of_tables, self._approved(), self._of_files(), self._more(), self._application.times_read

    def _approved(self) -> object:
        """The changes of the policy; their table may come while the server runs."""
        if not are_there(self._database):
            return None
        found = self._database.rows(
            f"SELECT count(*), sum(hashint8extended(xmin::text::bigint, 0)) FROM {TABLE}"  # noqa: S608
        )
        return tuple(found)

    def _made(self, application: Application) -> sql.Composed:
        names = set(_TABLES)
        for model in ("res.users", "res.groups", "res.company"):
            found = application.schema.models.get(model)
            if found is not None:
                names.add(found.table or "")
                # Who belongs to which group, and to which company.
                names |= {f.relation for f in found.fields.values() if f.relation}
        known = {
            name
            for (name,) in self._database.rows(
                "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relkind = 'r'"
                " AND pg_table_is_visible(oid)",
                (sorted(n for n in names if n),),
            )
        }
        parts = [
            sql.SQL("SELECT count(*), sum(hashint8extended(xmin::text::bigint, 0)) FROM {}").format(
                sql.Identifier(name)
            )
            for name in sorted(known)
        ]
        user = application.schema.models.get("res.users")
        if user is not None and "partner_id" in user.fields and "res.partner" in application.schema:
            parts.append(sql.SQL("{}").format(sql.SQL(_CONTACTS)))
        return sql.SQL(" UNION ALL ").join(parts or [sql.SQL("SELECT 0, {}").format(sql.Literal(0))])

    def _of_files(self) -> tuple[tuple[str, int, int], ...]:
        found = []
        for start in self._files:
            for path in sorted(start.rglob("*")) if start.is_dir() else [start]:
                if path.suffix in (".csv", ".xml", ".py", ".gz"):
                    status = path.stat()
                    found.append((str(path), status.st_mtime_ns, status.st_size))
        return tuple(found)
