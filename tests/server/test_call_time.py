"""The time a call may take, however many statements it is made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

import vallum
from tests.support.company import METADATA, POLICY
from vallum.identity import Verdict
from vallum.kernel import ConnectionFailed
from vallum.postgres import EmbeddedServer, ThreadDatabase
from vallum.server.rpc.context import Context
from vallum.server.rpc.execute import run
from vallum.server.rpc.faults import fault_of
from vallum.server.rpc.methods import Call, Method


def test_no_statement_is_begun_when_the_time_is_up(pg_server: EmbeddedServer) -> None:
    """One that has begun ends; afterwards nothing is limited."""
    database = ThreadDatabase(pg_server.dsn("postgres"))
    try:
        with database.limited(0.1):
            assert database.rows("SELECT pg_sleep(0.2)")
            with pytest.raises(ConnectionFailed, match="gave the statement up"):
                database.rows("SELECT 1")
        assert database.rows("SELECT 1") == [(1,)]
    finally:
        database.close()


def test_call_of_many_short_statements_is_given_up(company: str) -> None:
    """As one long statement would be, and told in the same words."""

    def slow(call: Call) -> None:
        for _ in range(50):
            call.session.application.database.rows("SELECT pg_sleep(0.1)")

    with vallum.open(company, metadata=METADATA, policy=POLICY) as opened:
        service = SimpleNamespace(
            application=opened.application,
            schema=opened.schema,
            session=lambda *_: opened.as_user("marie"),
            replicas=None,
            call_timeout=0.3,
            trail=None,
        )
        method = Method("slow", slow, (), (), on_records=False)
        with pytest.raises(ConnectionFailed) as given_up:
            run(cast("Any", service), Verdict.of(3), "crm.lead", method, (), {}, Context())
        assert (fault_of(given_up.value).status, "too long" in fault_of(given_up.value).message) == (
            422,
            True,
        )
        assert opened.application.database.rows("SELECT 1") == [(1,)]
