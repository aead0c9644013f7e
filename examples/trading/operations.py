"""Invoices, purchases, stock and projects."""

from __future__ import annotations

import datetime

from sqlalchemy import Index, Numeric, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .base import Base, Record, many2one, relation, selection
from .company import Partner, User

__all__ = ["Invoice", "Move", "Project", "PurchaseOrder", "Task", "Warehouse"]

followers_of_project = relation(
    "project_project_followers_rel", "project_id", "project_project", "partner_id", "res_partner"
)
followers_of_task = relation(
    "project_task_followers_rel", "task_id", "project_task", "partner_id", "res_partner"
)
users_of_task = relation("project_task_user_rel", "task_id", "project_task", "user_id", "res_users")


class Invoice(Record, Base):
    """An invoice, bill or refund."""

    __tablename__ = "account_move"
    __table_args__ = (
        {"info": {"model": "account.move", "description": "Journal Entry", "order": "date desc, id desc"}},
    )

    name: Mapped[str | None] = mapped_column(String(32), index=True)
    move_type: Mapped[str] = selection("entry", "out_invoice", "out_refund", "in_invoice", "in_refund")
    state: Mapped[str | None] = selection("draft", "posted", "cancel", default="draft")
    payment_state: Mapped[str | None] = selection("not_paid", "partial", "paid", default="not_paid")
    date: Mapped[datetime.date | None] = mapped_column(index=True)
    invoice_date_due: Mapped[datetime.date | None]
    partner_id: Mapped[int | None] = many2one("res_partner")
    commercial_partner_id: Mapped[int | None] = many2one("res_partner")
    company_id: Mapped[int] = many2one("res_company", required=True)
    invoice_user_id: Mapped[int | None] = many2one("res_users", string="Salesperson")
    sale_order_id: Mapped[int | None] = many2one("sale_order")
    amount_total: Mapped[float | None] = mapped_column(Numeric, info={"type": "monetary"})
    amount_residual: Mapped[float | None] = mapped_column(Numeric, info={"type": "monetary"})
    narration: Mapped[str | None] = mapped_column(Text, info={"groups": "trading.group_account_readonly"})


class PurchaseOrder(Record, Base):
    """A request for quotation, or an order once it is confirmed."""

    __tablename__ = "purchase_order"
    __table_args__ = (
        {
            "info": {
                "model": "purchase.order",
                "description": "Purchase Order",
                "order": "date_order desc, id desc",
            }
        },
    )

    name: Mapped[str] = mapped_column(String(32), unique=True)
    state: Mapped[str | None] = selection(
        "draft", "sent", "to approve", "purchase", "cancel", default="draft"
    )
    date_order: Mapped[datetime.datetime | None] = mapped_column(index=True)
    partner_id: Mapped[int] = many2one("res_partner", required=True, string="Vendor")
    user_id: Mapped[int | None] = many2one("res_users", string="Buyer")
    company_id: Mapped[int] = many2one("res_company", required=True)
    product_id: Mapped[int | None] = many2one("product_product")
    amount_total: Mapped[float | None] = mapped_column(Numeric, info={"type": "monetary"})
    negotiated_discount: Mapped[float | None] = mapped_column(
        info={"groups": "trading.group_purchase_manager"}
    )


class Warehouse(Record, Base):
    """A place where goods are kept."""

    __tablename__ = "stock_warehouse"
    __table_args__ = ({"info": {"model": "stock.warehouse", "description": "Warehouse", "order": "code"}},)

    name: Mapped[str] = mapped_column(String)
    code: Mapped[str] = mapped_column(String(5), unique=True)
    active: Mapped[bool | None] = mapped_column(default=True)
    company_id: Mapped[int] = many2one("res_company", required=True)


class Move(Record, Base):
    """Goods that go in or out of a warehouse."""

    __tablename__ = "stock_move"
    __table_args__ = (
        Index("stock_move_warehouse_id_state_index", "warehouse_id", "state"),
        {
            "info": {
                "model": "stock.move",
                "description": "Stock Move",
                "rec_name": "reference",
                "order": "date desc, id",
            }
        },
    )

    reference: Mapped[str | None] = mapped_column(String(32))
    direction: Mapped[str | None] = selection("incoming", "outgoing", "internal")
    state: Mapped[str | None] = selection("draft", "confirmed", "assigned", "done", "cancel", default="draft")
    date: Mapped[datetime.datetime | None] = mapped_column(index=True)
    product_id: Mapped[int] = many2one("product_product", required=True)
    product_uom_qty: Mapped[float | None] = mapped_column(Numeric)
    warehouse_id: Mapped[int | None] = many2one("stock_warehouse", index=False)
    partner_id: Mapped[int | None] = many2one("res_partner")
    company_id: Mapped[int] = many2one("res_company", required=True)
    value: Mapped[float | None] = mapped_column(
        Numeric, info={"type": "monetary", "groups": "trading.group_product_cost"}
    )


class Project(Record, Base):
    """A project; `privacy_visibility` says who may see it: its followers, employees, or customers too."""

    __tablename__ = "project_project"
    __table_args__ = ({"info": {"model": "project.project", "description": "Project", "order": "name"}},)

    name: Mapped[str] = mapped_column(String)
    active: Mapped[bool | None] = mapped_column(default=True)
    privacy_visibility: Mapped[str | None] = selection(
        "followers", "employees", "portal", default="employees"
    )
    user_id: Mapped[int | None] = many2one("res_users", string="Project Manager")
    partner_id: Mapped[int | None] = many2one("res_partner", string="Customer")
    company_id: Mapped[int | None] = many2one("res_company")
    date_start: Mapped[datetime.date | None]
    budget: Mapped[float | None] = mapped_column(
        Numeric, info={"type": "monetary", "groups": "trading.group_project_manager"}
    )

    task_ids: Mapped[list[Task]] = relationship(foreign_keys="Task.project_id", back_populates="project")
    message_partner_ids: Mapped[list[Partner]] = relationship(
        secondary=followers_of_project, info={"string": "Followers", "groups": "base.group_user"}
    )


class Task(Record, Base):
    """Something to do, by one or several users; without a project it is private to them."""

    __tablename__ = "project_task"
    __table_args__ = (
        {
            "info": {
                "model": "project.task",
                "description": "Task",
                "order": "priority desc, date_deadline, id desc",
            }
        },
    )

    name: Mapped[str] = mapped_column(String)
    active: Mapped[bool | None] = mapped_column(default=True)
    priority: Mapped[str | None] = selection("0", "1", default="0")
    state: Mapped[str | None] = selection("todo", "doing", "done", "canceled", default="todo")
    project_id: Mapped[int | None] = many2one("project_project")
    parent_id: Mapped[int | None] = many2one("project_task")
    partner_id: Mapped[int | None] = many2one("res_partner", string="Customer")
    company_id: Mapped[int | None] = many2one("res_company")
    date_deadline: Mapped[datetime.date | None] = mapped_column(index=True)
    hours_planned: Mapped[float | None]
    hours_cost: Mapped[float | None] = mapped_column(
        Numeric, info={"type": "monetary", "groups": "trading.group_project_manager"}
    )

    project: Mapped[Project | None] = relationship(foreign_keys=project_id, back_populates="task_ids")
    child_ids: Mapped[list[Task]] = relationship(foreign_keys=parent_id)
    user_ids: Mapped[list[User]] = relationship(secondary=users_of_task, info={"string": "Assignees"})
    message_partner_ids: Mapped[list[Partner]] = relationship(
        secondary=followers_of_task, info={"string": "Followers", "groups": "base.group_user"}
    )
