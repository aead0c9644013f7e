"""A witness of logs: signs a checkpoint only where it continues the one it signed last. Its server is small.

It keeps one size and root a log, on disk before it answers. Requests for one log are handled one by one.
Trust: a witness sees names, sizes and roots of logs, and nothing of what is in them. Whoever holds its key
can vouch for another history; its key belongs on a machine that the log's owner does not administer.
Source: c2sp.org/tlog-witness
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from vallum.audit.errors import LogForked, MalformedNote, ProofFailed
from vallum.audit.notes import COSIGNATURE, Checkpoint, Note, Signer, Verifier
from vallum.audit.tiles import write_durably
from vallum.audit.tree import EMPTY, check_consistency
from vallum.kernel import Clock

__all__ = ["Answer", "Witness", "serve_witness"]

MAX_BODY: Final = 1 << 20
MAX_PROOF: Final = 63
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness answers."""

    status: int
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


class Witness:
    """Decides on checkpoints. `logs`: the keys of the logs it vouches for; a log's name is its origin."""

    def __init__(
        self, signer: Signer, logs: Mapping[str, tuple[Verifier, ...]], folder: Path, clock: Clock
    ) -> None:
        if signer.kind != COSIGNATURE:
            raise MalformedNote("a witness signs with a key for cosignatures")
        self._signer, self._logs, self._folder, self._clock = signer, logs, folder, clock

    def add_checkpoint(self, body: bytes) -> Answer:
        """The answer to a request. Raises: OSError, LogForked (its own memory is damaged)."""
        try:
            old, proof, note = _request(body)
            checkpoint = Checkpoint.parse(note.text)
        except (MalformedNote, UnicodeDecodeError):
            return Answer(400)
        keys = self._logs.get(checkpoint.origin)
        if keys is None:
            return Answer(404)
        try:
            if not note.verified_by(keys):
                return Answer(403)
        except MalformedNote:
            return Answer(403)
        if old > checkpoint.size:
            return Answer(400)
        with self._record(checkpoint.origin) as path:
            return self._decide(path, old, proof, checkpoint, note.text)

    def _decide(self, path: Path, old: int, proof: list[bytes], checkpoint: Checkpoint, text: str) -> Answer:
        size, root = _read(path)
        if old != size:
            return Answer(409, f"{size}\n", "text/x.tlog.size")
        if old == checkpoint.size and root != checkpoint.root:
            return Answer(409, f"{size}\n", "text/x.tlog.size")
        try:
            check_consistency(old, checkpoint.size, proof, root, checkpoint.root)
        except ProofFailed:
            return Answer(422)
        data = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
        write_durably(path, json.dumps(data).encode() + b"\n", 0o600)
        signature = self._signer.sign(text, int(self._clock.now().timestamp()))
        return Answer(200, signature.line())

    @contextmanager
    def _record(self, origin: str) -> Iterator[Path]:
        """The file of a log, and nobody else in it: processes wait for each other as well."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / (hashlib.sha256(origin.encode()).hexdigest() + ".json")
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(descriptor)


def _read(path: Path) -> tuple[int, bytes]:
    try:
        data = json.loads(path.read_bytes())
        return int(data["size"]), bytes.fromhex(data["root"])
    except FileNotFoundError:
        return 0, EMPTY
    except (ValueError, KeyError, TypeError):
        raise LogForked("the witness's memory of a log cannot be read", where=str(path)) from None


def _request(body: bytes) -> tuple[int, list[bytes], Note]:
    head, gap, note = body.decode("utf-8").partition("\n\n")
    lines = head.split("\n")
    old = _OLD.fullmatch(lines[0])
    if not gap or old is None or len(lines) - 1 > MAX_PROOF:
        raise MalformedNote("the request cannot be read")
    try:
        proof = [base64.b64decode(line, validate=True) for line in lines[1:]]
    except ValueError:
        raise MalformedNote("the proof is no base64") from None
    if any(len(step) != 32 for step in proof):
        raise MalformedNote("the proof holds no hashes")
    return int(old[1]), proof, Note.parse(note)


def serve_witness(
    witness: Witness, host: str, port: int, tls: tuple[Path, Path] | None = None
) -> ThreadingHTTPServer:
    """A server for a witness, bound and not yet running; `tls`: certificate and key. Raises: OSError.

    One small POST and nothing else: bodies are bounded, connections time out. Put a proxy before it where the
    whole world may ask.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10
        server_version, sys_version = "vallum-witness", ""

        def do_POST(self) -> None:
            try:
                length = int(self.headers.get("Content-Length", "-1"))
            except ValueError:
                length = -1
            if self.path != "/add-checkpoint" or not 0 <= length <= MAX_BODY:
                self.close_connection = True
                self._answer(Answer(404 if self.path != "/add-checkpoint" else 413))
                return
            try:
                answer = witness.add_checkpoint(self.rfile.read(length))
            except (OSError, LogForked):
                answer = Answer(500)
            self._answer(answer)

        def _answer(self, answer: Answer) -> None:
            body = answer.body.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Whoever runs it reads the exit code and the record, not a line a request."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server
