"""The program as a process: settings, errors, exit codes, what stays unsaid."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.command import Outcome, program, run
from tests.support.company import METADATA, POLICY
from tests.support.odoo import OdooReference
from tests.support.server import run_folder

ROOT = Path(__file__).parents[2]


def test_without_arguments_shows_help(tmp_path: Path) -> None:
    """Wrong use, and how to use it."""
    done = program(folder=tmp_path)
    assert done.code == 2
    assert "Usage: vallum" in done.out + done.err
    assert "error:" not in done.err


def test_version_is_told(tmp_path: Path) -> None:
    """In one line."""
    assert program("--version", folder=tmp_path).out.startswith("vallum ")


@pytest.mark.parametrize(
    "arguments", [["acess"], ["access", "explain"], ["search", "a", "b", "--limit", "0"]]
)
def test_wrong_use_ends_with_two(tmp_path: Path, arguments: list[str]) -> None:
    """One line, one way out; in JSON where asked for."""
    done = program(*arguments, folder=tmp_path)
    assert done.code == 2
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["error", "fix"]
    assert program(*arguments, "--json", folder=tmp_path).error["code"] == "usage"


def test_without_database_says_where_to_name_one(tmp_path: Path) -> None:
    """The first thing anyone runs into."""
    done = program("check", folder=tmp_path)
    assert done.code == 2
    assert "--dsn" in done.err


def test_unknown_setting_is_refused(tmp_path: Path) -> None:
    """A misprint in the environment is not ignored."""
    done = program("check", folder=tmp_path, environ={"VALLUM_DSNN": "x"})
    assert done.code == 2
    assert "VALLUM_DSN" in done.err


def test_refused_connection_shows_no_password(tmp_path: Path) -> None:
    """Who looks over the shoulder learns nothing."""
    dsn = "postgresql://marie:s3cret@127.0.0.1:1/odoo"
    done = program("check", "--dsn", dsn, folder=tmp_path)
    assert done.code == 2
    assert "s3cret" not in done.err + done.out
    assert "127.0.0.1" in done.err
    assert program("check", "--dsn", dsn, "--json", folder=tmp_path).error["code"] == "connection-failed"


def test_settings_file_of_the_folder_is_read(company: str, tmp_path: Path) -> None:
    """`vallum.toml`, and --config for another one."""
    (tmp_path / "vallum.toml").write_text('dsn = "postgresql://nobody@127.0.0.1:1/x"\n')
    other = tmp_path / "other.toml"
    other.write_text(f'dsn = "{company}"\nmetadata = "{METADATA}"\npolicy = ["{POLICY}"]\n')
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    assert program("search", "marie", "crm.lead", folder=tmp_path, environ=environ).code == 2
    done = program("search", "marie", "crm.lead", "--config", str(other), folder=tmp_path, environ=environ)
    assert done.code == 0, done.err


def test_option_before_the_command_counts(company: str, tmp_path: Path) -> None:
    """And one behind it has precedence."""
    environ = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    shared = ["--metadata", METADATA, "--policy", POLICY, "--json"]
    done = program("--dsn", company, *shared, "search", "marie", "crm.lead", folder=tmp_path, environ=environ)
    assert done.code == 0, done.err
    assert done.json["count"] > 0


def test_database_of_no_odoo_is_told_apart(pg_dsn: str) -> None:
    """With the way for an application of one's own."""
    done = run("check", "--dsn", pg_dsn)
    assert done.code == 2
    assert "--metadata" in done.err
    assert run("check", "--dsn", pg_dsn, "--json").error["code"] == "not-an-odoo-database"


def test_company_without_tables_is_told_apart(pg_dsn: str) -> None:
    """The models are there, their tables are not."""
    done = run("check", "--dsn", pg_dsn, "--metadata", METADATA, "--policy", POLICY)
    assert done.code == 2
    assert "`res_groups`" in done.err


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ("nowhere.models:Base", "no module is called `nowhere`"),
        ("examples.trading:Bass", "there is no `Bass`"),
        ("examples.trading:SECURITY", "neither a declarative base"),
    ],
)
def test_wrong_models_are_told(company: str, metadata: str, said: str) -> None:
    """What was found instead."""
    done = run("check", "--dsn", company, "--metadata", metadata, "--policy", POLICY)
    assert done.code == 2
    assert said in done.err


def test_models_without_policy_are_refused(company: str) -> None:
    """Nobody could see anything."""
    assert "policy" in run("check", "--dsn", company, "--metadata", METADATA).err


def test_models_and_registry_exclude_each_other(company: str, tmp_path: Path) -> None:
    """One source of the schema."""
    registry = str(tmp_path / "registry.json.gz")
    arguments = ["--dsn", company, "--metadata", METADATA, "--policy", POLICY, "--registry", registry]
    assert "registry" in run("check", *arguments).err


