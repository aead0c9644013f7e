"""What tables, columns and relationships say of themselves: `info` dictionaries and types.

Pure. Invariant: what `info` says is understood wholly or refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, Literal, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import CompileError
from sqlalchemy.types import TypeDecorator, TypeEngine

from vallum.kernel import SettingsError
from vallum.schema.model import NUMBER_TYPES, TEXT_TYPES

__all__ = [
    "ColumnInfo",
    "FieldInfo",
    "RelationInfo",
    "TableInfo",
    "column_types",
    "domain_tuples",
    "field_type",
    "label",
    "nearest",
    "parse_info",
]


class TableInfo(msgspec.Struct, frozen=True):
    model: str
    description: str = ""
    rec_name: str | None = None
    rec_names_search: tuple[str, ...] = ()
    order: str = "id"
    parent_name: str = "parent_id"
    parent_store: bool = False
    active_name: str | None = None
    inherits: dict[str, str] = {}
    fields: dict[str, dict[str, Any]] = {}
    version: Any = None


class ColumnInfo(msgspec.Struct, frozen=True):
    groups: str | None = None
    string: str | None = None
    type: str | None = None
    comodel: str | None = None
    selection: tuple[str | tuple[str, str], ...] = ()
    translate: bool = False
    company_dependent: bool = False
    domain: list[Any] | None = None
    auto_join: bool = False


class RelationInfo(msgspec.Struct, frozen=True):
    groups: str | None = None
    string: str | None = None
    domain: list[Any] | None = None
    context: dict[str, Any] = {}
    auto_join: bool = False


class FieldInfo(RelationInfo, frozen=True, kw_only=True):
    type: Literal["one2many", "many2many"]
    comodel: str
    inverse: str | None = None
    relation: str | None = None
    column1: str | None = None
    column2: str | None = None


Info = TypeVar("Info", bound=msgspec.Struct)

# By the name PostgreSQL's DDL has for a type: Odoo's type and the short name of the column's.
_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "VARCHAR": ("char", "varchar"),
    "CHAR": ("char", "bpchar"),
    "CITEXT": ("char", "citext"),
    "UUID": ("char", "uuid"),
    "TEXT": ("text", "text"),
    "BOOLEAN": ("boolean", "bool"),
    "SMALLINT": ("integer", "int2"),
    "INTEGER": ("integer", "int4"),
    "BIGINT": ("integer", "int8"),
    "REAL": ("float", "float4"),
    "FLOAT": ("float", "float8"),
    "DOUBLE PRECISION": ("float", "float8"),
    "NUMERIC": ("float", "numeric"),
    "DATE": ("date", "date"),
    "TIMESTAMP WITHOUT TIME ZONE": ("datetime", "timestamp"),
    "TIMESTAMP WITH TIME ZONE": ("datetime", "timestamptz"),
    "BYTEA": ("binary", "bytea"),
    "JSON": ("json", "json"),
    "JSONB": ("json", "jsonb"),
}
_SINGLE_PRECISION: Final = 24

# What `type` may say of a column, by the type the column has on its own.
_OVERRIDES: Final[Mapping[str, frozenset[str]]] = {
    "char": frozenset({"text", "html", "selection", "reference"}),
    "text": frozenset({"char", "html", "selection"}),
    "selection": frozenset({"char"}),
    "integer": frozenset({"many2one", "many2one_reference"}),
    "many2one": frozenset({"integer"}),
    "float": frozenset({"monetary"}),
}
_COMPANY_TYPES: Final = (
    TEXT_TYPES | NUMBER_TYPES | frozenset({"boolean", "selection", "date", "datetime", "many2one"})
)
_GROUPS: Final = re.compile(r"\.|!?\w+\.\w+(\s*,\s*!?\w+\.\w+)*")
_TYPE_ARGUMENTS: Final = re.compile(r"\(.*?\)| COLLATE .*")
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


def parse_info(raw: Mapping[Any, Any], into: type[Info], where: str) -> Info:
    """An `info` dictionary, strictly.

    Raises: SettingsError.
    """
    for key in raw:
        if key not in into.__struct_fields__:
            known = nearest(str(key), into.__struct_fields__)
            raise SettingsError(
                f"unknown key `{key}` in `info`",
                where=where,
                fix=known or "known are " + ", ".join(into.__struct_fields__),
            )
    try:
        info = msgspec.convert(dict(raw), into)
    except msgspec.ValidationError as error:
        raise SettingsError(f"wrong `info`: {error}", where=where) from error
    groups = getattr(info, "groups", None)
    if groups is not None and not _GROUPS.fullmatch(groups.strip()):
        raise SettingsError(
            f"{groups!r} is no list of groups",
            where=where,
            fix="such as `base.group_user,!base.group_portal`",
        )
    return info


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A fix: the known name that is meant, if one is near."""
    near = get_close_matches(name, list(known), n=1)
    return f"use `{near[0]}`" if near else None


def column_types(declared: TypeEngine[Any]) -> tuple[str, str, tuple[str, ...]] | None:
    """Odoo's type, PostgreSQL's type and the values of a selection; None where Odoo has no such type."""
    try:
        ddl = declared.compile(_DIALECT)
    except CompileError:
        return None
    kind = declared
    while isinstance(kind, TypeDecorator):
        kind = kind.load_dialect_impl(_DIALECT)
    if isinstance(kind, sa.Enum):
        return "selection", (kind.name or "varchar") if kind.native_enum else "varchar", tuple(kind.enums)
    found = _TYPES.get(_TYPE_ARGUMENTS.sub("", ddl))
    if isinstance(kind, sa.Float) and (kind.precision or _SINGLE_PRECISION + 1) <= _SINGLE_PRECISION:
        found = "float", "float4"
    return (*found, ()) if found else None


def field_type(info: ColumnInfo, natural: str, pg_type: str, where: str) -> str:
    """The field's type: the column's own or what `info` makes of it.

    Raises: SettingsError.
    """
    if info.translate or info.company_dependent:
        allowed = TEXT_TYPES if info.translate else _COMPANY_TYPES
        kind = info.type or ("char" if info.translate else None)
        key = "translate" if info.translate else "company_dependent"
        if pg_type != "jsonb" or (info.translate and info.company_dependent):
            raise SettingsError(f"`{key}` on a column of type {pg_type}", where=where, fix="make it JSONB")
        if kind not in allowed:
            raise SettingsError(
                f"`{key}` with the type {kind!r}",
                where=where,
                fix="add `type` to its `info`, one of " + ", ".join(sorted(allowed)),
            )
        return kind
    if info.type is None or info.type == natural:
        return "selection" if info.selection and natural in ("char", "text") else natural
    if info.type not in _OVERRIDES.get(natural, ()):
        raise SettingsError(f"a column of type {pg_type} cannot be {info.type!r}", where=where)
    return info.type


def domain_tuples(domain: Any) -> Any:
    """Lists within as tuples, so that a field is immutable all through."""
    return tuple(map(domain_tuples, domain)) if isinstance(domain, (list, tuple)) else domain


def label(name: str) -> str:
    """What Odoo calls a field that was given no name.

    >>> label("message_partner_ids")
    'Message Partner'
    """
    return re.sub(r"_ids?$", "", name).replace("_", " ").title()
