"""Sessions of a team's own models: what they write bears its actor, whatever savepoints take back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import vallum
from examples.trading import generate
from examples.trading import models as m
from tests.support.company import METADATA, POLICY
from vallum.audit import Sequencer
from vallum.audit.search import Wanted
from vallum.facade.audit import Audit
from vallum.postgres import EmbeddedServer


@pytest.fixture
def guarded(pg_server: EmbeddedServer, tmp_path: Path) -> Iterator[tuple[orm.Session, Audit]]:
    """A session of sofia over an audited company, whose writes are stamped."""
    name = f"audit_session_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    with vallum.open(dsn, metadata=METADATA, policy=POLICY) as opened:
        audit = opened.audit(tmp_path / "log")
        audit.enable(audit.plan(audit.wanted((), ["crm_tag"])))
        opened.application.stamps.append(audit.stamp(lambda: ("192.0.2.9", "req-1")))
        with opened.guard(orm.sessionmaker(engine))("admin") as session:
            yield session, audit
    engine.dispose()
    pg_server.drop_database(name)


def test_write_of_a_guarded_session_bears_its_actor(guarded: tuple[orm.Session, Audit]) -> None:
    """In each transaction anew, and after a savepoint that began it was rolled back."""
    session, audit = guarded
    for name in ("first", "second"):
        session.add(m.Tag(name=name))
        session.commit()
    with session.begin_nested() as savepoint:
        session.add(m.Tag(name="taken back"))
        session.flush()
        savepoint.rollback()
    session.add(m.Tag(name="third"))
    session.commit()
    with Sequencer(audit.dsn, audit.home).running() as worker:
        worker.step()
    events = audit.search(Wanted(relations=["public.crm_tag"]), newest_first=False)
    told = [(e.content["new"]["name"], e.content["actor"]) for e in events if e.content["kind"] == "row"]
    assert [name for name, _ in told] == ["first", "second", "third"]
    for name, actor in told:
        assert actor["verified"], name
        assert (actor["login"], actor["ip"], actor["request"]) == ("admin", "192.0.2.9", "req-1"), name
