"""Places that keep checkpoints: files, object stores, witnesses, time stamps; up, down, refusing."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.audit import ORIGIN, Trail
from vallum.audit import AnchorFailed
from vallum.audit.anchors import FileAnchor, HttpAnchor, TimestampAnchor, WitnessAnchor, read_anchors
from vallum.audit.anchors.file import read_notes
from vallum.audit.anchors.timestamp import check_token
from vallum.audit.check_proof import check
from vallum.audit.notes import COSIGNATURE, Checkpoint, Note, Signer, Verifier
from vallum.audit.proofs import log_key, prove
from vallum.audit.tree import Frontier, leaf_hash
from vallum.audit.witness import Witness, serve_witness
from vallum.kernel import SettingsError, SystemClock


@contextmanager
def answering(answer: Callable[[str, str, bytes], tuple[int, bytes]]) -> Iterator[str]:
    """An HTTP server of one function; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, content = answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Closed at the end."""
    with httpx.Client(timeout=5) as made:
        yield made


@contextmanager
def witnessing(log: Trail, folder: Path, signer: Signer | None = None) -> Iterator[tuple[str, Verifier]]:
    """A witness of the log, in this process."""
    signer = signer or Signer("witness.example/w1", Ed25519PrivateKey.generate(), COSIGNATURE)
    witness = Witness(signer, {ORIGIN: (log_key(log.home, ORIGIN),)}, folder, SystemClock())
    server = serve_witness(witness, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", signer.verifier
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_witness_cosigns_what_continues_and_its_signature_is_in_the_proof(
    log: Trail, tmp_path: Path, client: httpx.Client
) -> None:
    """Each checkpoint; an outsider who trusts the witness checks both signatures."""
    with witnessing(log, tmp_path / "w") as (url, key):
        anchor = WitnessAnchor(url, key.text, client=client)
        for n in range(3):
            log.execute(f"INSERT INTO customer VALUES ({n}, 'x')")
            log.sequence(anchors=[anchor])
        bundle = prove(log.connection, log.home, 0)
        assert check(bundle, bundle["log_key"], [key.text])["witnesses"] == 1
        # One that knows nothing of what the witness has seen asks, and goes on from there.
        log.execute("INSERT INTO customer VALUES (9, 'x')")
        log.sequence(anchors=[WitnessAnchor(url, key.text, client=client)])
    assert log.alarms == []
    done = log.command("verify", "--against", str(log.home.checkpoint), "--witness-key", key.text)
    assert done.code == 0, done.out


@pytest.mark.tampering("history rewritten by who holds the key")
def test_witness_never_cosigns_another_history(log: Trail, tmp_path: Path, client: httpx.Client) -> None:
    """A log that was rewritten by whoever holds its key: an alarm names the witness, nothing is cosigned."""
    log.execute("INSERT INTO customer VALUES (1, 'x')")
    with witnessing(log, tmp_path / "w") as (url, key):
        log.sequence(anchors=[WitnessAnchor(url, key.text, client=client)])
        log.execute("UPDATE vallum.audit_leaf SET entry = replace(entry, 'create', 'unlink')")
        tree = Frontier()
        for (entry,) in log.connection.execute(
            "SELECT entry FROM vallum.audit_leaf ORDER BY index"
        ).fetchall():
            tree.add(leaf_hash(entry.encode()))
        log.connection.execute("UPDATE vallum.audit_state SET frontier = %s", (tree.to_bytes(),))
        for name in ("signed.json", "checkpoint"):
            (log.home.folder / name).unlink()
        shutil.rmtree(log.home.folder / "tile")
        log.execute("INSERT INTO customer VALUES (2, 'y')")
        log.sequence(anchors=[WitnessAnchor(url, key.text, client=client)])
    assert "another history" in log.alarms[-1].what
    assert Note.parse(log.home.checkpoint.read_text()).verified_by([key]) == []


def test_witness_answers_as_c2sp_has_it(log: Trail, tmp_path: Path, client: httpx.Client) -> None:
    """400, 403, 404, 409 with what it knows, 422; and nothing but its one endpoint."""
    log.execute("INSERT INTO customer SELECT i, 'x' FROM generate_series(1, 5) i")
    log.sequence()
    note = log.home.checkpoint.read_text()
    checkpoint = Checkpoint.parse(Note.parse(note).text)
    stranger = Signer(ORIGIN, Ed25519PrivateKey.generate())
    elsewhere = Signer("log.example/other", Ed25519PrivateKey.generate())
    other = Checkpoint("log.example/other", checkpoint.size, checkpoint.root)
    with witnessing(log, tmp_path / "w") as (url, _):

        def post(body: str) -> httpx.Response:
            return client.post(url + "/add-checkpoint", content=body.encode())

        assert post("nonsense").status_code == 400
        assert post(f"old 00\n\n{note}").status_code == 400
        assert post(f"old 1\né\n\n{note}").status_code == 400
        assert post(f"old 0\n\n{ORIGIN}\n1\né\n\n{note.rpartition(chr(10) * 2)[2]}").status_code == 400
        assert post(f"old {checkpoint.size + 1}\n\n{note}").status_code == 400
        assert post(f"old 0\n\n{checkpoint.signed(stranger)}").status_code == 403
        assert post(f"old 0\n\n{other.signed(elsewhere)}").status_code == 404
        assert client.post(url + "/other", content=b"").status_code == 404
        answer = post(f"old 3\n\n{note}")
        assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (
            409,
            "0\n",
            "text/x.tlog.size",
        )
        assert post(f"old 0\n\n{note}").status_code == 200
        answer = post(f"old 0\n\n{note}")
        assert (answer.status_code, answer.text) == (409, f"{checkpoint.size}\n")
        log.execute("INSERT INTO customer VALUES (9, 'x')")
        log.sequence()
        assert post(f"old {checkpoint.size}\n\n{log.home.checkpoint.read_text()}").status_code == 422


@pytest.mark.tampering("witness or store that is down or refuses")
def test_witness_that_is_down_or_refuses_raises_an_alarm_and_is_asked_again(
    log: Trail, tmp_path: Path, client: httpx.Client
) -> None:
    """The log goes on without it; once it is back, the newest checkpoint gets its signature."""
    signer = Signer("witness.example/w1", Ed25519PrivateKey.generate(), COSIGNATURE)
    with answering(lambda *_: (503, b"")) as refusing:
        anchor = WitnessAnchor(refusing, signer.verifier.text, client=client)
        log.execute("INSERT INTO customer VALUES (1, 'x')")
        with log.sequencer(anchors=[anchor]).running() as worker:
            size = worker.step().size
            anchor._url = "http://127.0.0.1:9/add-checkpoint"
            log.execute("INSERT INTO customer VALUES (2, 'x')")
            assert worker.step().size == size + 1
            assert [alarm.code for alarm in log.alarms] == ["audit-anchor"] * 2
            assert "503" in log.alarms[0].what
            assert "cannot be reached" in log.alarms[1].what
            with witnessing(log, tmp_path / "w", signer) as (url, key):
                anchor._url = url + "/add-checkpoint"
                assert worker.step().events == 0
    assert len(Note.parse(log.home.checkpoint.read_text()).verified_by([key])) == 1
    assert log.command("status", "--json").json["alarms"][0]["code"] == "audit-anchor"


@pytest.mark.slow
def test_witness_runs_as_a_program_of_its_own(log: Trail, tmp_path: Path, client: httpx.Client) -> None:
    """It says its address and key, remembers over a restart, and ends when it is told to."""
    log.sequence()
    command = [
        sys.executable,
        "-m",
        "vallum.cli",
        "audit",
        "witness",
        "--name",
        "witness.example/w1",
        "--port",
        "0",
        "--json",
    ]
    command += ["--log-key", log_key(log.home, ORIGIN).text]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    keys = set()
    for n in range(2):
        with subprocess.Popen(
            command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                lines = [process.stdout.readline()]
                while lines[-1].strip() != "}":
                    lines.append(process.stdout.readline())
                said = json.loads("".join(lines))
                keys.add(said["key"])
                log.execute(f"INSERT INTO customer VALUES ({n}, 'x')")
                log.sequence(anchors=[WitnessAnchor(said["url"], said["key"], client=client)])
            finally:
                process.terminate()
            assert process.wait(20) == 0
    assert log.alarms == []
    assert len(keys) == 1
    assert (tmp_path / "witness.key").stat().st_mode & 0o777 == 0o600


def test_file_anchor_keeps_every_checkpoint(log: Trail, tmp_path: Path) -> None:
    """Appended to; the log is verified against each. A torn last one is left out."""
    anchor = tmp_path / "checkpoints"
    for n in range(3):
        log.execute(f"INSERT INTO customer VALUES ({n}, 'x')")
        log.sequence(anchors=[FileAnchor(anchor)])
    assert [Checkpoint.parse(note.text).size for note in read_notes(anchor)] == [3, 4, 5]
    assert log.command("verify", "--against", str(anchor), "--json").json["against"] == 3
    anchor.write_text(anchor.read_text() + "log.example/shop\n9\n")
    assert log.codes("verify", "--against", str(anchor)) == []


def test_file_anchor_that_cannot_be_written_raises_an_alarm(log: Trail, tmp_path: Path) -> None:
    """A folder is no file."""
    log.sequence(anchors=[FileAnchor(tmp_path)])
    assert [alarm.code for alarm in log.alarms] == ["audit-anchor"]


@pytest.mark.tampering("checkpoint overwritten in an object store")
def test_object_store_gets_one_object_a_size_and_is_never_overwritten(
    log: Trail, client: httpx.Client, tmp_path: Path
) -> None:
    """With the token of a file; what is there already is fine, another answer is an alarm."""
    kept: dict[str, bytes] = {}

    def store(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        assert method == "PUT"
        if path in kept:
            return 412, b""
        kept[path] = body
        return 200, b""

    token = tmp_path / "token"
    token.write_text("t0ken")
    token.chmod(0o600)
    with answering(store) as url:
        for _ in range(2):
            log.sequence(anchors=[HttpAnchor(url + "/bucket", token, client=client)])
    assert list(kept) == [f"/bucket/{2:020}"]
    assert kept[f"/bucket/{2:020}"].decode() == log.home.checkpoint.read_text()
    assert log.alarms == []
    with answering(lambda *_: (403, b"")) as url:
        log.execute("INSERT INTO customer VALUES (1, 'x')")
        log.sequence(anchors=[HttpAnchor(url, client=client)])
    assert [alarm.code for alarm in log.alarms] == ["audit-anchor"]


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A time stamping authority of OpenSSL's, with a CA of its own."""
    folder = tmp_path / "tsa"
    folder.mkdir()
    (folder / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa = one\n[one]\nserial = serial\nsigner_cert = tsa.pem\n"
        "signer_key = tsa.key\nsigner_digest = sha256\ndefault_policy = 1.2.3.4\ndigests = sha256, sha512\n"
        "ess_cert_id_alg = sha256\n[ext]\nextendedKeyUsage = critical,timeStamping\n"
    )
    (folder / "serial").write_text("01")
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    steps = [
        [*new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA"],
        ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr",
         "-subj", "/CN=TSA"],
        ["openssl", "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
         "-days", "30", "-extfile", "tsa.cnf", "-extensions", "ext", "-out", "tsa.pem"],
    ]  # fmt: skip
    for step in steps:
        subprocess.run(step, cwd=folder, check=True, capture_output=True)
    return folder


