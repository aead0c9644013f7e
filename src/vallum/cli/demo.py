"""`vallum demo`: PostgreSQL, a company of data, and what its people see of it, and why."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import vallum
from vallum.cli import demo_server, tour, tour_screen
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.kernel import SettingsError

if TYPE_CHECKING:
    from vallum.postgres import EmbeddedServer

__all__ = ["register"]

_SEED: Final = 7
_FEWEST: Final = 2_000


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("demo", epilog=examples("vallum demo", "vallum demo --rows 100000", "vallum demo --serve"))(
        demo
    )


@command
def demo(
    shell: Shell,
    rows: Annotated[int, typer.Option("--rows", min=_FEWEST, help="Records of the company.")] = 10_000,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make the company anew.")] = False,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave PostgreSQL running, for commands of your own.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Only stop a PostgreSQL left running.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Then serve it: the console in a browser, and the API.")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where to serve it.")] = 8069,
) -> int:
    """Start PostgreSQL, make an example company, and show what its people see of it, and why."""
    if stop:
        return _stop(shell)
    trading, root = _trading()
    with _server(shell, keep_running=keep_running) as server:
        dsn = _company(shell, server, trading, rows, fresh=fresh)
        with vallum.open(dsn, metadata=trading.Base, policy=trading.SECURITY) as company:
            seen = tour.look(company)
        where = tour_screen.Where(dsn, root, Path.cwd(), running=keep_running, serving=serve)
        if shell.json:
            shell.write({"dsn": dsn, "running": keep_running, **seen.as_dict()})
        else:
            shell.show(*tour_screen.screen(seen, where, shell.console.width))
        if serve:
            demo_server.serve(shell, dsn, trading, port)
    return OK


def _stop(shell: Shell) -> int:
    """Stop the server; refused where another process still uses it."""
    server = _project_server(shell)
    running = server.data / "postmaster.pid"
    if running.exists():
        # Whoever starts it is a user of it, and the last one stops it.
        server.start()
        server.stop()
    stopped = not running.exists()
    if shell.json:
        shell.write({"running": not stopped})
    else:
        shell.show("PostgreSQL is stopped." if stopped else "PostgreSQL is still used by another process.")
    return OK if stopped else REFUSED


def _project_server(shell: Shell) -> EmbeddedServer:
    from vallum.postgres import EmbeddedServer, default_folder

    settings = shell.settings
    return EmbeddedServer(default_folder(settings.data_dir, settings.project))


def _trading() -> tuple[Any, Path]:
    """The example company, and the checkout it is in: it is not part of the installed package.

    Raises: SettingsError.
    """
    root = Path(vallum.__file__).resolve().parents[2]
    if not (root / "examples" / "trading" / "models.py").is_file():
        raise SettingsError(
            "the example company is not here: it comes with the source, not with the package",
            where=str(root),
            fix="run `make run` in a checkout of Vallum",
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module("examples.trading"), root


@contextmanager
def _server(shell: Shell, *, keep_running: bool) -> Iterator[EmbeddedServer]:
    """The project's own PostgreSQL; it is stopped by whoever uses it last, unless it is kept."""
    server = _project_server(shell)
    shell.progress.start(None, "starting PostgreSQL")
    try:
        server.start()
    finally:
        shell.progress.done()
    try:
        yield server
    except BaseException:
        server.stop()
        raise
    if not keep_running:
        server.stop()


def _company(shell: Shell, server: EmbeddedServer, trading: Any, rows: int, *, fresh: bool) -> str:
    """The DSN of the company's database, made where it is missing, cut short or of another version."""
    from psycopg import sql

    from vallum.postgres import connect

    name = f"trading_{rows}"
    mark = f"Limes Trading, {rows} records, seed {_SEED}, {_version(Path(trading.__file__).parent)}"
    if name in server.databases():
        with connect(server.dsn(name)) as connection:
            found = connection.execute(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
                " WHERE datname = current_database()"
            ).fetchone()
        if found == (mark,) and not fresh:
            return server.dsn(name)
        server.drop_database(name)
    dsn = server.create_database(name)
    trading.generate(dsn, rows=rows, seed=_SEED, progress=shell.progress)
    with connect(dsn, readonly=False, autocommit=True) as connection:
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(mark))
        connection.execute(comment)
    return dsn


def _version(folder: Path) -> str:
    """A digest of what makes the company: other code makes another one."""
    digest = hashlib.sha256()
    for path in sorted((*folder.glob("*.py"), folder / "security" / "groups.xml")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
