"""The endpoints of one directory over plain HTTP on loopback, for testers that speak nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, urlsplit

from tests.support.scim import Directory
from vallum.identity.scim.http import MEDIA_TYPE, Request, ScimHttp
from vallum.identity.scim.service import ScimService
from vallum.identity.scim.tokens import authenticate, make

__all__ = ["carried"]


@contextmanager
def carried(directory: Directory) -> Iterator[tuple[str, str]]:
    """The address and a token."""
    with directory.store.transaction() as tx:
        token = make(tx, directory.name, directory.clock.now())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            base = f"http://127.0.0.1:{self.server.server_port}/scim/v2"  # type: ignore[attr-defined]
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            _, _, shown = self.headers.get("authorization", "").partition(" ")
            name = authenticate(directory.store, shown, directory.clock.now())
            if name is None:
                self._send(
                    401, b'{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"401"}', {}
                )
                return
            parts = urlsplit(self.path)
            headers = {key.lower(): value for key, value in self.headers.items()}
            service = ScimService(directory.store, directory.accounts, directory.clock, name, base)
            path = parts.path.removeprefix("/scim/v2")
            request = Request(self.command, path, parse_qsl(parts.query), headers, body)
            answer = ScimHttp(service, base).handle(request)
            self._send(answer.status, answer.encoded(), answer.headers)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            if body:
                self.send_header("content-type", MEDIA_TYPE)
            if status not in (204, 304):
                self.send_header("content-length", str(len(body)))
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/scim/v2", token
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
