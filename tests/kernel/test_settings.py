"""Settings: three sources in their order, each error with its place, no password in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from vallum.kernel import Settings, SettingsError


def write(folder: Path, text: str) -> Path:
    path = folder / "vallum.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, **given: object) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        Settings.load(folder, **{"environ": {}, **given})  # type: ignore[arg-type]
    return caught.value


def test_settings_without_any_source_are_empty(tmp_path: Path) -> None:
    """Nothing told is nothing assumed, but for the folder of Vallum's own data."""
    settings = Settings.load(tmp_path, environ={})
    assert (settings.dsn, settings.registry, settings.policy, settings.odoo_version) == (None, None, (), None)
    assert settings.project == tmp_path
    assert settings.data_dir.is_absolute()


def test_command_line_trumps_environment_trumps_file(tmp_path: Path) -> None:
    """What was said last and nearest counts; what an option leaves open does not."""
    write(tmp_path, 'dsn = "dbname=file"\nmetadata = "file:M"\nodoo_version = 18\n')
    settings = Settings.load(
        tmp_path,
        environ={"VALLUM_DSN": "dbname=environment", "VALLUM_METADATA": "environment:M", "HOME": "/"},
        overrides={"dsn": "dbname=line", "metadata": None},
    )
    assert (settings.dsn, settings.metadata, settings.odoo_version) == (
        "dbname=line",
        "environment:M",
        18,
    )


def test_paths_in_file_are_relative_to_the_file(tmp_path: Path) -> None:
    """A file means the same wherever Vallum is started."""
    folder = tmp_path / "conf"
    folder.mkdir()
    write(folder, 'policy = ["security", "/etc/policy"]\nregistry = "r.json.gz"\n')
    settings = Settings.load(tmp_path, file=Path("conf/vallum.toml"), environ={})
    assert settings.policy == (folder / "security", Path("/etc/policy"))
    assert settings.registry == folder / "r.json.gz"


def test_config_variable_names_the_file(tmp_path: Path) -> None:
    """VALLUM_CONFIG replaces the project's own file."""
    write(tmp_path, "odoo_version = 18")
    (tmp_path / "other.toml").write_text("odoo_version = 19")
    assert Settings.load(tmp_path, environ={"VALLUM_CONFIG": "other.toml"}).odoo_version == 19


def test_file_of_a_parent_folder_is_not_read(tmp_path: Path) -> None:
    """A file somebody left further up decides nothing."""
    write(tmp_path, 'metadata = "evil:M"')
    (tmp_path / "project").mkdir()
    assert Settings.load(tmp_path / "project", environ={}).metadata is None


def test_unknown_key_is_refused_with_line_and_fix(tmp_path: Path) -> None:
    """A slip of the pen is told, not ignored."""
    path = write(tmp_path, '# ours\ndsn = "dbname=x"\n\nregstry = "r.json"\n')
    error = refused(tmp_path)
    assert error.where == f"{path}:4"
    assert error.fix == "use `registry`"


def test_unknown_variable_is_refused(tmp_path: Path) -> None:
    """The same holds for the environment."""
    error = refused(tmp_path, environ={"VALLUM_DNS": "dbname=x"})
    assert error.where == "VALLUM_DNS"
    assert error.fix == "use `dsn`"


def test_unknown_option_is_refused(tmp_path: Path) -> None:
    """And for the command line."""
    assert refused(tmp_path, overrides={"odoo-version": 18}).where == "--odoo-version"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://marie:s3cret@db/odoo",
        "host=db password=s3cret",
        "postgresql:///odoo?password=s3cret",
        "sslpassword = s3cret",
    ],
)
def test_password_in_file_is_refused_and_not_shown(tmp_path: Path, dsn: str) -> None:
    """Secrets stay out of files, and out of the message that says so."""
    write(tmp_path, f'dsn = "{dsn}"')
    error = refused(tmp_path)
    assert "password" in str(error)
    assert "s3cret" not in repr(error) + str(error)


def test_password_in_environment_is_taken_and_not_shown(tmp_path: Path) -> None:
    """The environment may hold it; a log of the settings may not."""
    settings = Settings.load(tmp_path, environ={"VALLUM_DSN": "postgresql://marie:s3cret@db/odoo"})
    assert settings.dsn == "postgresql://marie:s3cret@db/odoo"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    "line",
    [
        "dsn = 5",
        'dsn = " "',
        "registry = []",
        "policy = []",
        "policy = [1]",
        "policy = {}",
        "odoo_version = 17",
        "odoo_version = true",
        'odoo_version = "18.0"',
        "statement_timeout = 0",
        "statement_timeout = -1",
        "statement_timeout = nan",
        "statement_timeout = true",
        "statement_timeout = []",
        'metadata = "package.module"',
        'metadata = "os; import sys:M"',
    ],
)
def test_value_of_wrong_form_is_refused_with_its_place(tmp_path: Path, line: str) -> None:
    """No value is guessed at."""
    path = write(tmp_path, line)
    error = refused(tmp_path)
    assert error.where == f"{path}:1"
    assert f"`{line.split()[0]}`" in error.what


@pytest.mark.parametrize("content", [b"dsn = ", b"\xff\xfe", b"dsn = 'a'\ndsn = 'b'"])
def test_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    """A broken file is an error, never an empty one."""
    (tmp_path / "vallum.toml").write_bytes(content)
    assert refused(tmp_path).where == str(tmp_path / "vallum.toml")


def test_named_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    """Who names a file wants that file."""
    assert refused(tmp_path, file=Path("nowhere.toml")).where == str(tmp_path / "nowhere.toml")


def test_lists_in_environment_are_separated_as_in_path(tmp_path: Path) -> None:
    """VALLUM_POLICY holds several folders."""
    settings = Settings.load(tmp_path, environ={"VALLUM_POLICY": "a:/b", "VALLUM_STATEMENT_TIMEOUT": "2.5"})
    assert settings.policy == (tmp_path / "a", Path("/b"))
    assert settings.statement_timeout == 2.5


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("host=a dbname=odoo user=x", ("host=a dbname=odoo user=x",)),
        ('["postgresql://a/odoo", "postgresql://b/odoo"]', ("postgresql://a/odoo", "postgresql://b/odoo")),
    ],
)
def test_replicas_are_one_dsn_or_a_list(given: str, expected: tuple[str, ...], tmp_path: Path) -> None:
    """In the environment a DSN is not cut: it may hold any separator."""
    assert Settings.load(tmp_path, environ={"VALLUM_REPLICAS": given}).replicas == expected


@pytest.mark.parametrize("given", ["[]", "[1]", '["a', "  "])
def test_replicas_of_another_form_are_refused(given: str, tmp_path: Path) -> None:
    """Neither nothing nor a number, and no half list."""
    with pytest.raises(SettingsError):
        Settings.load(tmp_path, environ={"VALLUM_REPLICAS": given})


def test_password_of_a_replica_in_the_file_is_refused(tmp_path: Path) -> None:
    """As for `dsn`, wherever in the list it stands; it is not repeated."""
    (tmp_path / "vallum.toml").write_text('replicas = ["postgresql://a/x", "postgresql://u:s3cret@b/x"]\n')
    with pytest.raises(SettingsError, match="a password stands in the file") as error:
        Settings.load(tmp_path, environ={})
    assert "s3cret" not in f"{error.value} {error.value.fix}"
