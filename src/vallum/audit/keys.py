"""Keys in files: made once, readable by their owner alone, refused otherwise.

Whoever holds the signing key can sign another history; whoever holds the actor key can put words into
anybody's mouth. Neither may be where the database's administrator can read it.
Invariant: no error and no repr holds a key.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from vallum.audit.errors import KeyRefused
from vallum.audit.tiles import write_durably

__all__ = ["actor_key", "make_keys", "make_signing_key", "read_secret", "signing_key"]

ACTOR: Final = "actor.key"
SIGNING: Final = "signing.key"


def make_keys(folder: Path) -> None:
    """Make the keys that are not there yet. Raises: KeyRefused (one that is there is refused)."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / SIGNING).exists():
        make_signing_key(folder / SIGNING)
    if not (folder / ACTOR).exists():
        write_durably(folder / ACTOR, secrets.token_hex(32).encode() + b"\n", 0o600)
    signing_key(folder / SIGNING)
    actor_key(folder / ACTOR)


def make_signing_key(path: Path) -> None:
    """Make a key that signs. Raises: OSError."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_durably(path, pem, 0o600)


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The key that signs checkpoints. Raises: KeyRefused."""
    try:
        key = load_pem_private_key(read_secret(path), password=None)
    except (ValueError, TypeError):
        raise KeyRefused("the file holds no key in PEM", where=str(path)) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused("the key is none of Ed25519", where=str(path))
    return key


def actor_key(path: Path) -> bytes:
    """The key that applications and the sequencer share. Raises: KeyRefused."""
    try:
        key = bytes.fromhex(read_secret(path).decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) < 32:
        raise KeyRefused("the file holds no key of 32 bytes in hexadecimal", where=str(path))
    return key


def read_secret(path: Path) -> bytes:
    """What a file holds that its owner alone may read. Raises: KeyRefused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyRefused(
            f"the key cannot be read: {error.strerror}",
            where=str(path),
            fix="restore it from its copy; a new key is a new log",
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            raise KeyRefused("the key's file belongs to somebody else", where=str(path), fix="chown it")
        if status.st_mode & 0o077:
            raise KeyRefused(
                f"others may read the key (mode {stat.S_IMODE(status.st_mode):o})",
                where=str(path),
                fix="chmod it to 600; treat the key as known if others use this machine",
            )
        return file.read(65_536)
