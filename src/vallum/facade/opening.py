"""Open an application: an Odoo database, or the models and policy files of one's own.

Everything is read within one snapshot of the database, or an error is raised.
Trust: whoever can change the models, the policy files or the registry decides who sees what;
naming models by text imports the module they are in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vallum.domain import Named
from vallum.enforce import Application
from vallum.facade.opened import Vallum
from vallum.kernel import Clock, MissingReference, NotAnOdooDatabase, NotWritable, SettingsError
from vallum.policy import Directory, Policy
from vallum.postgres import Database, redact
from vallum.schema import Schema, Storage

if TYPE_CHECKING:
    from sqlalchemy import MetaData
    from sqlalchemy.orm import DeclarativeBase

__all__ = ["Metadata", "Paths", "open", "open_over"]

Metadata: TypeAlias = "MetaData | type[DeclarativeBase] | str"
Paths: TypeAlias = "str | Path | Sequence[str | Path]"
ReadSchema: TypeAlias = "Callable[[Database, Path | None], Schema]"

# Folders that hold a module's policy, rather than being the module.
_INNER: Final = frozenset({"data", "policy", "security"})


def open(
    dsn: str,
    *,
    registry: str | Path | None = None,
    metadata: Metadata | None = None,
    policy: Paths | None = None,
    odoo_version: int | None = None,
    named: Named | None = None,
    clock: Clock | None = None,
    statement_timeout: float | None = None,
    writable: bool = False,
    check_after_write: bool = False,
) -> Vallum:
    """An opened application, to be closed or used by `with`.

    Without `metadata` it is an Odoo database; `registry` is the file exported from that Odoo. With
    `metadata` (a declarative base, a `MetaData`, or text such as `shop.models:Base`) it is an application
    of one's own: `policy` names its folders of groups, rights and rules, and `odoo_version` the version
    of Odoo whose semantics apply (18 by default). `statement_timeout`: seconds.

    `writable`: sessions of one's own application may write (an Odoo database is never written to).
    `check_after_write`: a write must leave records within the write rules, where Odoo asks only that it
    finds them there.

    Raises: ConnectionFailed, SettingsError, NotAnOdooDatabase, MalformedRegistry, RegistryMismatch,
    MalformedPolicy, MissingReference, NotWritable.
    """
    if writable and metadata is None:
        raise NotWritable(
            "Vallum writes nothing to an Odoo database: what else has to happen when a record changes is"
            " known to Odoo's own code alone",
            where="writable",
            fix="leave `writable` out, and write through Odoo's API",
        )
    database = Database(dsn, readonly=not writable, statement_timeout=statement_timeout)
    return open_over(
        database,
        registry=registry,
        metadata=metadata,
        policy=policy,
        odoo_version=odoo_version,
        named=named,
        clock=clock,
        check_after_write=check_after_write,
    )


def open_over(
    database: Database,
    *,
    registry: str | Path | None = None,
    metadata: Metadata | None = None,
    policy: Paths | None = None,
    odoo_version: int | None = None,
    named: Named | None = None,
    clock: Clock | None = None,
    check_after_write: bool = False,
    read_schema: ReadSchema | None = None,
) -> Vallum:
    """As `open`, over a database that is there already; closed where the application cannot be read.

    `read_schema` reads the schema of an Odoo database, where that is done more than once (`KeptSchema`).

    Raises: as `open`.
    """
    try:
        with database.snapshot():
            if metadata is None:
                parts = _odoo(database, registry, policy, odoo_version, read_schema)
            else:
                parts = _own(database, registry, metadata, policy, odoo_version)
            known, users = parts.reload()
    except BaseException:
        database.close()
        raise
    application = Application(
        database,
        parts.schema,
        known,
        users,
        named=named,
        clock=clock,
        storage=parts.storage,
        reload=parts.reload,
        check_after_write=check_after_write,
    )
    return Vallum(application)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is read of an application; `reload` reads policy and users, as often as it is asked."""

    schema: Schema
    reload: Callable[[], tuple[Policy, Directory]]
    storage: Storage | None = None


