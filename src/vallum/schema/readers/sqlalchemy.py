"""Read the schema of an application from its own SQLAlchemy tables or declarative models.

Pure: no connection, clock or environment. Tables are read as they are declared; what
Odoo's model has and SQLAlchemy lacks is said in `info`, whose keys are checked:

- `Table.info`: `model` makes the table a model; then `description`, `rec_name`,
  `rec_names_search`, `order`, `parent_name`, `parent_store`, `active_name`, `inherits`
  and `fields` (x2many fields where there are no mappers). `version` is left alone.
- `Column.info`: `groups`, `string`, `type`, `comodel`, `selection`, `translate`,
  `company_dependent`, `domain`, `auto_join`.
- `relationship(info=…)`: `groups`, `string`, `domain`, `context`, `auto_join`.

A field has the name of its column. Invariant: an `info` key that is not understood is
an error, since it may be a restriction; a table or relationship that cannot be read
exactly is left out and listed as a gap, never guessed.
Source: docs/reference/sqlalchemy.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import NoReferenceError
from sqlalchemy.orm import DeclarativeBase, RelationshipDirection, RelationshipProperty
from sqlalchemy.sql import operators

from vallum.kernel import SettingsError
from vallum.schema.model import MAGIC_FIELDS, Field, Gap, Model, Schema
from vallum.schema.readers.sqlalchemy_info import (
    ColumnInfo,
    FieldInfo,
    RelationInfo,
    TableInfo,
    column_types,
    domain_tuples,
    field_type,
    label,
    nearest,
    parse_info,
)

__all__ = ["read"]

_INTEGERS: Final = frozenset({"int2", "int4", "int8"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MODEL_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z0-9_]+)*")
_ORDER: Final = re.compile(r"\s*(\w+)(\s+(asc|desc))?(\s+nulls\s+(first|last))?\s*", re.IGNORECASE)
_OWN_FIELDS: Final = frozenset({"id", "display_name", *MAGIC_FIELDS})


def read(source: sa.MetaData | type[DeclarativeBase]) -> Schema:
    """The schema of these tables; with a declarative base, of its relationships too.

    Raises: SettingsError (an unknown `info` key or value, a model without a single
    integer `id`, two models of one name, a relation to something that is not there).

    >>> tables = sa.MetaData()
    >>> _ = sa.Table("res_partner", tables, sa.Column("id", sa.Integer, primary_key=True),
    ...     sa.Column("name", sa.String), info={"model": "res.partner"})
    >>> read(tables).field("res.partner", "name").type
    'char'
    """
    return _Reader(source).schema()


class _Reader:
    """One reading: tables first, then what leads from one to another."""

    def __init__(self, source: sa.MetaData | type[DeclarativeBase]) -> None:
        self.source = source
        self.metadata = source if isinstance(source, sa.MetaData) else source.metadata
        self.tables: dict[str, sa.Table] = {}
        self.infos: dict[str, TableInfo] = {}
        self.names: dict[sa.Table, str] = {}
        self.fields: dict[str, dict[str, Field]] = {}
        self.relations: set[str] = set()
        self.gaps: list[Gap] = []

    def schema(self) -> Schema:
        for table in self.metadata.tables.values():
            self._declare(table)
        for name in self.tables:
            self._columns(name)
        for name, info in self.infos.items():
            for field, raw in info.fields.items():
                self._field(name, field, raw)
        if not isinstance(self.source, sa.MetaData):
            self._relationships(self.source)
        done: set[str] = set()
        for name in self.infos:
            self._inherit(name, done, ())
        models = [self._model(name) for name in self.tables]
        return Schema.of(models, gaps=[*self._skipped(), *self.gaps], source="sqlalchemy")

    def _declare(self, table: sa.Table) -> None:
        if "model" not in table.info:
            misplaced = sorted(set(table.info) & set(TableInfo.__struct_fields__) - {"version"})
            if misplaced:
                raise SettingsError(
                    f"`info` has `{misplaced[0]}` but no `model`", where=table.name, fix="name the model"
                )
            return
        info = parse_info(table.info, TableInfo, table.name)
        if not _MODEL_NAME.fullmatch(info.model):
            raise SettingsError(
                f"{info.model!r} is no model name", where=table.name, fix="such as `crm.lead`"
            )
        if info.model in self.tables:
            raise SettingsError(
                f"`{self.tables[info.model].name}` is the model `{info.model}` already",
                where=table.name,
                fix="give one of the two another name",
            )
        _check_table(table)
        self.tables[info.model] = table
        self.infos[info.model] = info
        self.names[table] = info.model

    def _skipped(self) -> Iterable[Gap]:
        for table in self.metadata.tables.values():
            if table not in self.names and table.name not in self.relations:
                yield Gap(
                    f"what the table `{table.name}` is",
                    "it is no model: nothing reaches it through Vallum and no policy covers it",
                    "give its `info` a `model`, or a relationship that uses it as `secondary`",
                )

    # Columns

    def _columns(self, model: str) -> None:
        fields = self.fields[model] = {}
        for column in self.tables[model].columns:
            field = self._column(model, column)
            if field is not None:
                fields[field.name] = field
        if "display_name" not in fields:
            fields["display_name"] = Field(
                model=model,
                name="display_name",
                type="char",
                stored=False,
                column="varchar",
                string="Display Name",
                computed=True,
                search="_search_display_name",
                readonly=True,
            )

    def _column(self, model: str, column: sa.Column[Any]) -> Field | None:
        where = f"{column.table.name}.{column.name}"
        if not _NAME.fullmatch(column.name):
            raise SettingsError(f"a field cannot be named {column.name!r}", where=where)
        info = parse_info(column.info, ColumnInfo, where)
        target = info.comodel or self._target(column, where)
        found = column_types(column.type)
        if found is None:
            self.gaps.append(
                Gap(
                    f"the Odoo type of `{where}` ({column.type!r})",
                    "the column is no field: nothing reads or writes it through Vallum",
                    "use a type that Odoo has a field for",
                )
            )
            return None
        natural, pg_type, selection = found
        if target and natural == "integer":
            natural = "many2one"
        kind = field_type(info, natural, pg_type, where)
        if kind == "many2one":
            self._check_comodel(target, where)
        elif info.comodel or info.domain or info.auto_join:
            raise SettingsError(
                f"a {kind} field leads nowhere", where=where, fix="take this out of its `info`"
            )
        return Field(
            model=model,
            name=str(column.name),
            type=kind,
            column=pg_type,
            string=info.string or label(column.name),
            comodel=target if kind == "many2one" else None,
            groups=info.groups,
            translate=info.translate,
            company_dependent=info.company_dependent,
            required=not column.nullable and not column.primary_key,
            readonly=column.primary_key or column.name in MAGIC_FIELDS or column.computed is not None,
            auto_join=info.auto_join,
            domain=domain_tuples(info.domain),
            selection=tuple(s if isinstance(s, str) else s[0] for s in info.selection) or selection,
        )

    def _target(self, column: sa.Column[Any], where: str) -> str | None:
        """The model whose `id` the column's only foreign key leads to."""
        if len(column.foreign_keys) != 1:
            return None
        (key,) = column.foreign_keys
        try:
            referred = key.column
        except NoReferenceError as error:
            raise SettingsError(
                f"its foreign key leads to `{key.target_fullname}`, which is not there",
                where=where,
                fix="import every module with models before reading them",
            ) from error
        model = self.names.get(referred.table)
        return model if referred.name == "id" else None

    def _check_comodel(self, comodel: str | None, where: str) -> str:
        if comodel is None:
            raise SettingsError(
                "a many2one without a comodel", where=where, fix="add `comodel` to its `info`"
            )
        if comodel not in self.tables:
            raise SettingsError(
                f"no model `{comodel}`", where=where, fix=nearest(comodel, self.tables) or "declare its table"
            )
        return comodel

    # Relations

    def _relationships(self, base: type[DeclarativeBase]) -> None:
        base.registry.configure()
        mappers = sorted(base.registry.mappers, key=lambda m: m.class_.__qualname__)
        for mapper in mappers:
            model = self._model_of(mapper.local_table)
            for relationship in mapper.relationships:
                if model is not None and relationship.parent is mapper:
                    self._relationship(model, relationship)

    def _model_of(self, mapped: sa.FromClause) -> str | None:
        return self.names.get(mapped) if isinstance(mapped, sa.Table) else None

    def _relationship(self, model: str, relationship: RelationshipProperty[Any]) -> None:
        name = relationship.key
        where = f"{self.tables[model].name}.{name}"
        if relationship.direction is RelationshipDirection.MANYTOONE:
            if relationship.info:
                raise SettingsError(
                    "the `info` of a many2one belongs to its column", where=where, fix="move it there"
                )
            return
        info = parse_info(relationship.info, RelationInfo, where)
        comodel = self._model_of(relationship.target)
        ends = self._ends(relationship) if comodel else None
        if comodel is None or ends is None:
            self.gaps.append(
                Gap(
                    f"the relationship `{where}`",
                    "it is no field: domains cannot go through it",
                    "join two models by their `id` alone, and say conditions as `domain` in its `info`",
                )
            )
            return
        self._add(
            Field(model=model, name=name, comodel=comodel, **ends, **_relation_options(info, name)), where
        )

    def _ends(self, relationship: RelationshipProperty[Any]) -> dict[str, Any] | None:
        """How both sides are joined, or nothing where it takes more than equal ids."""
        if relationship.secondary is None:
            pair = _equal_columns(relationship.primaryjoin, relationship.local_remote_pairs)
            if pair is None or pair[0].name != "id":
                return None
            return {"type": "one2many", "inverse": str(pair[1].name)}
        first = _equal_columns(relationship.primaryjoin, relationship.synchronize_pairs)
        second = _equal_columns(relationship.secondaryjoin, relationship.secondary_synchronize_pairs)
        if first is None or second is None or not isinstance(relationship.secondary, sa.Table):
            return None
        if first[0].name != "id" or second[0].name != "id":
            return None
        return {
            "type": "many2many",
            "relation": str(relationship.secondary.name),
            "column1": str(first[1].name),
            "column2": str(second[1].name),
        }

    def _field(self, model: str, name: str, raw: dict[str, Any]) -> None:
        """A field declared in `Table.info`."""
        where = f"{self.tables[model].name}.{name}"
        info = parse_info(raw, FieldInfo, where)
        self._check_comodel(info.comodel, where)
        ends = ("inverse",) if info.type == "one2many" else ("relation", "column1", "column2")
        for key in ("inverse", "relation", "column1", "column2"):
            if (getattr(info, key) is None) is (key in ends):
                fix = f"a {info.type} has " + ", ".join(f"`{e}`" for e in ends)
                raise SettingsError(
                    f"`{key}` is {'missing' if key in ends else 'too much'}", where=where, fix=fix
                )
        values = {key: getattr(info, key) for key in ends}
        self._add(
            Field(
                model=model,
                name=name,
                type=info.type,
                comodel=info.comodel,
                **values,
                **_relation_options(info, name),
            ),
            where,
        )

    def _add(self, field: Field, where: str) -> None:
        """Add an x2many field whose other end is there."""
        fields = self.fields[field.model]
        if field.name in fields or not _NAME.fullmatch(field.name):
            raise SettingsError(f"`{field.model}` cannot have another field `{field.name}`", where=where)
        if field.type == "one2many":
            inverse = self.fields[str(field.comodel)].get(str(field.inverse))
            if inverse is None or inverse.type != "many2one" or inverse.comodel != field.model:
                raise SettingsError(
                    f"`{field.comodel}.{field.inverse}` is no many2one to `{field.model}`",
                    where=where,
                    fix="name the many2one field it is the inverse of",
                )
        else:
            self._check_relation(field, where)
        fields[field.name] = field

    def _check_relation(self, field: Field, where: str) -> None:
        relation = str(field.relation)
        table = self.metadata.tables.get(relation)
        missing = [c for c in (field.column1, field.column2) if table is None or str(c) not in table.columns]
        if missing:
            raise SettingsError(
                f"no column `{relation}.{missing[0]}`",
                where=where,
                fix="declare the relation table with both columns",
            )
        self.relations.add(relation)

    # Models

    def _inherit(self, model: str, done: set[str], path: tuple[str, ...]) -> None:
        """Add the fields of `inherits` parents, parents of parents first."""
        table = self.tables[model].name
        if model in path:
            raise SettingsError("models inherit each other: " + " → ".join((*path, model)), where=table)
        if model in done:
            return
        done.add(model)
        for parent, via in self.infos[model].inherits.items():
            self._check_comodel(parent, table)
            link = self.fields[model].get(via)
            if link is None or link.type != "many2one" or link.comodel != parent:
                raise SettingsError(
                    f"`inherits` goes through `{via}`, which is no many2one to `{parent}`", where=table
                )
            self._inherit(parent, done, (*path, model))
            for name, field in self.fields[parent].items():
                if name not in _OWN_FIELDS:
                    self.fields[model].setdefault(name, _inherited(field, model, via))

    def _model(self, name: str) -> Model:
        info, fields, table = self.infos[name], self.fields[name], self.tables[name]
        _check_options(info, fields, table.name)
        active = fields.get("active")
        default_active = "active" if active and active.type == "boolean" and not active.inherited else None
        return Model(
            name=name,
            table=str(table.name),
            fields=MappingProxyType(fields),
            description=info.description or name,
            rec_name=info.rec_name or ("name" if "name" in fields else None),
            rec_names_search=info.rec_names_search,
            order=info.order,
            parent_name=info.parent_name,
            parent_store=info.parent_store,
            active_name=info.active_name or default_active,
            inherits=MappingProxyType(info.inherits),
            log_access=all(f in fields for f in MAGIC_FIELDS),
        )


