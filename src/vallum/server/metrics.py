"""Metrics for Prometheus: counted by the workers, answered by a process and on a port of their own.

The workers share files below a folder that is gone with the server; no metric names a user or record.
"""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event
from typing import Any, Final

from vallum.kernel import SettingsError, tell_children

__all__ = ["Metrics", "exporter"]

# Seconds that a process may take to start, on a busy machine.
_PATIENCE: Final = 60
_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What a worker counts."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        registry = CollectorRegistry()
        self._requests: Any = Counter(
            "vallum_requests", "Requests answered", ["route", "status"], registry=registry
        )
        self._seconds: Any = Histogram(
            "vallum_request_seconds",
            "Seconds from the first byte of a request to the last of its answer",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._errors: Any = Counter("vallum_errors", "Calls refused or failed", ["error"], registry=registry)
        self._reads: Any = Counter(
            "vallum_reads",
            "Statements of reading calls, where there are replicas",
            ["server"],
            registry=registry,
        )
        self._servers: dict[str, Any] = {}
        self._children: dict[tuple[str, int], tuple[Any, Any]] = {}

    def request(self, route: str, status: int, seconds: float, error: str | None) -> None:
        """Count a request. All three are of limited kinds: routes, statuses and names of errors."""
        found = self._children.get((route, status))
        if found is None:
            found = (self._requests.labels(route, str(status)), self._seconds.labels(route))
            self._children[route, status] = found
        found[0].inc()
        found[1].observe(seconds)
        if error is not None:
            self._errors.labels(error).inc()

    def read(self, server: str) -> None:
        """Count a statement that the primary, or one of few replicas, has answered."""
        found = self._servers.get(server)
        if found is None:
            found = self._servers[server] = self._reads.labels(server)
        found.inc()


@contextmanager
def exporter(address: tuple[str, int] | None) -> Iterator[None]:
    """Share metrics among the processes started within, and answer Prometheus at the address.

    Raises: SettingsError, where nothing can listen there.
    """
    folder = Path(tempfile.mkdtemp(prefix="vallum-metrics-"))
    tell_children(_FOLDER, str(folder))
    process = None
    try:
        if address is not None:
            process = _started(address, str(folder))
        yield
    finally:
        if process is not None:
            process.terminate()
            process.join(5)
        shutil.rmtree(folder, ignore_errors=True)


def _started(address: tuple[str, int], folder: str) -> BaseProcess:
    """The process that Prometheus asks, once it listens."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_answer, args=(address, folder, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        failure = ours.recv() if ours.poll(_PATIENCE) else "it does not answer"
    except EOFError:
        failure = "it has ended"
    if failure is not None:
        process.terminate()
        process.join(5)
        raise SettingsError(
            f"metrics cannot be answered at {address[0]}:{address[1]}: {failure}",
            where="metrics",
            fix="name an address and a port that are free",
        )
    return process


def _answer(address: tuple[str, int], folder: str, ready: Connection) -> None:
    """Answer until told to end; first say whether that is possible."""
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    done = Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    try:
        start_http_server(address[1], address[0], registry=registry)
    except OSError as error:
        ready.send(str(error))
        return
    ready.send(None)
    done.wait()
