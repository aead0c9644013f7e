"""The values that entries only commit to: read with their salts, and checked before anybody sees them.

Pure. A value that does not fit its commitment was changed after it was recorded: it is named, never shown.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from vallum.audit.canonical import Json, canonical, commitment, is_commitment, salt_of

__all__ = ["ALTERED", "ERASED", "committed", "opened", "salted", "without"]

ERASED: Final = "(erased)"
ALTERED: Final = "(altered)"


def salted(seed: bytes | None, secret: str | None) -> dict[str, tuple[bytes, Json]]:
    """Salt and value by label. After an erasure each value that is left has its own salt beside it."""
    if secret is None:
        return {}
    values: dict[str, Json] = json.loads(secret)
    if seed is not None:
        return {label: (salt_of(seed, label), value) for label, value in values.items()}
    return {label: (bytes.fromhex(at["salt"]), at["value"]) for label, at in values.items()}


def without(seed: bytes | None, secret: str, labels: Iterable[str]) -> str | None:
    """What is left to keep, with its salts, when these labels go; None where nothing is."""
    gone = set(labels)
    left = {
        label: {"salt": salt.hex(), "value": value}
        for label, (salt, value) in salted(seed, secret).items()
        if label not in gone
    }
    return canonical(left) if left else None


def committed(content: Mapping[str, Any]) -> dict[str, str]:
    """The commitments of an entry, in hexadecimal, by label."""
    found: dict[str, str] = {}
    for side in ("actor", "key", "new", "old"):
        for name, value in (content.get(side) or {}).items():
            if is_commitment(value):
                found[f"{side}.{name}"] = value["sha256"]
    return found


def opened(
    content: Mapping[str, Any], values: Mapping[str, tuple[bytes, Json]]
) -> tuple[dict[str, Any], list[str]]:
    """The entry with its values in place of commitments, and the labels whose value was altered."""
    found = dict(content)
    altered: list[str] = []
    for label, digest in committed(content).items():
        side, _, name = label.partition(".")
        shown: Json = ERASED
        if label in values:
            salt, value = values[label]
            if hmac.compare_digest(commitment(label, salt, value)["sha256"], digest):
                shown = value
            else:
                altered.append(label)
                shown = ALTERED
        found[side] = {**found[side], name: shown}
    return found, altered
