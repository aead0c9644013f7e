"""Secrets of providers that were typed into a page: each in a file of the data folder, never shown again.

A description names where its secret is kept. Whoever writes descriptions by a page must not name files of
the server at will: what is in them would be sent to the provider they name. So pages take the secret
itself.
Invariant: the file is its owner's alone (mode 0600), in a folder that is (0700).
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

from vallum.kernel import SettingsError

__all__ = ["keep_secret"]

_ID: Final = re.compile(r"\A[a-z][a-z0-9-]{0,39}\Z")


def keep_secret(folder: Path, provider_id: str, secret: str) -> str:
    """Keep it, in place of the one before; the name by which a description finds it.

    Raises: SettingsError, OSError.
    """
    if not _ID.match(provider_id):
        raise SettingsError("this cannot be the id of a provider", fix="use small letters, digits and dashes")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    path = folder / provider_id
    aside = folder / f".{provider_id}.{secrets.token_hex(8)}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secret)
    aside.rename(path)
    return f"file:{path}"
