"""The Merkle tree of RFC 6962: hashes, proofs and their verification.

Pure. A tree is read through `Subtrees`: whoever can give the hash of a full subtree can prove.
Source: RFC 6962, section 2.1
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, Protocol

from vallum.audit.errors import ProofFailed

__all__ = [
    "EMPTY",
    "Frontier",
    "Subtrees",
    "check_consistency",
    "check_inclusion",
    "consistency",
    "inclusion",
    "leaf_hash",
    "node_hash",
    "reduce",
    "root",
]

EMPTY: Final = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return sha256(b"\1" + left + right).digest()


def reduce(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes of subtrees of one size."""
    level = list(hashes)
    digest = sha256
    while len(level) > 1:
        pairs = iter(level)
        level = [digest(b"\1" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return level[0]


class Frontier:
    """The full subtrees that a growing tree consists of: enough to add to it and to know its root."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ProofFailed(f"a tree of {size} has not {len(self.hashes)} subtrees")

    def add(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        at, size = leaf, self.size
        while size & 1:
            at = sha256(b"\1" + self.hashes.pop() + at).digest()
            size >>= 1
        self.hashes.append(at)
        self.size += 1

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        if not self.hashes:
            return EMPTY
        found = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            found = node_hash(left, found)
        return found

    def copy(self) -> Frontier:
        """The same tree, to grow on its own."""
        return Frontier(self.size, self.hashes)

    def to_bytes(self) -> bytes:
        """The hashes one after the other."""
        return b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """What `to_bytes` gave. Raises: ProofFailed."""
        return cls(size, [data[i : i + 32] for i in range(0, len(data), 32)])


class Subtrees(Protocol):
    """Something that knows the hashes of a tree's full subtrees."""

    def node(self, level: int, index: int) -> bytes:
        """The hash of the `index`-th subtree of 2**level leaves."""
        ...


def root(tree: Subtrees, start: int, end: int) -> bytes:
    """The hash over the leaves from `start` to before `end`; a range that a proof of RFC 6962 needs."""
    size = end - start
    if size == 0:
        return EMPTY
    if size.bit_count() == 1 and start % size == 0:
        level = size.bit_length() - 1
        return tree.node(level, start >> level)
    split = start + _split(size)
    return node_hash(root(tree, start, split), root(tree, split, end))


def _split(size: int) -> int:
    """The largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion(tree: Subtrees, index: int, size: int) -> list[bytes]:
    """The audit path of a leaf in the tree of that size. Raises: ProofFailed."""
    if not 0 <= index < size:
        raise ProofFailed(f"a tree of {size} has no leaf {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            path.append(root(tree, split, end))
            end = split
        else:
            path.append(root(tree, start, split))
            start = split
    return path[::-1]


def consistency(tree: Subtrees, old: int, size: int) -> list[bytes]:
    """The proof that the tree of `old` leaves is the beginning of that of `size`. Raises: ProofFailed."""
    if not 0 <= old <= size:
        raise ProofFailed(f"a tree of {size} does not begin with one of {old}")
    if old in (0, size):
        return []
    path: list[bytes] = []
    start, end, whole = 0, size, True
    while old != end:
        split = start + _split(end - start)
        if old <= split:
            path.append(root(tree, split, end))
            end = split
        else:
            path.append(root(tree, start, split))
            start, whole = split, False
    if not whole:
        path.append(root(tree, start, end))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected: bytes) -> None:
    """Whether the path leads from the leaf to the root. Raises: ProofFailed."""
    if not 0 <= index < size:
        raise ProofFailed(f"a tree of {size} has no leaf {index}")
    at, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise ProofFailed("the path is too long")
        if at & 1 or at == last:
            found = node_hash(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    if last:
        raise ProofFailed("the path is too short")
    if found != expected:
        raise ProofFailed("the path does not lead to the root")


def check_consistency(old: int, size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Whether the proof leads from the old root to the new one. Raises: ProofFailed."""
    if not 0 <= old <= size:
        raise ProofFailed(f"a tree of {size} does not begin with one of {old}")
    if old in (0, size):
        if path or (old == size and old_root != new_root) or (old == 0 and old_root != EMPTY):
            raise ProofFailed("two roots for one size")
        return
    steps = list(path)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        raise ProofFailed("the proof is too short")
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            raise ProofFailed("the proof is too long")
        if at & 1 or at == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, step)
        at, last = at >> 1, last >> 1
    if last or first != old_root or second != new_root:
        raise ProofFailed("the log does not continue what was signed before")
