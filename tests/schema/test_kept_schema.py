"""The schema of an Odoo database is kept, and read anew after every change of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.odoo import OdooReference
from vallum.kernel import NotAnOdooDatabase, RegistryMismatch
from vallum.postgres import Database, connect
from vallum.schema.readers.kept import KeptSchema


def test_schema_is_the_same_until_it_changes(odoo18: OdooReference, odoo18_copy: str) -> None:
    """Users and rights change all day; columns, and the file, seldom."""
    kept = KeptSchema()
    with Database(odoo18_copy) as database, connect(odoo18_copy, readonly=False, autocommit=True) as writer:
        first = kept.read(database, odoo18.registry)
        writer.execute("UPDATE res_users SET active = false WHERE id = 6")
        writer.execute("UPDATE ir_model_access SET perm_read = false WHERE id = 1")
        assert kept.read(database, odoo18.registry) is first
        assert not first.field("crm.lead", "color").not_null
        writer.execute("UPDATE crm_lead SET color = 0 WHERE color IS NULL")
        writer.execute("ALTER TABLE crm_lead ALTER color SET NOT NULL")
        second = kept.read(database, odoo18.registry)
        assert second.field("crm.lead", "color").not_null
        assert kept.read(database, odoo18.registry) is second
        writer.execute("ALTER TABLE crm_lead DROP COLUMN color")
        assert kept.read(database, odoo18.registry).field("crm.lead", "color").column is None


def test_custom_field_that_the_registry_lacks_is_noticed(odoo18: OdooReference, odoo18_copy: str) -> None:
    """What reading it would refuse is refused, whatever was kept."""
    kept = KeptSchema()
    with Database(odoo18_copy) as database, connect(odoo18_copy, readonly=False, autocommit=True) as writer:
        kept.read(database, odoo18.registry)
        writer.execute(
            "INSERT INTO ir_model_fields (model_id, model, name, ttype, state, field_description)"
            " SELECT id, model, 'x_new', 'char', 'manual', '{\"en_US\": \"New\"}' FROM ir_model"
            " WHERE model = 'crm.lead'"
        )
        with pytest.raises(RegistryMismatch, match="x_new"):
            kept.read(database, odoo18.registry)


def test_registry_file_that_changes_is_read_anew(odoo18: OdooReference, tmp_path: Path) -> None:
    """Another file is another schema, under the same name too."""
    kept, file = KeptSchema(), tmp_path / "registry.json.gz"
    shutil.copy(odoo18.registry, file)
    with Database(odoo18.dsn) as database:
        first = kept.read(database, file)
        assert kept.read(database, file) is first
        file.unlink()
        shutil.copy(odoo18.registry, file)
        assert kept.read(database, file) is not first
        assert kept.read(database, None) is not first


def test_database_of_no_odoo_is_refused(pg_dsn: str) -> None:
    """As where the schema is read once."""
    with Database(pg_dsn) as database, pytest.raises(NotAnOdooDatabase):
        KeptSchema().read(database, None)
