"""Values of settings as they were given, and the parsers that accept or refuse them.

Strict: a value of the wrong form is an error that says where it stands and how to mend it.
Invariant: a secret is not taken from a file, which may be shared.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from vallum.kernel.errors import SettingsError

__all__ = [
    "ODOO_VERSIONS",
    "PREFIX",
    "Given",
    "address",
    "choices",
    "dsn",
    "dsns",
    "metadata",
    "networks",
    "odoo_version",
    "path",
    "paths",
    "seconds",
    "secret",
    "table",
    "text",
    "texts",
    "url_or",
    "whole",
    "yes_or_no",
]

PREFIX: Final = "VALLUM_"
ODOO_VERSIONS: Final = (18, 19)


@dataclass(frozen=True, slots=True)
class Given:
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


def dsn(given: Given) -> str:
    text = given.text()
    if given.from_file and _PASSWORD.search(text):
        raise SettingsError(
            "a password stands in the file",
            where=given.where,
            fix=f"remove it there and set {PREFIX}{given.key.upper()}, PGPASSWORD or ~/.pgpass instead",
        )
    return text


def dsns(given: Given) -> tuple[str, ...]:
    """A list of DSNs; in one text, TOML's list of them, or one DSN: it may hold any separator itself."""
    raw = given.raw
    if isinstance(raw, str) and raw.lstrip().startswith("["):
        try:
            raw = tomllib.loads(f"list = {raw}")["list"]
        except tomllib.TOMLDecodeError:
            # Not chained: it would quote what may hold a password.
            raise given.refuse("a DSN or a list of DSNs", fix='write ["postgresql://…"]') from None
    items = list(raw) if isinstance(raw, list | tuple) else [raw]
    if not items:
        raise given.refuse("a DSN or a list of DSNs")
    return tuple(dsn(Given(given.key, item, given.folder, given.where, given.from_file)) for item in items)


_PASSWORD: Final = re.compile(r"://[^/@\s]*:[^/@\s]+@|\b(?:ssl)?password\s*=", re.IGNORECASE)


def path(given: Given) -> Path:
    try:
        return given.folder / Path(given.text()).expanduser()
    except RuntimeError as error:
        raise given.refuse("a path", fix="write it without `~`") from error


def paths(given: Given) -> tuple[Path, ...]:
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
    return tuple(path(Given(given.key, item, given.folder, given.where)) for item in items)


def metadata(given: Given) -> str:
    text = given.text()
    module, _, attribute = text.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
        raise given.refuse("a module and the declarative base in it", fix="write it as `package.module:Base`")
    return text


def odoo_version(given: Given) -> int:
    known = " or ".join(map(str, ODOO_VERSIONS))
    if isinstance(given.raw, bool) or str(given.raw) not in map(str, ODOO_VERSIONS):
        raise given.refuse(f"{known}, the major versions of Odoo whose semantics Vallum has")
    return int(str(given.raw))


def seconds(given: Given) -> float:
    try:
        if isinstance(given.raw, bool):
            raise TypeError
        seconds = float(given.raw)  # type: ignore[arg-type]  # anything else is refused below
    except (TypeError, ValueError):
        raise given.refuse("a number of seconds") from None
    if not 0 < seconds <= 86_400:
        raise given.refuse("a number of seconds above 0, a day at most")
    return seconds


def yes_or_no(given: Given) -> bool:
    found = _YES_OR_NO.get(str(given.raw).lower())
    if found is None:
        raise given.refuse("yes or no", fix="write true or false, 1 or 0")
    return found


_YES_OR_NO: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _items(given: Given) -> list[object]:
    """The items of a list, or of one text separated by commas, as the environment has it."""
    raw = given.raw
    if isinstance(raw, str):
        return [part.strip() for part in raw.split(",") if part.strip()]
    return list(raw) if isinstance(raw, list | tuple) else [raw]


def secret(given: Given) -> str:
    """A secret: from the environment alone."""
    if given.from_file:
        raise SettingsError(
            "a secret stands in the file",
            where=given.where,
            fix=f"remove it there and set {PREFIX}{given.key.upper()} instead",
        )
    return given.text()


def table(given: Given) -> Mapping[str, Any]:
    """A table, or TOML's text of one, as the environment has it."""
    if isinstance(given.raw, str):
        try:
            return tomllib.loads(given.raw)
        except tomllib.TOMLDecodeError:
            raise given.refuse("a table", fix='write TOML: passwords.policy = "guide"') from None
    if not isinstance(given.raw, dict):
        raise given.refuse("a table")
    return given.raw


def text(given: Given) -> str:
    """A text."""
    return given.text()


def texts(given: Given) -> tuple[str, ...]:
    """A list of texts."""
    found = [Given(given.key, item, given.folder, given.where).text() for item in _items(given)]
    if not found:
        raise given.refuse("a text or a list of texts")
    return tuple(found)


def networks(given: Given) -> tuple[str, ...]:
    """A list of addresses and networks."""
    found = texts(given)
    for text in found:
        try:
            ip_network(text)
        except ValueError:
            raise given.refuse("a list of addresses and networks", fix="write `192.0.2.0/24`") from None
    return found


def choices(*known: str) -> Callable[[Given], tuple[str, ...]]:
    """A list of some of the known texts."""

    def parse(given: Given) -> tuple[str, ...]:
        found = texts(given)
        if not set(found) <= set(known):
            raise given.refuse("a list of " + ", ".join(known))
        return found

    return parse


def whole(least: int, most: int) -> Callable[[Given], int]:
    """A whole number within bounds."""

    def parse(given: Given) -> int:
        text = str(given.raw)
        if isinstance(given.raw, bool) or not re.fullmatch(r"[0-9]{1,12}", text):
            raise given.refuse("a whole number")
        if not least <= int(text) <= most:
            raise given.refuse(f"a whole number from {least} to {most}")
        return int(text)

    return parse


def address(given: Given) -> tuple[str, int]:
    """A host and a port: `127.0.0.1:8443`, `[::1]:8443`."""
    host, colon, port = given.text().rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65_535:
        raise given.refuse("an address and a port", fix="write it as `127.0.0.1:8443`")
    return host.removeprefix("[").removesuffix("]"), int(port)


def url_or(*known: str) -> Callable[[Given], str]:
    """One of the known texts, or the URL of a Valkey or Redis."""

    def parse(given: Given) -> str:
        text = given.text()
        if text in known:
            return text
        if not re.match(r"(valkeys?|rediss?)://", text):
            raise given.refuse(", ".join(known) + " or an URL such as valkey://localhost:6379/0")
        if given.from_file and _PASSWORD.search(text):
            raise SettingsError(
                "a password stands in the file",
                where=given.where,
                fix=f"remove it there and set {PREFIX}{given.key.upper()} instead",
            )
        return text

    return parse
