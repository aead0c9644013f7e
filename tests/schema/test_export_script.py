"""The script that describes a registry inside Odoo.

No Odoo takes part: none can be installed here. Stand-ins carry the attributes the script reads
(named as in Odoo 16 to 19), some filled from the registry files of real Odoo 18 and 19 databases.
So these tests hold the format, the script's own decisions and its manners, not Odoo's behaviour.
"""

from __future__ import annotations

import ast
import code
import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from vallum.kernel import SettingsError
from vallum.schema.export import SCRIPT_NAME, registry_script, write_script
from vallum.schema.readers.registry import read_registry

SCRIPT = Path(registry_script.__file__)
REFERENCES = Path(__file__).parents[3] / "shared"
VERSIONS = ("18", "19")


# Stand-ins -------------------------------------------------------------------


class FakeCursor:
    """Odoo's cursor, as far as the script may use it: anything else is an AttributeError."""

    dbname = "fake"

    def __init__(self) -> None:
        self.log: list[str] = []

    def execute(self, statement: str) -> None:
        self.log.append(statement)

    def rollback(self) -> None:
        self.log.append("ROLLBACK")

    @contextmanager
    def savepoint(self, *, flush: bool) -> Iterator[None]:
        assert not flush, "a flush writes"
        self.log.append("SAVEPOINT")
        try:
            yield
        except Exception:
            self.log.append("ROLLBACK TO SAVEPOINT")
            raise


class FakeEnv:
    """An Environment over stand-in models."""

    def __init__(self, *models: Any) -> None:
        self.cr = FakeCursor()
        self.registry = {model._name: type(model) for model in models}
        self.user: int | None = None
        self._models = {model._name: model for model in models}

    def __call__(self, *, user: int, context: Mapping[str, Any], su: bool) -> FakeEnv:
        assert context == {}
        assert su
        self.user = user
        return self

    def __getitem__(self, name: str) -> Any:
        return self._models[name]


class FakeDomain:
    """Odoo 19's Domain: neither a list nor true or false, iterates over its prefix form."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __bool__(self) -> bool:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def iter_conditions(self) -> Iterator[Any]:
        raise NotImplementedError


class BaseModel:
    """The framework's own methods, which are no override."""

    _module = None
    _table_query = None

    def _search(self) -> None: ...
    def read(self) -> None: ...
    def _check_access(self) -> None: ...


BaseModel.__module__ = "odoo.models"


def addon_class(module: str, *methods: str, bases: tuple[type, ...] = (BaseModel,)) -> type:
    """A class as an Odoo module defines it."""
    body: dict[str, Any] = {"__module__": f"odoo.addons.{module}.models.x", "_module": module}
    return type(f"{module}_class", bases, {**body, **dict.fromkeys(methods, lambda self: None)})


def model(name: str, fields: Mapping[str, Any] | None = None, base: type = BaseModel, **facts: Any) -> Any:
    """A model with Odoo's defaults; `base` is the outermost definition class."""
    attributes: dict[str, Any] = {
        "_name": name,
        "_table": name.replace(".", "_"),
        "_description": None,
        "_abstract": False,
        "_transient": False,
        "_auto": True,
        "_rec_name": None,
        "_rec_names_search": None,
        "_order": "id",
        "_parent_name": "parent_id",
        "_parent_store": False,
        "_active_name": None,
        "_inherits": {},
        "_log_access": True,
        "_fields": dict(fields or {}),
        "__module__": "odoo.models",
    }
    return type(name, (base,), {**attributes, **{f"_{key}": value for key, value in facts.items()}})()


def field(name: str = "x", type: str = "char", **facts: Any) -> Any:
    """A field with Odoo's defaults."""
    defaults: dict[str, Any] = {
        "name": name,
        "type": type,
        "store": True,
        "string": name,
        "column_type": None,
        "groups": None,
        "related": None,
        "search": None,
    }
    if type in ("many2one", "one2many", "many2many"):
        defaults.update(comodel_name="res.partner", domain=[], context={}, relation=None)
    return SimpleNamespace(**{**defaults, **facts})


