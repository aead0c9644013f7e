"""Witnesses and logs of another hand: tlog-witness from both sides, on Go's checksum database."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.audit import ORIGIN, Trail
from tests.support.golang import SOURCES, go_program
from vallum.audit.anchors import WitnessAnchor
from vallum.audit.check_proof import check
from vallum.audit.notes import COSIGNATURE, Note, Signer, Verifier
from vallum.audit.proofs import log_key, prove
from vallum.audit.witness import Witness, serve_witness
from vallum.kernel import SystemClock

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The counterparts."""
    return go_program(SOURCES / "witness.go", tmp_path_factory.mktemp("go"))


@pytest.mark.tampering("history rewritten by who holds the key")
def test_witness_of_another_hand_cosigns_our_log_and_refuses_another_history(
    log: Trail, program: Path
) -> None:
    """Its cosignatures hold in our proofs; a root that does not continue is refused by it, and told by us."""
    log.execute("INSERT INTO customer VALUES (1, 'x')")
    key = log_key(log.home, ORIGIN).text
    with subprocess.Popen([program, "witness", key], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            with httpx.Client() as client:
                for n in range(2, 5):
                    log.execute(f"INSERT INTO customer SELECT i, 'x' FROM generate_series({n}00, {n}99) i")
                    # A new anchor each time: it asks what the witness knows, and goes on from there.
                    log.sequence(anchors=[WitnessAnchor(said["url"], said["key"], client=client)])
                assert log.alarms == []
                bundle = prove(log.connection, log.home, 100)
                assert check(bundle, bundle["log_key"], [said["key"]])["witnesses"] == 1
                _forge(log)
                log.sequence(anchors=[WitnessAnchor(said["url"], said["key"], client=client)])
            assert "another history" in log.alarms[-1].what
            note = Note.parse(log.home.checkpoint.read_text())
            assert note.verified_by([Verifier.parse(said["key"])]) == []
        finally:
            process.terminate()


def _forge(log: Trail) -> None:
    """Another history of the same log, by whoever holds its key."""
    import shutil

    from vallum.audit.tree import Frontier, leaf_hash

    log.execute("UPDATE vallum.audit_leaf SET entry = replace(entry, 'create', 'unlink')")
    tree = Frontier()
    for (entry,) in log.connection.execute("SELECT entry FROM vallum.audit_leaf ORDER BY index").fetchall():
        tree.add(leaf_hash(entry.encode()))
    log.connection.execute("UPDATE vallum.audit_state SET frontier = %s", (tree.to_bytes(),))
    for name in ("signed.json", "checkpoint"):
        (log.home.folder / name).unlink()
    shutil.rmtree(log.home.folder / "tile")
    log.execute("INSERT INTO customer VALUES (9, 'x')")


def test_our_witness_serves_a_log_of_another_hand(program: Path, tmp_path: Path) -> None:
    """It cosigns what continues, says what it knows to who does not, and refuses another history."""
    signer = Signer("witness.example/w1", Ed25519PrivateKey.generate(), COSIGNATURE)
    pipe = subprocess.PIPE
    with subprocess.Popen([program, "log"], text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        key = Verifier.parse(json.loads(process.stdout.readline())["key"])
        witness = Witness(signer, {key.name: (key,)}, tmp_path / "w", SystemClock())
        server = serve_witness(witness, "127.0.0.1", 0)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            process.stdin.write(json.dumps({"url": url, "key": signer.verifier.text}) + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
            assert said == '{"holds": true}\n', process.stderr.read()
        finally:
            process.terminate()
            server.shutdown()
            thread.join()
            server.server_close()
