"""What all models of the company share: magic columns, and short words for common columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, MetaData, String, Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, declared_attr, mapped_column

__all__ = [
    "Base",
    "Record",
    "company_dependent",
    "index_path",
    "many2one",
    "relation",
    "selection",
    "translated",
]


class Base(DeclarativeBase):
    """Root of the models; constraints have names, so that they can be dropped again."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_name)s_index",
            "uq": "%(table_name)s_%(column_0_name)s_uniq",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )


class Record:
    """The columns every record has: its id, who made it and who changed it last, and when (UTC)."""

    id: Mapped[int] = mapped_column(primary_key=True)

    @declared_attr
    def create_uid(cls) -> Mapped[int | None]:
        return many2one("res_users", index=False)

    create_date: Mapped[datetime | None]

    @declared_attr
    def write_uid(cls) -> Mapped[int | None]:
        return many2one("res_users", index=False)

    write_date: Mapped[datetime | None]


def many2one(
    table: str, *, required: bool = False, index: bool = True, ondelete: str | None = None, **info: Any
) -> MappedColumn[Any]:
    """A column that leads to the `id` of a table."""
    on_delete = ondelete or ("RESTRICT" if required else "SET NULL")
    return mapped_column(
        ForeignKey(f"{table}.id", ondelete=on_delete), nullable=not required, index=index, info=info
    )


def selection(*values: str, default: str | None = None) -> MappedColumn[Any]:
    """A column with one of a few values."""
    return mapped_column(String(32), default=default, info={"selection": list(values)})


def translated() -> MappedColumn[Any]:
    """A text per language: `{"en_US": …, "fr_FR": …}`."""
    return mapped_column(JSONB, info={"translate": True})


def company_dependent(type_: str, **info: Any) -> MappedColumn[Any]:
    """A value per company: `{"1": …, "2": …}`."""
    return mapped_column(JSONB, info={"company_dependent": True, "type": type_, **info})


def index_path() -> MappedColumn[Any]:
    """Where a record stands in its tree: the ids of its ancestors and its own, as in `1/4/`."""
    return mapped_column(String, index=True)


def relation(name: str, column1: str, table1: str, column2: str, table2: str) -> Table:
    """The table of a many2many field, with an index for each direction."""
    return Table(
        name,
        Base.metadata,
        Column(column1, ForeignKey(f"{table1}.id", ondelete="CASCADE"), primary_key=True),
        Column(column2, ForeignKey(f"{table2}.id", ondelete="CASCADE"), primary_key=True, index=True),
    )
