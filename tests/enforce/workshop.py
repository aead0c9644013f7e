"""A small application with all that writing has to deal with: every type, delegation, lines, versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

__all__ = ["Base", "create", "policy"]


class Shouted(sa.TypeDecorator[str]):
    """Text that is stored in capitals."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value.upper() if value is not None else None


class Base(DeclarativeBase):
    pass


def _relation(name: str, first: str, table1: str, second: str, table2: str) -> sa.Table:
    return sa.Table(
        name,
        Base.metadata,
        Column(first, ForeignKey(f"{table1}.id", ondelete="CASCADE")),
        Column(second, ForeignKey(f"{table2}.id", ondelete="CASCADE")),
    )


def _links(comodel: str, relation: str, column1: str, column2: str) -> dict[str, Any]:
    ends = {"relation": relation, "column1": column1, "column2": column2}
    return {"type": "many2many", "comodel": comodel, **ends}


def _lines(comodel: str, inverse: str) -> dict[str, Any]:
    return {"type": "one2many", "comodel": comodel, "inverse": inverse}


_relation("user_company", "user_id", "res_users", "company_id", "res_company")
_relation("user_group", "user_id", "res_users", "group_id", "res_groups")
_relation("machine_part", "machine_id", "machine", "part_id", "part")


class Company(Base):
    __table__ = sa.Table(
        "res_company",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
        info={"model": "res.company"},
    )


class Group(Base):
    __table__ = sa.Table(
        "res_groups",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
        Column("xml_id", String),
        info={"model": "res.groups"},
    )


class User(Base):
    __table__ = sa.Table(
        "res_users",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("login", String, nullable=False),
        Column("active", sa.Boolean, default=True),
        Column("company_id", ForeignKey("res_company.id")),
        info={
            "model": "res.users",
            "fields": {
                "company_ids": _links("res.company", "user_company", "user_id", "company_id"),
                "group_ids": _links("res.groups", "user_group", "user_id", "group_id"),
            },
        },
    )


class Thing(Base):
    """One column of each kind."""

    __table__ = sa.Table(
        "thing",
        Base.metadata,
        Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        Column("name", String(20), nullable=False, server_default="unnamed"),
        Column("code", String, default="C0"),
        Column("note", sa.Text, default=lambda context: "about " + context.get_current_parameters()["code"]),
        Column("page", sa.Text, info={"type": "html"}),
        Column("flag", sa.Boolean, server_default=sa.true()),
        Column("small", sa.SmallInteger),
        Column("whole", Integer),
        Column("large", sa.BigInteger),
        Column("ratio", sa.Float),
        Column("price", sa.Numeric(8, 2), info={"type": "monetary"}),
        Column("day", sa.Date, default=sa.func.current_date()),
        Column("at", sa.DateTime),
        Column("zoned", sa.DateTime(timezone=True), onupdate=sa.func.now()),
        Column("state", sa.Enum("new", "done", name="thing_state"), server_default="new"),
        Column("colour", String, info={"selection": [["r", "Red"], ["b", "Blue"]]}),
        Column("content", sa.LargeBinary),
        Column("data", JSONB),
        Column("plain", sa.JSON),
        Column("mark", sa.Uuid),
        Column("loud", Shouted),
        Column("title", JSONB, info={"translate": True}),
        Column("due", JSONB, info={"company_dependent": True, "type": "date"}),
        Column("owner", JSONB, info={"company_dependent": True, "type": "integer"}),
        Column("doubled", Integer, sa.Computed("whole * 2")),
        Column("edits", Integer, default=0, onupdate=lambda context: 7),
        Column("about", String, info={"type": "reference"}),
        Column("res_model", String),
        Column("res_id", Integer, info={"type": "many2one_reference"}),
        sa.CheckConstraint("whole < 1000", name="thing_whole_check"),
        sa.UniqueConstraint("code", "small"),
        info={"model": "thing"},
    )


class Machine(Base):
    __table__ = sa.Table(
        "machine",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String, nullable=False),
        Column("place", String, info={"groups": "shop.group_boss"}),
        Column("owner_id", ForeignKey("res_users.id")),
        Column("revision", Integer, nullable=False),
        info={
            "model": "machine",
            "fields": {
                "screw_ids": _lines("screw", "machine_id"),
                "sticker_ids": _lines("sticker", "machine_id"),
                "part_ids": _links("part", "machine_part", "machine_id", "part_id"),
            },
        },
    )
    __mapper_args__ = {"version_id_col": __table__.c.revision}  # noqa: RUF012 - SQLAlchemy's own form


class Robot(Base):
    """A machine with more to it: delegated."""

    __table__ = sa.Table(
        "robot",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("machine_id", ForeignKey("machine.id"), nullable=False),
        Column("language", String, default="en"),
        info={"model": "robot", "inherits": {"machine": "machine_id"}},
    )