def described(given: Any) -> dict[str, Any]:
    """The facts the script finds about one field."""
    env = FakeEnv(model("a.model", {given.name: given}))
    return registry_script.describe_field(env, "a.model", given, [])


@pytest.fixture
def odoo_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one module of Odoo that the script imports."""
    release = ModuleType("odoo.release")
    release.__dict__["major_version"] = "18.0"
    monkeypatch.setitem(sys.modules, "odoo", ModuleType("odoo"))
    monkeypatch.setitem(sys.modules, "odoo.release", release)


def partner_env() -> FakeEnv:
    """Two models, of which one computes a domain and a selection."""
    fields = {
        "id": field("id", "integer", column_type=("int4", "int4"), readonly=True),
        "lang": field("lang", "selection", get_values=lambda env: ["en_US", "fr_FR"]),
        "user_ids": field(
            "user_ids", "one2many", inverse_name="partner_id", domain=lambda self: [("a", "=", 1)]
        ),
        "broken_id": field("broken_id", "many2one", domain=lambda self: 1 / 0),
    }
    return FakeEnv(model("res.partner", fields), model("base", abstract=True, auto=False))


# The script as a whole -------------------------------------------------------


@pytest.mark.usefixtures("odoo_release")
def test_script_read_from_stdin_writes_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Executed as Odoo's shell executes piped input, it writes the file and says so in one line."""
    target = tmp_path / "r.json.gz"
    monkeypatch.setenv("VALLUM_REGISTRY_OUT", str(target))
    exec(SCRIPT.read_text(), {"__name__": "__main__", "env": partner_env(), "odoo": None})  # noqa: S102
    schema = read_registry(target)
    assert sorted(schema.models) == ["base", "res.partner"]
    assert schema.field("res.partner", "user_ids").domain == (("a", "=", 1),)
    assert schema.field("res.partner", "broken_id").domain_unknown
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"{target}: Odoo 18.0, database fake: 2 models, 4 fields, 0 models with access code, "
        "1 values not computed (res.partner.broken_id: domain)\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["r.json.gz"]


@pytest.mark.usefixtures("odoo_release")
def test_script_pasted_into_console_writes_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed line by line into the interactive shell it works as well."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VALLUM_REGISTRY_OUT", raising=False)
    console = code.InteractiveConsole({"__name__": "__console__", "env": partner_env()})
    for line in SCRIPT.read_text().splitlines():
        console.push(line)
    assert "Error" not in capsys.readouterr().err
    assert len(read_registry(tmp_path / "registry.json.gz").models) == 2


@pytest.mark.usefixtures("odoo_release")
def test_export_is_refused_writes_and_rolled_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction is read only before anything of Odoo's code runs, and rolled back at the end."""
    monkeypatch.setenv("VALLUM_REGISTRY_OUT", str(tmp_path / "r.json.gz"))
    env = partner_env()
    registry_script.export(env)
    assert env.user == 1
    assert env.cr.log == [
        "SET TRANSACTION READ ONLY",
        "SAVEPOINT",  # the selection
        "SAVEPOINT",  # the domain
        "SAVEPOINT",  # the broken one
        "ROLLBACK TO SAVEPOINT",
        "ROLLBACK",
    ]


