"""All models of the company: 19 tables and the relation tables between them.

Odoo's names throughout. What SQLAlchemy has no word for (which groups a field is for,
how a model is ordered, what is stored per company) is in `info`.
"""

from .base import Base
from .company import Company, Department, Employee, Group, Partner, User
from .operations import Invoice, Move, Project, PurchaseOrder, Task, Warehouse
from .selling import Category, Lead, Order, OrderLine, Product, Stage, Tag, Team

__all__ = [
    "Base",
    "Category",
    "Company",
    "Department",
    "Employee",
    "Group",
    "Invoice",
    "Lead",
    "Move",
    "Order",
    "OrderLine",
    "Partner",
    "Product",
    "Project",
    "PurchaseOrder",
    "Stage",
    "Tag",
    "Task",
    "Team",
    "User",
    "Warehouse",
]
