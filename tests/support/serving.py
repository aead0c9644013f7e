"""A real `vallum serve` as a process of its own, and clients of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

__all__ = ["Server", "free_port", "serving"]

_PATIENCE: Final = 60.0


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A running server. `log`: where its lines go."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    secure: bool
    database: str
    log: Path
    metrics_port: int
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**9)))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"{'https' if self.secure else 'http'}://localhost:{self.port}"

    @property
    def ca(self) -> Path:
        """The CA it made."""
        return self.folder / "tls" / "ca.pem"

    def client(self, **options: Any) -> httpx.Client:
        """A client that trusts its CA."""
        verify: Any = ssl.create_default_context(cafile=str(self.ca)) if self.secure else True
        return httpx.Client(base_url=self.url, verify=verify, timeout=30, trust_env=False, **options)

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                found.append(json.loads(line))
        return found

    def rpc(self, client: httpx.Client, service: str, method: str, *args: Any) -> Any:
        """The answer to a JSON-RPC call: the whole document."""
        params = {"service": service, "method": method, "args": list(args)}
        body = {"jsonrpc": "2.0", "method": "call", "params": params, "id": next(self.numbers)}
        return client.post("/jsonrpc", json=body).json()


@contextmanager
def serving(
    folder: Path,
    *,
    dsn: str,
    store: str | None,
    settings: Mapping[str, object] | None = None,
    secure: bool = True,
    workers: int = 1,
    port: int | None = None,
) -> Iterator[Server]:
    """A server, ready; ended by its process id."""
    port, metrics = port or free_port(), free_port()
    log = folder / "log"
    given = {
        "dsn": dsn,
        "store": store,
        "listen": f"127.0.0.1:{port}",
        "metrics": f"127.0.0.1:{metrics}",
        "data_dir": str(folder),
        "plain_http": "no" if secure else "yes",
        "workers": workers,
        "login_rate": 100_000,
        "login_burst": 100_000,
        "sso_rate": 100_000,
        "sso_burst": 100_000,
        "api_rate": 1_000_000,
        "api_burst": 1_000_000,
        **(settings or {}),
    }
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    environ |= {f"VALLUM_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "vallum.cli", "serve"],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    from vallum.server.worker import named_database

    server = Server(process, port, folder, secure, named_database(dsn), log, metrics)
    try:
        _wait(server)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(server: Server) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if server.process.poll() is not None:
            raise AssertionError(f"the server has ended: {server.log.read_text(errors='replace')[-2000:]}")
        try:
            with server.client() as client:
                if client.get("/readyz").status_code == 200:
                    return
        except (httpx.TransportError, OSError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"the server is not ready: {server.log.read_text(errors='replace')[-2000:]}")
