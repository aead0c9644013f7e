"""Read the schema of an Odoo database, completed by a registry file where there is one.

The database alone tells types, relations, `_inherits` and columns. It does not tell
field groups, domains and contexts of x2many fields, search methods, the names a model
is searched by, or which code overrides access: those are listed as gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from vallum.kernel import NotAnOdooDatabase, RegistryMismatch
from vallum.schema.model import Field, Gap, Model, Schema
from vallum.schema.readers.registry import SUPPORTED_VERSIONS, read_registry

__all__ = ["Rows", "read_odoo"]

Rows = Sequence[tuple[Any, ...]]


class Queryable(Protocol):
    """What a reader needs of a database: rows of a statement."""

    def rows(self, sql: str, params: Any = None) -> Rows:
        """All rows of one statement."""


_NEEDED: Final = ("ir_model", "ir_model_fields", "ir_model_access", "ir_rule", "res_groups", "res_users")

_COLUMN_TYPES: Final = {
    "boolean": "bool",
    "integer": "int4",
    "float": "numeric",
    "monetary": "numeric",
    "char": "varchar",
    "text": "text",
    "html": "text",
    "selection": "varchar",
    "date": "date",
    "datetime": "timestamp",
    "many2one": "int4",
    "many2one_reference": "int4",
    "reference": "varchar",
    "json": "jsonb",
    "properties": "jsonb",
    "properties_definition": "jsonb",
}

_GAPS: Final = (
    Gap("field groups", "no field is shut to anyone", "give a registry file"),
    Gap(
        "domains and contexts of x2many fields",
        "searches through them find too many records",
        "give a registry file",
    ),
    Gap("search methods of unstored fields", "searches on such fields are refused", "give a registry file"),
    Gap("names a model is searched by", "searches by name use `name` alone", "give a registry file"),
    Gap("code that overrides access", "no model is marked inexact", "give a registry file"),
)


def read_odoo(database: Queryable, registry: Path | None = None) -> Schema:
    """The schema of an Odoo database.

    With a registry file the file is the source, checked against the database.
    Raises: NotAnOdooDatabase, MalformedRegistry, RegistryMismatch.
    """
    _check_odoo(database)
    if registry is None:
        return _from_database(database)
    schema = read_registry(registry)
    _check_same(database, schema, registry)
    return _completed(schema, _relations(database), _columns(database))


def _relations(database: Queryable) -> dict[str, str]:
    """Tables (`r`, `p`) and views (`v`, `m`) of the schema in use, by name."""
    rows = database.rows(
        "SELECT relname, relkind::text FROM pg_class"
        " WHERE relkind IN ('r','p','v','m') AND relnamespace = current_schema()::regnamespace"
    )
    return dict(rows)


def _columns(database: Queryable) -> dict[str, dict[str, bool]]:
    """Per table or view its columns, and whether they refuse NULL."""
    found: dict[str, dict[str, bool]] = {}
    for table, column, not_null in database.rows(
        "SELECT c.relname, a.attname, a.attnotnull FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','p','v','m')"
        " AND c.relnamespace = current_schema()::regnamespace"
    ):
        found.setdefault(table, {})[column] = not_null
    return found


def _completed(schema: Schema, relations: dict[str, str], columns: dict[str, dict[str, bool]]) -> Schema:
    """The schema with what only the database tells: which models have a table, and which columns."""
    models = []
    for model in schema.models.values():
        there = columns.get(model.table, {})
        fields = {name: _as_in_table(field, there) for name, field in model.fields.items()}
        models.append(replace(model, relation=model.table in relations, fields=MappingProxyType(fields)))
    return Schema.of(models, version=schema.version, gaps=schema.gaps, source=schema.source)


def _as_in_table(field: Field, columns: dict[str, bool]) -> Field:
    """The field, its column checked against the table: it may be missing, or refuse NULL."""
    if columns and field.stored and field.column is not None and field.name not in columns:
        return replace(field, column=None)
    return replace(field, not_null=True) if columns.get(field.name) else field


def _check_odoo(database: Queryable) -> None:
    found = {
        r[0]
        for r in database.rows(
            "SELECT name FROM unnest(%s::text[]) name WHERE to_regclass(quote_ident(name)) IS NOT NULL",
            (list(_NEEDED),),
        )
    }
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise NotAnOdooDatabase(
            "this database has no table " + ", ".join(f"`{m}`" for m in missing),
            fix="give the database of an Odoo, or `--metadata` for an application of your own",
        )


def odoo_version(database: Queryable) -> int:
    """Odoo's major version, from the version of its `base` module.

    Raises: NotAnOdooDatabase.
    """
    rows = database.rows("SELECT latest_version FROM ir_module_module WHERE name = 'base'")
    text = str(rows[0][0] or "") if rows else ""
    major = text.removeprefix("saas~").split(".")[0]
    if not major.isdigit() or int(major) not in SUPPORTED_VERSIONS:
        raise NotAnOdooDatabase(
            f"the version of its `base` module is {text!r}",
            fix="supported are Odoo " + ", ".join(map(str, SUPPORTED_VERSIONS)),
        )
    return int(major)


def _check_same(database: Queryable, schema: Schema, registry: Path) -> None:
    """The registry must describe this database: same version, models and fields."""
    version = odoo_version(database)
    if version != schema.version:
        raise RegistryMismatch(
            f"the registry is of Odoo {schema.version}, the database of Odoo {version}",
            where=str(registry),
            fix="export the registry from this database",
        )
    in_database = {
        model: set(fields or ())
        for model, fields in database.rows(
            "SELECT m.model, array_agg(f.name) FILTER (WHERE f.name IS NOT NULL)"
            " FROM ir_model m LEFT JOIN ir_model_fields f ON f.model_id = m.id GROUP BY m.model"
        )
    }
    _same(in_database, schema.models, "models", registry)
    for name, fields in in_database.items():
        _same(fields, schema.models[name].fields, f"fields of `{name}`", registry)


def _same(database: Iterable[str], file: Iterable[str], what: str, registry: Path) -> None:
    in_database, in_file = set(database), set(file)
    if in_database == in_file:
        return
    parts = []
    for names, place in (in_database - in_file, "database"), (in_file - in_database, "registry"):
        if names:
            shown = ", ".join(f"`{n}`" for n in sorted(names)[:5]) + (", …" if len(names) > 5 else "")
            parts.append(f"only in the {place}: {shown}")
    raise RegistryMismatch(
        f"the registry is of another database: {what} differ ({'; '.join(parts)})",
        where=str(registry),
        fix="export it again: modules or custom fields have changed",
    )


def _from_database(database: Queryable) -> Schema:
    tables = _relations(database)
    columns: dict[str, dict[str, str]] = {}
    for table, column, kind in database.rows(
        "SELECT c.relname, a.attname, format_type(a.atttypid, NULL)"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','p','v','m')"
        " AND c.relnamespace = current_schema()::regnamespace"
    ):
        columns.setdefault(table, {})[column] = kind
    inherits: dict[str, dict[str, str]] = {}
    for child, parent, via in database.rows(
        "SELECT c.model, p.model, f.name FROM ir_model_inherit i JOIN ir_model c ON c.id = i.model_id"
        " JOIN ir_model p ON p.id = i.parent_id JOIN ir_model_fields f ON f.id = i.parent_field_id"
    ):
        inherits.setdefault(child, {})[parent] = via
    fields: dict[str, dict[str, Field]] = {}
    for row in database.rows(
        "SELECT model, name, ttype, store, relation, relation_field, relation_table, column1, column2,"
        " related, to_jsonb(f)->'translate', COALESCE(company_dependent, false), required, readonly,"
        " to_jsonb(f)->>'compute', field_description->>'en_US' FROM ir_model_fields f"
    ):
        field = _database_field(row, inherits)
        fields.setdefault(field.model, {})[field.name] = field
    models = [
        _database_model(name, transient, order, fields.get(name, {}), inherits.get(name, {}), tables, columns)
        for name, transient, order in database.rows(
            'SELECT model, COALESCE(transient, false), "order" FROM ir_model'
        )
    ]
    schema = Schema.of(models, version=odoo_version(database), gaps=_GAPS, source="database")
    return _completed(schema, tables, _columns(database))


def _database_field(row: tuple[Any, ...], inherits: dict[str, dict[str, str]]) -> Field:
    model, name, kind, store, relation, inverse, table, column1, column2, *others = row
    related, translate, company, required, readonly, compute, string = others
    path = tuple(related.split(".")) if related else ()
    column = None
    if store:
        column = "jsonb" if company or translate else _COLUMN_TYPES.get(kind)
    return Field(
        model=model,
        name=name,
        type=kind,
        stored=bool(store),
        column=column,
        string=string or "",
        comodel=relation,
        inverse=inverse,
        relation=table,
        column1=column1,
        column2=column2,
        related=path,
        inherited=len(path) == 2 and not store and path[0] in inherits.get(model, {}).values(),
        computed=bool(compute),
        translate=bool(translate),
        company_dependent=bool(company),
        required=bool(required),
        readonly=bool(readonly),
    )


def _database_model(
    name: str,
    transient: bool,
    order: str,
    fields: dict[str, Field],
    inherits: dict[str, str],
    tables: dict[str, str],
    columns: dict[str, dict[str, str]],
) -> Model:
    table = name.replace(".", "_")
    active = next((f for f in ("active", "x_active") if f in fields and fields[f].stored), None)
    return Model(
        name=name,
        table=table,
        fields=MappingProxyType(fields),
        abstract=table not in tables,
        transient=transient,
        relation=table in tables,
        auto=tables.get(table) in ("r", "p"),
        rec_name=next((n for n in ("name", "x_name") if n in fields), None),
        order=order or "id",
        parent_store="parent_path" in columns.get(table, {}),
        active_name=active,
        inherits=MappingProxyType(inherits),
    )
