"""Write down what only Odoo's Python code knows about a database: `registry.json.gz` for Vallum.

Run it where Odoo runs (16, 17, 18 or 19):

    odoo-bin shell -d DATABASE --no-http < export_registry.py

The file goes to $VALLUM_REGISTRY_OUT, or to `registry.json.gz` in the current directory.
It describes models and fields: names, types, groups, domains, and which module overrides which
access method. It holds no records; values that Odoo computes for a domain or a selection (ids of
groups, language codes) are part of it.

Stand-alone: Odoo and the standard library, no third package; Python 3.7 grammar, for Odoo 16.
Invariant: reads only. PostgreSQL refuses writes in this transaction, and it is rolled back.
"""

# ruff: noqa: TID251 -- this file runs inside Odoo, where there are no Vallum settings
# No blank line inside a block: so the script may also be pasted into Odoo's interactive shell.
from __future__ import annotations

import gzip
import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Set
from datetime import date, datetime
from typing import Any

# Methods whose override changes what a search finds or who may read. A version lacks some of them.
ACCESS_METHODS = (
    "_search",
    "_where_calc",  # to 18
    "_apply_ir_rules",  # to 18
    "_table_query",
    "_check_access",  # from 18
    "check_access",  # from 18
    "has_access",  # from 18
    "_filtered_access",  # from 18
    "check_access_rights",
    "check_access_rule",
    "_filter_access_rules",
    "_filter_access_rules_python",
    "check_field_access_rights",
    "_has_field_access",  # from 19
    "_check_field_access",  # from 19
    "_condition_to_sql",  # 17 and 18
    "_field_to_sql",  # from 17
    "read",
    "_read",  # 16
    "fetch",  # from 17
    "_fetch_query",  # from 17
    "search_fetch",  # from 17
    "_read_group",
    "name_search",
    "_name_search",  # to 18
    "name_get",  # 16
    "_search_display_name",  # from 17
    "_check_company",
    "_compute_display_name",
)

# Parts of the access engine that Odoo's own module `base` defines: only further overrides count.
ENGINE_METHODS: Mapping[str, tuple[str, ...]] = {
    "ir.model.access": ("check", "_get_allowed_models"),
    "ir.rule": ("_compute_domain", "_eval_context", "_get_rules"),
    "ir.ui.menu": ("_filter_visible_menus", "_load_menus_blacklist", "_visible_menu_ids"),
    "res.users": ("_get_group_ids", "_has_group", "has_group"),
}

# Attributes of a field that are written only where true.
FLAGS_BEFORE_SEARCH = ("company_dependent", "inherited", "compute")
FLAGS_AFTER_SEARCH = ("translate", "required", "readonly")


def plain(value: Any) -> Any:
    """The value as JSON has it.

    Raises: TypeError for a value that has no such form (SQL, queries, infinity).
    """
    if (
        value is None
        or isinstance(value, (bool, int, str))
        or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "_ids"):  # a recordset
        return plain(value.ids)
    if isinstance(value, Set):
        return [plain(item) for item in sorted(value, key=repr)]
    if isinstance(value, (list, tuple)) or is_domain(value):
        return [plain(item) for item in value]
    raise TypeError(f"no JSON form for {type(value).__name__}")


def is_domain(value: Any) -> bool:
    """Whether this is Odoo 19's `Domain` object."""
    return hasattr(value, "iter_conditions")


def attempt(env: Any, compute: Callable[[], Any]) -> tuple[Any, bool]:
    """What Odoo's code computes, and whether it could: (value, True) or (None, False).

    A failing statement must not spoil the transaction, hence the savepoint.
    """
    try:
        with env.cr.savepoint(flush=False):
            return plain(compute()), True
    except Exception:
        return None, False


def addon_of(path: str | None) -> str | None:
    """The Odoo module a Python module belongs to: `odoo.addons.hr.models.x` is `hr`."""
    parts = (path or "").split(".")
    return parts[2] if parts[:2] == ["odoo", "addons"] and len(parts) > 2 else None


def definer(base: type, method: str) -> str | None:
    """The Odoo module whose code `base` runs for `method`; None for the framework itself.

    A module that replaced the framework's own method is found through the function.
    """
    code = vars(base)[method]
    code = getattr(code, "fget", None) or getattr(code, "__func__", code)
    module: str | None = vars(base).get("_module")
    return module or addon_of(base.__module__) or addon_of(getattr(code, "__module__", None))


def definers(model_class: type, method: str) -> list[str]:
    """The Odoo modules that define `method` for a model or its mixins, the outermost first."""
    found = [definer(base, method) for base in model_class.__mro__ if method in vars(base)]
    return list(dict.fromkeys(module for module in found if module))


def overrides(name: str, model_class: type) -> dict[str, list[str]]:
    """{access method: modules that override it}."""
    found = {method: definers(model_class, method) for method in ACCESS_METHODS}
    for method in ENGINE_METHODS.get(name, ()):
        found[method] = definers(model_class, method)[:-1]
    return {method: modules for method, modules in found.items() if modules}


def search_method(search: Any) -> str:
    """The name of a search method; `?` for a nameless function."""
    name = search if isinstance(search, str) else getattr(search, "__name__", "?")
    return name if name.isidentifier() else "?"


