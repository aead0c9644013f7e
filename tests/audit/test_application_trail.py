"""What an application of one's own tells its trail: refusals, sensitive reads, by sessions of both kinds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from vallum.audit import KeyRefused, Sequencer
from vallum.audit.search import Wanted
from vallum.enforce.query.reach import Reach
from vallum.facade import Vallum
from vallum.facade.audit import Audit
from vallum.facade.trail import NotRecorded
from vallum.kernel import AccessDenied, SettingsError
from vallum.postgres import EmbeddedServer, connect

PAY = [("manager_id.salary", ">", 1)]


@dataclass(frozen=True, slots=True)
class Kept:
    """A company whose application tells its trail."""

    opened: Vallum
    audit: Audit
    guard: Callable[[str], Any]

    def new(self, kind: str) -> list[dict[str, Any]]:
        """The entries of a kind that came since it was asked last, the oldest first."""
        with Sequencer(self.audit.dsn, self.audit.home).running() as worker:
            size = worker.step().size
        found = self.audit.search(Wanted(kind=kind, start=self.seen[0]), limit=None, newest_first=False)
        self.seen[0] = size
        return [dict(event.content) for event in found]

    @property
    def seen(self) -> list[int]:
        """How many events were looked at."""
        return _SEEN.setdefault(id(self.audit), [0])


_SEEN: dict[int, list[int]] = {}


@pytest.fixture(scope="module")
def company(pg_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """The example company, whose application keeps a trail of reads of employees."""
    name = f"audit_application_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    engine = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    folder = tmp_path_factory.mktemp("audit") / "log"
    with vallum.open(dsn, metadata=METADATA, policy=POLICY, writable=True) as opened:
        audit = opened.audit(folder)
        audit.enable(audit.plan(audit.wanted((), ["crm_tag"])))
        opened.keep_trail(folder, reads=["sensitive"], source=lambda: ("192.0.2.9", "req-1"))
        yield Kept(opened, audit, opened.guard(orm.sessionmaker(engine)))
    engine.dispose()
    pg_server.drop_database(name)


@pytest.fixture
def kept(company: Kept) -> Kept:
    """The company; what others have left behind counts as seen."""
    company.new("refusal")
    return company


def test_refusal_of_a_session_is_recorded_with_who_what_and_whence(kept: Kept) -> None:
    """A right that is missing, a record out of scope, a field that is shut; whatever became of the call."""
    marie, everybody = kept.opened.as_user("marie"), kept.opened.sudo()
    lead = marie.search("crm.lead", limit=1)[0]
    hidden = next(i for i in everybody.search("crm.lead") if i not in set(marie.search("crm.lead")))
    with pytest.raises(AccessDenied):
        marie.unlink("crm.lead", lead)
    with pytest.raises(AccessDenied):
        marie.read("crm.lead", [hidden], ["name"])
    with pytest.raises(AccessDenied):
        marie.search("hr.employee", [("salary", ">", 1)])
    told = kept.new("refusal")
    assert [(e["table"], e["detail"]["method"], e["detail"].get("ids")) for e in told] == [
        ("crm.lead", "unlink", [lead]),
        ("crm.lead", "read", [hidden]),
        ("hr.employee", "search", None),
    ]
    for entry in told:
        assert entry["detail"]["code"] == "access-denied"
        assert entry["detail"]["what"]
        who = entry["actor"]
        assert (who["login"], who["ip"], who["request"], who["verified"]) == (
            "marie",
            "192.0.2.9",
            "req-1",
            True,
        )


def test_question_that_is_answered_by_no_is_no_refusal(kept: Kept) -> None:
    """To ask whether one may is nobody's alarm."""
    marie = kept.opened.as_user("marie")
    assert not marie.has_access("crm.lead", "unlink")
    assert not marie.check_access_rights("crm.lead", "unlink", raise_exception=False)
    assert not marie.can("unlink", "crm.lead").allowed
    assert kept.new("refusal") == []


def test_refusal_within_a_transaction_that_is_rolled_back_stays_recorded(kept: Kept) -> None:
    """It is told on a connection of its own."""
    marie, database = kept.opened.as_user("marie"), kept.opened.application.database
    lead = marie.search("crm.lead", limit=1)[0]
    with pytest.raises(AccessDenied), database.transaction():
        marie.unlink("crm.lead", [lead])
    assert [e["detail"]["ids"] for e in kept.new("refusal")] == [[lead]]


