"""Find modules on disk and put them in the order in which Odoo loads them.

Manifests are read as literals, never run. Invariant: no file outside a module's own
folder is read, whatever its manifest says.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vallum.kernel import CyclicHierarchy, MalformedPolicy
from vallum.policy.readers.modules.literal import parse

__all__ = ["DataFile", "Module", "find_modules", "unlisted"]

_MANIFESTS: Final = ("__manifest__.py", "__openerp__.py")
_DATA_KEYS: Final = ("init_xml", "update_xml", "data")
_DEMO_KEYS: Final = ("demo_xml", "demo")
_POLICY_FILES: Final = frozenset({".csv", ".xml"})


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file a module loads; `label` names it in errors and sources."""

    path: Path
    label: str


@dataclass(frozen=True, slots=True)
class Module:
    """A module's folder. `plain`: a folder of policy files without a manifest."""

    name: str
    folder: Path
    depends: tuple[str, ...] = ()
    data: tuple[DataFile, ...] = ()
    demo: tuple[DataFile, ...] = ()
    installable: bool = True
    plain: bool = False


def find_modules(paths: Sequence[Path], *, name: str) -> tuple[Module, ...]:
    """The modules in these folders, those depended on first; plain folders last.

    `name` is the module name of plain folders.

    Raises: MalformedPolicy, CyclicHierarchy.
    """
    found: dict[Path, Module] = {}
    for path in paths:
        for module in _modules_at(path, name):
            found.setdefault(module.folder.resolve(), module)
    by_name: dict[str, Module] = {}
    for module in found.values():
        if not module.plain and by_name.setdefault(module.name, module) is not module:
            raise MalformedPolicy(
                f"two modules named `{module.name}`",
                where=str(module.folder),
                fix=f"leave it or {by_name[module.name].folder} out",
            )
    return (*_in_order(by_name), *(module for module in found.values() if module.plain))


def unlisted(module: Module) -> tuple[str, ...]:
    """Security files that no `data` list names, so that Odoo does not load them."""
    listed = {file.path for file in (*module.data, *module.demo)}
    folder = module.folder / "security"
    found = sorted(p for p in folder.glob("*") if p.suffix in _POLICY_FILES and p.resolve() not in listed)
    return tuple(f"{module.folder.name}/security/{path.name}" for path in found)


def _modules_at(path: Path, name: str) -> list[Module]:
    if not path.is_dir():
        raise MalformedPolicy(f"no folder `{path}`", fix="give a module, an addons or a policy folder")
    path = path.absolute()
    if manifest := _manifest(path):
        return [_module(manifest)]
    folders = sorted(child for child in path.iterdir() if child.is_dir())
    return [_module(manifest) for folder in folders if (manifest := _manifest(folder))] or [
        _plain(path, name)
    ]


def _manifest(folder: Path) -> Path | None:
    return next((folder / name for name in _MANIFESTS if (folder / name).is_file()), None)


def _plain(folder: Path, name: str) -> Module:
    inner = sorted(
        p.relative_to(folder) for p in folder.rglob("*") if p.suffix in _POLICY_FILES and p.is_file()
    )
    files = [
        _data_file(folder, path.as_posix(), str(folder))
        for path in inner
        if not any(part.startswith(".") for part in path.parts)
    ]
    if not files:
        raise MalformedPolicy(
            f"no policy files in `{folder}`", fix="put ir.model.access.csv and XML files there"
        )
    return Module(name, folder, data=tuple(files), plain=True)


def _module(manifest: Path) -> Module:
    folder, label = manifest.parent, f"{manifest.parent.name}/{manifest.name}"
    content, lines = _literal(manifest.read_bytes(), label)

    def texts(key: str) -> list[str]:
        value = content.get(key) or []
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise MalformedPolicy(f"`{key}` is not a list of texts", where=f"{label}:{lines.get(key, 1)}")
        return [str(item) for item in value]

    def files(keys: Iterable[str]) -> tuple[DataFile, ...]:
        return tuple(
            _data_file(folder, name, f"{label}:{lines.get(name, 1)}") for key in keys for name in texts(key)
        )

    return Module(
        folder.name,
        folder,
        depends=tuple(texts("depends")),
        data=files(_DATA_KEYS),
        demo=files(_DEMO_KEYS),
        installable=bool(content.get("installable", True)),
    )


def _literal(raw: bytes, label: str) -> tuple[dict[object, object], dict[str, int]]:
    """The manifest's dictionary, and the lines where its texts stand."""
    try:
        tree = parse(raw, "eval")
        content = ast.literal_eval(tree)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        where = f"{label}:{getattr(error, 'lineno', None) or 1}"
        raise MalformedPolicy("the manifest is not a literal dictionary", where=where) from error
    if not isinstance(content, dict):
        raise MalformedPolicy("the manifest is not a dictionary", where=f"{label}:1")
    lines = {
        node.value: node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return content, lines


def _data_file(folder: Path, name: str, where: str) -> DataFile:
    if "\0" in name:
        raise MalformedPolicy("a file name with a null character", where=where)
    root, path = folder.resolve(), (folder / name).resolve()
    if not path.is_relative_to(root):
        raise MalformedPolicy(f"`{name}` is outside the module", where=where)
    if not path.is_file():
        raise MalformedPolicy(f"no file `{name}`", where=where, fix="correct the name or remove it")
    return DataFile(path, f"{folder.name}/{path.relative_to(root).as_posix()}")


def _in_order(modules: dict[str, Module]) -> list[Module]:
    """Odoo's order: by the length of the longest way down to a module without dependencies, then by name."""
    depth: dict[str, int] = {}
    waiting = dict(modules)
    level = 0
    while waiting:
        ready = [n for n, m in waiting.items() if not any(d in waiting for d in m.depends)]
        if not ready:
            circle = _circle(waiting)
            raise CyclicHierarchy(
                "modules depend on each other: " + " → ".join(circle), where=str(modules[circle[0]].folder)
            )
        for name in ready:
            depth[name] = level
            del waiting[name]
        level += 1
    return sorted(modules.values(), key=lambda m: (depth[m.name], m.name != "base", m.name))


def _circle(waiting: dict[str, Module]) -> list[str]:
    path = [min(waiting)]
    while path.count(path[-1]) == 1:
        path.append(min(d for d in waiting[path[-1]].depends if d in waiting))
    return path[path.index(path[-1]) :]