def _check_table(table: sa.Table) -> None:
    if table.schema is not None:
        raise SettingsError(
            f"the table is in the schema `{table.schema}`",
            where=table.name,
            fix="leave schemas to the search path",
        )
    keys = [c.name for c in table.primary_key]
    if keys != ["id"]:
        raise SettingsError(
            "the primary key is " + (", ".join(f"`{k}`" for k in keys) or "missing"),
            where=table.name,
            fix="a model has the primary key `id`",
        )
    found = column_types(table.c.id.type)
    if found is None or found[1] not in _INTEGERS:
        raise SettingsError(
            "`id` is no integer", where=f"{table.name}.id", fix="ids are integers, as in Odoo"
        )


def _relation_options(info: RelationInfo, name: str) -> dict[str, Any]:
    return {
        "string": info.string or label(name),
        "groups": info.groups,
        "domain": domain_tuples(info.domain),
        "context": MappingProxyType(info.context),
        "auto_join": info.auto_join,
    }


def _equal_columns(
    condition: sa.ColumnElement[bool] | None, pairs: Iterable[tuple[Any, Any]] | None
) -> tuple[sa.Column[Any], sa.Column[Any]] | None:
    """The two columns of a join that says nothing but that they are equal."""
    if not isinstance(condition, sa.BinaryExpression) or condition.operator is not operators.eq:
        return None
    found = list(pairs or ())
    if len(found) != 1 or not all(isinstance(c, sa.Column) for c in found[0]):
        return None
    return found[0]


