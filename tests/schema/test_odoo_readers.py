"""Reading schemas: a registry file, an Odoo database, and what happens where they do not fit."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.odoo import OdooReference
from vallum.kernel import MalformedRegistry, NotAnOdooDatabase, RegistryMismatch, UnknownField, UnknownModel
from vallum.postgres import Database
from vallum.schema.readers.odoo import read_odoo
from vallum.schema.readers.registry import read_registry


def registry(tmp_path: Path, **changes: Any) -> Path:
    """A small registry file; `changes` replace keys of its model."""
    model = {
        "table": "a_b",
        "fields": {"name": {"type": "char", "store": True, "column": "VARCHAR"}},
        **changes,
    }
    path = tmp_path / "registry.json"
    path.write_text(json.dumps({"odoo": "18.0", "models": {"a.b": model}}))
    return path


def test_registry_gives_models_and_fields(tmp_path: Path) -> None:
    """What the file says, in lower-case column types and immutable values."""
    schema = read_registry(registry(tmp_path))
    assert schema.version == 18
    assert schema.field("a.b", "name").column == "varchar"
    with pytest.raises(UnknownModel, match=r"a\.c"):
        schema.model("a.c")
    with pytest.raises(UnknownField, match=r"use `name`"):
        schema.field("a.b", "nam")


def test_registry_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    """A key nobody reads may be a restriction."""
    with pytest.raises(MalformedRegistry, match="restricted"):
        read_registry(registry(tmp_path, restricted=True))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"odoo": "18.0"}',
        b"\x1f\x8b broken",
        pytest.param(gzip.compress(b"{}", mtime=0)[:-4], id="cut off"),
        b'{"odoo":"7.0","models":{}}',
    ],
)
def test_file_that_is_no_registry_is_refused(content: bytes, tmp_path: Path) -> None:
    """One clear error with the path, whatever is wrong with the file."""
    path = tmp_path / "broken.json.gz"
    path.write_bytes(content)
    with pytest.raises(MalformedRegistry) as caught:
        read_registry(path)
    assert caught.value.where == str(path)


def test_missing_registry_is_refused(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(MalformedRegistry, match="No such file"):
        read_registry(tmp_path / "none.json.gz")


def test_delegation_to_a_missing_model_is_refused(tmp_path: Path) -> None:
    """Nothing is half-loaded."""
    with pytest.raises(MalformedRegistry, match=r"x\.y"):
        read_registry(registry(tmp_path, inherits={"x.y": "name"}))


@pytest.mark.pg
def test_database_without_odoo_tables_is_refused(pg_dsn: str) -> None:
    """The missing tables are named, and what to do instead."""
    with Database(pg_dsn) as database, pytest.raises(NotAnOdooDatabase, match="ir_model"):
        read_odoo(database)


def test_registry_of_another_version_is_refused(odoo18: OdooReference, odoo19: OdooReference) -> None:
    """A registry belongs to its database."""
    with Database(odoo18.dsn) as database, pytest.raises(RegistryMismatch, match="Odoo 19"):
        read_odoo(database, odoo19.registry)


def test_registry_that_lacks_a_field_is_refused(odoo18: OdooReference, tmp_path: Path) -> None:
    """A field added since the export is named, and the way out."""
    content = json.loads(gzip.decompress(odoo18.registry.read_bytes()))
    del content["models"]["res.partner"]["fields"]["email"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    with Database(odoo18.dsn) as database, pytest.raises(RegistryMismatch, match="`email`"):
        read_odoo(database, path)


def test_database_alone_agrees_with_the_registry(odoo18: OdooReference) -> None:
    """Without a registry file the gaps are named; what the database can tell is the same."""
    with Database(odoo18.dsn) as database:
        alone, whole = read_odoo(database), read_odoo(database, odoo18.registry)
    assert {g.fact for g in alone.gaps} >= {"field groups", "search methods of unstored fields"}
    assert not whole.gaps
    assert alone.models.keys() == whole.models.keys()
    checked = 0
    for model in whole.models.values():
        for field in model.fields.values():
            other = alone.field(model.name, field.name)
            checked += 1
            assert (field.type, field.stored, field.relation, field.related, field.translate) == (
                (other.type, other.stored, other.relation, other.related, other.translate)
            ), str(field)
    assert checked > 10_000
