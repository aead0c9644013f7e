"""Side doors of a guarded session: each is shut, with an error that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.ext.compiler import compiles

import vallum
from examples.trading import models as m
from vallum.enforce.session import Guard
from vallum.enforce.session import guarded as parts
from vallum.kernel import AccessDenied

Ask = Callable[[Any], Any]
EMPLOYEES: Final[Any] = m.Employee.__table__
REPORT: Final = "SELECT count(*) FROM crm_lead WHERE id > :least"


class Sneaky(sa.sql.expression.ColumnElement[Any]):
    """An element that writes SQL of its own."""

    inherit_cache = True
    type = sa.Integer()


@compiles(Sneaky)
def _sneaky(_element: Any, _compiler: Any, **_: Any) -> str:
    return "(SELECT max(salary) FROM hr_employee)"


@pytest.fixture(scope="module")
def engine(company: str) -> Iterator[sa.Engine]:
    """The team's own engine."""
    made = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(company))
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def guard(app: vallum.Vallum, engine: sa.Engine) -> Guard:
    """Sessions of the company's users."""
    return app.guard(orm.sessionmaker(engine), allow={"report": REPORT})


@pytest.fixture
def marie(guard: Guard) -> Iterator[orm.Session]:
    """A salesperson's session: she sees her own leads, and no salary."""
    with guard("marie") as session:
        yield session


@pytest.fixture
def hidden(app: vallum.Vallum) -> int:
    """A lead that marie may not see."""
    seen = set(app.as_user("marie").search("crm.lead", active_test=False))
    return next(i for i in app.sudo().search("crm.lead", order="id") if i not in seen)


def execute(statement: Any, *args: Any) -> Ask:
    return lambda session: session.execute(statement, *args).all()


def history(employee: Any) -> Any:
    return sa.inspect(employee).attrs.salary.load_history()


