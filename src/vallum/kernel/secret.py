"""Secrets, which settings and tables only name: `file:/run/secrets/x`, or `env:NAME`.

Beside `settings`, the only module that reads the environment.
Invariant: no error holds a secret, or a part of one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vallum.kernel.errors import SettingsError

__all__ = ["check_secret_name", "read_secret"]

_NAME: Final = re.compile(r"\A(?:file:/[^\x00]+|env:[A-Za-z_][A-Za-z0-9_]*)\Z")
_LONGEST: Final = 64 * 1024


def check_secret_name(name: str, *, where: str | None = None) -> str:
    """The name, if it is one of a secret. Raises: SettingsError, which does not show it."""
    if not _NAME.match(name):
        # What was given may be the secret itself.
        raise SettingsError(
            "this does not say where a secret is kept",
            where=where,
            fix="write `file:/absolute/path` or `env:NAME`, never the secret itself",
        )
    return name


def read_secret(name: str, *, where: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """The secret of that name, without a closing line break.

    >>> read_secret("env:CLIENT", environ={"CLIENT": "s3cret"})
    's3cret'

    Raises: SettingsError.
    """
    kind, _, rest = check_secret_name(name, where=where).partition(":")
    if kind == "env":
        value = (os.environ if environ is None else environ).get(rest, "")
    else:
        try:
            with Path(rest).open(encoding="utf-8") as file:
                value = file.read(_LONGEST).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the secret {name} cannot be read", where=where) from error
    if not value:
        raise SettingsError(f"the secret {name} is empty or not there", where=where)
    return value
