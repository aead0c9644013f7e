"""Places outside of the database that keep checkpoints: `anchors.toml` in the log's folder says which.

Trust: whoever controls the database, the folder and every anchor can rewrite history unseen; one anchor on a
machine of somebody else's ends that.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from vallum.audit.anchors.file import FileAnchor
from vallum.audit.anchors.http import HttpAnchor
from vallum.audit.anchors.s3 import S3Anchor
from vallum.audit.anchors.timestamp import TimestampAnchor
from vallum.audit.anchors.witness import WitnessAnchor
from vallum.audit.publisher import Anchor
from vallum.audit.state import Home
from vallum.kernel import SettingsError

__all__ = ["FileAnchor", "HttpAnchor", "S3Anchor", "TimestampAnchor", "WitnessAnchor", "read_anchors"]

_HTTP: Final = {"url": str, "plain_http": bool}
_TYPES: Final[Mapping[str, tuple[Callable[..., Anchor], Mapping[str, type], frozenset[str]]]] = {
    "file": (FileAnchor, {"path": str}, frozenset({"path"})),
    "http": (HttpAnchor, {**_HTTP, "token_file": str}, frozenset({"url"})),
    "s3": (
        S3Anchor,
        {
            **_HTTP,
            "region": str,
            "credentials": str,
            "profile": str,
            "retain_days": int,
            "lock": str,
            "every": int,
        },
        frozenset({"url", "region", "credentials"}),
    ),
    "witness": (WitnessAnchor, {**_HTTP, "key": str}, frozenset({"url", "key"})),
    "timestamp": (TimestampAnchor, {**_HTTP, "roots": str, "every": int}, frozenset({"url", "roots"})),
}
_PATHS: Final = ("path", "roots", "token_file", "credentials")


def read_anchors(home: Home) -> list[Anchor]:
    """The anchors of a log; none where nothing names any. Paths are below the log's folder.

    Raises: SettingsError.
    """
    path = home.folder / "anchors.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the anchors cannot be read: {error}", where=str(path)) from None
    unknown = set(content) - {"anchor"}
    if unknown or not isinstance(content.get("anchor", []), list):
        raise SettingsError("the file holds tables [[anchor]] and nothing else", where=str(path))
    return [
        _anchor(home.folder, given, f"{path}, anchor {n}") for n, given in enumerate(content["anchor"], 1)
    ]


def _anchor(folder: Path, given: Any, where: str) -> Anchor:
    if not isinstance(given, dict) or given.get("type") not in _TYPES:
        raise SettingsError("an anchor has a type", where=where, fix="use one of " + ", ".join(_TYPES))
    make, known, needed = _TYPES[given["type"]]
    values = {name: value for name, value in given.items() if name != "type"}
    for name, value in values.items():
        if name not in known or not isinstance(value, known[name]):
            raise SettingsError(
                f"`{name}` is none of its settings", where=where, fix="use " + ", ".join(known)
            )
    if needed - set(values):
        raise SettingsError(f"`{min(needed - set(values))}` is missing", where=where)
    for name in _PATHS:
        if name in values:
            values[name] = folder / Path(str(values[name])).expanduser()
    try:
        return make(**values)
    except SettingsError as error:
        raise SettingsError(error.what, where=f"{where}: {error.where}", fix=error.fix) from None
