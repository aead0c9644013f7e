"""The sequencer beside the workers: a process of its own, so that signing takes no time from answering.

Of all servers and `vallum audit sequence` that know the log, one works: who holds the folder's lock and the
database's. The others ask again every second, and go on where that one ends, however it ended. The process
is started anew when it dies, and ends when the server does.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any, Final

import psycopg

from vallum.audit import Alarm, Fenced, Home, LogForked, SequencedElsewhere, Sequencer
from vallum.kernel import Clock, Settings, SystemClock, VallumError
from vallum.server import log

__all__ = ["keep", "sequencing"]

_LOG: Final = logging.getLogger("vallum.server")
_PERIOD: Final = 0.5
_MANY: Final = 2_000
# Seconds until another attempt: where another works, where the database is away or has no log, and where
# nothing may be signed until somebody has looked, or another has taken over (each attempt holds the log
# against what was signed).
_ELSEWHERE, _AWAY, _FORKED = 1.0, 2.0, 60.0
_PATIENCE: Final = 10


@contextmanager
def sequencing(settings: Settings) -> Iterator[None]:
    """Sequence the log while the server runs, where it is told of one."""
    if settings.audit_dir is None or settings.dsn is None or not settings.audit_sequence:
        yield
        return
    done = Event()
    thread = Thread(target=_supervise, args=(settings.dsn, settings.audit_dir, done), name="sequencing")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _supervise(dsn: str, folder: Path, done: Event) -> None:
    spawn = multiprocessing.get_context("spawn")
    while not done.is_set():
        process = spawn.Process(target=_work, args=(dsn, str(folder)), name="sequencer", daemon=True)
        process.start()
        while process.is_alive() and not done.wait(0.1):
            pass
        if done.is_set():
            process.terminate()
        process.join(_PATIENCE)
        if process.is_alive():
            # Whatever it was at: who comes next makes it good.
            process.kill()
            process.join()
        elif not done.is_set():
            _LOG.error("the sequencer has died and is started again", extra={"code": process.exitcode})
            done.wait(_ELSEWHERE)


def _work(dsn: str, folder: str) -> None:
    log.configure()
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel, ended), daemon=True).start()
    keep(dsn, Home(Path(folder)), ended)


def _end_after(sentinel: int, ended: Event) -> None:
    """End as well when the server has, even where it was killed."""
    wait([sentinel])
    ended.set()


def keep(dsn: str, home: Home, ended: Event) -> None:
    """Sequence until told to end, whenever nobody else does."""
    # Here, for workers know this module too, and have no use for its clients of HTTP.
    from vallum.audit.anchors import read_anchors

    meter, clock, said = _Meter(), SystemClock(), _Said()
    worker: Sequencer | None = None
    while not ended.is_set():
        try:
            if worker is None:
                anchors = read_anchors(home)
                worker = Sequencer(dsn, home, anchors=anchors, clock=clock, notify=meter.alarm)
            with worker.running():
                said("the audit log is sequenced here")
                _turns(worker, ended, meter, clock)
            pause = 0.0
        except SequencedElsewhere:
            said("the audit log is sequenced elsewhere")
            pause = _ELSEWHERE
        except (Fenced, LogForked) as error:
            said(f"the audit log is not signed here: {error.what}")
            pause = _FORKED
        except (VallumError, psycopg.Error, OSError) as error:
            said(f"the audit log is not sequenced: {str(error).splitlines()[0]}")
            pause = _AWAY
        ended.wait(pause)


def _turns(worker: Sequencer, ended: Event, meter: _Meter, clock: Clock) -> None:
    looked = 0.0
    while not ended.is_set():
        if monotonic() - looked >= 1:
            looked = monotonic()
            meter.lag(worker.lag())
        done = worker.step()
        meter.turn(done.size, clock)
        if done.events < _MANY:
            ended.wait(_PERIOD)


class _Said:
    """Logs what is new."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, what: str) -> None:
        if what != self._last:
            self._last = what
            _LOG.warning(what)


class _Meter:
    """What Prometheus is told of the log."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge

        registry = CollectorRegistry()

        def gauge(name: str, what: str) -> Any:
            return Gauge(f"vallum_audit_{name}", what, registry=registry, multiprocess_mode="mostrecent")

        self._lag = gauge("lag_seconds", "Age of the oldest event that waits for its place in the log")
        self._size = gauge("log_size", "Events in the log")
        self._turn = gauge("turn_timestamp_seconds", "When the log was last sequenced and signed")
        self._alarms: Any = Counter("vallum_audit_alarms", "Alarms", ["code"], registry=registry)

    def lag(self, seconds: float) -> None:
        self._lag.set(seconds)

    def turn(self, size: int, clock: Clock) -> None:
        self._size.set(size)
        self._turn.set(clock.now().timestamp())

    def alarm(self, alarm: Alarm) -> None:
        self._alarms.labels(alarm.code).inc()
        _LOG.error("audit alarm", extra={"code": alarm.code, "what": alarm.what})
