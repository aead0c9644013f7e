"""One worker: opens the application, keeps it up to date, and is the ASGI application that is served."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final, cast

from vallum.enforce import Application
from vallum.kernel import Clock, ConnectionFailed, Settings, SystemClock
from vallum.postgres import Database, ThreadDatabase
from vallum.schema.readers.kept import KeptSchema
from vallum.server import log
from vallum.server.addresses import Addresses
from vallum.server.exchange import ASGI, Receive, Scope, Send
from vallum.server.fingerprint import Fingerprint
from vallum.server.limits import Rate, counters
from vallum.server.metrics import Metrics
from vallum.server.middleware import STACK
from vallum.server.options import Options
from vallum.server.people import People
from vallum.server.replicas import Marks, ReplicatedDatabase
from vallum.server.router import Router
from vallum.server.service import Service, State
from vallum.server.sessions import Sessions
from vallum.server.signin import SignIn
from vallum.server.trail import ServerTrail
from vallum.server.watch import Watch

if TYPE_CHECKING:
    from vallum.facade import Vallum

__all__ = ["Plan", "build", "named_database", "opened"]

_LOG: Final = logging.getLogger("vallum.server")
_TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What all workers are told. `store`: the DSN of Vallum's own tables. `marks`: who has written when."""

    settings: Settings
    store: str
    marks: Path | None = None

    def __call__(self) -> ASGI:
        """The ASGI application of a worker, made in its process."""
        # Told to end before it serves, a worker ends at once. What it has inherited from its parent until
        # granian listens here itself would only take note.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log.configure()
        return build(self)


def opened(settings: Settings, database: Database, kept: KeptSchema | None = None) -> Vallum:
    """The application of the settings, over a database. `kept`: where the schema of an Odoo is kept.

    Raises: SettingsError, and what `vallum.open` raises.
    """
    from vallum.facade import open_over

    if settings.metadata is not None and str(settings.project) not in sys.path:
        # As with every tool that loads an application by name; what is installed has precedence.
        sys.path.append(str(settings.project))
    return open_over(
        database,
        registry=settings.registry,
        metadata=settings.metadata,
        policy=settings.policy or None,
        odoo_version=settings.odoo_version,
        read_schema=kept.read if kept is not None else None,
    )


class _Worker:
    """What is around the stack: the lifespan."""

    def __init__(self, app: ASGI, close: Callable[[], None]) -> None:
        self._app = app
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or begin and end."""
        if scope["type"] == "http":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "lifespan":
            raise RuntimeError("only HTTP is served")
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._close()
        await send({"type": "lifespan.shutdown.complete"})


def build(plan: Plan) -> ASGI:
    """The ASGI application of one worker. Waits for the databases, where they do not answer yet.

    Raises: SettingsError, and what `vallum.open` raises.
    """
    settings, clock = plan.settings, SystemClock()
    timeout = settings.statement_timeout or _TIMEOUT
    metrics = Metrics()
    database = _database(plan, timeout, metrics)
    store = ThreadDatabase(
        plan.store, readonly=False, statement_timeout=timeout, application_name="vallum-store"
    )
    people = People(settings, store, database, clock, lambda: service.application)
    told = ThreadDatabase(
        settings.dsn or "", readonly=False, statement_timeout=timeout, application_name="vallum-trail"
    )
    trail = ServerTrail(settings, told.transaction)
    kept = KeptSchema()
    state = _patiently(lambda: _state(settings, database, people, kept, trail))
    service = _service(settings, state, store, clock, people)
    service.trail = trail
    people.start()
    if isinstance(database, ReplicatedDatabase):
        database.start()
        service.replicas = database

    def changed() -> Fingerprint:
        service.learn(_state(settings, database, people, kept, trail))
        return _fingerprint(settings, database, service.application, people)

    @contextmanager
    def instant() -> Iterator[None]:
        with database.snapshot(), store.snapshot():
            yield

    watch = _patiently(
        lambda: Watch(
            settings.dsn or "",
            instant,
            _fingerprint(settings, database, state.application, people),
            changed,
            lambda: service.learn(None),
        )
    )
    watch.start()
    from vallum.server.probes import pages

    router = Router(service, cast("ASGI", pages(service, settings)), settings.threads)
    options = Options.of(settings, metrics, router.known)
    app: ASGI = router
    for layer in reversed(STACK):
        app = layer(app, options)

    def close() -> None:
        router.close()
        watch.close()
        people.close()
        database.close()
        store.close()
        told.close()

    return _Worker(app, close)


def _database(plan: Plan, timeout: float, metrics: Metrics) -> ThreadDatabase:
    """The application's database, with its standbys where there are any."""
    settings = plan.settings
    readonly = settings.metadata is None
    if settings.replicas:
        return ReplicatedDatabase(
            settings.dsn or "",
            settings.replicas,
            readonly=readonly,
            statement_timeout=timeout,
            marks=Marks(plan.marks),
            counted=metrics.read,
        )
    return ThreadDatabase(
        settings.dsn or "", readonly=readonly, statement_timeout=timeout, application_name="vallum-server"
    )


def _patiently(make: Callable[[], Any]) -> Any:
    """What `make` makes, as soon as the database answers."""
    while True:
        try:
            return make()
        except ConnectionFailed:
            _LOG.warning("waiting for the database")
            Event().wait(1)


def _state(
    settings: Settings, database: ThreadDatabase, people: People, kept: KeptSchema, trail: ServerTrail
) -> State:
    application = opened(settings, database, kept).application
    application.widen(people.widened, people.lasting)
    # Now, and not with the first call: what is known is of the instant the watch looks at.
    _ = application.directory
    trail.watch(application)
    if isinstance(database, ReplicatedDatabase):
        application.stamps.append(database.stamp)
    languages = None
    if "res.lang" in application.schema:
        languages = frozenset(code for (code,) in database.rows("SELECT code FROM res_lang WHERE active"))
    return State(application, languages)


def _fingerprint(
    settings: Settings, database: ThreadDatabase, application: Application, people: People
) -> Fingerprint:
    files: Sequence[Path] = [*settings.policy, *([settings.registry] if settings.registry else [])]
    return Fingerprint(database, application, files, people.given)


def _service(
    settings: Settings, state: State, store: ThreadDatabase, clock: Clock, people: People
) -> Service:
    of_odoo = settings.metadata is None
    where = settings.limits or ("memory" if settings.workers == 1 else "postgres")
    kept = counters(where, store, clock)

    def report(event: str, client: Any, details: dict[str, Any]) -> None:
        log.write(event, {"request_id": client.request_id, "client": client.address, **details}, clock)
        people.told(event, client, details)

    login = Rate(settings.login_rate, settings.login_burst)
    return Service(
        state=state,
        signin=SignIn(people.authenticator, kept, login, clock, report),
        sessions=Sessions(store, clock, people.mark),
        counters=kept,
        api_rate=Rate(settings.api_rate, settings.api_burst),
        sso_rate=Rate(settings.sso_rate, settings.sso_burst),
        addresses=Addresses.parse(settings.addresses),
        database_name=settings.database_name or named_database(settings.dsn or ""),
        version=state.application.schema.version,
        of_odoo=of_odoo,
        writable=not of_odoo,
        max_rows=settings.max_rows,
        call_timeout=settings.statement_timeout or _TIMEOUT,
        protocols=frozenset(settings.protocols),
        people=people,
    )


def named_database(dsn: str) -> str:
    """The name of the database of a DSN."""
    from psycopg.conninfo import conninfo_to_dict

    found = conninfo_to_dict(dsn)
    return str(found.get("dbname") or found.get("user") or "")