def _inherited(field: Field, model: str, via: str) -> Field:
    """The parent's field as its child has it: related through `via`."""
    return replace(
        field,
        model=model,
        stored=False,
        related=(via, field.name),
        inherited=True,
        computed=True,
        search="_search_related",
        required=False,
        inverse=None,
        relation=None,
        column1=None,
        column2=None,
    )


def _check_options(info: TableInfo, fields: Mapping[str, Field], table: str) -> None:
    named = {"rec_name": info.rec_name, "active_name": info.active_name}
    if info.parent_store:
        named |= {"parent_name": info.parent_name, "parent_store": "parent_path"}
    wanted = [(key, name) for key, name in named.items() if name]
    wanted += [("rec_names_search", path.split(".")[0]) for path in info.rec_names_search]
    for part in info.order.split(","):
        match = _ORDER.fullmatch(part)
        if match is None:
            raise SettingsError(f"`order` has {part.strip()!r}", where=table, fix="such as `date desc, id`")
        wanted.append(("order", match[1]))
    for key, name in wanted:
        if name not in fields:
            raise SettingsError(
                f"`{key}` names `{name}`, which is no field", where=table, fix=nearest(name, fields)
            )
    if info.active_name and fields[info.active_name].type != "boolean":
        raise SettingsError(f"`active_name` is `{info.active_name}`, which is no boolean", where=table)
    parent = fields.get(info.parent_name)
    if info.parent_store and (parent is None or parent.comodel != info.model):
        raise SettingsError(f"`{info.parent_name}` does not lead to `{info.model}`", where=table)
