"""Which statements a standby may answer: those an actor asked for, and none that decide about rights."""

from __future__ import annotations

from pathlib import Path

from tests.support.company import METADATA, POLICY
from vallum.facade import Session, open_over
from vallum.postgres import Database
from vallum.postgres.connection import Params, Row, Statement


class _Noting(Database):
    """Notes which statements are offered to standbys."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.offered: list[bool] = []

    def rows(self, statement: Statement, params: Params = None, *, reads: bool = False) -> list[Row]:
        self.offered.append(reads)
        return super().rows(statement, params, reads=reads)


def test_policy_users_and_what_rules_look_up_are_not_offered(company: str) -> None:
    """The SELECTs of a search are, in contrast: the note would tell."""
    with _Noting(company) as database:
        application = open_over(database, metadata=METADATA, policy=(Path(POLICY),)).application
        actor = application.actor("marie")
        found = application.context(actor).reader.read("res.users", [actor.user_id], "partner_id")
        assert found[actor.user_id]
        application.refresh()
        assert application.facts.root_company(actor.company) is not None
        assert database.offered
        assert not any(database.offered)
        database.offered.clear()
        assert Session(application, actor).search("crm.lead", [], limit=1)
        assert any(database.offered)
