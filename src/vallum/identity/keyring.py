"""The secret outside the database: a pepper for passwords, and the key that seals what must be read again.

Purposes are kept apart by HKDF. The newest secret is used, older ones are still understood, so that
one can be replaced without a day on which nobody can sign in.
Trust: who has the database alone can try out no password and open no sealed value; who has both can.
Invariant: the file is its owner's alone (mode 0600), or it is refused.
"""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import hmac
import os
import secrets
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vallum.kernel import SettingsError

__all__ = ["Keyring"]

_LENGTH: Final = 32
_NONCE: Final = 12
_ID: Final = 4


@dataclass(frozen=True)
class Keyring:
    """Secrets of 256 bits, the newest first. They stay out of `repr`."""

    secrets: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.secrets or any(len(secret) != _LENGTH for secret in self.secrets):
            raise SettingsError(
                "the secret of sign-in is not 32 bytes",
                where="VALLUM_SECRET",
                fix="make one with `openssl rand -base64 32`",
            )

    @classmethod
    def new(cls) -> Self:
        """One new secret."""
        return cls((secrets.token_bytes(_LENGTH),))

    @classmethod
    def parse(cls, text: str, where: str = "VALLUM_SECRET") -> Self:
        """Secrets in base64, separated by white space, the newest first.

        Raises: SettingsError.
        """
        try:
            return cls(tuple(b64decode(part, validate=True) for part in text.split()))
        except binascii.Error:
            raise SettingsError(
                "the secret of sign-in is not base64",
                where=where,
                fix="make one with `openssl rand -base64 32`",
            ) from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """The secrets in a file; a new one where there is no such file yet.

        Raises: SettingsError (others can read it, or it holds something else), OSError.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write_new(path)
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise SettingsError(
                "others than its owner can reach the secret of sign-in",
                where=str(path),
                fix=f"chmod 600 {path}; replace the secret where someone may have read it",
            )
        return cls.parse(path.read_text(encoding="ascii", errors="replace"), str(path))

    @cached_property
    def _by_id(self) -> dict[bytes, bytes]:
        return {_id(secret): secret for secret in self.secrets}

    @property
    def newest(self) -> str:
        """The id of the secret that is used now, in hexadecimal digits."""
        return _id(self.secrets[0]).hex()

    def peppered(self, password: str, key_id: str) -> bytes | None:
        """The password under the pepper of that secret; None where the secret is gone."""
        secret = next((s for found, s in self._by_id.items() if found.hex() == key_id), None)
        if secret is None:
            return None
        key = _derived(secret, b"password pepper")
        return b64encode(hmac.digest(key, password.encode("utf-8", "surrogatepass"), "sha256"))

    def tag(self, purpose: str, text: str) -> str:
        """A tag only a holder of the newest secret can make; for what is given out and comes back."""
        key = _derived(self.secrets[0], b"tag " + purpose.encode())
        return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()

    def seal(self, purpose: str, plain: bytes) -> bytes:
        """The value encrypted and authenticated; it opens for the same purpose only."""
        secret, nonce = self.secrets[0], secrets.token_bytes(_NONCE)
        box = AESGCM(_derived(secret, b"seal")).encrypt(nonce, plain, purpose.encode())
        return _id(secret) + nonce + box

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """What was sealed.

        Raises: SettingsError (its secret is gone, or the value was changed).
        """
        secret = self._by_id.get(sealed[:_ID])
        try:
            if secret is None:
                raise InvalidTag
            nonce, box = sealed[_ID : _ID + _NONCE], sealed[_ID + _NONCE :]
            return AESGCM(_derived(secret, b"seal")).decrypt(nonce, box, purpose.encode())
        except (InvalidTag, ValueError):
            raise SettingsError(
                "a sealed value does not open with the secrets there are",
                where="VALLUM_SECRET",
                fix="give the secret it was sealed with as well, after the newest one",
            ) from None


def _write_new(path: Path) -> None:
    """Write one new secret; whole before it has its name, so that no other process reads half of it."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(b64encode(secrets.token_bytes(_LENGTH)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # A link fails where another process was first: then its secret is the one.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _id(secret: bytes) -> bytes:
    return hashlib.sha256(b"vallum secret id" + secret).digest()[:_ID]


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_LENGTH, salt=None, info=b"vallum " + purpose).derive(secret)
