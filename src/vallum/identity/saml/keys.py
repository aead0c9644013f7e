"""The keys with which requests are signed and assertions are decrypted: in a file of the data folder.

The file holds pairs of a private key and its certificate, in PEM. The first one signs; all are published, and
all decrypt: so a key is replaced without a day on which nobody can sign in. First the next one is added and
the providers take over the metadata, then it is switched to, then the old one is dropped.
Trust: whoever reads the file can ask providers in our name, and read assertions that were meant for us; they
cannot be anybody by it.
Invariant: the file is its owner's alone (mode 0600), or it is refused.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import stat
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from vallum.kernel import Settings, SettingsError

__all__ = ["KeyFile", "ServiceKey", "key_file", "no_keys"]

_BITS: Final = 3072
# Providers take over the key, not its dates; some refuse a certificate that has ended all the same.
_LIFETIME: Final = timedelta(days=3650)
_SKEW: Final = timedelta(hours=1)
_MOST: Final = 3
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----\n.+?-----END \1-----\n?", re.DOTALL)


@dataclass(frozen=True)
class ServiceKey:
    """A private key and the certificate for the metadata, both PEM."""

    key: str = field(repr=False)
    certificate: str = field(repr=False)

    @cached_property
    def rsa(self) -> rsa.RSAPrivateKey:
        """Raises: SettingsError."""
        try:
            key = load_pem_private_key(self.key.encode(), None)
        except (ValueError, TypeError) as error:
            raise SettingsError("the key of SAML cannot be read", where="saml_key") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise SettingsError("the key of SAML is no RSA key", where="saml_key")
        return key

    @cached_property
    def known(self) -> x509.Certificate:
        """The certificate. Raises: SettingsError."""
        try:
            return x509.load_pem_x509_certificate(self.certificate.encode())
        except ValueError as error:
            raise SettingsError("the certificate of SAML cannot be read", where="saml_key") from error

    @property
    def fingerprint(self) -> str:
        """By which people compare it: SHA-256 of the certificate."""
        return self.known.fingerprint(SHA256()).hex(":")


def no_keys() -> tuple[ServiceKey, ...]:
    """Where no key was made."""
    return ()


class KeyFile:
    """The file, read again where it has changed. Safe to be shared by threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._seen: tuple[tuple[int, int, int], tuple[ServiceKey, ...]] | None = None

    def __call__(self) -> tuple[ServiceKey, ...]:
        """The keys, the one that signs first; none where there is no file.

        Raises: SettingsError (others can read it, or it holds something else).
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return ()
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise SettingsError(
                "others than its owner can reach the key of SAML",
                where=str(self.path),
                fix=f"chmod 600 {self.path}; replace the key where someone may have read it",
            )
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        with self._lock:
            if self._seen is None or self._seen[0] != mark:
                self._seen = (mark, self._parsed(self.path.read_text(encoding="ascii", errors="replace")))
            return self._seen[1]

    def make(self, now: datetime) -> tuple[ServiceKey, ...]:
        """The keys; a first one where there is none."""
        return self() or self._write((_new(now),))

    def add(self, now: datetime) -> tuple[ServiceKey, ...]:
        """One more, which is published and decrypts, but does not sign yet.

        Raises: SettingsError.
        """
        keys = self()
        if len(keys) >= _MOST:
            raise SettingsError(
                f"there are {len(keys)} keys already", where=str(self.path), fix="drop the old ones first"
            )
        return self._write((*keys, _new(now)))

    def switch(self) -> tuple[ServiceKey, ...]:
        """Sign with the key that was added last.

        Raises: SettingsError (there is no other).
        """
        keys = self()
        if len(keys) < 2:
            raise SettingsError("there is no other key to switch to", where=str(self.path), fix="add one")
        return self._write((keys[-1], *keys[:-1]))

    def drop(self) -> tuple[ServiceKey, ...]:
        """Keep the key that signs, and no other."""
        keys = self()
        return self._write(keys[:1]) if len(keys) > 1 else keys

    def _parsed(self, text: str) -> tuple[ServiceKey, ...]:
        blocks = [(match[1], match[0]) for match in _BLOCK.finditer(text)]
        kinds = ["CERTIFICATE" if kind == "CERTIFICATE" else "KEY" for kind, _ in blocks]
        if not blocks or kinds != ["KEY", "CERTIFICATE"] * (len(blocks) // 2):
            raise SettingsError(
                "this file holds no pairs of a key and its certificate",
                where=str(self.path),
                fix="let it be made by `vallum sso key`",
            )
        texts = [block for _, block in blocks]
        keys = tuple(ServiceKey(*pair) for pair in zip(texts[::2], texts[1::2], strict=True))
        for one in keys:
            if one.rsa.public_key() != one.known.public_key():
                raise SettingsError("a certificate is of another key", where=str(self.path))
        return keys

    def _write(self, keys: tuple[ServiceKey, ...]) -> tuple[ServiceKey, ...]:
        """Aside and renamed, so that no reader finds half of it, nor a file that others may read."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("".join(one.key + one.certificate for one in keys))
            file.flush()
            os.fsync(file.fileno())
        aside.rename(self.path)
        return keys


def key_file(settings: Settings) -> KeyFile:
    """The file the settings name, or the one of the data folder."""
    return KeyFile(settings.saml_key or settings.data_dir / "saml.key")


def _new(now: datetime) -> ServiceKey:
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Vallum at {socket.gethostname()}"[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ServiceKey(private.decode(), certificate.public_bytes(Encoding.PEM).decode())
