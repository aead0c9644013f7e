"""Leads and teams, products, quotations and orders."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Index, Numeric, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .base import Base, Record, company_dependent, index_path, many2one, relation, selection, translated
from .company import Company, Partner, User

__all__ = ["Category", "Lead", "Order", "OrderLine", "Product", "Stage", "Tag", "Team"]

members_of_team = relation("crm_team_member_rel", "team_id", "crm_team", "user_id", "res_users")
tags_of_lead = relation("crm_tag_rel", "lead_id", "crm_lead", "tag_id", "crm_tag")


class Team(Record, Base):
    """A sales team with its leader and its members."""

    __tablename__ = "crm_team"
    __table_args__ = ({"info": {"model": "crm.team", "description": "Sales Team", "order": "name"}},)

    name: Mapped[str] = mapped_column(String)
    active: Mapped[bool | None] = mapped_column(default=True)
    user_id: Mapped[int | None] = many2one("res_users", string="Team Leader")
    company_id: Mapped[int | None] = many2one("res_company")
    invoiced_target: Mapped[float | None] = mapped_column(
        Numeric, info={"type": "monetary", "groups": "trading.group_sale_team_leader"}
    )

    member_ids: Mapped[list[User]] = relationship(secondary=members_of_team)


class Stage(Record, Base):
    """A step on the way to a sale."""

    __tablename__ = "crm_stage"
    __table_args__ = ({"info": {"model": "crm.stage", "description": "Stage", "order": "sequence, id"}},)

    name: Mapped[dict[str, str]] = translated()
    sequence: Mapped[int | None] = mapped_column(default=10)
    is_won: Mapped[bool | None]


class Tag(Record, Base):
    """A label on leads."""

    __tablename__ = "crm_tag"
    __table_args__ = ({"info": {"model": "crm.tag", "description": "CRM Tag", "order": "name"}},)

    name: Mapped[str] = mapped_column(String, unique=True)
    color: Mapped[int | None]


class Lead(Record, Base):
    """An opportunity to sell."""

    __tablename__ = "crm_lead"
    __table_args__ = (
        Index("crm_lead_create_date_index", "create_date"),
        {
            "info": {
                "model": "crm.lead",
                "description": "Lead",
                "order": "priority desc, id desc",
                "rec_names_search": ["name", "contact_name", "partner_id.name"],
            }
        },
    )

    name: Mapped[str] = mapped_column(String)
    active: Mapped[bool | None] = mapped_column(default=True)
    type: Mapped[str | None] = selection("lead", "opportunity", default="lead")
    priority: Mapped[str | None] = selection("0", "1", "2", "3", default="0")
    stage_id: Mapped[int | None] = many2one("crm_stage")
    team_id: Mapped[int | None] = many2one("crm_team")
    user_id: Mapped[int | None] = many2one("res_users", string="Salesperson")
    company_id: Mapped[int | None] = many2one("res_company")
    partner_id: Mapped[int | None] = many2one("res_partner", string="Customer")
    contact_name: Mapped[str | None] = mapped_column(String)
    email_from: Mapped[str | None] = mapped_column(String)
    phone: Mapped[str | None] = mapped_column(String(32))
    expected_revenue: Mapped[float | None] = mapped_column(Numeric, info={"type": "monetary"})
    probability: Mapped[float | None]
    date_deadline: Mapped[date | None]
    description: Mapped[str | None] = mapped_column(Text, info={"type": "html"})

    tag_ids: Mapped[list[Tag]] = relationship(secondary=tags_of_lead)
    order_ids: Mapped[list[Order]] = relationship(foreign_keys="Order.opportunity_id")
    stage: Mapped[Stage | None] = relationship(foreign_keys=stage_id)
    team: Mapped[Team | None] = relationship(foreign_keys=team_id)
    user: Mapped[User | None] = relationship(foreign_keys=user_id)
    company: Mapped[Company | None] = relationship(foreign_keys=company_id)
    partner: Mapped[Partner | None] = relationship(foreign_keys=partner_id)


class Category(Record, Base):
    """A family of products, in a tree."""

    __tablename__ = "product_category"
    __table_args__ = (
        {
            "info": {
                "model": "product.category",
                "description": "Product Category",
                "parent_store": True,
                "order": "name",
            }
        },
    )

    name: Mapped[str] = mapped_column(String)
    parent_id: Mapped[int | None] = many2one("product_category")
    parent_path: Mapped[str | None] = index_path()


class Product(Record, Base):
    """Something the company buys and sells. What it costs is known to few, and each company"
    " has its own cost."""

    __tablename__ = "product_product"
    __table_args__ = (
        {
            "info": {
                "model": "product.product",
                "description": "Product",
                "order": "default_code, id",
                "rec_names_search": ["name", "default_code"],
            }
        },
    )

    name: Mapped[dict[str, str]] = translated()
    default_code: Mapped[str | None] = mapped_column(String(32), unique=True)
    active: Mapped[bool | None] = mapped_column(default=True)
    sale_ok: Mapped[bool | None] = mapped_column(default=True)
    categ_id: Mapped[int] = many2one("product_category", required=True)
    company_id: Mapped[int | None] = many2one("res_company")
    list_price: Mapped[float | None] = mapped_column(Numeric, info={"type": "monetary"})
    standard_price: Mapped[dict[str, Any] | None] = company_dependent(
        "float", string="Cost", groups="trading.group_product_cost"
    )


