"""A guarded `AsyncSession` is the guarded `Session`, awaited: the same rows, the same refusals."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random
from typing import Any, Final, TypeAlias

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

import vallum
from examples.trading import models as m
from tests.enforce.statements import ENTITIES, Statements
from tests.support.asynchronous import async_engine
from tests.support.loops import ran
from vallum.enforce.session import Guard
from vallum.kernel import AccessDenied, SettingsError

LEADS: Final[Any] = m.Lead.__table__
Body: TypeAlias = "Callable[[Guard], Coroutine[Any, Any, None]]"


@contextlib.asynccontextmanager
async def guarding(opened: vallum.Vallum, **options: Any) -> AsyncIterator[Guard]:
    """A guard of asynchronous sessions of the company's users."""
    async with async_engine(opened.application.database.dsn) as engine:
        yield opened.guard(async_sessionmaker(engine), **options)


def awaited(opened: vallum.Vallum, body: Body, **options: Any) -> None:
    """Run a test's body in a loop of its own."""

    async def run() -> None:
        async with guarding(opened, **options) as guard:
            await body(guard)

    ran(run())


def test_every_user_reads_the_scope_of_every_model(app: vallum.Vallum) -> None:
    """The ids of each model are those of the user's search; where no right grants reading, it is refused."""

    async def body(guard: Guard) -> None:
        compared = refused = 0
        for user in app.users:
            eyes = app.as_user(user.id)
            async with guard(user.id) as session:
                for name, entity in ENTITIES.items():
                    try:
                        expected = sorted(eyes.search(name, active_test=False))
                    except AccessDenied:
                        with pytest.raises(AccessDenied):
                            await session.scalars(sa.select(entity.id))
                        refused += 1
                        continue
                    found = await session.scalars(sa.select(entity.id))
                    assert sorted(found) == expected, (user.login, name)
                    compared += 1
        assert compared > 200
        assert refused > 50

    awaited(app, body)


def test_random_statements_answer_as_in_the_synchronous_session(
    own: vallum.Vallum, engine: sa.Engine
) -> None:
    """Joins, loads, subqueries, CTEs, unions, locks; the seed is named where an answer differs."""
    seed = Random().randrange(10**9)  # noqa: S311 - no secret
    plain = own.guard(orm.sessionmaker(engine))
    opened = {}
    for name in ENTITIES:
        with contextlib.suppress(AccessDenied):
            own.as_user("marie").search(name, limit=1)
            opened[name] = set(own.as_user("marie").fields(name))
    statements = Statements(Random(seed), opened)  # noqa: S311

    async def body(guard: Guard) -> None:
        for number in range(60):
            kind, ask = statements.one()
            with plain("marie") as session:
                expected = ask(session)
            async with guard("marie") as one:
                assert await one.run_sync(ask) == expected, (seed, number, kind)

    awaited(own, body)


def test_an_entity_is_loaded_without_its_shut_columns(app: vallum.Vallum) -> None:
    """Awaiting one is refused; so is asking for it by name, and reading it where nothing is awaited."""

    async def body(guard: Guard) -> None:
        async with guard("marie") as session:
            one = (await session.scalars(sa.select(m.Employee).order_by(m.Employee.id))).first()
            assert one.name
            assert "salary" not in sa.inspect(one).dict
            with pytest.raises(AccessDenied, match="salary"):
                await session.run_sync(lambda _: one.salary)
            with pytest.raises(AccessDenied, match="salary"):
                await session.refresh(one, ["salary"])
            with pytest.raises((AccessDenied, sa.exc.MissingGreenlet)):
                _ = one.salary
            await session.commit()
            with pytest.raises((AccessDenied, sa.exc.MissingGreenlet)):
                _ = one.salary
            await session.refresh(one)
            assert one.name

    awaited(app, body)


