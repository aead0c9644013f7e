"""Proofs that outsiders check: by the file we give them, and by somebody else's implementation."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.audit import Trail
from tests.support.golang import go_program
from vallum.audit.check_proof import Wrong, check, ed25519_holds
from vallum.audit.notes import COSIGNATURE, Signer, Verifier
from vallum.audit.proofs import CHECKER, log_key, prove


@pytest.fixture
def proven(log: Trail) -> dict[str, Any]:
    """The proof of one event among 600, its values laid open."""
    log.execute("INSERT INTO customer SELECT i, 'customer ' || i FROM generate_series(1, 600) i")
    log.sequence()
    return prove(log.connection, log.home, log.index_of("key = '300'"), disclose=["*"])


def test_proof_holds_for_an_outsider_with_python_alone(
    log: Trail, proven: dict[str, Any], tmp_path: Path
) -> None:
    """The file we hand out, isolated from everything installed; the event is shown with its values."""
    shutil.copy(CHECKER, tmp_path / "check_proof.py")
    (tmp_path / "proof.json").write_text(json.dumps(proven))
    command = [sys.executable, "-I", "-S", "check_proof.py", "proof.json", "--log-key", proven["log_key"]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["event"]["new"]["name"] == "customer 300"
    other = Signer("log.example/shop", Ed25519PrivateKey.generate()).verifier.text
    done = subprocess.run([*command[:-1], other], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not signed by" in done.stderr


@pytest.mark.parametrize("part", ["entry", "path", "index", "checkpoint", "values"])
def test_proof_with_a_changed_part_does_not_hold(proven: dict[str, Any], part: str) -> None:
    """Whichever it is."""
    changed = json.loads(json.dumps(proven))
    if part == "entry":
        changed["entry"] = proven["entry"].replace("create", "unlink")
    elif part == "path":
        changed["path"][0] = base64.b64encode(bytes(32)).decode()
    elif part == "index":
        changed["index"] += 1
    elif part == "checkpoint":
        changed["checkpoint"] = proven["checkpoint"].replace("602", "603", 1)
    else:
        changed["values"]["new.name"]["value"] = "somebody else"
    with pytest.raises(Wrong):
        check(changed, proven["log_key"], [])
    assert check(proven, proven["log_key"], [])["index"] == proven["index"]


def test_proof_of_every_place_in_trees_of_many_sizes_holds(log: Trail) -> None:
    """The first, the last, and those at the edges of subtrees and tiles."""
    for size in (1, 2, 3, 255, 256, 257):
        have = int(log.one("SELECT size FROM vallum.audit_state"))
        log.execute(
            f"INSERT INTO customer SELECT i, 'x' FROM generate_series({have + 1}, {max(have, size)}) i"
        )
        log.sequence()
        end = int(log.one("SELECT size FROM vallum.audit_state"))
        for index in {0, 1, end // 2, end - 1} & set(range(end)):
            bundle = prove(log.connection, log.home, index)
            assert check(bundle, bundle["log_key"], [])["size"] == end


def test_commands_prove_and_check(log: Trail, tmp_path: Path) -> None:
    """With the file for outsiders beside the proof; values stay shut unless they are named."""
    log.execute("INSERT INTO customer VALUES (1, 'secret name')")
    log.sequence()
    at = str(log.index_of("key = '1'"))
    proof, checker = tmp_path / "proof.json", tmp_path / "check_proof.py"
    done = log.command("prove", at, "--output", str(proof), "--with-checker", str(checker), "--json")
    assert done.code == 0, done.err
    assert "secret name" not in proof.read_text()
    assert checker.read_bytes() == CHECKER.read_bytes()
    assert log.command("check-proof", str(proof), "--log-key", done.json["log_key"]).code == 0
    proof.write_text(proof.read_text().replace("create", "unlink"))
    assert log.command("check-proof", str(proof), "--log-key", done.json["log_key"]).code == 1
    assert "new.name" in log.command("prove", at, "--disclose", "new.name").out
    assert log.command("prove", "999").code == 2


def test_ed25519_of_the_file_agrees_with_the_library() -> None:
    """Signatures, and each of their bytes changed."""
    key = Ed25519PrivateKey.generate()
    public, message = key.public_key().public_bytes_raw(), b"a message"
    signature = key.sign(message)
    assert ed25519_holds(public, message, signature)
    assert not ed25519_holds(public, b"another", signature)
    for place in (0, 31, 32, 63):
        changed = bytearray(signature)
        changed[place] ^= 1
        assert not ed25519_holds(public, message, bytes(changed))


def test_keys_are_written_and_read_as_c2sp_has_them() -> None:
    """The example of the specification of cosignatures, and both kinds of keys."""
    for kind in (1, COSIGNATURE):
        signer = Signer("witness.example/w1", Ed25519PrivateKey.generate(), kind)
        assert Verifier.parse(signer.verifier.text) == signer.verifier


GO = """
package main

