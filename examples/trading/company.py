"""Companies, partners, users, groups; departments and employees."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Numeric, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from .base import Base, Record, index_path, many2one, relation, selection

__all__ = ["Company", "Department", "Employee", "Group", "Partner", "User"]

users_of_company = relation("res_company_users_rel", "cid", "res_company", "user_id", "res_users")
users_of_group = relation("res_groups_users_rel", "gid", "res_groups", "uid", "res_users")


class Company(Record, Base):
    """A company; a branch has a parent."""

    __tablename__ = "res_company"
    __table_args__ = (
        {"info": {"model": "res.company", "description": "Companies", "parent_store": True, "order": "name"}},
    )

    name: Mapped[str] = mapped_column(String, unique=True)
    active: Mapped[bool | None] = mapped_column(default=True)
    parent_id: Mapped[int | None] = many2one("res_company")
    parent_path: Mapped[str | None] = index_path()
    partner_id: Mapped[int] = many2one("res_partner", required=True)
    country_code: Mapped[str | None] = mapped_column(String(2))
    vat: Mapped[str | None] = mapped_column(String(32))
    lock_date: Mapped[date | None] = mapped_column(info={"groups": "trading.group_account_invoice"})

    child_ids: Mapped[list[Company]] = relationship(foreign_keys=parent_id)
    user_ids: Mapped[list[User]] = relationship(secondary=users_of_company, back_populates="company_ids")


class Partner(Record, Base):
    """A person or company to do business with; `commercial_partner_id` is the company behind a contact."""

    __tablename__ = "res_partner"
    __table_args__ = (
        {
            "info": {
                "model": "res.partner",
                "description": "Contact",
                "order": "name, id desc",
                "rec_names_search": ["name", "email", "vat"],
            }
        },
    )

    name: Mapped[str] = mapped_column(String, index=True)
    active: Mapped[bool | None] = mapped_column(default=True)
    is_company: Mapped[bool | None]
    email: Mapped[str | None] = mapped_column(String)
    phone: Mapped[str | None] = mapped_column(String(32))
    city: Mapped[str | None] = mapped_column(String)
    country_code: Mapped[str | None] = mapped_column(String(2))
    vat: Mapped[str | None] = mapped_column(String(32))
    type: Mapped[str | None] = selection("contact", "invoice", "delivery", "private", default="contact")
    parent_id: Mapped[int | None] = many2one("res_partner")
    commercial_partner_id: Mapped[int | None] = many2one("res_partner")
    company_id: Mapped[int | None] = many2one("res_company")
    user_id: Mapped[int | None] = many2one("res_users", string="Salesperson")
    credit_limit: Mapped[float | None] = mapped_column(
        Numeric, info={"type": "monetary", "groups": "trading.group_account_readonly"}
    )
    bank_account: Mapped[str | None] = mapped_column(
        String(34), info={"groups": "trading.group_account_invoice,trading.group_hr_manager"}
    )
    comment: Mapped[str | None] = mapped_column(Text, info={"groups": "base.group_user"})

    child_ids: Mapped[list[Partner]] = relationship(
        foreign_keys=parent_id, info={"domain": [("active", "=", True)]}
    )
    user_ids: Mapped[list[User]] = relationship(foreign_keys="User.partner_id")


class User(Record, Base):
    """Who signs in."""

    __tablename__ = "res_users"
    __table_args__ = (
        {
            "info": {
                "model": "res.users",
                "description": "User",
                "order": "name, login",
                "rec_names_search": ["name", "login"],
            }
        },
    )

    login: Mapped[str] = mapped_column(String, unique=True)
    name: Mapped[str] = mapped_column(String)
    active: Mapped[bool | None] = mapped_column(default=True)
    share: Mapped[bool | None] = mapped_column(default=False)
    lang: Mapped[str | None] = mapped_column(String(16), default="en_US")
    tz: Mapped[str | None] = mapped_column(String(64))
    signature: Mapped[str | None] = mapped_column(Text, info={"type": "html"})
    partner_id: Mapped[int] = many2one("res_partner", required=True)
    company_id: Mapped[int] = many2one("res_company", required=True)

    company_ids: Mapped[list[Company]] = relationship(secondary=users_of_company, back_populates="user_ids")
    group_ids: Mapped[list[Group]] = relationship(
        secondary=users_of_group, back_populates="user_ids", info={"groups": "base.group_erp_manager"}
    )
    employee_ids: Mapped[list[Employee]] = relationship(
        foreign_keys="Employee.user_id", back_populates="user"
    )


class Group(Record, Base):
    """A group of the policy; `xml_id` is its name in `security/groups.xml`."""

    __tablename__ = "res_groups"
    __table_args__ = ({"info": {"model": "res.groups", "description": "Access Groups", "order": "name"}},)

    name: Mapped[str] = mapped_column(String)
    xml_id: Mapped[str] = mapped_column(String, unique=True)

    user_ids: Mapped[list[User]] = relationship(secondary=users_of_group, back_populates="group_ids")


class Department(Record, Base):
    """A department of a company, in a tree."""

    __tablename__ = "hr_department"
    __table_args__ = (
        {
            "info": {
                "model": "hr.department",
                "description": "Department",
                "parent_store": True,
                "order": "name",
            }
        },
    )

    name: Mapped[str] = mapped_column(String)
    active: Mapped[bool | None] = mapped_column(default=True)
    parent_id: Mapped[int | None] = many2one("hr_department")
    parent_path: Mapped[str | None] = index_path()
    company_id: Mapped[int | None] = many2one("res_company")
    manager_id: Mapped[int | None] = many2one("hr_employee")

    member_ids: Mapped[list[Employee]] = relationship(foreign_keys="Employee.department_id")


class Employee(Record, Base):
    """Someone who works here. The private part is for human resources, the salary for their manager."""

    __tablename__ = "hr_employee"
    __table_args__ = ({"info": {"model": "hr.employee", "description": "Employee", "order": "name"}},)

    name: Mapped[str] = mapped_column(String)
    active: Mapped[bool | None] = mapped_column(default=True)
    user_id: Mapped[int | None] = many2one("res_users")
    company_id: Mapped[int] = many2one("res_company", required=True)
    department_id: Mapped[int | None] = many2one("hr_department")
    parent_id: Mapped[int | None] = many2one("hr_employee", string="Manager")
    job_title: Mapped[str | None] = mapped_column(String)
    work_email: Mapped[str | None] = mapped_column(String)
    work_phone: Mapped[str | None] = mapped_column(String(32))
    private_email: Mapped[str | None] = mapped_column(String, info={"groups": "trading.group_hr_user"})
    private_street: Mapped[str | None] = mapped_column(String, info={"groups": "trading.group_hr_user"})
    birthday: Mapped[date | None] = mapped_column(info={"groups": "trading.group_hr_user"})
    social_security: Mapped[str | None] = mapped_column(
        String(32), info={"groups": "trading.group_hr_manager"}
    )
    salary: Mapped[float | None] = mapped_column(
        Numeric, info={"type": "monetary", "groups": "trading.group_hr_manager"}
    )

    child_ids: Mapped[list[Employee]] = relationship(foreign_keys=parent_id)
    user: Mapped[User | None] = relationship(foreign_keys=user_id, back_populates="employee_ids")
    company: Mapped[Company] = relationship(foreign_keys=company_id)
