"""Sessions of a team's own models: what they write bears its actor, whatever savepoints take back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import async_sessionmaker

import vallum
from examples.trading import generate
from examples.trading import models as m
from tests.support.asynchronous import async_engine
from tests.support.company import METADATA, POLICY
from tests.support.loops import ran
from vallum.audit import Sequencer
from vallum.audit.search import Wanted
from vallum.facade.audit import Audit
from vallum.postgres import EmbeddedServer


@pytest.fixture
def audited(pg_server: EmbeddedServer, tmp_path: Path) -> Iterator[tuple[vallum.Vallum, Audit]]:
    """An audited company whose writes are stamped."""
    name = f"audit_session_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    with vallum.open(dsn, metadata=METADATA, policy=POLICY) as opened:
        audit = opened.audit(tmp_path / "log")
        audit.enable(audit.plan(audit.wanted((), ["crm_tag"])))
        opened.application.stamps.append(audit.stamp(lambda: ("192.0.2.9", "req-1")))
        yield opened, audit
    pg_server.drop_database(name)


def write(session: orm.Session) -> None:
    """Write in two transactions, and in a third after a savepoint that began it was rolled back."""
    for name in ("first", "second"):
        session.add(m.Tag(name=name))
        session.commit()
    with session.begin_nested() as savepoint:
        session.add(m.Tag(name="taken back"))
        session.flush()
        savepoint.rollback()
    session.add(m.Tag(name="third"))
    session.commit()


def write_awaited(opened: vallum.Vallum) -> None:
    """The same in an asynchronous session."""

    async def run() -> None:
        async with (
            async_engine(opened.application.database.dsn) as engine,
            opened.guard(async_sessionmaker(engine))("admin") as session,
        ):
            await session.run_sync(write)

    ran(run())


def write_plain(opened: vallum.Vallum) -> None:
    """The same in a synchronous one."""
    dsn = opened.application.database.dsn
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    with opened.guard(orm.sessionmaker(engine))("admin") as session:
        write(session)
    engine.dispose()


@pytest.mark.parametrize("written", [write_plain, write_awaited])
def test_write_of_a_guarded_session_bears_its_actor(
    audited: tuple[vallum.Vallum, Audit], written: Callable[[vallum.Vallum], None]
) -> None:
    """In each transaction anew, and after a savepoint that began it was rolled back."""
    opened, audit = audited
    written(opened)
    with Sequencer(audit.dsn, audit.home).running() as worker:
        worker.step()
    events = audit.search(Wanted(relations=["public.crm_tag"]), newest_first=False)
    told = [(e.content["new"]["name"], e.content["actor"]) for e in events if e.content["kind"] == "row"]
    assert [name for name, _ in told] == ["first", "second", "third"]
    for name, actor in told:
        assert actor["verified"], name
        assert (actor["login"], actor["ip"], actor["request"]) == ("admin", "192.0.2.9", "req-1"), name
