"""The Merkle tree against the recursive definition of RFC 6962, and its published vectors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vallum.audit import ProofFailed
from vallum.audit.canonical import canonical
from vallum.audit.tiles import TileReader, TileWriter
from vallum.audit.tree import (
    EMPTY,
    Frontier,
    check_consistency,
    check_inclusion,
    consistency,
    inclusion,
    leaf_hash,
    node_hash,
    root,
)

# The inputs of Certificate Transparency's own tests, and the roots of their first n.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def _definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, word for word."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(_definition(leaves[:split]), _definition(leaves[split:]))


class Plain:
    """A tree of leaves in memory."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def node(self, level: int, index: int) -> bytes:
        return _definition(self.leaves[index << level : (index + 1) << level])


LEAVES = [leaf_hash(str(n).encode()) for n in range(700)]


def test_published_vectors_hold() -> None:
    """The roots of the first one to eight inputs."""
    tree = Frontier()
    for data, expected in zip(INPUTS, ROOTS, strict=True):
        tree.add(leaf_hash(bytes.fromhex(data)))
        assert tree.root.hex() == expected


@given(st.integers(0, 300))
def test_root_is_that_of_the_definition(size: int) -> None:
    """Grown leaf by leaf, or from subtrees."""
    tree = Frontier()
    for leaf in LEAVES[:size]:
        tree.add(leaf)
    assert tree.root == _definition(LEAVES[:size]) == root(Plain(LEAVES), 0, size)
    assert Frontier.from_bytes(size, tree.to_bytes()).root == tree.root


@given(st.integers(1, 130), st.data())
def test_inclusion_holds_for_its_leaf_and_place_only(size: int, data: st.DataObject) -> None:
    """And for no other root, path or size."""
    index = data.draw(st.integers(0, size - 1))
    tree = Plain(LEAVES)
    expected = root(tree, 0, size)
    path = inclusion(tree, index, size)
    check_inclusion(LEAVES[index], index, size, path, expected)
    other = data.draw(st.integers(0, size).filter(lambda at: at != index))
    with pytest.raises(ProofFailed):
        check_inclusion(LEAVES[index], other, size, path, expected)
    with pytest.raises(ProofFailed):
        check_inclusion(LEAVES[index + 1], index, size, path, expected)
    with pytest.raises(ProofFailed):
        check_inclusion(LEAVES[index], index, size, [*path, EMPTY], expected)
    if path:
        with pytest.raises(ProofFailed):
            check_inclusion(LEAVES[index], index, size, path[:-1], expected)


@given(st.integers(0, 130), st.data())
def test_consistency_holds_for_the_beginning_of_the_tree_only(size: int, data: st.DataObject) -> None:
    """Another past has no proof."""
    old = data.draw(st.integers(0, size))
    tree = Plain(LEAVES)
    before, after = root(tree, 0, old), root(tree, 0, size)
    proof = consistency(tree, old, size)
    check_consistency(old, size, proof, before, after)
    with pytest.raises(ProofFailed):
        check_consistency(old, size, [*proof, EMPTY], before, after)
    if old:
        with pytest.raises(ProofFailed):
            check_consistency(old, size, proof, EMPTY, after)
    if 0 < old < size:
        with pytest.raises(ProofFailed):
            check_consistency(old, size, proof, before, EMPTY)
        with pytest.raises(ProofFailed):
            check_consistency(old, size, proof[:-1], before, after)


def test_tiles_give_the_roots_of_every_size_they_were_flushed_at(tmp_path: Path) -> None:
    """Written in pieces, by writers that go on where another stopped."""
    size = 0
    for piece in (1, 2, 250, 3, 1, 300, 100):
        writer = TileWriter(tmp_path, size)
        writer.extend(LEAVES[size : size + piece])
        writer.flush()
        size += piece
        reader = TileReader(tmp_path, size)
        assert reader.root() == _definition(LEAVES[:size])
        assert reader.frontier().root == reader.root()
        assert reader.root(size // 2) == _definition(LEAVES[: size // 2])
        assert list(reader.leaves(0, size)) == LEAVES[:size]


# A busy machine is no fault of the texts.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(st.text(), st.text() | st.integers(-(2**53) + 1, 2**53 - 1) | st.none() | st.booleans())
)
def test_canonical_json_is_that_of_rfc_8785(value: dict[str, object]) -> None:
    """Equal to the library's, for any text."""
    import rfc8785

    try:
        expected = rfc8785.dumps(value).decode()  # type: ignore[arg-type]
    except UnicodeEncodeError:
        return
    assert canonical(value) == expected