class Screw(Base):
    """Goes with its machine."""

    __table__ = sa.Table(
        "screw",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String, nullable=False),
        Column("length", Integer),
        Column("machine_id", ForeignKey("machine.id", ondelete="CASCADE"), nullable=False),
        info={"model": "screw"},
    )


class Sticker(Base):
    """Outlives its machine."""

    __table__ = sa.Table(
        "sticker",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
        Column("secret", sa.Boolean, default=False),
        Column("machine_id", ForeignKey("machine.id", ondelete="SET NULL")),
        info={"model": "sticker"},
    )


class Part(Base):
    __table__ = sa.Table(
        "part",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
        Column("active", sa.Boolean, default=True),
        Column("secret", sa.Boolean, default=False),
        info={"model": "part"},
    )


class Node(Base):
    """A tree without paths, with two names for what is below."""

    __table__ = sa.Table(
        "node",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
        Column("parent_id", ForeignKey("node.id")),
        info={
            "model": "node",
            "fields": {"node_ids": _lines("node", "parent_id"), "leaf_ids": _lines("node", "parent_id")},
        },
    )


_GROUPS: Final = """<odoo>
    <record id="group_worker" model="res.groups"><field name="name">Worker</field></record>
    <record id="group_boss" model="res.groups">
        <field name="name">Boss</field>
        <field name="implied_ids" eval="[(4, ref('group_worker'))]"/>
    </record>
    <record id="rule_machine" model="ir.rule">
        <field name="name">Own machines</field>
        <field name="model_id" ref="model_machine"/>
        <field name="groups" eval="[(4, ref('group_worker'))]"/>
        <field name="domain_force">[('owner_id', 'in', [False, user.id])]</field>
    </record>
    <record id="rule_machine_boss" model="ir.rule">
        <field name="name">All machines</field>
        <field name="model_id" ref="model_machine"/>
        <field name="groups" eval="[(4, ref('group_boss'))]"/>
        <field name="domain_force">[(1, '=', 1)]</field>
    </record>
    <record id="rule_sticker" model="ir.rule">
        <field name="name">No secret stickers</field>
        <field name="model_id" ref="model_sticker"/>
        <field name="domain_force">[('secret', '=', False)]</field>
    </record>
    <record id="rule_part" model="ir.rule">
        <field name="name">No secret parts</field>
        <field name="model_id" ref="model_part"/>
        <field name="domain_force">[('secret', '=', False)]</field>
    </record>
    <record id="rule_screw" model="ir.rule">
        <field name="name">Long screws are for nobody to delete</field>
        <field name="model_id" ref="model_screw"/>
        <field name="domain_force">['|', ('length', '=', False), ('length', '&lt;', 100)]</field>
        <field name="perm_read" eval="False"/>
        <field name="perm_write" eval="False"/>
        <field name="perm_create" eval="False"/>
    </record>
</odoo>
"""
_RIGHTS: Final = """id,name,model_id:id,group_id:id,perm_read,perm_write,perm_create,perm_unlink
thing,thing,model_thing,shop.group_worker,1,1,1,1
machine,machine,model_machine,shop.group_worker,1,1,1,1
robot,robot,model_robot,shop.group_worker,1,1,1,1
screw,screw,model_screw,shop.group_worker,1,1,1,1
sticker,sticker,model_sticker,shop.group_worker,1,1,0,0
sticker_boss,sticker,model_sticker,shop.group_boss,1,1,1,1
part,part,model_part,shop.group_worker,1,0,0,0
part_boss,part,model_part,shop.group_boss,1,1,1,1
users,users,base.model_res_users,shop.group_worker,1,0,0,0
company,company,base.model_res_company,shop.group_worker,1,0,0,0
"""


def policy(folder: Path) -> Path:
    """Write the policy's files into `folder/shop`; where they are."""
    home = folder / "shop"
    home.mkdir()
    (home / "groups.xml").write_text(_GROUPS)
    (home / "ir.model.access.csv").write_text(_RIGHTS)
    return home


def create(dsn: str) -> None:
    """Create the tables, two companies, a worker (2), a boss (3) and another worker (4)."""
    engine = sa.create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        connection.execute(sa.text(_ROWS))
    engine.dispose()


_ROWS: Final = """
INSERT INTO res_company (name) VALUES ('One'), ('Two');
INSERT INTO res_groups (name, xml_id) VALUES ('Worker', 'shop.group_worker'), ('Boss', 'shop.group_boss');
INSERT INTO res_users (login, active, company_id)
    VALUES ('system', true, 1), ('will', true, 1), ('bess', true, 1), ('wanda', true, 2);
INSERT INTO user_company VALUES (2, 1), (3, 1), (3, 2), (4, 2);
INSERT INTO user_group VALUES (2, 1), (3, 2), (4, 1);
"""
