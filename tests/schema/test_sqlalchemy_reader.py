"""The SQLAlchemy reader: every convention of docs/reference/sqlalchemy.md, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from vallum.kernel import SettingsError
from vallum.schema import Field, Schema
from vallum.schema.readers.sqlalchemy import read


class _Reversed(sa.types.TypeDecorator[str]):
    """An application's own type."""

    impl = sa.Text
    cache_ok = True


class Base(DeclarativeBase):
    pass


_tags = sa.Table(
    "lead_tag_rel",
    Base.metadata,
    sa.Column("lead_id", sa.ForeignKey("crm_lead.id"), primary_key=True),
    sa.Column("tag_id", sa.ForeignKey("crm_tag.id"), primary_key=True),
)


class Tag(Base):
    __tablename__ = "crm_tag"
    __table_args__ = ({"info": {"model": "crm.tag"}},)
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None]
    leads: Mapped[list[Lead]] = relationship(secondary=_tags, back_populates="tag_ids")


_PARTNER = {"model": "res.partner", "description": "Contact", "parent_store": True, "order": "name, id desc"}


class Partner(Base):
    __tablename__ = "res_partner"
    __table_args__ = ({"info": _PARTNER},)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64))
    active: Mapped[bool | None]
    salary: Mapped[float | None] = mapped_column(
        sa.Numeric, info={"groups": "hr.group_manager", "type": "monetary"}
    )
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("res_partner.id"))
    parent_path: Mapped[str | None]
    child_ids: Mapped[list[Partner]] = relationship(
        info={"domain": [("active", "=", True)], "groups": "base.group_user"}
    )
    lead_ids: Mapped[list[Lead]] = relationship(foreign_keys="Lead.partner_id", back_populates="partner")
    won_leads: Mapped[list[Lead]] = relationship(
        primaryjoin="and_(Lead.partner_id == Partner.id, Lead.won)", viewonly=True
    )


class Lead(Base):
    __tablename__ = "crm_lead"
    __table_args__ = ({"info": {"model": "crm.lead", "rec_names_search": ["title", "partner_id.name"]}},)
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    title: Mapped[str | None]
    won: Mapped[bool | None]
    partner_id: Mapped[int | None] = mapped_column(sa.ForeignKey("res_partner.id"), info={"auto_join": True})
    partner: Mapped[Partner | None] = relationship(back_populates="lead_ids")
    tag_ids: Mapped[list[Tag]] = relationship(secondary=_tags, back_populates="leads")


class User(Base):
    __tablename__ = "res_users"
    __table_args__ = ({"info": {"model": "res.users", "inherits": {"res.partner": "partner_id"}}},)
    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str]
    partner_id: Mapped[int] = mapped_column(sa.ForeignKey("res_partner.id"))


class Log(Base):
    __tablename__ = "log"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(scope="module")
def schema() -> Schema:
    return read(Base)


def _lone(column: sa.Column[Any]) -> Field:
    """The field a column becomes."""
    tables = sa.MetaData()
    sa.Table("thing", tables, sa.Column("id", sa.Integer, primary_key=True), column, info={"model": "thing"})
    return read(tables).field("thing", column.name)


@pytest.mark.parametrize(
    ("type_", "odoo", "column"),
    [
        (sa.String(64), "char", "varchar"),
        (sa.Text(), "text", "text"),
        (_Reversed(), "text", "text"),
        (sa.Boolean(), "boolean", "bool"),
        (sa.Integer(), "integer", "int4"),
        (sa.SmallInteger(), "integer", "int2"),
        (sa.BigInteger(), "integer", "int8"),
        (sa.Numeric(16, 2), "float", "numeric"),
        (sa.Float(), "float", "float8"),
        (sa.Double(), "float", "float8"),
        (sa.Float(24), "float", "float4"),
        (sa.REAL(), "float", "float4"),
        (sa.Date(), "date", "date"),
        (sa.DateTime(), "datetime", "timestamp"),
        (sa.DateTime(timezone=True), "datetime", "timestamptz"),
        (sa.LargeBinary(), "binary", "bytea"),
        (sa.JSON(), "json", "json"),
        (postgresql.JSONB(), "json", "jsonb"),
        (sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), "json", "jsonb"),
        (sa.Uuid(), "char", "uuid"),
        (postgresql.UUID(), "char", "uuid"),
        (sa.String(8, collation="C"), "char", "varchar"),
        (postgresql.CITEXT(), "char", "citext"),
        (sa.Enum("new", "won", name="state"), "selection", "state"),
        (sa.Enum("new", "won", name="state", native_enum=False), "selection", "varchar"),
    ],
    ids=repr,
)
def test_column_type_becomes_odoo_type(type_: sa.types.TypeEngine[Any], odoo: str, column: str) -> None:
    """Every common type has its Odoo type and keeps PostgreSQL's."""
    field = _lone(sa.Column("x", type_))
    assert (field.type, field.column) == (odoo, column)