def test_time_stamp_of_an_authority_is_checked_kept_and_proven(
    log: Trail, authority: Path, client: httpx.Client, tmp_path: Path
) -> None:
    """By OpenSSL's, with pinned certificates; another CA's is an alarm, and nothing is kept."""

    def reply(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        (authority / "query").write_bytes(body)
        command = ["openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "answer"]
        subprocess.run(command, cwd=authority, check=True, capture_output=True)
        return 200, (authority / "answer").read_bytes()

    other = tmp_path / "other.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        os.devnull,
        "-out",
        str(other),
    ]
    subprocess.run([*command, "-subj", "/CN=Other"], check=True, capture_output=True)
    with answering(reply) as url:
        log.sequence(anchors=[TimestampAnchor(url, other, client=client)])
        assert [alarm.code for alarm in log.alarms] == ["audit-anchor"]
        assert log.one("SELECT count(timestamp_token) FROM vallum.audit_checkpoint") == 0
        log.sequence(anchors=[TimestampAnchor(url, authority / "ca.pem", client=client)])
    assert len(log.alarms) == 1, log.alarms
    bundle = prove(log.connection, log.home, 0)
    proof = tmp_path / "proof.json"

    proof.write_text(json.dumps(bundle))
    roots = ("--timestamp-roots", str(authority / "ca.pem"))
    done = log.command("check-proof", str(proof), "--log-key", bundle["log_key"], *roots, "--json")
    assert done.code == 0, done.err
    assert "timestamp" in done.json
    assert (
        log.command(
            "check-proof", str(proof), "--log-key", bundle["log_key"], "--timestamp-roots", str(other)
        ).code
        == 1
    )
    token, text = base64.b64decode(bundle["timestamp"]), Note.parse(bundle["checkpoint"]).text
    with pytest.raises(AnchorFailed):
        check_token(token, text.encode() + b"x", authority / "ca.pem")
    (tmp_path / "token").write_bytes(token)
    (tmp_path / "text").write_text(text)
    verify = [
        "openssl",
        "ts",
        "-verify",
        "-in",
        "token",
        "-data",
        "text",
        "-CAfile",
        str(authority / "ca.pem"),
    ]
    assert subprocess.run(verify, cwd=tmp_path, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "anchor = 1",
        "[[anchor]]\ntype = 'moon'",
        "[[anchor]]\ntype = 'file'",
        "[[anchor]]\ntype = 'file'\npath = 1",
        "x = 1",
        "[",
    ],
)
def test_anchors_that_cannot_be_read_are_an_error(log: Trail, text: str) -> None:
    """Never no anchors by mistake."""
    (log.home.folder / "anchors.toml").write_text(text)
    with pytest.raises(SettingsError):
        read_anchors(log.home)


def test_anchors_of_the_folder_are_told(log: Trail, tmp_path: Path) -> None:
    """By the command that sequences; paths are below the folder."""
    (log.home.folder / "anchors.toml").write_text("[[anchor]]\ntype = 'file'\npath = 'kept'\n")
    assert log.command("sequence", "--once").code == 0
    assert len(read_notes(log.home.folder / "kept")) == 1