def test_relationships_are_loaded_in_scope_where_sqlalchemy_loads_them(app: vallum.Vallum) -> None:
    """Eagerly and by awaiting; a lazy load that nothing awaits is SQLAlchemy's own error."""
    seen = set(app.as_user("marie").search("project.task", active_test=False))
    projects = sa.select(m.Project).order_by(m.Project.id)

    async def body(guard: Guard) -> None:
        for load in (orm.selectinload, orm.joinedload, orm.subqueryload):
            async with guard("marie") as session:
                found = (await session.scalars(projects.options(load(m.Project.task_ids)))).unique().all()
                tasks = {task.id for project in found for task in project.task_ids}
                assert tasks
                assert tasks <= seen
        async with guard("marie") as session:
            project = next(p for p in await session.scalars(projects) if p.id == found[0].id)
            with pytest.raises(sa.exc.StatementError, match="MissingGreenlet"):
                _ = project.task_ids
            lazy = await session.run_sync(lambda _: {task.id for task in project.task_ids})
            assert lazy == {task.id for task in found[0].task_ids}

    awaited(app, body)


def test_streams_are_filtered_as_they_come(app: vallum.Vallum) -> None:
    """Row by row from a cursor of the server."""
    expected = sorted(app.as_user("marie").search("crm.lead", active_test=False))

    async def body(guard: Guard) -> None:
        async with guard("marie") as session:
            stream = await session.stream_scalars(sa.select(m.Lead.id).execution_options(yield_per=50))
            assert sorted([i async for i in stream]) == expected

    awaited(app, body)


def test_writes_are_checked_at_the_flush(own: vallum.Vallum, hidden: int) -> None:
    """Objects, bulk statements, deletions: a refusal, and nothing of it can be committed."""
    actor = own.application.actor("marie")
    other = own.application.actor("erik").user_id

    async def body(guard: Guard) -> None:
        async with guard("marie") as session:
            lead = m.Lead(name="awaited", company_id=1, user_id=actor.user_id)
            session.add(lead)
            await session.flush()
            assert (lead.create_uid, lead.write_uid) == (actor.user_id, actor.user_id)
            async with session.begin_nested() as savepoint:
                session.add(m.Lead(name="his", company_id=1, user_id=other))
                with pytest.raises(AccessDenied, match="create"):
                    await session.flush()
                await savepoint.rollback()
            with pytest.raises(AccessDenied):
                await session.execute(
                    sa.update(LEADS).where(LEADS.c.id == sa.bindparam("b_id")),
                    [{"b_id": hidden, "name": "x"}],
                )
            with pytest.raises(AccessDenied):
                await session.execute(sa.insert(LEADS).values(name="his too", company_id=1, user_id=other))
            made = lead.id
            await session.commit()
        async with guard("marie") as session:
            names = ["awaited", "his", "his too"]
            assert list(await session.scalars(sa.select(m.Lead.name).where(m.Lead.name.in_(names)))) == [
                "awaited"
            ]
            assert await session.get(m.Lead, hidden) is None
            await session.delete(await session.get_one(m.Lead, made))
            with pytest.raises(AccessDenied, match="unlink"):
                await session.commit()
        async with guard("sofia") as session:
            await session.delete(await session.get_one(m.Lead, made))
            await session.commit()
            assert await session.get(m.Lead, made) is None

    awaited(own, body)


def test_text_runs_by_name_alone(app: vallum.Vallum) -> None:
    """Raw SQL, a connection, another engine: refused; an allowed statement runs with its values bound."""
    allow = {"leads": "SELECT count(*) FROM crm_lead WHERE id > :after"}

    async def body(guard: Guard) -> None:
        async with guard("marie") as session:
            with pytest.raises(AccessDenied):
                await session.execute(sa.text("SELECT 1"))
            with pytest.raises(AccessDenied):
                await session.connection()
            with pytest.raises(AccessDenied):
                await session.run_sync(lambda inner: inner.connection())
            async with session.bind.connect() as connection:
                with pytest.raises(AccessDenied):
                    await connection.exec_driver_sql("SELECT 1")
                with pytest.raises(AccessDenied):
                    await connection.execute(sa.text("SELECT 1"))
            with pytest.raises(AccessDenied):
                await session.named("unknown")
            whole = len(app.sudo().search("crm.lead", active_test=False))
            assert (await session.named("leads", after=0)).scalar() == whole

    awaited(app, body, allow=allow)


