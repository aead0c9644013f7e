"""What writing needs of SQLAlchemy tables is read as it is declared."""

from __future__ import annotations

import enum

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, String
from sqlalchemy.orm import DeclarativeBase

from examples.trading import Base
from vallum.schema import Storage
from vallum.schema.readers.sqlalchemy import read
from vallum.schema.readers.sqlalchemy_storage import read_storage


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Loud(sa.TypeDecorator[str]):
    impl = String(9)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value.upper()


def storage_of(*columns: Column[object] | sa.Constraint | sa.Index) -> Storage:
    """The storage of one table with these columns."""
    metadata = sa.MetaData()
    sa.Table("thing", metadata, Column("id", Integer, primary_key=True), *columns, info={"model": "thing"})
    return read_storage(metadata, read(metadata))


def test_sizes_and_deletes_are_read() -> None:
    """Characters, digits, and what a foreign key does."""
    storage = storage_of(
        Column("name", String(7)),
        Column("price", sa.Numeric(8, 2)),
        Column("loud", Loud),
        Column("parent_id", ForeignKey("thing.id", ondelete="cascade")),
        Column("other_id", ForeignKey("thing.id")),
    )
    columns = storage.of("thing")
    assert (columns["name"].size, columns["loud"].size) == (7, 9)
    assert (columns["price"].precision, columns["price"].scale) == (8, 2)
    assert (columns["parent_id"].on_delete, columns["other_id"].on_delete) == ("CASCADE", "NO ACTION")
    assert storage.of("nothing") == {}


def test_defaults_are_read_in_the_form_they_are_stored_in() -> None:
    """Values, functions, members of an Enum, what a type makes of them; SQL stays SQL."""
    columns = storage_of(
        Column("plain", String, default="x"),
        Column("made", String, default=lambda: "y"),
        Column("asking", String, default=lambda context: context.get_current_parameters()["plain"]),
        Column("colour", sa.Enum(Colour), default=Colour.BLUE),
        Column("loud", Loud, default="hey", onupdate="again"),
        Column("day", sa.Date, default=sa.func.current_date()),
        Column("server", String, server_default="z"),
        Column("number", Integer, sa.Sequence("numbers")),
    ).of("thing")
    values = {"plain": "given"}
    computed = {n: c.default.compute(values) for n, c in columns.items() if c.default and c.default.compute}
    assert computed == {"plain": "x", "made": "y", "asking": "given", "colour": "BLUE", "loud": "HEY"}
    assert columns["loud"].on_update is not None
    assert columns["loud"].on_update.compute is not None
    assert columns["loud"].on_update.compute({}) == "AGAIN"
    expressions = {n for n, c in columns.items() if c.default and c.default.expression is not None}
    assert expressions == {"day", "number"}
    assert [n for n, c in columns.items() if c.server_default] == ["server"]


def test_constraints_are_known_by_the_names_they_have_in_postgresql() -> None:
    """Given, by convention, or PostgreSQL's own."""
    found = storage_of(
        Column("a", Integer),
        Column("b", Integer, unique=True),
        Column("c", ForeignKey("thing.id")),
        sa.UniqueConstraint("a", "b", name="together"),
        sa.CheckConstraint("a > 0", name="positive"),
        sa.Index("one_index", "a", unique=True),
    ).constraints
    assert {n: (c.fields, c.kind) for n, c in found.items() if c.kind == "unique"} == {
        "thing_b_key": (("b",), "unique"),
        "together": (("a", "b"), "unique"),
        "one_index": (("a",), "unique"),
    }
    assert found["thing_c_fkey"].kind == "reference"
    assert found["positive"].kind == "check"
    assert read_storage(Base, read(Base)).constraints["crm_tag_name_uniq"].fields == ("name",)


def test_model_with_a_version_that_is_no_number_cannot_be_written() -> None:
    """It can be read: the reason is kept for whoever wants to write."""

    class Own(DeclarativeBase):
        pass

    class Thing(Own):
        __table__ = sa.Table(
            "thing",
            Own.metadata,
            Column("id", Integer, primary_key=True),
            Column("stamp", String, nullable=False),
            info={"model": "thing"},
        )
        __mapper_args__ = {"version_id_col": __table__.c.stamp}  # noqa: RUF012 - SQLAlchemy's own form

    storage = read_storage(Own, read(Own))
    assert storage.versions == {}
    assert "`stamp`" in storage.unwritable["thing"]
