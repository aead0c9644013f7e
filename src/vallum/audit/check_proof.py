"""Check a proof that an event is in an audit log. One file, Python 3.9 or later and nothing else.

    python check_proof.py proof.json --log-key 'log.example/shop+1a2b3c4d+AT…' [--witness-key '…+…+…']

The bundle itself says which key signed it, and that proves nothing: give the key as its owner published it.
It checks, in this order, that
1. the checkpoint is signed by the log's key, and by each witness key that was given;
2. the path leads from the entry to the root of the checkpoint (RFC 6962, section 2.1.1);
3. every disclosed value is the one that the entry commits to.
A time stamp token (RFC 3161) is not checked here: --timestamp FILE writes it out for `openssl ts -verify`.
Exit code 0: it holds; 1: it does not; 2: wrong use.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from typing import Any, Dict, List, NoReturn, Optional, Tuple  # noqa: UP035 - Python 3.9

# Ed25519, RFC 8032 section 6: slow, and short enough to be read. Verification needs no secrets.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Point = Tuple[int, int, int, int]  # noqa: UP006


def _recover(encoded: bytes) -> Point:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        raise ValueError("not a point")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        raise ValueError("not a point")
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def _add(a: Point, b: Point) -> Point:
    w, x = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    y, z = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = x - w, z - y, z + y, x + w
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _multiply(factor: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            found = _add(found, point)
        point, factor = _add(point, point), factor >> 1
    return found


def ed25519_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's, over the message."""
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        key, r = _recover(public), _recover(signature[:32])
    except ValueError:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= Q:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    base = _recover((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    left, right = _multiply(s, base), _add(r, _multiply(h, key))
    return not (
        (left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P
    )


class Wrong(Exception):
    """The proof does not hold."""


def key_of(text: str) -> Tuple[str, bytes, int, bytes]:  # noqa: UP006
    """Name, key id, kind and public key, as a key is written down."""
    try:
        name, digits, encoded = text.strip().split("+", 2)
        data = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise Wrong("a key cannot be read: name+id+key") from None
    key_id = hashlib.sha256(name.encode() + b"\n" + data).digest()[:4]
    if key_id.hex() != digits or len(data) != 33 or data[0] not in (1, 4):
        raise Wrong("the key of " + name + " is damaged")
    return name, key_id, data[0], data[1:]


def check_note(note: str, key: str) -> str:
    """The signed text, where the key has signed it."""
    text, gap, lines = note.rpartition("\n\n")
    name, key_id, kind, public = key_of(key)
    text += "\n"
    for line in lines.splitlines() if gap else ():
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "—" or parts[1] != name:
            continue
        data = base64.b64decode(parts[2], validate=True)
        if data[:4] != key_id:
            continue
        message, signature = text.encode(), data[4:]
        if kind == 4:
            when = int.from_bytes(signature[:8], "big")
            message, signature = ("cosignature/v1\ntime %d\n%s" % (when, text)).encode(), signature[8:]  # noqa: UP031
        if ed25519_holds(public, message, signature):
            return text
        raise Wrong("the signature of " + name + " does not hold")
    raise Wrong("the checkpoint is not signed by " + name)


def root_of(leaf: bytes, index: int, size: int, path: List[bytes]) -> bytes:  # noqa: UP006
    """Where the path leads from the leaf."""
    at, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise Wrong("the path is too long")
        if at & 1 or at == last:
            found = hashlib.sha256(b"\1" + step + found).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\1" + found + step).digest()
        at, last = at >> 1, last >> 1
    if last:
        raise Wrong("the path is too short")
    return found


def canonical(value: Any) -> bytes:
    """The one JSON text of a value (RFC 8785, for what Vallum records)."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def check(bundle: Dict[str, Any], log_key: str, witness_keys: List[str]) -> Dict[str, Any]:  # noqa: UP006
    """What the proof proves. Raises: Wrong."""
    if bundle.get("format") != "vallum-proof/1":
        raise Wrong("this is no proof, or of a newer form")
    text = check_note(bundle["checkpoint"], log_key)
    for key in witness_keys:
        check_note(bundle["checkpoint"], key)
    origin, size_text, root_text = text.split("\n")[:3]
    if origin != key_of(log_key)[0]:
        raise Wrong("the checkpoint is of another log: " + origin)
    size, index = int(size_text), bundle["index"]
    if not isinstance(index, int) or not 0 <= index < size:
        raise Wrong("the log has no event " + str(index))
    entry = bundle["entry"].encode()
    path = [base64.b64decode(step, validate=True) for step in bundle["path"]]
    leaf = hashlib.sha256(b"\0" + entry).digest()
    if root_of(leaf, index, size, path) != base64.b64decode(root_text, validate=True):
        raise Wrong("the path does not lead to the root: the entry is not this one")
    content = json.loads(entry)
    for label, shown in bundle.get("values", {}).items():
        side, _, name = label.partition(".")
        digest = hashlib.sha256(
            label.encode() + b"\0" + bytes.fromhex(shown["salt"]) + canonical(shown["value"])
        )
        if (content.get(side) or {}).get(name) != {"sha256": digest.hexdigest()}:
            raise Wrong("the value of " + label + " is not the one that was recorded")
        content[side][name] = shown["value"]
    return {"log": origin, "size": size, "index": index, "witnesses": len(witness_keys), "event": content}


def main(arguments: Optional[List[str]] = None) -> int:  # noqa: UP006, UP045
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("proof", help="the bundle, or - for standard input")
    parser.add_argument("--log-key", required=True, help="the log's key, as its owner published it")
    parser.add_argument("--witness-key", action="append", default=[], help="a witness that must have signed")
    parser.add_argument("--timestamp", metavar="FILE", help="write the time stamp token here, in DER")
    given = parser.parse_args(arguments)
    try:
        if given.proof == "-":
            bundle = json.load(sys.stdin)
        else:
            with open(given.proof, encoding="utf-8") as file:
                bundle = json.load(file)
    except (OSError, ValueError) as error:
        _end(2, "cannot read the proof: " + str(error))
    try:
        found = check(bundle, given.log_key, given.witness_key)
    except Wrong as error:
        _end(1, "DOES NOT HOLD: " + str(error))
    except (KeyError, TypeError, ValueError, AttributeError):
        _end(1, "DOES NOT HOLD: the bundle is damaged")
    if given.timestamp:
        with open(given.timestamp, "wb") as file:
            file.write(base64.b64decode(bundle.get("timestamp", "")))
    print(json.dumps(found, indent=2, ensure_ascii=False))
    print("HOLDS: event %(index)d of %(size)d in %(log)s" % found, file=sys.stderr)  # noqa: UP031
    return 0


def _end(code: int, text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
