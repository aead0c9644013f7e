"""Signed notes, checkpoints of a log, and the cosignatures of witnesses.

Pure: bytes in, bytes out; keys are handed in.
Source: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from vallum.audit.errors import MalformedNote

__all__ = ["COSIGNATURE", "ED25519", "Checkpoint", "Note", "Signature", "Signer", "Verifier", "check_name"]

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
# What a reader of notes accepts at most.
MAX_NOTE: Final = 1 << 20
MAX_SIGNATURES: Final = 64
_NAME: Final = re.compile(r"[^\s+\x00-\x20]{1,255}")
_LINE: Final = re.compile(r"— (\S+) ([A-Za-z0-9+/=]+)")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


def check_name(name: str) -> str:
    """The name, where it can be one of a key or a log. Raises: MalformedNote."""
    if not _NAME.fullmatch(name):
        raise MalformedNote(f"{name!r} cannot be the name of a log", fix="write it as a host and a path")
    return name


def _key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        # What is not ASCII is one as well, and no binascii.Error.
        raise MalformedNote(f"{what} is no base64") from None


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: `content` is what follows the key id."""

    name: str
    key_id: bytes
    content: bytes

    def line(self) -> str:
        """As it stands in a note."""
        return f"— {self.name} {base64.b64encode(self.key_id + self.content).decode()}\n"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Raises: MalformedNote."""
        found = _LINE.fullmatch(line)
        data = _decoded(found[2], "a signature") if found else b""
        if found is None or len(data) < 5:
            raise MalformedNote("a signature line cannot be read")
        return cls(check_name(found[1]), data[:4], data[4:])


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key under its name. `kind`: a log's own signature, or a witness's."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand for the key."""
        return _key_id(self.name, self.kind, self.public)

    @property
    def text(self) -> str:
        """The key as others write it down."""
        key = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: MalformedNote."""
        name, _, rest = text.strip().partition("+")
        digits, _, encoded = rest.partition("+")
        data = _decoded(encoded, "the key")
        if len(data) != 33 or data[0] not in (ED25519, COSIGNATURE):
            raise MalformedNote("the key is none of Ed25519", where=name)
        found = cls(check_name(name), data[1:], data[0])
        if found.key_id.hex() != digits:
            raise MalformedNote("the key does not fit its own name and id", where=name)
        return found

    def verify(self, text: str, signature: Signature) -> int | None:
        """When a witness signed, in seconds since 1970; None for a log's signature. Raises: MalformedNote."""
        content, message, when = signature.content, text.encode(), None
        if self.kind == COSIGNATURE:
            when = int.from_bytes(content[:8], "big")
            content, message = content[8:], f"cosignature/v1\ntime {when}\n{text}".encode()
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(content, message)
        except (InvalidSignature, ValueError):
            raise MalformedNote("a signature does not hold", where=self.name) from None
        return when


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """A private key under its name."""

    name: str
    key: Ed25519PrivateKey
    kind: int = ED25519

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, self.key.public_key().public_bytes_raw(), self.kind)

    def sign(self, text: str, when: int = 0) -> Signature:
        """A signature of a note's text; a witness says when."""
        if self.kind == ED25519:
            return Signature(self.name, self.verifier.key_id, self.key.sign(text.encode()))
        signed = self.key.sign(f"cosignature/v1\ntime {when}\n{text}".encode())
        return Signature(self.name, self.verifier.key_id, when.to_bytes(8, "big") + signed)


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signatures."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(s.line() for s in self.signatures)

    @classmethod
    def parse(cls, note: str) -> Self:
        """Raises: MalformedNote."""
        text, gap, lines = note.rpartition("\n\n")
        if not gap or len(note) > MAX_NOTE or not lines.endswith("\n"):
            raise MalformedNote("this is no signed note")
        if any(ord(c) < 32 and c != "\n" for c in note):
            raise MalformedNote("a note holds no control characters")
        signatures = lines[:-1].split("\n")
        if len(signatures) > MAX_SIGNATURES:
            raise MalformedNote("the note has too many signatures")
        return cls(text + "\n", tuple(Signature.parse(line) for line in signatures))

    def verified_by(self, keys: Iterable[Verifier]) -> list[tuple[Verifier, int | None]]:
        """The keys among these that signed, and when. Raises: MalformedNote (a signature is wrong)."""
        known = {(key.name, key.key_id): key for key in keys}
        found: list[tuple[Verifier, int | None]] = []
        for signature in self.signatures:
            key = known.pop((signature.name, signature.key_id), None)
            if key is not None:
                found.append((key, key.verify(self.text, signature)))
        return found

    def adding(self, signatures: Sequence[Signature]) -> Note:
        """The note with further signatures, one a key."""
        have = {(s.name, s.key_id) for s in self.signatures}
        return Note(self.text, (*self.signatures, *(s for s in signatures if (s.name, s.key_id) not in have)))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its name, its size, its root."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: MalformedNote."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]) or not _SIZE.fullmatch(lines[1]):
            raise MalformedNote("this is no checkpoint")
        root = _decoded(lines[2], "the root")
        if len(root) != 32:
            raise MalformedNote("the root is no SHA-256 hash")
        return cls(check_name(lines[0]), int(lines[1]), root)

    def signed(self, signer: Signer) -> Note:
        """The checkpoint as a note."""
        return Note(self.text, (signer.sign(self.text),))