@pytest.mark.usefixtures("odoo_release")
def test_failing_export_rolls_back_and_keeps_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error leaves no half-written file, and the earlier file as it was."""
    target = tmp_path / "r.json.gz"
    target.write_bytes(b"old")
    monkeypatch.setenv("VALLUM_REGISTRY_OUT", str(target))
    env = FakeEnv(model("broken", {"x": object()}))
    with pytest.raises(AttributeError):
        registry_script.export(env)
    assert env.cr.log[-1] == "ROLLBACK"
    with pytest.raises(TypeError):
        registry_script.write(str(target), {"models": object()})
    monkeypatch.setattr("os.replace", _fail)
    with pytest.raises(OSError, match="disk"):
        registry_script.write(str(target), {"models": {}})
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def _fail(*_: object) -> None:
    raise OSError("disk")


def test_same_registry_gives_same_bytes(tmp_path: Path) -> None:
    """The file carries no time and no name of its own, so two exports can be compared."""
    for name in ("one.gz", "two.gz"):
        registry_script.write(str(tmp_path / name), {"odoo": "18.0", "models": {}})
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_script_outside_odoo_says_how_to_run_it() -> None:
    """Run by plain Python, it names the command instead of failing obscurely."""
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "odoo-bin shell -d DATABASE --no-http < export_registry.py" in done.stderr


def test_script_needs_only_old_python_and_standard_library() -> None:
    """The grammar is that of Python 3.7 (Odoo 16), the imports those of its standard library."""
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 7))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= sys.stdlib_module_names | {"collections.abc"}


def test_script_calls_nothing_that_writes() -> None:
    """Of Odoo's methods it calls none that changes records; the only statement is the read-only one."""
    tree = ast.parse(SCRIPT.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {node.func.attr for node in calls if isinstance(node.func, ast.Attribute)}
    assert not called & {"create", "commit", "unlink_records", "sudo", "flush_all", "_write", "with_user"}
    executed = [n for n in calls if isinstance(n.func, ast.Attribute) and n.func.attr == "execute"]
    assert [ast.unparse(argument) for node in executed for argument in node.args] == [
        "'SET TRANSACTION READ ONLY'"
    ]


# Fields ----------------------------------------------------------------------


def test_plain_field_has_only_the_common_keys() -> None:
    """What is false or missing is not written."""
    assert described(field(column_type=("varchar", "VARCHAR"))) == {
        "type": "char",
        "store": True,
        "string": "x",
        "column": "VARCHAR",
    }


def test_translate_function_counts_as_true() -> None:
    """HTML fields translate by a function."""
    assert described(field(type="html", translate=lambda *_: None))["translate"] is True


@pytest.mark.parametrize("name", ["auto_join", "bypass_search_access"])
def test_bypassing_relation_is_auto_join_in_every_version(name: str) -> None:
    """Odoo 19's new name for it means the same."""
    given = field(type="one2many", inverse_name="x_id")
    setattr(given, name, True)
    assert described(given)["auto_join"] is True


@pytest.mark.parametrize(
    ("search", "name"),
    [("_search_x", "_search_x"), (_fail, "_fail"), (lambda *_: [], "?"), (object(), "?")],
)
def test_search_method_is_named(search: Any, name: str) -> None:
    """A method is known by its name; code without a name by a question mark."""
    assert described(field(store=False, search=search))["search"] == name


@pytest.mark.parametrize("related", ["a_id.b", ("a_id", "b")])
def test_related_path_is_dotted_text(related: Any) -> None:
    """Whether Odoo keeps the path as text or as names."""
    assert described(field(related=related))["related"] == "a_id.b"


def test_unstored_many2many_has_no_table() -> None:
    """A relation table is named only where there is one."""
    facts = {"relation": "a_b_rel", "column1": "a_id", "column2": "b_id"}
    assert facts.items() <= described(field(type="many2many", **facts)).items()
    assert not facts.keys() & described(field(type="many2many", store=False, **facts)).keys()


@pytest.mark.parametrize(
    ("domain", "facts"),
    [
        ([], {}),
        ([("a", "in", (1, 2))], {"domain": [["a", "in", [1, 2]]]}),
        ("[('a', '=', b)]", {"domain": "[('a', '=', b)]"}),
        (FakeDomain("&", ("a", "=", 1), ("b", "any", FakeDomain(("c", "in", {2, 1})))),
         {"domain": ["&", ["a", "=", 1], ["b", "any", [["c", "in", [1, 2]]]]]}),
        (lambda self: [("a", "=", self._name)], {"domain_callable": True, "domain": [["a", "=", "a.model"]]}),
        (lambda self: "[('a', '=', b)]", {"domain_callable": True, "domain": "[('a', '=', b)]"}),
        (lambda self: None, {"domain_callable": True, "domain": []}),
        (lambda self: self.missing, {"domain_callable": True, "domain": None}),
        (lambda self: 42, {"domain_callable": True, "domain": None}),
        (lambda self: [("a", "=", object())], {"domain_callable": True, "domain": None}),
        ([("a", "=", object())], {"domain_callable": True, "domain": None}),
    ],
)  # fmt: skip
def test_domain_is_written_or_flagged(domain: Any, facts: Mapping[str, Any]) -> None:
    """A domain is a value, a value computed by code, or unknown: never silently absent."""
    got = described(field(type="many2one", domain=domain))
    assert {key: value for key, value in got.items() if key.startswith("domain")} == facts


def test_selection_that_fails_is_left_out_and_reported() -> None:
    """No values is not the same as unknown values."""
    unknown: list[str] = []
    given = field(type="selection", get_values=lambda env: env["no.such.model"])
    env = FakeEnv(model("a.model", {"x": given}))
    assert "selection" not in registry_script.describe_field(env, "a.model", given, unknown)
    assert unknown == ["a.model.x: selection"]


def test_context_of_code_is_left_out() -> None:
    """Only a plain context takes part in searches."""
    assert described(field(type="many2one", context={"active_test": False}))["context"] == {
        "active_test": False
    }
    unusable: list[Any] = ["{'a': b}", lambda self: {}, {"a": object()}]
    for context in unusable:
        assert "context" not in described(field(type="many2one", context=context))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, 5, 6), "2026-01-02 03:04:05"),  # noqa: DTZ001 -- Odoo's are naive
        (SimpleNamespace(_ids=(1, 2), ids=[1, 2]), [1, 2]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1: (None, True, 0.5)}, {"1": [None, True, 0.5]}),
    ],
)
def test_values_have_their_json_form(value: Any, expected: Any) -> None:
    """Dates as Odoo writes them, records as ids, sets in a fixed order."""
    assert registry_script.plain(value) == expected


