"""What BI tools, notebooks and SQL clients do: how they look around, and what they then read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from tests.support.roles import Guarded
from vallum.enforce import Query

Connection = psycopg.Connection[Any]


@pytest.fixture
def marie(trading: Guarded) -> Iterator[Connection]:
    """A salesman's session."""
    with trading.eyes(trading.application.actor("marie").user_id) as connection:
        yield connection


@pytest.fixture
def engine(trading: Guarded, marie: Connection) -> Iterator[Engine]:
    """SQLAlchemy's connections as the same user."""
    made = sa.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(marie.info.dsn))
    yield made
    made.dispose()


def leads(trading: Guarded) -> list[int]:
    """What a search as the user finds."""
    application = trading.application
    user = application.directory.find("marie")
    actor = application.actor(user.id, sorted(user.company_ids))
    return sorted(Query(application, actor).search("crm.lead", [], active_test=False))


def test_pandas_reads_what_the_user_sees(trading: Guarded, engine: Engine) -> None:
    """A query into a frame, and from there on all of pandas."""
    frame = pd.read_sql("SELECT id, create_date, expected_revenue FROM crm_lead", engine)
    assert sorted(frame["id"]) == leads(trading)
    months = frame.groupby(frame["create_date"].dt.to_period("M"))["expected_revenue"].sum()
    assert months.sum() == pytest.approx(frame["expected_revenue"].sum())


def test_pandas_reads_a_table_by_its_open_columns(trading: Guarded, engine: Engine) -> None:
    """A whole table where every column is open, else the columns that are named."""
    columns = ["id", "name", "email"]
    frame = pd.read_sql_table("res_partner", engine, columns=columns)
    assert list(frame.columns) == columns
    assert len(frame) > 0
    with pytest.raises(pd.errors.DatabaseError, match="permission denied"):
        pd.read_sql_table("res_partner", engine)


def test_sqlalchemy_reflects_and_reads(trading: Guarded, engine: Engine) -> None:
    """Superset and Metabase's kin look at a database like this before the first question."""
    inspector = sa.inspect(engine)
    assert {"crm_lead", "res_partner"} <= set(inspector.get_table_names("public"))
    metadata = sa.MetaData()
    table = sa.Table("crm_lead", metadata, autoload_with=engine, resolve_fks=False)
    with engine.connect() as connection:
        found = connection.execute(sa.select(table.c.id).order_by(table.c.id)).scalars().all()
    assert list(found) == leads(trading)


# As sent by the drivers and tools, in the form of each.
LOOKS = {
    "tables, as psql lists them": "SELECT n.nspname, c.relname, c.relkind, pg_get_userbyid(c.relowner)"
    " FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r','p','v','m','S','f','') AND pg_table_is_visible(c.oid)",
    "tables of the standard": "SELECT table_schema, table_name, table_type FROM information_schema.tables"
    " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')",
    "columns of the standard": "SELECT table_name, column_name, data_type, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY ordinal_position",
    "columns, as JDBC asks": "SELECT a.attname, a.atttypid, a.attnotnull, a.atttypmod, a.attlen,"
    " pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum) FROM pg_attribute a"
    " LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
    " WHERE a.attrelid = 'crm_lead'::regclass AND a.attnum > 0",
    "keys, as ODBC asks": "SELECT conname, conrelid::regclass, confrelid::regclass, conkey, confkey"
    " FROM pg_constraint WHERE contype = 'f'",
    "keys of the standard": "SELECT * FROM information_schema.key_column_usage k"
    " JOIN information_schema.table_constraints c USING (constraint_name, constraint_schema)",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "rights, as Metabase asks": "SELECT t.schemaname, t.tablename,"
    " has_any_column_privilege(current_user, format('%I.%I', t.schemaname, t.tablename), 'SELECT')"
    " FROM pg_tables t WHERE has_schema_privilege(current_user, t.schemaname, 'usage')",
    "size, as DBeaver shows": "SELECT c.reltuples::bigint, pg_total_relation_size(c.oid) FROM pg_class c"
    " WHERE relname = 'crm_lead'",
    "session": "SELECT current_user, current_schema(), version(), current_setting('server_version_num')",
    "types": "SELECT oid, typname, typtype FROM pg_type",
}


@pytest.mark.parametrize("look", LOOKS)
def test_tools_may_look_around(marie: Connection, look: str) -> None:
    """The questions that tools ask of the catalogue are answered."""
    found = marie.execute(LOOKS[look].encode()).fetchall()
    # The standard's view of keys is for those who may do more than read; tools then do without.
    assert found or look == "keys of the standard"


def test_columns_one_may_read_can_be_asked_for(trading: Guarded, marie: Connection) -> None:
    """The query of the documentation: what it lists can be read together, what it leaves out cannot."""
    rows = marie.execute(
        "SELECT column_name::text FROM information_schema.column_privileges WHERE grantee IN"
        " (SELECT role_name FROM information_schema.enabled_roles) AND table_name = 'res_partner'"
    ).fetchall()
    columns = sorted({name for (name,) in rows})
    assert columns
    marie.execute(f"SELECT {', '.join(columns)} FROM res_partner".encode())
    every = trading.connection.execute(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'res_partner'::regclass AND attnum > 0"
        " AND NOT attisdropped"
    ).fetchall()
    shut = {name for (name,) in every} - set(columns)
    assert "credit_limit" in shut
    for column in shut:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            marie.execute(f"SELECT {column} FROM res_partner".encode())


def test_companies_of_a_connection_are_given_as_an_option(trading: Guarded, marie: Connection) -> None:
    """As the documentation has it for each tool."""
    everything = len(leads(trading))
    mine = sorted(trading.application.directory.find("marie").company_ids)
    one = psycopg.conninfo.make_conninfo(marie.info.dsn, options=f"-c vallum.companies={mine[0]}")
    with psycopg.connect(one) as connection:
        row = connection.execute("SELECT count(*) FROM crm_lead").fetchone()
    assert row
    assert 0 < row[0] <= everything
    assert len(mine) == 1 or row[0] < everything