def relation(field: Any) -> dict[str, Any]:
    """Where a relational field leads."""
    facts: dict[str, Any] = {"comodel": field.comodel_name}
    if field.type == "one2many":
        facts["inverse"] = getattr(field, "inverse_name", None) or None
    if field.type == "many2many" and field.store and field.relation:
        facts.update(relation=field.relation, column1=field.column1, column2=field.column2)
    return facts


def domain_of(env: Any, model: str, field: Any, unknown: list[str]) -> dict[str, Any]:
    """The `domain` of a relational field, and whether code computes it."""
    domain = field.domain
    computed = callable(domain) and not is_domain(domain)
    if not (computed or is_domain(domain) or domain):
        return {}
    value, known = attempt(env, lambda: domain(env[model]) if computed else domain)
    if known and not value:
        value = []  # as Odoo reads None and False
    if not isinstance(value, (list, str)):
        value, known = None, False
        unknown.append(f"{model}.{field.name}: domain")
    facts: dict[str, Any] = {"domain_callable": True} if computed or not known else {}
    facts["domain"] = value
    return facts


def context_of(field: Any) -> dict[str, Any]:
    """The `context` of a relational field, where it is a plain one."""
    context = getattr(field, "context", None)
    if not context or not isinstance(context, Mapping):
        return {}
    try:
        return {"context": plain(context)}
    except TypeError:
        return {}


def describe_field(env: Any, model: str, field: Any, unknown: list[str]) -> dict[str, Any]:
    """A field as Vallum's registry file has it; what could not be computed is added to `unknown`."""
    relational = field.type in ("many2one", "one2many", "many2many")
    facts: dict[str, Any] = {
        "type": field.type,
        "store": bool(field.store),
        "string": str(field.string or ""),
    }
    if field.column_type:
        facts["column"] = field.column_type[1]
    if relational:
        facts.update(relation(field))
    if field.groups:
        facts["groups"] = field.groups
    if field.related:
        facts["related"] = field.related if isinstance(field.related, str) else ".".join(field.related)
    facts.update((flag, True) for flag in FLAGS_BEFORE_SEARCH if getattr(field, flag, False))
    if field.search:
        facts["search"] = search_method(field.search)
    facts.update((flag, True) for flag in FLAGS_AFTER_SEARCH if getattr(field, flag, False))
    if field.type == "selection":
        values, known = attempt(env, lambda: field.get_values(env))
        if known:
            facts["selection"] = values
        else:
            unknown.append(f"{model}.{field.name}: selection")
    if relational:
        # Odoo 19 calls it bypass_search_access.
        if getattr(field, "bypass_search_access", False) or getattr(field, "auto_join", False):
            facts["auto_join"] = True
        facts.update(domain_of(env, model, field, unknown))
        facts.update(context_of(field))
    return facts


def describe_model(env: Any, name: str, unknown: list[str]) -> dict[str, Any]:
    """A model as Vallum's registry file has it."""
    model = env[name]
    fields = model._fields
    names_search = model._rec_names_search
    return {
        "table": model._table,
        "description": str(model._description or name),
        "abstract": bool(model._abstract),
        "transient": bool(model._transient),
        "auto": bool(model._auto),
        "rec_name": model._rec_name or None,
        "rec_names_search": list(names_search) if names_search else None,
        "order": model._order,
        "parent_name": model._parent_name if model._parent_name in fields else None,
        "parent_store": bool(model._parent_store),
        "active_name": model._active_name or None,
        "inherits": dict(model._inherits),
        "log_access": bool(model._log_access),
        "overrides": overrides(name, type(model)),
        "fields": {key: describe_field(env, name, field, unknown) for key, field in fields.items()},
    }


def describe(env: Any, names: Iterable[str], unknown: list[str]) -> dict[str, Any]:
    """The whole registry: Odoo's version, the database's name, and its models by name."""
    release = importlib.import_module("odoo.release")
    return {
        "odoo": str(release.major_version),
        "database": env.cr.dbname,
        "models": {name: describe_model(env, name, unknown) for name in sorted(names)},
    }


def write(path: str, registry: dict[str, Any]) -> None:
    """Write the file beside its place, then rename: a reader sees the old or the new one, whole.

    The same registry gives the same bytes.
    """
    text = json.dumps(registry, separators=(",", ":"), allow_nan=False).encode()
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, 0) as packed:
            packed.write(text)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def export(env: Any) -> None:
    """Describe the registry of this Odoo as its superuser, and write the file."""
    path = os.path.abspath(os.environ.get("VALLUM_REGISTRY_OUT") or "registry.json.gz")
    unknown: list[str] = []
    env = env(user=1, context={}, su=True)
    try:
        env.cr.execute("SET TRANSACTION READ ONLY")
        registry = describe(env, env.registry, unknown)
    finally:
        env.cr.rollback()
    write(path, registry)
    models = registry["models"].values()
    fields = sum(len(model["fields"]) for model in models)
    coded = sum(bool(model["overrides"]) for model in models)
    summary = f"{len(models)} models, {fields} fields, {coded} models with access code"
    if unknown:
        summary += f", {len(unknown)} values not computed ({'; '.join(unknown)})"
    sys.stderr.write(f"{path}: Odoo {registry['odoo']}, database {registry['database']}: {summary}\n")


def run(scope: dict[str, Any]) -> None:
    """Export where Odoo's shell put its `env`; a mere import does nothing."""
    if scope.get("env") is not None:
        export(scope["env"])
    elif scope.get("__name__") == "__main__":
        sys.exit("no Odoo environment: run odoo-bin shell -d DATABASE --no-http < export_registry.py")


run(globals())