@pytest.mark.parametrize("value", [object(), float("inf"), float("nan"), b"bytes"])
def test_value_without_json_form_is_refused(value: Any) -> None:
    """It is never written as its text."""
    with pytest.raises(TypeError):
        registry_script.plain(value)


# Overrides -------------------------------------------------------------------


def test_framework_methods_are_no_overrides() -> None:
    """What every model has is not listed."""
    assert registry_script.overrides("a.model", type(model("a.model"))) == {}


def test_overrides_are_listed_outermost_first_and_once() -> None:
    """Through every class of the model and of its mixins."""
    mixin = addon_class("mail", "_search", "_check_access", "unrelated")
    inner = addon_class("hr", "_search", bases=(mixin,))
    outer = addon_class("hr_holidays", "_search", bases=(addon_class("hr", "_search", bases=(inner,)),))
    assert registry_script.overrides("a.model", type(model("a.model", base=outer))) == {
        "_search": ["hr_holidays", "hr", "mail"],
        "_check_access": ["mail"],
    }


def test_table_query_property_is_an_override() -> None:
    """A model over a query has no table to read."""
    base = addon_class("account")
    base._table_query = property(lambda self: "SELECT 1")  # type: ignore[attr-defined]
    assert registry_script.overrides("a.model", base) == {"_table_query": ["account"]}


def test_patched_framework_method_names_the_patching_module() -> None:
    """A module that replaces the framework's method decides for every model."""

    def patched(self: object) -> None: ...

    patched.__module__ = "odoo.addons.patcher.hooks"
    framework = type("BaseModel", (), {"__module__": "odoo.models", "_module": None, "_search": patched})
    assert registry_script.overrides("a.model", framework) == {"_search": ["patcher"]}


