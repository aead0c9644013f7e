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
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from vallum.kernel.errors import SettingsError
from vallum.kernel.given import (
    PREFIX,
    Given,
    address,
    choices,
    dsn,
    dsns,
    metadata,
    networks,
    odoo_version,
    path,
    paths,
    seconds,
    secret,
    table,
    text,
    texts,
    url_or,
    whole,
    yes_or_no,
)

__all__ = ["FILE_NAME", "PROTOCOLS", "Settings", "settings_reference", "tell_children"]

FILE_NAME: Final = "vallum.toml"
PROTOCOLS: Final = ("json2", "jsonrpc", "xmlrpc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What Vallum was told. Paths are absolute; None and empty mean: not told.

    `dsn` may hold a password and so stays out of `repr`. `statement_timeout`: seconds.
    """

    dsn: str | None = field(default=None, repr=False)
    replicas: tuple[str, ...] = field(default=(), repr=False)
    registry: Path | None = None
    policy: tuple[Path, ...] = ()
    metadata: str | None = None
    odoo_version: int | None = None
    statement_timeout: float | None = None
    debug: bool = False
    audit_dir: Path | None = None
    audit_sequence: bool = True
    audit_reads: tuple[str, ...] = ()
    store: str | None = field(default=None, repr=False)
    listen: tuple[str, int] = ("127.0.0.1", 8443)
    plain_http: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    workers: int = 1
    threads: int = 8
    metrics: tuple[str, int] | None = None
    protocols: tuple[str, ...] = PROTOCOLS
    database_name: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    body_limit: int = 8 * 2**20
    body_limit_strangers: int = 64 * 2**10
    body_timeout: float = 30.0
    max_rows: int = 100_000
    limits: str | None = field(default=None, repr=False)
    login_rate: int = 5
    login_burst: int = 3
    sso_rate: int = 60
    sso_burst: int = 30
    api_rate: int = 60
    api_burst: int = 20
    identity: Mapping[str, Any] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    secret_file: Path | None = None
    saml_key: Path | None = None
    mail_password: str | None = field(default=None, repr=False)
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
class _Setting:
    """One setting: how it is parsed and what it is for."""

    parse: Callable[[Given], object]
    help: str


_SETTINGS: Final[Mapping[str, _Setting]] = MappingProxyType(
    {
        "dsn": _Setting(dsn, "the database: postgresql://… or libpq's key=value form"),
        "replicas": _Setting(dsns, "standby servers of the database, which calls that read may ask: DSNs"),
        "registry": _Setting(path, "the registry file exported from Odoo (registry.json.gz)"),
        "policy": _Setting(paths, "folders with groups, access rights and record rules"),
        "metadata": _Setting(metadata, "SQLAlchemy models: package.module:Base"),
        "odoo_version": _Setting(odoo_version, "the Odoo version whose semantics apply, where not detected"),
        "statement_timeout": _Setting(seconds, "seconds after which PostgreSQL gives a statement up"),
        "debug": _Setting(yes_or_no, "whether the command line shows where in the code an error arose"),
        "store": _Setting(dsn, "the database for Vallum's own tables, where not the application's own"),
        "listen": _Setting(address, "where the server listens: address:port"),
        "plain_http": _Setting(yes_or_no, "whether the server speaks HTTP without TLS, on loopback only"),
        "tls_cert": _Setting(path, "the server's certificate and those up to its CA, in PEM"),
        "tls_key": _Setting(path, "the private key of the certificate, in PEM"),
        "workers": _Setting(whole(1, 256), "processes that serve"),
        "threads": _Setting(whole(1, 256), "requests each of them works on at a time"),
        "metrics": _Setting(address, "where Prometheus may ask for metrics: address:port"),
        "protocols": _Setting(choices(*PROTOCOLS), "the protocols spoken: " + ", ".join(PROTOCOLS)),
        "database_name": _Setting(text, "the name clients know the database by"),
        "allowed_hosts": _Setting(texts, "the names the server is reached by; *.example.com for all below"),
        "trusted_proxies": _Setting(networks, "networks of proxies whose X-Forwarded-For is believed"),
        "addresses": _Setting(
            texts, "who may come from where: `user marie 192.0.2.0/24`, `all !203.0.113.9`"
        ),
        "body_limit": _Setting(whole(1_024, 2**31), "bytes of a request's body at most"),
        "body_limit_strangers": _Setting(
            whole(1_024, 2**31), "bytes of the body of a request that shows neither key nor session"
        ),
        "body_timeout": _Setting(seconds, "seconds within which a request must have arrived"),
        "max_rows": _Setting(whole(1, 10_000_000), "records of one answer at most"),
        "limits": _Setting(
            url_or("memory", "postgres"), "where requests are counted: memory, postgres, valkey://…"
        ),
        "login_rate": _Setting(whole(1, 1_000_000), "attempts to sign in a minute, of an address or name"),
        "login_burst": _Setting(whole(1, 1_000_000), "of them at once"),
        "sso_rate": _Setting(
            whole(1, 1_000_000), "steps of signing in elsewhere a minute, of each kind and address"
        ),
        "sso_burst": _Setting(whole(1, 1_000_000), "of them at once"),
        "api_rate": _Setting(whole(1, 100_000_000), "calls a minute, of a key and of an address"),
        "api_burst": _Setting(whole(1, 100_000_000), "of them at once"),
        "identity": _Setting(table, "sign-in: a table of its own, see docs/how-to/accounts.md"),
        "secret": _Setting(secret, "the secret of sign-in in base64, 32 bytes; not in the file"),
        "secret_file": _Setting(path, "the file with that secret, made where it is missing"),
        "saml_key": _Setting(path, "the file with our keys of SAML, made by `vallum sso key`"),
        "mail_password": _Setting(secret, "the password for the mail server; not in the file"),
        "audit_dir": _Setting(path, "the audit log's folder: its keys, tiles and checkpoint"),
        "audit_sequence": _Setting(yes_or_no, "whether the server also sequences and signs the audit log"),
        "audit_reads": _Setting(
            texts, "models whose reads are recorded: hr.payslip, hr.*, or `sensitive` for a choice"
        ),
        "data_dir": _Setting(path, "where Vallum keeps its own data, the embedded PostgreSQL among them"),
    }
)


def tell_children(name: str, value: str) -> None:
    """Set a variable of the environment, for libraries that read it and for processes started later."""
    os.environ[name] = value


def settings_reference() -> str:
    """All settings as a table in Markdown: key, environment variable, default, what it is."""
    defaults = {f.name: f.default for f in fields(Settings) if f.default is not MISSING}
    lines = [
        f"| `{key}` | `{PREFIX}{key.upper()}` | {_shown(defaults.get(key))} | {setting.help} |"
        for key, setting in _SETTINGS.items()
    ]
    config = f"|  | `{PREFIX}CONFIG` |  | another file than the project's {FILE_NAME} |"
    return "\n".join(["| key | variable | default | what it is |", "|---|---|---|---|", *lines, config])


def _shown(default: object) -> str:
    """A default as it would be written in the file; nothing where there is none."""
    match default:
        case None | () | Mapping():
            return ""
        case bool():
            return f"`{str(default).lower()}`"
        case (str() as host, int() as port):
            return f"`{host}:{port}`"
        case tuple():
            return f"`{', '.join(map(str, default))}`"
        case float():
            return f"`{default:g}`"
    return f"`{default}`"


def _parsed(given: Given) -> object:
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
        key: _parsed(Given(key, raw, path.parent, f"{path}:{_line_of(key, text)}", from_file=True))
        for key, raw in content.items()
    }


def _from_environment(project: Path, environ: Mapping[str, str]) -> dict[str, object]:
    return {
        key: _parsed(Given(key, raw, project, name))
        for name, raw in sorted(environ.items())
        if name.startswith(PREFIX) and (key := name.removeprefix(PREFIX).lower()) != "config" and raw
    }


def _from_command_line(project: Path, overrides: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _parsed(Given(key, raw, project, f"--{key.replace('_', '-')}"))
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
