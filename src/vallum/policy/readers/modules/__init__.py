"""Read a policy from Odoo modules, or from an application's own folder of policy files.

Nothing is run: manifests, `eval` attributes and Python source are read as text. The result
is what a fresh installation of these modules would decide.
Whoever can write to these folders decides the policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vallum.policy.model import Policy
from vallum.policy.readers.modules.assemble import ModelNames, assemble
from vallum.policy.readers.modules.csv_file import model_of, read_csv
from vallum.policy.readers.modules.literal import Ref
from vallum.policy.readers.modules.manifest import DataFile, Module, find_modules, unlisted
from vallum.policy.readers.modules.python_source import (
    FieldGroups,
    ModelClass,
    field_groups,
    read_source,
)
from vallum.policy.readers.modules.records import FIELDS, IRRELEVANT, Entry, Ledger, Outcome, Records
from vallum.policy.readers.modules.xml_file import XmlFile

__all__ = ["Entry", "Ledger", "ModulesPolicy", "Outcome", "read"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulesPolicy:
    """What modules say about access, with an account of everything that was read.

    `field_groups` maps model and field to the field's `groups` as written, "" where a class
    opens the field to everyone. `external` are xml ids that none of the modules defines.
    `notes` tell what a reader of the policy should know, each with its place.
    """

    policy: Policy
    modules: tuple[str, ...]
    counts: Ledger
    external: frozenset[str]
    field_groups: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...]


def read(
    paths: Sequence[Path],
    *,
    strict: bool = True,
    module: str = "app",
    models: Iterable[str] = (),
    demo: bool = False,
) -> ModulesPolicy:
    """Read the policy of modules, addons folders, or folders of policy files without a manifest.

    `module` is the module name of folders without a manifest, `models` the model names that
    are known anyway (a schema's). Without `strict`, xml ids that nothing defines become
    groups nobody belongs to, and are listed as `external`.

    Raises: MalformedPolicy, ForbiddenExpression, CyclicHierarchy, MissingReference (with `strict`).
    """
    found = find_modules(paths, name=module)
    records = Records()
    loaded = tuple(m for m in found if _is_loaded(m, records))
    given = frozenset(m.name for m in loaded)
    known = frozenset({"base"}.union(*(m.depends for m in loaded))) - given
    classes: list[ModelClass] = []
    by_module: dict[str, frozenset[str]] = {}
    for item in loaded:
        if not item.plain:
            source = read_source(item.folder, strict=strict)
            classes += source.classes
            by_module[item.name] = source.models
            records.notes += source.notes
        _read_files(item, records, known, strict=strict, demo=demo)
    fields = field_groups(classes)
    names = ModelNames(models, by_module, records)
    policy, external = assemble(
        records,
        names,
        given=given,
        field_refs=_field_refs(fields),
        strict=strict,
        source=", ".join(m.name for m in loaded),
    )
    return ModulesPolicy(
        policy=policy,
        modules=tuple(dict.fromkeys(m.name for m in loaded)),
        counts=records.ledger(),
        external=external,
        field_groups=MappingProxyType(
            {m: MappingProxyType({f: g.groups for f, g in own.items()}) for m, own in fields.items()}
        ),
        notes=tuple(records.notes),
    )


def _is_loaded(module: Module, records: Records) -> bool:
    if not module.installable:
        records.skip("ir.module.module", None, f"{module.folder.name}/", "the module is not installable")
    return module.installable


def _read_files(module: Module, records: Records, known: frozenset[str], *, strict: bool, demo: bool) -> None:
    for file in (*module.data, *(module.demo if demo else ())):
        _read_file(file, module, records, known, strict=strict)
    for file in () if demo else module.demo:
        records.skip("", None, file.label, "demonstration data")
    for label in () if module.plain else unlisted(module):
        records.note("no `data` list names this file, so Odoo does not load it", label)


def _read_file(
    file: DataFile, module: Module, records: Records, known: frozenset[str], *, strict: bool
) -> None:
    suffix = file.path.suffix.lower()
    if suffix == ".xml":
        reader = XmlFile(module=module.name, label=file.label, records=records, known=known, strict=strict)
        reader.read(file.path.read_bytes())
    elif suffix == ".csv" and (model := model_of(file.path.name)) in FIELDS:
        read_csv(file.path.read_bytes(), model=model, module=module.name, label=file.label, records=records)
    elif suffix == ".csv":
        records.skip(model_of(file.path.name), None, file.label, IRRELEVANT)
    else:
        records.skip("", None, file.label, f"a {suffix or 'nameless'} file is not read")
        if suffix == ".sql":
            records.note("SQL may change the policy; not known", file.label)


def _field_refs(fields: Mapping[str, Mapping[str, FieldGroups]]) -> list[Ref]:
    """The groups that field groups mention: comma is or, `!` is not, `.` is nobody."""
    return [
        Ref(name, groups.where)
        for own in fields.values()
        for groups in own.values()
        for term in groups.groups.split(",")
        if (name := term.removeprefix("!")) not in {"", "."}
    ]
