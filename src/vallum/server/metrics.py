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
from pathlib import Path
from threading import Event
from typing import Any, Final

from vallum.kernel import tell_children

__all__ = ["Metrics", "exporter"]

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


@contextmanager
def exporter(address: tuple[str, int] | None) -> Iterator[None]:
    """Share metrics among the processes started within, and answer Prometheus at the address."""
    folder = Path(tempfile.mkdtemp(prefix="vallum-metrics-"))
    tell_children(_FOLDER, str(folder))
    process = None
    if address is not None:
        process = multiprocessing.get_context("spawn").Process(
            target=_answer, args=(address, str(folder)), daemon=True
        )
        process.start()
    try:
        yield
    finally:
        if process is not None:
            process.terminate()
            process.join(5)
        shutil.rmtree(folder, ignore_errors=True)


def _answer(address: tuple[str, int], folder: str) -> None:
    """The process that Prometheus asks."""
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    done = Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
    start_http_server(address[1], address[0], registry=registry)
    done.wait()
