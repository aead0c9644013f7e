"""Open the reference databases as applications."""

from __future__ import annotations

from functools import cache

from tests.support.odoo import OdooReference
from vallum.enforce import Application
from vallum.policy import Directory
from vallum.policy.readers.odoo import read_policy, read_users
from vallum.postgres import Database
from vallum.schema.readers.odoo import read_odoo

__all__ = ["opened"]


@cache
def opened(reference: OdooReference) -> Application:
    """The application over a reference database, with its registry file."""
    database = Database(reference.dsn)
    schema = read_odoo(database, reference.registry)
    return Application(
        database, schema, read_policy(database, schema), Directory(read_users(database, schema))
    )