SALARY: Final = EMPLOYEES.c.salary
SECRETS: Final[dict[str, Ask]] = {
    "a column": execute(sa.select(m.Employee.salary)),
    "a column of the table": execute(sa.select(SALARY)),
    "a column of an alias": execute(sa.select(orm.aliased(m.Employee).salary)),
    "a column of an alias of an alias": execute(sa.select(EMPLOYEES.alias("a").alias("b").c.salary)),
    "a condition": execute(sa.select(m.Employee.id).where(m.Employee.salary > 1)),
    "an order": execute(sa.select(m.Employee.id).order_by(m.Employee.salary)),
    "a group": execute(sa.select(sa.func.count()).group_by(m.Employee.salary)),
    "an aggregate": execute(sa.select(sa.func.max(m.Employee.salary))),
    "a window": execute(sa.select(sa.func.rank().over(order_by=m.Employee.salary)).select_from(m.Employee)),
    "a join": execute(sa.select(m.User.id).join(m.Employee, m.Employee.salary > 5)),
    "a bundle": execute(sa.select(orm.Bundle("b", m.Employee.id, m.Employee.salary))),
    "a subquery of all columns": execute(sa.select(sa.select(EMPLOYEES).subquery().c.id)),
    "an undeferred column": lambda s: (
        s.scalars(sa.select(m.Employee).options(orm.undefer(m.Employee.salary))).first().salary
    ),
    "columns loaded only": lambda s: (
        s.scalars(sa.select(m.Employee).options(orm.load_only(m.Employee.salary))).first().salary
    ),
    "all columns undeferred": lambda s: (
        s.scalars(sa.select(m.Employee).options(orm.undefer("*"))).first().salary
    ),
    "an eager join": lambda s: (
        s.scalars(
            sa.select(m.User)
            .options(orm.joinedload(m.User.employee_ids).undefer(m.Employee.salary))
            .where(m.User.employee_ids.any())
        )
        .unique()
        .first()
        .employee_ids[0]
        .salary
    ),
    "a refresh": lambda s: s.refresh(s.scalars(sa.select(m.Employee)).first(), ["salary"]),
    "an existing object populated": lambda s: (
        s.scalars(sa.select(m.Employee).execution_options(populate_existing=True)).first().salary
    ),
    "a query's column": lambda s: s.query(m.Employee.salary).all(),
    "a correlated subquery": execute(
        sa.select(m.User.id).where(
            sa.select(m.Employee.salary).where(m.Employee.user_id == m.User.id).scalar_subquery() > 10
        )
    ),
    "an attribute's history": lambda s: history(s.scalars(sa.select(m.Employee)).first()),
    "a relationship": lambda s: s.scalars(sa.select(m.User)).first().group_ids,
    "a relationship loaded eagerly": lambda s: (
        s.scalars(sa.select(m.User).options(orm.selectinload(m.User.group_ids))).first().group_ids
    ),
}
TEXTS: Final[dict[str, Ask]] = {
    "a text": execute(sa.text("SELECT salary FROM hr_employee")),
    "another text than the one allowed": execute(sa.text(REPORT + " OR true"), {"least": 0}),
    "the allowed text inside a statement": execute(sa.select(sa.text(f"({REPORT})")), {"least": 0}),
    "a text column": execute(sa.select(sa.text("(SELECT max(salary) FROM hr_employee)"))),
    "a text condition": execute(sa.select(m.Lead.id).where(sa.text("true OR name = ''"))),
    "a text source": execute(sa.select(sa.literal_column("1")).select_from(sa.text("hr_employee"))),
    "a text with columns": execute(
        sa.select(sa.text("SELECT id FROM crm_lead").columns(sa.column("id")).subquery())
    ),
    "a text statement": lambda s: s.scalars(
        sa.select(m.Lead).from_statement(sa.text("SELECT * FROM crm_lead"))
    ).all(),
    "a literal column": execute(sa.select(sa.literal_column("(SELECT max(salary) FROM hr_employee)"))),
    "a name that is not quoted": execute(
        sa.select(sa.column(sa.sql.quoted_name("(SELECT max(salary) FROM hr_employee)", False)))
    ),
    "a label that is not quoted": execute(
        sa.select(m.Lead.name.label(sa.sql.quoted_name("x, (SELECT 1)", False)))
    ),
    "an operator": execute(sa.select(m.Lead.name.op("= 'x' OR (SELECT true) OR name =")("y"))),
    "an operator that comments": execute(sa.select(m.Lead.id.op("+ 1 --")(2))),
    "a hint": execute(sa.select(m.Lead.id).with_statement_hint("UNION SELECT 1")),
    "a table hint": execute(sa.select(m.Lead.id).with_hint(m.Lead, "ONLY", "postgresql")),
    "a prefix": execute(sa.select(m.Lead.id).prefix_with("DISTINCT ON (salary)")),
    "a suffix": execute(sa.select(m.Lead.id).suffix_with("UNION SELECT 1")),
    "part of a date": execute(sa.select(sa.extract("year FROM now()), (SELECT 1", m.Lead.create_date))),
    "a function that runs text": execute(sa.select(sa.func.query_to_xml("SELECT 1", True, True, ""))),
    "a function that reads a table by name": execute(
        sa.select(sa.func.table_to_xml("hr_employee", True, True, ""))
    ),
    "a function that reads files": execute(sa.select(sa.func.pg_read_file("/etc/passwd"))),
    "a function of a schema": execute(sa.select(sa.func.public.lower("x"))),
    "a function that sets": execute(sa.select(sa.func.set_config("role", "postgres", False))),
    "a function on its own": lambda s: s.scalar(sa.func.pg_read_file("/etc/passwd")),
    "an element with SQL of its own": execute(sa.select(Sneaky())),
    "a table of PostgreSQL": execute(sa.select(sa.table("pg_authid", sa.column("rolname")).c.rolname)),
    "a table of another schema": execute(
        sa.select(sa.table("crm_lead", sa.column("id"), schema="public").c.id)
    ),
    "a table inside a name": execute(sa.select(sa.table("crm_lead AS x, pg_authid", sa.column("id")).c.id)),
    "a CTE with a table's name": execute(
        sa.select(sa.select(sa.literal(3).label("id")).cte("res_users").c.id)
    ),
    "an insert inside a select": execute(
        sa.select(sa.insert(m.Tag).values(name="x").returning(m.Tag.id).cte("made").c.id)
    ),
    "an insert as a source of entities": lambda s: s.scalars(
        sa.select(m.Tag).from_statement(sa.insert(m.Tag).values(name="x").returning(m.Tag))
    ).all(),
    "a table made": execute(sa.schema.CreateTable(sa.Table("t", sa.MetaData(), sa.Column("i", sa.Integer)))),
    "a sequence": lambda s: s.execute(sa.Sequence("crm_lead_id_seq")),
    "a lambda": lambda s: s.execute(sa.lambda_stmt(lambda: sa.insert(m.Tag).values(name="x"))),
    "a translated schema": lambda s: s.execute(
        sa.select(m.Lead.id), execution_options={"schema_translate_map": {None: "other"}}
    ),
    "a cache of one's own": lambda s: s.execute(
        sa.select(m.Lead.id), execution_options={"compiled_cache": {}}
    ),
    "the connection": lambda s: s.connection(),
    "another engine": lambda s: s.execute(
        sa.select(m.Lead.id), bind_arguments={"bind": sa.create_engine("sqlite://")}
    ),
    "an unknown name": lambda s: s.named("other"),
    "SQL for the driver": lambda s: s.get_bind().connect().exec_driver_sql("SELECT 1"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_shut_field_is_refused_wherever_it_is_named(marie: orm.Session, name: str) -> None:
    """In each clause, in each way of loading."""
    with pytest.raises(AccessDenied):
        SECRETS[name](marie)


@pytest.mark.parametrize("name", TEXTS)
def test_what_cannot_be_read_is_refused(marie: orm.Session, name: str) -> None:
    """Text, unknown functions and tables, statements within statements."""
    with pytest.raises(AccessDenied):
        TEXTS[name](marie)


def test_an_allowed_statement_runs_by_its_name(marie: orm.Session, app: vallum.Vallum) -> None:
    """As it is, unfiltered, with values bound."""
    every = app.sudo().search_count("crm.lead", active_test=False)
    assert marie.named("report", least=0).scalar() == every  # type: ignore[attr-defined]


def test_a_hidden_record_is_not_got_by_its_id(marie: orm.Session, hidden: int) -> None:
    """Nor counted, refreshed into being or lazily loaded."""
    assert marie.get(m.Lead, hidden) is None
    assert marie.get(m.Lead, hidden, populate_existing=True, with_for_update=True) is None
    assert marie.scalar(sa.select(sa.func.count()).where(m.Lead.id == hidden)) == 0
    assert marie.query(m.Lead).filter_by(id=hidden).count() == 0


def test_an_object_of_another_session_is_not_let_in(
    marie: orm.Session, engine: sa.Engine, hidden: int
) -> None:
    """Added, merged or made up: what is out of scope does not enter the identity map."""
    with orm.Session(engine, expire_on_commit=False) as other:
        lead = other.get_one(m.Lead, hidden)
        other.expunge(lead)
    with pytest.raises(AccessDenied):
        marie.add(lead)
    with pytest.raises(AccessDenied):
        marie.merge(lead, load=False)
    assert marie.get(m.Lead, hidden) is None
    made_up = m.Lead(id=hidden)
    orm.make_transient_to_detached(made_up)
    with pytest.raises(AccessDenied):
        marie.add(made_up)
    assert marie.get(m.Lead, hidden) is None
    assert list(marie) == []


def test_an_attached_object_brings_no_shut_value_along(marie: orm.Session, engine: sa.Engine) -> None:
    """What another session has loaded is dropped where it is shut here."""
    with orm.Session(engine, expire_on_commit=False) as other:
        one = other.scalars(sa.select(m.Employee).where(m.Employee.company_id == 1)).first()
        assert one is not None
        assert one.salary
        other.expunge(one)
    marie.add(one)
    with pytest.raises(AccessDenied):
        _ = one.salary


def test_without_its_listeners_a_session_still_filters(
    app: vallum.Vallum, engine: sa.Engine, hidden: int
) -> None:
    """Events add comfort; the wall is the compiler."""
    with app.guard(orm.sessionmaker(engine))("marie") as session:
        for name, listener in (
            ("do_orm_execute", parts._prepare),
            ("before_flush", parts._stamp),
            ("detached_to_persistent", parts._attached),
        ):
            event.remove(type(session), name, listener)
        assert session.get(m.Lead, hidden) is None
        with pytest.raises(AccessDenied):
            session.scalars(sa.select(m.Employee)).all()


def test_a_row_as_a_whole_holds_no_shut_column(marie: orm.Session) -> None:
    """`row_to_json(table)` and `*` show the open columns."""
    whole = EMPLOYEES.table_valued()
    row: Any = marie.scalar(sa.select(sa.func.row_to_json(whole)).select_from(EMPLOYEES))
    assert row["name"]
    assert "salary" not in row
    star = marie.execute(sa.select(sa.literal_column("*")).select_from(EMPLOYEES)).mappings().first()
    assert star is not None
    assert "name" in star
    assert "salary" not in star


def test_a_made_up_column_is_no_column(marie: orm.Session) -> None:
    """A name without its table finds only what is open."""
    with pytest.raises(sa.exc.ProgrammingError, match="salary"):
        marie.execute(sa.select(sa.column("salary")).select_from(EMPLOYEES))


def test_the_team_s_own_sessions_are_left_alone(engine: sa.Engine, hidden: int) -> None:
    """The guard changes neither the engine nor the mapped classes."""
    with orm.Session(engine) as session:
        assert session.get(m.Lead, hidden) is not None
        employee = session.scalars(sa.select(m.Employee)).first()
        assert employee is not None
        assert employee.salary is not None
        session.commit()
        assert employee.salary is not None
        assert session.execute(sa.text("SELECT 1")).scalar() == 1