import (
    "encoding/json"
    "fmt"
    "os"
    "path/filepath"

    "golang.org/x/mod/sumdb/note"
    "golang.org/x/mod/sumdb/tlog"
)

type bundle struct {
    Index      int64
    Entry      string
    Path       [][]byte
    Checkpoint string
    LogKey     string `json:"log_key"`
    Origin     string
    Size       int64
    Root       []byte
    OldSize    int64
    OldRoot    []byte
    Proof      [][]byte
}

func hashes(list [][]byte) (found []tlog.Hash) {
    for _, b := range list {
        var h tlog.Hash
        copy(h[:], b)
        found = append(found, h)
    }
    return
}

type folder struct{ path string }

func (f folder) Height() int { return 8 }
func (f folder) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
func (f folder) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
    for _, t := range tiles {
        // The same tiles under the names of tlog-tiles: no height, and the width after .p.
        name := t.Path()[len("tile/8/"):]
        b, err := os.ReadFile(filepath.Join(f.path, "tile", name))
        if err != nil {
            return nil, err
        }
        data = append(data, b)
    }
    return
}

func must(err error) {
    if err != nil {
        fmt.Println(err)
        os.Exit(1)
    }
}

func main() {
    var b bundle
    content, err := os.ReadFile(os.Args[1])
    must(err)
    must(json.Unmarshal(content, &b))
    verifier, err := note.NewVerifier(b.LogKey)
    must(err)
    _, err = note.Open([]byte(b.Checkpoint), note.VerifierList(verifier))
    must(err)
    var root, old tlog.Hash
    copy(root[:], b.Root)
    copy(old[:], b.OldRoot)
    must(tlog.CheckRecord(hashes(b.Path), b.Size, root, b.Index, tlog.RecordHash([]byte(b.Entry))))
    must(tlog.CheckTree(hashes(b.Proof), b.Size, root, b.OldSize, old))
    reader := tlog.TileHashReader(tlog.Tree{N: b.Size, Hash: root}, folder{os.Args[2]})
    proof, err := tlog.ProveRecord(b.Size, b.Index, reader)
    must(err)
    must(tlog.CheckRecord(proof, b.Size, root, b.Index, tlog.RecordHash([]byte(b.Entry))))
    fmt.Println("holds")
}
"""


@pytest.fixture(scope="session")
def go_checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program around Go's own checksum database, which tlog comes from; installed from Debian."""
    folder = tmp_path_factory.mktemp("go")
    (folder / "check.go").write_text(GO)
    return go_program(folder / "check.go", folder)


@pytest.mark.slow
def test_go_reference_implementation_accepts_checkpoint_proofs_and_tiles(
    log: Trail, go_checker: Path, tmp_path: Path
) -> None:
    """Signed note, inclusion, consistency and tiles, by the code that C2SP's formats were taken from."""
    from vallum.audit.notes import Checkpoint, Note
    from vallum.audit.tiles import TileReader
    from vallum.audit.tree import consistency

    log.execute("INSERT INTO customer SELECT i, 'x' FROM generate_series(1, 300) i")
    log.sequence()
    old = Checkpoint.parse(Note.parse(log.home.checkpoint.read_text()).text)
    log.execute("INSERT INTO customer SELECT i, 'x' FROM generate_series(301, 70000) i")
    log.sequence()
    new = Checkpoint.parse(Note.parse(log.home.checkpoint.read_text()).text)
    tiles = TileReader(log.home.folder, new.size)

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    for index in (0, 255, 256, 301, 65_535, 65_536, new.size - 1):
        bundle = prove(log.connection, log.home, index)
        bundle |= {
            "origin": new.origin,
            "size": new.size,
            "root": text(new.root),
            "oldsize": old.size,
            "oldroot": text(old.root),
            "proof": [text(step) for step in consistency(tiles, old.size, new.size)],
        }
        file = tmp_path / "bundle.json"
        file.write_text(json.dumps(bundle))
        command = [str(go_checker), str(file), str(log.home.folder)]
        assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == "holds\n"
        bundle["entry"] = bundle["entry"].replace('"v":1', '"v":2')
        file.write_text(json.dumps(bundle))
        assert subprocess.run(command, capture_output=True, text=True, check=False).returncode == 1


def test_log_key_is_the_same_for_all_who_ask(log: Trail, proven: dict[str, Any]) -> None:
    """From the private key, in proofs and in status."""
    assert log_key(log.home, "log.example/shop").text == proven["log_key"]
    assert log.command("status", "--json").json["log"]["key"] == proven["log_key"]