class Order(Record, Base):
    """A quotation, or an order once it is confirmed."""

    __tablename__ = "sale_order"
    __table_args__ = (
        {"info": {"model": "sale.order", "description": "Sales Order", "order": "date_order desc, id desc"}},
    )

    name: Mapped[str] = mapped_column(String(32), unique=True)
    state: Mapped[str | None] = selection("draft", "sent", "sale", "cancel", default="draft")
    date_order: Mapped[datetime | None] = mapped_column(index=True)
    partner_id: Mapped[int] = many2one("res_partner", required=True, string="Customer")
    user_id: Mapped[int | None] = many2one("res_users", string="Salesperson")
    team_id: Mapped[int | None] = many2one("crm_team")
    company_id: Mapped[int] = many2one("res_company", required=True)
    opportunity_id: Mapped[int | None] = many2one("crm_lead")
    amount_total: Mapped[float | None] = mapped_column(Numeric, info={"type": "monetary"})
    margin: Mapped[float | None] = mapped_column(
        Numeric, info={"type": "monetary", "groups": "trading.group_product_cost"}
    )
    internal_note: Mapped[str | None] = mapped_column(
        Text, info={"groups": "base.group_user,!base.group_portal"}
    )

    order_line: Mapped[list[OrderLine]] = relationship(
        foreign_keys="OrderLine.order_id", back_populates="order", info={"auto_join": True}
    )
    partner: Mapped[Partner] = relationship(foreign_keys=partner_id)
    user: Mapped[User | None] = relationship(foreign_keys=user_id)
    company: Mapped[Company] = relationship(foreign_keys=company_id)


class OrderLine(Record, Base):
    """A line of an order; customer, salesperson, company and state are those of the order."""

    __tablename__ = "sale_order_line"
    __table_args__ = (
        {
            "info": {
                "model": "sale.order.line",
                "description": "Sales Order Line",
                "order": "order_id, sequence, id",
            }
        },
    )

    order_id: Mapped[int] = many2one("sale_order", required=True, ondelete="CASCADE")
    sequence: Mapped[int | None] = mapped_column(default=10)
    name: Mapped[str] = mapped_column(Text)
    product_id: Mapped[int | None] = many2one("product_product")
    order_partner_id: Mapped[int | None] = many2one("res_partner", string="Customer")
    salesman_id: Mapped[int | None] = many2one("res_users", string="Salesperson")
    company_id: Mapped[int | None] = many2one("res_company")
    state: Mapped[str | None] = selection("draft", "sent", "sale", "cancel", default="draft")
    product_uom_qty: Mapped[float | None] = mapped_column(Numeric)
    price_unit: Mapped[float | None] = mapped_column(Numeric)
    price_subtotal: Mapped[float | None] = mapped_column(Numeric, info={"type": "monetary"})
    purchase_price: Mapped[float | None] = mapped_column(
        Numeric, info={"string": "Cost", "groups": "trading.group_product_cost"}
    )

    order: Mapped[Order] = relationship(foreign_keys=order_id, back_populates="order_line")
    product: Mapped[Product | None] = relationship(foreign_keys=product_id)