def test_refusal_of_a_guarded_session_is_recorded_once(kept: Kept) -> None:
    """Of a statement, of a column, of what is flushed, of SQL text, of the connection."""
    with kept.guard("marie") as session:
        with pytest.raises(AccessDenied):
            session.execute(sa.select(m.Employee.salary))
        with pytest.raises(AccessDenied):
            session.scalars(sa.text("SELECT 1"))
        session.rollback()
        session.delete(session.scalars(sa.select(m.Lead).limit(1)).one())
        with pytest.raises(AccessDenied):
            session.flush()
    told = kept.new("refusal")
    assert [e["detail"]["method"] for e in told] == ["execute", "scalars", "flush"]
    assert {e["actor"]["login"] for e in told} == {"marie"}
    assert all(e["actor"]["verified"] for e in told)


def test_read_of_a_sensitive_model_is_recorded_with_its_fields_and_records(kept: Kept) -> None:
    """By a session; other models are not told of."""
    helene = kept.opened.as_user("helene")
    ids = helene.search("hr.employee", limit=2)
    helene.read("hr.employee", ids, ["name", "salary"])
    helene.search_read("crm.tag", fields=["name"], limit=1)
    [told] = kept.new("sensitive-read")
    assert (told["table"], told["detail"]["fields"], told["detail"]["ids"]) == (
        "hr.employee",
        ["name", "salary"],
        ids,
    )


def test_search_by_a_field_of_a_sensitive_model_is_recorded(kept: Kept) -> None:
    """What is found says what the field holds; to be found by nothing, or by id, says nothing."""
    helene = kept.opened.as_user("helene")
    found = helene.search("hr.employee", [("salary", ">", 1)], limit=3)
    helene.search_count("hr.employee", ["|", ("salary", "<", 0), "!", ("id", "in", found)])
    helene.search("hr.employee", [("id", "in", found)])
    told = [(e["detail"]["method"], e["detail"]["searched"], e["detail"]["ids"]) for e in _reads(kept)]
    assert told == [("search", ["salary"], found), ("search_count", ["salary"], [])]


def test_sensitive_model_that_is_reached_through_a_path_is_recorded_as_read(kept: Kept) -> None:
    """By search, count, page, reading, grouping, names, and the domain of `any`."""
    helene = kept.opened.as_user("helene")
    helene.search("hr.department", PAY)
    helene.search_count("hr.department", PAY)
    helene.page("hr.department", PAY)
    helene.search_read("hr.department", PAY, ["name"])
    helene.read_group("hr.department", PAY, ["company_id"])
    helene.name_search("hr.department", "", PAY)
    helene.search("hr.department", [("manager_id", "any", [("salary", ">", 1)])])
    told = _reads(kept)
    assert [e["detail"]["method"] for e in told] == [
        *("search", "search_count", "page", "search_read", "read_group", "name_search", "search"),
    ]
    for entry in told:
        assert entry["table"] == "hr.employee"
        assert (entry["detail"]["fields"], entry["detail"]["from"]) == (["salary"], "hr.department")
        assert entry["detail"]["paths"] == ["manager_id.salary"]
        assert entry["actor"]["login"] == "helene"


def test_paths_are_followed_as_far_as_they_lead(kept: Kept) -> None:
    """Through several models, related fields and nested domains; only what is watched, no ids."""
    schema = kept.opened.schema

    def reach(model: str, domain: list[Any] = [], names: list[str] = [], order: str = "") -> Any:  # noqa: B006
        found = Reach(schema, frozenset({"hr.employee"}))
        found.domain(model, domain)
        found.names(model, names)
        found.order(model, order)
        return found.found

    deep = {"hr.employee": {"salary": "user_id.employee_ids.salary"}}
    assert reach("crm.lead", [("user_id.employee_ids.salary", ">", 1)]) == deep
    nested = [("user_id", "any", [("employee_ids", "any", [("salary", ">", 1)])])]
    assert reach("crm.lead", nested) == deep
    assert reach("crm.lead", [("user_id.employee_ids", "!=", False)]) == {}
    assert reach("crm.lead", [("user_id.employee_ids.id", "in", [1])]) == {}
    assert reach("crm.lead", [("name", "ilike", "x"), ("nothing.at.all", "=", 1)]) == {}
    assert reach("hr.employee", order="salary desc, id") == {"hr.employee": {"salary": "salary"}}
    assert reach("hr.employee", names=["salary:sum", "__count"]) == {"hr.employee": {"salary": "salary:sum"}}
    # Up the tree of managers, and down again.
    up = reach("hr.department", [("manager_id.parent_id.salary", ">", 1)])
    assert up == {
        "hr.employee": {"parent_id": "manager_id.parent_id.salary", "salary": "manager_id.parent_id.salary"}
    }


