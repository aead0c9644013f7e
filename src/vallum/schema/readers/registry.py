"""Read a registry file: what only Odoo's Python code knows about models and fields.

Pure but for reading the one file. The format is the one `vallum odoo export-registry`
produces; unknown keys are refused, since a key nobody reads may be a restriction.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from vallum.kernel import MalformedRegistry
from vallum.schema.model import Field, Gap, Model, Schema

__all__ = ["MAX_REGISTRY_BYTES", "SUPPORTED_VERSIONS", "read_registry"]

SUPPORTED_VERSIONS: Final = (16, 17, 18, 19)
MAX_REGISTRY_BYTES: Final = 512 * 1024 * 1024


class _Field(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    type: str
    store: bool
    string: str | None = None
    column: str | None = None
    comodel: str | None = None
    inverse: str | None = None
    relation: str | None = None
    column1: str | None = None
    column2: str | None = None
    groups: str | None = None
    related: str | None = None
    inherited: bool = False
    compute: bool = False
    search: str | None = None
    translate: bool = False
    company_dependent: bool = False
    required: bool = False
    readonly: bool = False
    auto_join: bool = False
    domain: list[Any] | str | None = None
    domain_callable: bool = False
    context: dict[str, Any] | None = None
    selection: list[Any] | None = None
    module: str | None = None
    index: Any = None


class _Model(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    fields: dict[str, _Field]
    description: str | None = None
    abstract: bool = False
    transient: bool = False
    auto: bool = True
    rec_name: str | None = None
    rec_names_search: list[str] | None = None
    order: str | None = None
    parent_name: str | None = None
    parent_store: bool = False
    active_name: str | None = None
    inherits: dict[str, str] = {}
    log_access: bool = True
    overrides: dict[str, list[str]] = {}


class _Registry(msgspec.Struct, forbid_unknown_fields=True):
    odoo: str
    models: dict[str, _Model]
    database: str | None = None
    generated: str | None = None


_DECODER: Final = msgspec.json.Decoder(_Registry)


def read_registry(path: Path) -> Schema:
    """The schema a registry file (`.json` or `.json.gz`) describes.

    Raises: MalformedRegistry (not there, not JSON, another format, too large, a
    relation to a model the file lacks).
    """
    try:
        raw = _DECODER.decode(_content(path))
    except msgspec.DecodeError as error:
        raise MalformedRegistry(
            f"this is not a registry file: {error}",
            where=str(path),
            fix="write it with the script of `vallum odoo export-registry`",
        ) from error
    version = _version(raw.odoo, path)
    # Files exported before Odoo 19's bypass_search_access was written have no auto_join at all.
    lacks_bypass = version >= 19 and not any(
        f.auto_join for m in raw.models.values() for f in m.fields.values()
    )
    models = [_model(name, model, lacks_bypass) for name, model in raw.models.items()]
    schema = Schema.of(models, version=version, gaps=_gaps(models), source=str(path))
    _check_relations(schema, path)
    return schema


def _content(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        if data[:2] != b"\x1f\x8b":
            return data
        unpacker = zlib.decompressobj(wbits=31)
        content = unpacker.decompress(data, MAX_REGISTRY_BYTES)
        if unpacker.unconsumed_tail:
            raise MalformedRegistry("the registry file unpacks to more than 512 MiB", where=str(path))
        if not unpacker.eof:
            raise MalformedRegistry("the registry file is cut short", where=str(path), fix="export it again")
        return content
    except OSError as error:
        raise MalformedRegistry(
            f"cannot read the registry file: {error.strerror}", where=str(path)
        ) from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise MalformedRegistry(
            "the registry file is damaged", where=str(path), fix="export it again"
        ) from error


def _version(text: str, path: Path) -> int:
    """The major version in texts such as `18.0`, `saas~18.2` or `18.0+e`."""
    digits = text.removeprefix("saas~").split(".")[0]
    if not digits.isdigit() or int(digits) not in SUPPORTED_VERSIONS:
        raise MalformedRegistry(
            f"the registry file is of Odoo {text!r}",
            where=str(path),
            fix="supported are Odoo " + ", ".join(map(str, SUPPORTED_VERSIONS)),
        )
    return int(digits)


def _model(name: str, raw: _Model, lacks_bypass: bool) -> Model:
    bypassing = {*_BYPASSING_19, *raw.inherits.values()} if lacks_bypass else set()
    fields = {fname: _field(name, fname, f, fname in bypassing) for fname, f in raw.fields.items()}
    return Model(
        name=name,
        table=raw.table,
        fields=MappingProxyType(fields),
        description=raw.description or "",
        abstract=raw.abstract,
        transient=raw.transient,
        auto=raw.auto,
        rec_name=raw.rec_name,
        rec_names_search=tuple(raw.rec_names_search or ()),
        order=raw.order or "id",
        parent_name=raw.parent_name or "parent_id",
        parent_store=raw.parent_store,
        active_name=raw.active_name,
        inherits=MappingProxyType(raw.inherits),
        log_access=raw.log_access,
        overrides=MappingProxyType({m: tuple(found) for m, found in raw.overrides.items()}),
    )


def _field(model: str, name: str, raw: _Field, bypassing: bool) -> Field:
    domain = _tuples(raw.domain) if isinstance(raw.domain, list) else None
    return Field(
        model=model,
        name=name,
        type=raw.type,
        stored=raw.store,
        column=raw.column.lower() if raw.column else None,
        string=raw.string or "",
        comodel=raw.comodel,
        inverse=raw.inverse,
        relation=raw.relation,
        column1=raw.column1,
        column2=raw.column2,
        groups=raw.groups or None,
        related=tuple(raw.related.split(".")) if raw.related else (),
        inherited=raw.inherited,
        computed=raw.compute,
        search=raw.search,
        translate=raw.translate,
        company_dependent=raw.company_dependent,
        required=raw.required,
        readonly=raw.readonly,
        auto_join=raw.auto_join or (bypassing and (raw.type == "many2one" or raw.inverse == "res_id")),
        domain=domain,
        domain_unknown=raw.domain_callable and raw.domain is None,
        context=_frozen(raw.context),
        selection=tuple(str(s[0] if isinstance(s, list) else s) for s in raw.selection or ()),
    )


# The fields of Odoo 19's own mixins that bypass access, beside those that delegate.
_BYPASSING_19: Final = frozenset({"message_ids", "activity_ids", "website_message_ids"})

_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


def _frozen(context: dict[str, Any] | None) -> Mapping[str, Any]:
    return MappingProxyType(context) if context else _EMPTY


def _tuples(value: Any) -> Any:
    """Lists within as tuples, so that a field is immutable all through."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _gaps(models: list[Model]) -> list[Gap]:
    return [
        Gap(
            fact=f"the domain of {field}",
            consequence="searches through this field are refused",
            fix="export the registry again from a database where the domain can be computed",
        )
        for model in models
        for field in model.fields.values()
        if field.domain_unknown and field.x2many and field.stored
    ]


def _check_relations(schema: Schema, path: Path) -> None:
    for model in schema.models.values():
        for parent, via in model.inherits.items():
            if parent not in schema.models or via not in model.fields:
                raise MalformedRegistry(
                    f"`{model.name}` inherits `{parent}` through `{via}`, one of which is missing",
                    where=str(path),
                    fix="export the registry again",
                )