def test_registry_of_another_odoo_is_refused(odoo18: OdooReference, odoo19: OdooReference) -> None:
    """Before anything is decided."""
    done = run("check", "--dsn", odoo18.dsn, "--registry", str(odoo19.registry), "--json")
    assert (done.code, done.error["code"]) == (2, "registry-mismatch")


def test_registry_that_is_none_is_refused(odoo18: OdooReference, tmp_path: Path) -> None:
    """Not there, or not one."""
    path = tmp_path / "registry.json"
    for content in None, "[]":
        if content is not None:
            path.write_text(content)
        done = run("check", "--dsn", odoo18.dsn, "--registry", str(path), "--json")
        assert (done.code, done.error["code"]) == (2, "malformed-registry")


def test_odoo_is_checked(odoo18: OdooReference) -> None:
    """No rule of a real Odoo is broken; what code decides is listed."""
    done = run("check", "--dsn", odoo18.dsn, "--registry", str(odoo18.registry), "--json")
    assert done.code == 0, done.out
    assert done.json["broken"] == []
    assert done.json["gaps"] == []
    assert "mail.message" in done.json["inexact"]


def test_odoo_without_registry_lists_gaps(odoo18: OdooReference) -> None:
    """What is not known is said."""
    done = run("check", "--dsn", odoo18.dsn)
    assert "Gaps" in done.out


def test_fault_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, company: str) -> None:
    """Never a traceback, unless asked for."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("vallum.facade.open", broken)
    done = run("check", "--dsn", company)
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert "boom" in done.err
    monkeypatch.setenv("VALLUM_DEBUG", "1")
    assert "Traceback" in run("check", "--dsn", company).err


def test_export_registry_writes_the_script(tmp_path: Path) -> None:
    """Once; to overwrite it takes a word."""
    assert run("odoo", "export-registry", str(tmp_path)).code == 0
    assert (tmp_path / "export_registry.py").exists()
    assert run("odoo", "export-registry", str(tmp_path)).code == 2
    assert run("odoo", "export-registry", str(tmp_path), "--force", "--json").json["script"]


@pytest.fixture
def data_dir(pytestconfig: pytest.Config) -> Path:
    """A folder that the server's system user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=run_folder(pytestconfig)))
    folder.chmod(0o711)
    return folder


@pytest.mark.slow
def test_demo_makes_the_company_and_stops_its_server(data_dir: Path) -> None:
    """Twice: the second time the company is there. Nothing keeps running."""
    environ = {"VALLUM_DATA_DIR": str(data_dir)}
    first = _demo(environ)
    again = _demo(environ)
    assert first.out == again.out
    assert "crm.lead" in first.out
    assert list(data_dir.rglob("postmaster.pid")) == []


@pytest.mark.slow
def test_demo_left_running_can_be_asked_and_stopped(data_dir: Path) -> None:
    """The commands it shows work."""
    environ = {"VALLUM_DATA_DIR": str(data_dir)}
    try:
        dsn = program(
            "demo", "--rows", "2000", "--keep-running", "--json", folder=ROOT, environ=environ
        ).json["dsn"]
        shown = {**environ, "VALLUM_DSN": dsn, "VALLUM_METADATA": METADATA, "VALLUM_POLICY": POLICY}
        done = program("search", "olaf", "sale.order", folder=ROOT, environ=shown)
        assert done.code == 0, done.err
    finally:
        assert program("demo", "--stop", folder=ROOT, environ=environ).code == 0
    assert list(data_dir.rglob("postmaster.pid")) == []


def _demo(environ: dict[str, str]) -> Outcome:
    done = program("demo", "--rows", "2000", folder=ROOT, environ=environ)
    assert done.code == 0, done.err
    return done


def test_demo_without_checkout_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The package alone has no example company, and no server is started for it."""
    monkeypatch.setattr("vallum.__file__", str(tmp_path / "lib" / "vallum" / "__init__.py"))
    monkeypatch.setenv("VALLUM_DATA_DIR", str(tmp_path / "data"))
    done = run("demo")
    assert done.code == 2
    assert "example company" in done.err
    assert not (tmp_path / "data").exists()


def test_reader_who_has_read_enough_is_no_refusal(company: str, tmp_path: Path) -> None:
    """`vallum … | head` must not look like exit code 1."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash to ask for the code of a command in a pipe")
    command = f"{shlex.quote(sys.executable)} -m vallum.cli access who-can read res.partner --json"
    done = subprocess.run(
        [bash, "-c", f"{command} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "VALLUM_DSN": company,
            "VALLUM_METADATA": METADATA,
            "VALLUM_POLICY": POLICY,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() in {"0", "141"}
    assert done.stderr == ""