def test_read_of_a_sensitive_table_by_a_guarded_session_is_recorded(kept: Kept) -> None:
    """Also through a join, and from the cache of statements; not of other tables."""
    with kept.guard("helene") as session:
        for _ in range(2):
            session.execute(sa.select(m.Employee.id, m.Employee.salary).limit(1)).all()
        joined = sa.select(m.Department.name).join(m.Employee, m.Employee.id == m.Department.manager_id)
        session.execute(joined.where(m.Employee.salary > 1)).all()
        session.execute(sa.select(m.Tag.name).limit(1)).all()
    told = _reads(kept)
    assert [(e["table"], e["detail"]["fields"]) for e in told] == [("hr.employee", ["salary"])] * 3
    assert {e["detail"]["method"] for e in told} == {"session"}


def test_asynchronous_guarded_session_tells_what_the_synchronous_one_tells(kept: Kept) -> None:
    """Refusals once, and reads of sensitive tables."""

    async def run() -> None:
        async with async_engine(kept.audit.dsn) as engine:
            guard = kept.opened.guard(async_sessionmaker(engine))
            async with guard("marie") as session:
                with pytest.raises(AccessDenied):
                    await session.scalars(sa.select(m.Employee.salary))
            async with guard("helene") as session:
                await session.execute(sa.select(m.Employee.salary).limit(1))

    ran(run())
    with Sequencer(kept.audit.dsn, kept.audit.home).running() as worker:
        worker.step()
    start = kept.seen[0]
    found = kept.audit.search(Wanted(start=start), limit=None, newest_first=False)
    told = [(e.content["kind"], e.content["actor"]["login"]) for e in found]
    assert told == [("refusal", "marie"), ("sensitive-read", "helene")]


def test_what_cannot_be_recorded_is_not_given_and_a_refusal_stays_one(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    """Reads fail; who is refused is told so, and the log of the program says that it was not recorded."""
    helene, marie = kept.opened.as_user("helene"), kept.opened.as_user("marie")
    with connect(kept.audit.dsn, readonly=False, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE vallum.audit_inbox ADD CONSTRAINT shut"
            " CHECK (kind NOT IN ('sensitive-read', 'refusal')) NOT VALID"
        )
        try:
            with pytest.raises(NotRecorded):
                helene.search_read("hr.employee", fields=["salary"], limit=1)
            with pytest.raises(NotRecorded):
                helene.search("hr.department", PAY)
            with kept.guard("helene") as session, pytest.raises(NotRecorded):
                session.execute(sa.select(m.Employee.salary))
            with pytest.raises(AccessDenied):
                marie.search("hr.employee", [("salary", ">", 1)])
            assert "could not be recorded" in caplog.text
        finally:
            connection.execute("ALTER TABLE vallum.audit_inbox DROP CONSTRAINT shut")


def test_trail_is_kept_once_and_only_with_its_keys(kept: Kept, tmp_path: Path) -> None:
    """Twice would record everything twice; without keys nobody could be named."""
    with pytest.raises(SettingsError, match="already"):
        kept.opened.keep_trail(kept.audit.home.folder)
    with vallum.open(kept.audit.dsn, metadata=METADATA, policy=POLICY) as another:
        with pytest.raises(KeyRefused):
            another.keep_trail(tmp_path)
        with pytest.raises(SettingsError, match="no model"):
            another.keep_trail(kept.audit.home.folder, reads=["no.such"])


def _reads(kept: Kept) -> list[dict[str, Any]]:
    return kept.new("sensitive-read")