def test_engine_methods_count_from_the_second_definition() -> None:
    """The module `base` defines the evaluation of rules; what another one adds is an override."""
    base = addon_class("base", "_eval_context")
    assert registry_script.overrides("ir.rule", base) == {}
    website = addon_class("website", "_eval_context", bases=(base,))
    assert registry_script.overrides("ir.rule", website) == {"_eval_context": ["website"]}
    assert registry_script.overrides("a.model", website) == {}


# Real registries -------------------------------------------------------------


def reference(version: str) -> dict[str, Any]:
    """The registry file of a real Odoo database."""
    path = REFERENCES / f"odoo{version}" / "registry.json.gz"
    if not path.exists():
        pytest.skip("no registry file of a real Odoo database")
    registry: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return registry


def _computed(value: Any) -> Callable[[Any], Any]:
    def compute(_: Any) -> Any:
        if value is None:
            raise LookupError("cannot be computed")
        return value

    return compute


def _restored_field(name: str, facts: Mapping[str, Any]) -> Any:
    renamed = {"column": "column_type", "comodel": "comodel_name", "inverse": "inverse_name"}
    given = {renamed.get(key, key): value for key, value in facts.items() if key != "domain_callable"}
    if "column" in facts:
        given["column_type"] = ("any", facts["column"])
    if facts.get("search") == "?":
        given["search"] = lambda *_: []
    if facts.get("domain_callable"):
        given["domain"] = _computed(facts["domain"])
    if "selection" in facts:
        given["get_values"] = lambda env: list(facts["selection"])
    return field(name, **given)


def _restored_model(name: str, facts: Mapping[str, Any]) -> Any:
    base: type = BaseModel
    for method, modules in facts["overrides"].items():
        for module in reversed(modules):
            base = addon_class(module, method, bases=(base,))
    given = {key: value for key, value in facts.items() if key not in ("fields", "overrides")}
    given["parent_name"] = given["parent_name"] or "parent_id"
    fields = {key: _restored_field(key, value) for key, value in facts["fields"].items()}
    return model(name, fields, base, **given)


@pytest.mark.odoo
@pytest.mark.usefixtures("odoo_release")
@pytest.mark.parametrize("version", VERSIONS)
def test_real_registry_is_written_as_it_was(version: str) -> None:
    """Models restored from a real registry file are described exactly as in that file."""
    real = reference(version)["models"]
    env = FakeEnv(*(_restored_model(name, facts) for name, facts in real.items()))
    unknown: list[str] = []
    written = registry_script.describe(env, env.registry, unknown)["models"]
    assert list(written) == list(real)
    for name in real:
        assert written[name] == real[name], name
        assert list(written[name]) == list(real[name])
    assert len(unknown) == sum(
        facts.get("domain_callable", False) and facts["domain"] is None
        for described_model in real.values()
        for facts in described_model["fields"].values()
    )


# Handing it out --------------------------------------------------------------


def test_script_is_copied_into_a_directory(tmp_path: Path) -> None:
    """The copy is the packaged file, byte by byte, under the name the documentation uses."""
    path = write_script(tmp_path)
    assert path == tmp_path / SCRIPT_NAME
    assert path.read_bytes() == SCRIPT.read_bytes()


def test_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    """Nothing is overwritten by accident."""
    target = tmp_path / "mine.py"
    target.write_text("mine")
    with pytest.raises(SettingsError, match="exists already"):
        write_script(target)
    assert target.read_text() == "mine"
    write_script(target, force=True)
    assert target.read_bytes() == SCRIPT.read_bytes()


def test_missing_directory_is_reported(tmp_path: Path) -> None:
    """With the path, and without a traceback of the operating system."""
    with pytest.raises(SettingsError, match="cannot be written") as caught:
        write_script(tmp_path / "none" / "x.py")
    assert caught.value.where == str(tmp_path / "none" / "x.py")


def test_script_imports_nothing_of_vallum() -> None:
    """It runs where Vallum is not installed, and where nothing else is."""
    check = "import sys; exec(sys.stdin.read(), {}); assert 'vallum' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", check],
        input=SCRIPT.read_text(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
