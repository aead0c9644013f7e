"""Learn model names and field groups from a module's Python source, without running it.

Pure apart from reading the files. Odoo's database does not hold a field's `groups`:
the source is the only place, and only what is written there as text can be known.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from vallum.kernel import MalformedPolicy
from vallum.policy.readers.modules.literal import parse

__all__ = ["FieldGroups", "ModelClass", "Source", "field_groups", "read_source"]

_NOT_LOADED: Final = frozenset({"migrations", "node_modules", "static", "tests", "upgrades"})
_NOT_MODULES: Final = frozenset({"__manifest__.py", "__openerp__.py"})


@dataclass(frozen=True, slots=True)
class FieldGroups:
    """The `groups` of one field as its class writes them; empty: opened to everyone."""

    groups: str
    where: str


@dataclass(frozen=True, slots=True)
class ModelClass:
    """A class that defines or extends a model. `parents` hand their fields down."""

    model: str
    parents: tuple[str, ...]
    fields: Mapping[str, FieldGroups]


@dataclass(slots=True)
class Source:
    """What one module's source says."""

    classes: list[ModelClass] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def models(self) -> frozenset[str]:
        """The models the module defines or extends."""
        return frozenset(c.model for c in self.classes)


def read_source(folder: Path, *, strict: bool) -> Source:
    """Read every Python file Odoo may import from a module's folder.

    Raises: MalformedPolicy (with `strict`; without it, a note).
    """
    source = Source()
    for path in sorted(folder.rglob("*.py")):
        inner = path.relative_to(folder)
        if path.name in _NOT_MODULES or not _NOT_LOADED.isdisjoint(inner.parts[:-1]) or not path.is_file():
            continue
        label = f"{folder.name}/{inner.as_posix()}"
        try:
            _read_file(parse(path.read_bytes(), "exec"), label, source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            where = f"{label}:{getattr(error, 'lineno', None) or 1}"
            if strict:
                raise MalformedPolicy("not Python source", where=where) from error
            source.notes.append(f"{where}: not Python source; field groups in it are not known")
    return source


def field_groups(classes: Iterable[ModelClass]) -> Mapping[str, Mapping[str, FieldGroups]]:
    """Per model, the groups of its fields: its own, and those of the models it inherits from.

    `classes` come in the order of loading: a later class overrides an earlier one.
    """
    own: dict[str, dict[str, FieldGroups]] = {}
    parents: dict[str, dict[str, None]] = {}
    for item in classes:
        own.setdefault(item.model, {}).update(item.fields)
        parents.setdefault(item.model, {}).update(dict.fromkeys(item.parents))
    result: dict[str, Mapping[str, FieldGroups]] = {}
    for model in own:
        found: dict[str, FieldGroups] = {}
        for ancestor in _ancestors(model, parents):
            for name, groups in own.get(ancestor, {}).items():
                found.setdefault(name, groups)
        if found:
            result[model] = MappingProxyType(found)
    return MappingProxyType(result)


def _ancestors(model: str, parents: Mapping[str, Mapping[str, None]]) -> Iterator[str]:
    """The model and those it inherits from, nearest first, each once."""
    seen = {model}
    queue = [model]
    while queue:
        current = queue.pop(0)
        yield current
        for parent in parents.get(current, ()):
            if parent not in seen:
                seen.add(parent)
                queue.append(parent)


def _read_file(tree: ast.Module, label: str, source: Source) -> None:
    constants = _constants(tree.body, {})
    fields = _field_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            _read_class(node, constants, fields, label, source)


def _read_class(
    node: ast.ClassDef, constants: Mapping[str, str], field_names: frozenset[str], label: str, source: Source
) -> None:
    assigned = dict(_assignments(node.body))
    texts = _constants(node.body, constants)
    inherit = _names(assigned.get("_inherit"), texts)
    model = texts.get("_name") if "_name" in assigned else _default_name(node, inherit, assigned)
    delegates = assigned.get("_inherits")
    keys = delegates.keys if isinstance(delegates, ast.Dict) else []
    found: dict[str, FieldGroups] = {}
    for name, value in assigned.items():
        expression = _groups_of(value, field_names)
        if expression is None:
            continue
        where = f"{label}:{value.lineno}"
        text = _text(expression, texts)
        if text is None and not _is_nothing(expression):
            source.notes.append(f"{where}: the groups of `{name}` are computed; not known")
        elif model is None:
            source.notes.append(f"{where}: the model of `{name}` is computed; its groups are not known")
        else:
            groups = (group.strip() for group in (text or "").split(","))
            found[name] = FieldGroups(",".join(filter(None, groups)), where)
    if model:
        delegated = [text for key in keys if key is not None and (text := _text(key, texts))]
        parents = tuple(p for p in dict.fromkeys([*inherit, *delegated]) if p != model)
        source.classes.append(ModelClass(model, parents, MappingProxyType(found)))


def _default_name(node: ast.ClassDef, inherit: list[str], assigned: Mapping[str, ast.expr]) -> str | None:
    """The name Odoo gives a class without `_name`."""
    if len(inherit) == 1:
        return inherit[0]
    if not inherit:
        return None
    return re.sub(r"(?<=[^_])([A-Z])", r".\1", node.name).lower() if "_inherit" in assigned else None


def _assignments(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for statement in body:
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    if isinstance(target, ast.Name):
                        yield target.id, value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value


def _constants(body: Iterable[ast.stmt], known: Mapping[str, str]) -> dict[str, str]:
    texts = dict(known)
    for name, value in _assignments(body):
        text = _text(value, texts)
        if text is not None:
            texts[name] = text
        else:
            texts.pop(name, None)
    return texts


def _text(node: ast.expr, texts: Mapping[str, str]) -> str | None:
    """The text a node stands for: a literal, a constant of the file, or both put together."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Name(id=name):
            return texts.get(name)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            parts = (_text(left, texts), _text(right, texts))
            return None if parts[0] is None or parts[1] is None else parts[0] + parts[1]
    return None


def _names(node: ast.expr | None, texts: Mapping[str, str]) -> list[str]:
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else [node] if node else []
    return [text for item in items if (text := _text(item, texts))]


def _is_nothing(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in (None, False)


def _field_names(tree: ast.Module) -> frozenset[str]:
    """Field classes the file imports by name."""
    return frozenset(
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "odoo.fields"
        for alias in node.names
    )


def _groups_of(node: ast.expr, field_names: frozenset[str]) -> ast.expr | None:
    """The `groups` argument where `node` makes a field that has one."""
    if not isinstance(node, ast.Call):
        return None
    match node.func:
        case ast.Attribute(value=ast.Name(id="fields")):
            pass
        case ast.Name(id=name) if name in field_names:
            pass
        case _:
            return None
    return next((keyword.value for keyword in node.keywords if keyword.arg == "groups"), None)