def _odoo(
    database: Database,
    registry: str | Path | None,
    policy: Paths | None,
    version: int | None,
    read_schema: ReadSchema | None,
) -> _Parts:
    from vallum.policy.readers.odoo import read_policy, read_users
    from vallum.schema.readers.odoo import read_odoo

    if policy is not None:
        raise SettingsError(
            "policy files are for an application of your own: an Odoo database holds its own policy",
            where="policy",
            fix="leave `policy` out, or name the application's models by `metadata`",
        )
    try:
        schema = (read_schema or read_odoo)(database, Path(registry) if registry is not None else None)
    except NotAnOdooDatabase as error:
        error.where = error.where or redact(database.dsn)
        raise
    if version is not None and version != schema.version:
        raise SettingsError(
            f"this is the database of an Odoo {schema.version}, not {version}",
            where="odoo_version",
            fix="leave `odoo_version` out: it is detected",
        )

    def reload() -> tuple[Policy, Directory]:
        with database.snapshot():
            return read_policy(database, schema), Directory(read_users(database, schema))

    return _Parts(schema, reload)


def _own(
    database: Database,
    registry: str | Path | None,
    metadata: Metadata,
    policy: Paths | None,
    version: int | None,
) -> _Parts:
    from vallum.policy.change import laid_over
    from vallum.policy.readers.application import read_group_ids, read_users
    from vallum.policy.readers.changes import read_changes
    from vallum.policy.readers.modules import read as read_modules
    from vallum.schema.readers.sqlalchemy import read as read_models
    from vallum.schema.readers.sqlalchemy_storage import read_storage

    if registry is not None:
        raise SettingsError(
            "a registry file is for an Odoo database, models are for an application of your own",
            where="registry",
            fix="give one of `registry` and `metadata`",
        )
    folders = _folders(policy)
    models = _models(metadata) if isinstance(metadata, str) else metadata
    schema = read_models(models)
    schema = replace(schema, version=version or schema.version)
    read = read_modules(folders, module=_module_name(folders), models=list(schema.models))
    _check_field_groups(schema, read.policy)

    def reload() -> tuple[Policy, Directory]:
        with database.snapshot():
            # What was approved since, over what the files say.
            known = laid_over(read.policy, read_changes(database))
            ids = read_group_ids(database, schema)
            return known.with_group_ids(ids), Directory(read_users(database, schema))

    return _Parts(schema, reload, read_storage(models, schema))


def _folders(policy: Paths | None) -> list[Path]:
    folders = [policy] if isinstance(policy, str | Path) else list(policy or ())
    if not folders:
        raise SettingsError(
            "models without a policy: nobody may see anything of them",
            where="policy",
            fix="name the folder with ir.model.access.csv and the groups and rules in XML",
        )
    return [Path(folder) for folder in folders]


def _module_name(folders: Iterable[Path]) -> str:
    """The module that xml ids of folders without a manifest belong to, as Odoo would name it."""
    first = next(iter(folders)).absolute()
    return first.parent.name if first.name in _INNER else first.name


def _models(text: str) -> Any:
    """What a text such as `shop.models:Base` names."""
    name, _, path = text.partition(":")
    if not path:
        raise SettingsError(
            f"`{text}` names a module and nothing in it",
            where="metadata",
            fix="write it as `package.module:Base`",
        )
    try:
        found: Any = import_module(name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"no module is called `{error.name}`",
            where="metadata",
            fix="install it, or run where Python finds it",
        ) from error
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise SettingsError(
                f"there is no `{path}` in `{name}`", where="metadata", fix="name the declarative base"
            ) from None
    return _checked(found, text)


def _checked(found: Any, text: str) -> Any:
    from sqlalchemy import MetaData
    from sqlalchemy.orm import DeclarativeBase

    if isinstance(found, MetaData) or (isinstance(found, type) and issubclass(found, DeclarativeBase)):
        return found
    raise SettingsError(
        f"`{text}` is neither a declarative base nor a MetaData",
        where="metadata",
        fix="name the declarative base",
    )


def _check_field_groups(schema: Schema, policy: Policy) -> None:
    """A misprint in a field's groups would shut the field to those it is meant for, or open it by `!`."""
    for model in schema.models.values():
        for field in model.fields.values():
            for term in (field.groups or "").split(","):
                name = term.strip().removeprefix("!").strip()
                if name not in {"", "."} and name not in policy.group_ids:
                    raise MissingReference(
                        f"the field is for the group `{name}`, which no policy file defines",
                        where=str(field),
                        fix="define the group, or correct its name",
                    )