@pytest.mark.parametrize(
    ("type_", "info", "odoo"),
    [
        (sa.Numeric(), {"type": "monetary"}, "monetary"),
        (sa.Text(), {"type": "html"}, "html"),
        (sa.String(), {"type": "selection", "selection": ["a", "b"]}, "selection"),
        (sa.String(), {"selection": [("a", "A")]}, "selection"),
        (postgresql.JSONB(), {"translate": True}, "char"),
        (postgresql.JSONB(), {"translate": True, "type": "html"}, "html"),
        (postgresql.JSONB(), {"company_dependent": True, "type": "float"}, "float"),
        (sa.Integer(), {"type": "many2one", "comodel": "thing"}, "many2one"),
    ],
    ids=str,
)
def test_info_type_overrides_column_type(
    type_: sa.types.TypeEngine[Any], info: dict[str, Any], odoo: str
) -> None:
    """`info` may say what the column's type cannot."""
    assert _lone(sa.Column("x", type_, info=info)).type == odoo


def test_selection_values_come_from_enum_or_info() -> None:
    """Labels are left out, values kept in order."""
    assert _lone(sa.Column("x", sa.Enum("new", "won", name="state"))).selection == ("new", "won")
    pairs = {"selection": [("b", "B"), ("a", "A")]}
    assert _lone(sa.Column("x", sa.String, info=pairs)).selection == ("b", "a")


def test_column_facts_are_kept() -> None:
    """Required, label, groups and generated columns."""
    field = _lone(
        sa.Column(
            "hourly_rate", sa.Float, nullable=False, info={"groups": "hr.group_user,!base.group_portal"}
        )
    )
    assert (field.required, field.string, field.groups) == (
        True,
        "Hourly Rate",
        "hr.group_user,!base.group_portal",
    )
    assert _lone(sa.Column("twice", sa.Integer, sa.Computed("id * 2"))).readonly
    assert _lone(sa.Column("user_id", sa.Integer)).string == "User"


def test_id_and_display_name_are_fields(schema: Schema) -> None:
    """As every model of Odoo has them."""
    assert (schema.field("crm.lead", "id").column, schema.field("crm.lead", "id").readonly) == ("int8", True)
    name = schema.field("crm.lead", "display_name")
    assert (name.stored, name.search) == (False, "_search_display_name")


def test_model_options_are_read(schema: Schema) -> None:
    """From `Table.info`, with Odoo's defaults."""
    partner, lead = schema.model("res.partner"), schema.model("crm.lead")
    assert (partner.description, partner.order, partner.parent_store) == ("Contact", "name, id desc", True)
    assert (partner.rec_name, partner.active_name, partner.log_access) == ("name", "active", False)
    assert (lead.rec_name, lead.active_name, lead.order) == (None, None, "id")
    assert lead.rec_names_search == ("title", "partner_id.name")


def test_foreign_key_to_id_is_many2one(schema: Schema) -> None:
    """With the model of its table."""
    field = schema.field("crm.lead", "partner_id")
    assert (field.type, field.comodel, field.column, field.auto_join) == (
        "many2one",
        "res.partner",
        "int4",
        True,
    )


def test_relationship_to_many_is_one2many(schema: Schema) -> None:
    """With its inverse, and the domain and groups of its `info`."""
    children = schema.field("res.partner", "child_ids")
    assert (children.type, children.comodel, children.inverse) == ("one2many", "res.partner", "parent_id")
    assert (children.domain, children.groups) == ((("active", "=", True),), "base.group_user")
    assert schema.field("res.partner", "lead_ids").inverse == "partner_id"


def test_relationship_with_secondary_is_many2many(schema: Schema) -> None:
    """Each side has its own first column."""
    tags, leads = schema.field("crm.lead", "tag_ids"), schema.field("crm.tag", "leads")
    assert (tags.relation, tags.column1, tags.column2) == ("lead_tag_rel", "lead_id", "tag_id")
    assert (leads.relation, leads.column1, leads.column2) == ("lead_tag_rel", "tag_id", "lead_id")


def test_relationship_to_one_adds_no_field(schema: Schema) -> None:
    """The column is the field."""
    assert "partner" not in schema.model("crm.lead").fields


def test_relationship_with_condition_is_a_gap(schema: Schema) -> None:
    """A one2many without its condition would find too much."""
    assert "won_leads" not in schema.model("res.partner").fields
    assert any("res_partner.won_leads" in gap.fact for gap in schema.gaps)


def test_table_without_model_is_a_gap_unless_it_joins_two(schema: Schema) -> None:
    """What Vallum does not cover is said."""
    facts = [gap.fact for gap in schema.gaps]
    assert "what the table `log` is" in facts
    assert not any("lead_tag_rel" in fact for fact in facts)


