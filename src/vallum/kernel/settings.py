"""Settings: from the command line, the environment and `vallum.toml`, in that order.

The only module that reads the environment. Strict: an unknown key or a value of the
wrong form is an error that says where it stands and how to mend it.
Invariant: the file holds no password (it may be shared); a DSN with one comes from the environment.
Invariant: only the file asked for, or the one in the project's folder, is read, never one further up.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from vallum.kernel.errors import SettingsError

__all__ = ["FILE_NAME", "Settings", "settings_reference"]

FILE_NAME: Final = "vallum.toml"
PREFIX: Final = "VALLUM_"
ODOO_VERSIONS: Final = (18, 19)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What Vallum was told. Paths are absolute; None and empty mean: not told.

    `dsn` may hold a password and so stays out of `repr`. `statement_timeout`: seconds.
    """

    dsn: str | None = field(default=None, repr=False)
    registry: Path | None = None
    policy: tuple[Path, ...] = ()
    metadata: str | None = None
    odoo_version: int | None = None
    statement_timeout: float | None = None
    debug: bool = False
    audit_dir: Path | None = None
    data_dir: Path
    project: Path

    @classmethod
    def load(
        cls,
        project: Path | None = None,
        *,
        file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> Settings:
        """The settings of the project in that folder (the current one by default).

        `file` or VALLUM_CONFIG names another file than the project's `vallum.toml` and must
        exist then. `overrides` are the values of the command line; None among them means: not given.

        Raises: SettingsError.
        """
        environ = os.environ if environ is None else environ
        project = (project or Path.cwd()).absolute()
        values: dict[str, Any] = {"data_dir": _data_dir(environ)}
        for source in (
            _from_file(project, file, environ),
            _from_environment(project, environ),
            _from_command_line(project, overrides or {}),
        ):
            values.update(source)
        return cls(project=project, **values)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value as it was given, and where: what a parser needs to accept or refuse it."""

    key: str
    raw: object
    folder: Path
    where: str
    from_file: bool = False

    def refuse(self, expected: str, fix: str | None = None) -> SettingsError:
        return SettingsError(f"`{self.key}` must be {expected}", where=self.where, fix=fix)

    def text(self) -> str:
        if not isinstance(self.raw, str | Path) or not str(self.raw).strip():
            raise self.refuse("a text that is not empty")
        return str(self.raw)


@dataclass(frozen=True, slots=True)
class _Setting:
    """One setting: how it is parsed and what it is for."""

    parse: Callable[[_Given], object]
    help: str


def _dsn(given: _Given) -> str:
    text = given.text()
    if given.from_file and _PASSWORD.search(text):
        raise SettingsError(
            "a password stands in the file",
            where=given.where,
            fix=f"remove it there and set {PREFIX}DSN, PGPASSWORD or ~/.pgpass instead",
        )
    return text


_PASSWORD: Final = re.compile(r"://[^/@\s]*:[^/@\s]+@|\b(?:ssl)?password\s*=", re.IGNORECASE)


def _path(given: _Given) -> Path:
    try:
        return given.folder / Path(given.text()).expanduser()
    except RuntimeError as error:
        raise given.refuse("a path", fix="write it without `~`") from error


def _paths(given: _Given) -> tuple[Path, ...]:
    raw = given.raw
    if isinstance(raw, str):
        # One text, as the environment has it: separated as in PATH.
        items: list[object] = [part for part in raw.split(os.pathsep) if part]
    elif isinstance(raw, list | tuple):
        items = list(raw)
    else:
        items = [raw]
    if not items:
        raise given.refuse("a path or a list of paths")
    return tuple(_path(_Given(given.key, item, given.folder, given.where)) for item in items)


def _metadata(given: _Given) -> str:
    text = given.text()
    module, _, attribute = text.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
        raise given.refuse("a module and the declarative base in it", fix="write it as `package.module:Base`")
    return text


def _odoo_version(given: _Given) -> int:
    known = " or ".join(map(str, ODOO_VERSIONS))
    if isinstance(given.raw, bool) or str(given.raw) not in map(str, ODOO_VERSIONS):
        raise given.refuse(f"{known}, the major versions of Odoo whose semantics Vallum has")
    return int(str(given.raw))


def _seconds(given: _Given) -> float:
    try:
        if isinstance(given.raw, bool):
            raise TypeError
        seconds = float(given.raw)  # type: ignore[arg-type]  # anything else is refused below
    except (TypeError, ValueError):
        raise given.refuse("a number of seconds") from None
    if not 0 < seconds <= 86_400:
        raise given.refuse("a number of seconds above 0, a day at most")
    return seconds


def _yes_or_no(given: _Given) -> bool:
    found = _YES_OR_NO.get(str(given.raw).lower())
    if found is None:
        raise given.refuse("yes or no", fix="write true or false, 1 or 0")
    return found


_YES_OR_NO: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


_SETTINGS: Final[Mapping[str, _Setting]] = MappingProxyType(
    {
        "dsn": _Setting(_dsn, "the database: postgresql://… or libpq's key=value form"),
        "registry": _Setting(_path, "the registry file exported from Odoo (registry.json.gz)"),
        "policy": _Setting(_paths, "folders with groups, access rights and record rules"),
        "metadata": _Setting(_metadata, "SQLAlchemy models: package.module:Base"),
        "odoo_version": _Setting(_odoo_version, "the Odoo version whose semantics apply, where not detected"),
        "statement_timeout": _Setting(_seconds, "seconds after which PostgreSQL gives a statement up"),
        "debug": _Setting(_yes_or_no, "whether the command line shows where in the code an error arose"),
        "audit_dir": _Setting(_path, "the audit log's folder: its keys, tiles and checkpoint"),
        "data_dir": _Setting(_path, "where Vallum keeps its own data, the embedded PostgreSQL among them"),
    }
)


def settings_reference() -> str:
    """One line per setting: its key, its environment variable, what it is for."""
    lines = [f"{key:<18} {PREFIX + key.upper():<25} {setting.help}" for key, setting in _SETTINGS.items()]
    return "\n".join(
        [*lines, f"{'':<18} {PREFIX + 'CONFIG':<25} another file than the project's {FILE_NAME}"]
    )


def _parsed(given: _Given) -> object:
    try:
        setting = _SETTINGS[given.key]
    except KeyError:
        raise SettingsError(
            f"no setting is called `{given.key}`",
            where=given.where,
            fix=_suggestion(given.key, _SETTINGS),
        ) from None
    return setting.parse(given)


def _from_file(project: Path, file: Path | None, environ: Mapping[str, str]) -> dict[str, object]:
    named = file or (Path(environ[PREFIX + "CONFIG"]) if environ.get(PREFIX + "CONFIG") else None)
    path = project / (named.expanduser() if named else FILE_NAME)
    if named is None and not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise SettingsError("the settings file cannot be read", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file is not TOML: {error}", where=str(path)) from None
    return {
        key: _parsed(_Given(key, raw, path.parent, f"{path}:{_line_of(key, text)}", from_file=True))
        for key, raw in content.items()
    }


def _from_environment(project: Path, environ: Mapping[str, str]) -> dict[str, object]:
    return {
        key: _parsed(_Given(key, raw, project, name))
        for name, raw in sorted(environ.items())
        if name.startswith(PREFIX) and (key := name.removeprefix(PREFIX).lower()) != "config" and raw
    }


def _from_command_line(project: Path, overrides: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _parsed(_Given(key, raw, project, f"--{key.replace('_', '-')}"))
        for key, raw in overrides.items()
        if raw is not None
    }


def _line_of(key: str, text: str) -> int:
    """The line a top-level key or table begins on (1 where it is written in a way not seen here)."""
    pattern = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*(?:[=.\]]|$)""")
    return next((n for n, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def _data_dir(environ: Mapping[str, str]) -> Path:
    """Where the platform wants a program's own data; the superuser's serve the machine, not his home."""
    if os.geteuid() == 0:
        return Path("/var/lib/vallum")
    base = Path(environ.get("XDG_DATA_HOME") or "")
    # The XDG specification: a relative path is to be ignored.
    return (base if base.is_absolute() else Path.home() / ".local" / "share") / "vallum"


def _suggestion(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"use `{near[0]}`" if near else "use one of " + ", ".join(f"`{n}`" for n in known)