def test_an_object_of_another_session_is_looked_up_or_refused(own: vallum.Vallum, hidden: int) -> None:
    """Within `run_sync` it counts as what the actor may read of it; without awaiting it is refused."""

    async def body(guard: Guard) -> None:
        async with (
            async_engine(own.application.database.dsn) as engine,
            async_sessionmaker(engine)() as plain,
        ):
            theirs = await plain.get_one(m.Lead, hidden)
        async with guard("marie") as session:
            assert await session.scalar(sa.select(m.Lead.id).limit(1))
            with pytest.raises(AccessDenied, match="await"):
                session.add(theirs)
            assert theirs not in session
            with pytest.raises(AccessDenied):
                await session.run_sync(lambda inner: inner.add(theirs))
            assert theirs not in session

    awaited(own, body)


def test_rules_are_read_beside_the_loop(app: vallum.Vallum, monkeypatch: pytest.MonkeyPatch) -> None:
    """What rules ask of the database is read in a thread: the loop's own never waits for it."""
    app.application.forget()
    here, readers = threading.get_ident(), set()
    database = app.application.database
    rows = database.rows

    def told(*args: Any, **options: Any) -> Any:
        readers.add(threading.get_ident())
        return rows(*args, **options)

    monkeypatch.setattr(database, "rows", told)

    async def body(guard: Guard) -> None:
        for user in app.users:
            async with guard(user.id) as session:
                for entity in ENTITIES.values():
                    with contextlib.suppress(AccessDenied):
                        await session.scalars(sa.select(entity.id).limit(1))

    awaited(app, body)
    assert readers
    assert here not in readers


def test_many_sessions_in_one_loop_keep_to_themselves(app: vallum.Vallum) -> None:
    """Tasks of several users at once, over one pool."""
    logins = ("marie", "erik", "lucia", "sofia")
    expected = {one: sorted(app.as_user(one).search("crm.lead", active_test=False)) for one in logins}

    async def body(guard: Guard) -> None:
        async def ask(login: str) -> bool:
            async with guard(login) as session:
                found = sorted(await session.scalars(sa.select(m.Lead.id)))
                return found == expected[login]

        assert all(await asyncio.gather(*(ask(login) for login in logins * 8)))

    awaited(app, body)


def test_the_team_s_class_and_options_are_kept(app: vallum.Vallum) -> None:
    """Its asynchronous class, its synchronous one, info; a scoped factory and an engine will do as well."""

    class Inner(orm.Session):
        """A team's own synchronous class."""

    class Own(AsyncSession):
        """A team's own asynchronous class."""

        sync_session_class = Inner

        def greeting(self) -> str:
            return "hello"

    async def run() -> None:
        async with async_engine(app.application.database.dsn) as engine:
            factory = async_sessionmaker(engine, class_=Own, expire_on_commit=False, info={"a": 1})
            async with app.guard(factory)("marie", info={"b": 2}) as session:
                assert session.greeting() == "hello"
                assert isinstance(session.sync_session, Inner)
                assert session.info == {"a": 1, "b": 2}
                assert not session.sync_session.expire_on_commit
            for given in (engine, async_scoped_session(factory, asyncio.current_task)):
                async with app.guard(given)("marie") as session:
                    assert await session.scalar(sa.select(sa.func.count()).select_from(m.Lead))
            wrong: list[dict[str, Any]] = [
                {"bind": engine},
                {"binds": {}},
                {"sync_session_class": orm.Session},
            ]
            for options in wrong:
                with pytest.raises(SettingsError):
                    app.guard(factory)("marie", **options)

    ran(run())