def test_unsupported_column_type_is_a_gap() -> None:
    """A column without an Odoo type is no field, and this is said."""
    tables = sa.MetaData()
    id_ = sa.Column("id", sa.Integer, primary_key=True)
    sa.Table("thing", tables, id_, sa.Column("tags", postgresql.ARRAY(sa.Text)), info={"model": "thing"})
    schema = read(tables)
    assert "tags" not in schema.model("thing").fields
    assert "thing.tags" in schema.gaps[0].fact


def test_inherited_fields_are_related_and_keep_their_groups(schema: Schema) -> None:
    """A field shut on the parent stays shut on the child."""
    field = schema.field("res.users", "salary")
    assert (field.related, field.inherited, field.stored) == (("partner_id", "salary"), True, False)
    assert field.groups == "hr.group_manager"
    users = schema.model("res.users")
    assert (users.rec_name, users.active_name, dict(users.inherits)) == (
        "name",
        None,
        {"res.partner": "partner_id"},
    )


def test_schema_is_the_same_in_any_order(schema: Schema) -> None:
    """Models are sorted by name."""
    assert list(schema.models) == ["crm.lead", "crm.tag", "res.partner", "res.users"]


# Relations without mappers


def _pair(fields: dict[str, Any], **more: Any) -> sa.MetaData:
    """Two tables of which the second leads to the first."""
    tables = sa.MetaData()
    sa.Table(
        "a",
        tables,
        sa.Column("id", sa.Integer, primary_key=True),
        info={"model": "a", "fields": fields} | more,
    )
    sa.Table(
        "b",
        tables,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("a_id", sa.ForeignKey("a.id")),
        info={"model": "b"},
    )
    sa.Table(
        "a_b", tables, sa.Column("a_id", sa.ForeignKey("a.id")), sa.Column("b_id", sa.ForeignKey("b.id"))
    )
    return tables


_MANY = {"type": "many2many", "comodel": "b", "relation": "a_b", "column1": "a_id", "column2": "b_id"}


def test_fields_of_table_info_are_relations() -> None:
    """The same as relationships, where there are no mappers."""
    one = {"type": "one2many", "comodel": "b", "inverse": "a_id", "context": {"active_test": False}}
    schema = read(_pair({"b_ids": one, "all_b_ids": {**_MANY, "groups": "base.group_user"}}))
    assert schema.field("a", "b_ids").inverse == "a_id"
    assert dict(schema.field("a", "b_ids").context) == {"active_test": False}
    assert (schema.field("a", "all_b_ids").relation, schema.field("a", "all_b_ids").groups) == (
        "a_b",
        "base.group_user",
    )
    assert not schema.gaps


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"x": {"type": "one2many", "comodel": "b"}}, "`inverse` is missing"),
        ({"x": {"type": "one2many", "comodel": "b", "inverse": "id"}}, "`b.id` is no many2one to `a`"),
        ({"x": {"type": "one2many", "comodel": "c", "inverse": "a_id"}}, "no model `c`"),
        ({"x": {**_MANY, "inverse": "a_id"}}, "`inverse` is too much"),
        ({"x": {**_MANY, "relation": "z"}}, "no column `z.a_id`"),
        ({"x": {**_MANY, "column2": "z"}}, "no column `a_b.z`"),
        ({"x": {**_MANY, "type": "many2one"}}, "wrong `info`"),
        ({"x": {**_MANY, "grops": "base.group_user"}}, "unknown key `grops`"),
        ({"id": _MANY}, "cannot have another field `id`"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unsound_relation_is_refused(fields: dict[str, Any], what: str) -> None:
    """Both ends of a relation must be there."""
    with pytest.raises(SettingsError, match=what) as caught:
        read(_pair(fields))
    assert caught.value.where == f"a.{next(iter(fields))}"


# What is refused


@pytest.mark.parametrize(
    ("info", "what"),
    [
        ({"grops": "base.group_user"}, "unknown key `grops`"),
        ({"groups": "group_user"}, "no list of groups"),
        ({"groups": ["base.group_user"]}, "wrong `info`"),
        ({"translate": True}, "`translate` on a column of type int4"),
        ({"type": "boolean"}, "cannot be 'boolean'"),
        ({"type": "many2one"}, "without a comodel"),
        ({"comodel": "thnig"}, "no model `thnig`"),
        ({"domain": "[('a', '=', 1)]"}, "wrong `info`"),
        ({"auto_join": True}, "leads nowhere"),
    ],
    ids=str,
)
def test_unsound_column_info_is_refused(info: dict[str, Any], what: str) -> None:
    """A restriction with a misprint must not be an open field."""
    with pytest.raises(SettingsError, match=what) as caught:
        _lone(sa.Column("x", sa.Integer, info=info))
    assert caught.value.where == "thing.x"


def test_misprint_in_info_names_the_key_that_is_meant() -> None:
    """The error carries its fix."""
    with pytest.raises(SettingsError) as caught:
        _lone(sa.Column("x", sa.Integer, info={"grops": "base.group_user"}))
    assert caught.value.fix == "use `groups`"


@pytest.mark.parametrize(
    ("info", "what"),
    [
        ({"model": "Thing"}, "is no model name"),
        ({"rec_name": "x"}, "but no `model`"),
        ({"model": "thing", "rec_nam": "name"}, "unknown key `rec_nam`"),
        ({"model": "thing", "rec_name": "nam"}, "names `nam`"),
        ({"model": "thing", "order": "name; drop"}, "`order` has"),
        ({"model": "thing", "order": "nome desc"}, "names `nome`"),
        ({"model": "thing", "active_name": "name"}, "which is no boolean"),
        ({"model": "thing", "parent_store": True}, "names `parent_id`"),
        ({"model": "thing", "rec_names_search": ["code"]}, "names `code`"),
        ({"model": "thing", "inherits": {"thing": "name"}}, "no many2one to `thing`"),
    ],
    ids=str,
)
def test_unsound_table_info_is_refused(info: dict[str, Any], what: str) -> None:
    """Options name fields that are there."""
    tables = sa.MetaData()
    sa.Table(
        "thing",
        tables,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String),
        info=info,
    )
    with pytest.raises(SettingsError, match=what) as caught:
        read(tables)
    assert caught.value.where == "thing"


def _composite(tables: sa.MetaData) -> None:
    keys = sa.Column("id", sa.Integer, primary_key=True), sa.Column("n", sa.Integer, primary_key=True)
    sa.Table("thing", tables, *keys, info={"model": "thing"})


def _keyless(tables: sa.MetaData) -> None:
    sa.Table("thing", tables, sa.Column("id", sa.Integer), info={"model": "thing"})


def _textual(tables: sa.MetaData) -> None:
    sa.Table("thing", tables, sa.Column("id", sa.Text, primary_key=True), info={"model": "thing"})


def _twice(tables: sa.MetaData) -> None:
    sa.Table("a", tables, sa.Column("id", sa.Integer, primary_key=True), info={"model": "thing"})
    sa.Table("thing", tables, sa.Column("id", sa.Integer, primary_key=True), info={"model": "thing"})


def _elsewhere(tables: sa.MetaData) -> None:
    id_ = sa.Column("id", sa.Integer, primary_key=True)
    sa.Table("thing", tables, id_, schema="other", info={"model": "thing"})


def _dangling(tables: sa.MetaData) -> None:
    id_ = sa.Column("id", sa.Integer, primary_key=True)
    sa.Table("thing", tables, id_, sa.Column("x", sa.ForeignKey("nothing.id")), info={"model": "thing"})


@pytest.mark.parametrize(
    ("declare", "what"),
    [
        (_composite, "primary key is `id`, `n`"),
        (_keyless, "primary key is missing"),
        (_textual, "`id` is no integer"),
        (_twice, "is the model `thing` already"),
        (_elsewhere, "in the schema `other`"),
        (_dangling, "leads to `nothing.id`"),
    ],
)
def test_unsound_table_is_refused(declare: Callable[[sa.MetaData], None], what: str) -> None:
    """A model has one integer `id`, one name and whole foreign keys."""
    tables = sa.MetaData()
    declare(tables)
    with pytest.raises(SettingsError, match=what) as caught:
        read(tables)
    assert str(caught.value.where).startswith("thing")
    assert caught.value.fix


def test_models_that_inherit_each_other_are_refused() -> None:
    """Delegation has an end."""
    tables = sa.MetaData()
    for name, other in ("a", "b"), ("b", "a"):
        sa.Table(
            name,
            tables,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("x_id", sa.ForeignKey(f"{other}.id")),
            info={"model": name, "inherits": {other: "x_id"}},
        )
    with pytest.raises(SettingsError, match="a → b → a"):
        read(tables)


def test_info_on_many2one_relationship_is_refused() -> None:
    """Groups on the relationship would leave the column open."""

    class Own(DeclarativeBase):
        pass

    class Node(Own):
        __tablename__ = "node"
        __table_args__ = ({"info": {"model": "node"}},)
        id: Mapped[int] = mapped_column(primary_key=True)
        up_id: Mapped[int | None] = mapped_column(sa.ForeignKey("node.id"))
        up: Mapped[Node | None] = relationship(remote_side="Node.id", info={"groups": "base.group_user"})

    with pytest.raises(SettingsError, match="belongs to its column"):
        read(Own)
