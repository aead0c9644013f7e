"""Who is who at Limes Trading: companies, users with their groups, teams, departments.

Fixed for every seed and size, so that an example can name them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = [
    "CATEGORIES",
    "COMPANIES",
    "DEPARTMENTS",
    "STAGES",
    "SYSTEM",
    "TAGS",
    "TEAMS",
    "USERS",
    "WAREHOUSES",
    "CompanyRow",
    "TeamRow",
    "UserRow",
    "salespeople",
]


@dataclass(frozen=True, slots=True)
class CompanyRow:
    """A company; `parent` is the id of the one it is a branch of."""

    id: int
    name: str
    city: str
    country: str
    lang: str
    parent: int | None = None
    lock_date: str | None = None

    @property
    def path(self) -> str:
        """Ids of the ancestors and its own."""
        return f"{self.parent}/{self.id}/" if self.parent else f"{self.id}/"


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user: the first company is the default one. Groups are xml ids without `trading.`."""

    id: int
    login: str
    name: str
    job: str
    companies: tuple[int, ...]
    groups: tuple[str, ...]
    active: bool = True
    customer: int | None = None

    @property
    def share(self) -> bool:
        """Whether this is a guest rather than an employee."""
        return self.groups[0] in ("base.group_portal", "base.group_public")

    @property
    def group_xml_ids(self) -> tuple[str, ...]:
        """The groups as the policy names them."""
        return tuple(g if "." in g else f"trading.{g}" for g in self.groups)


@dataclass(frozen=True, slots=True)
class TeamRow:
    """A sales team: leader and members are user ids."""

    id: int
    name: str
    company: int | None
    leader: int
    members: tuple[int, ...]


COMPANIES: Final = (
    CompanyRow(1, "Limes Trading", "Lyon", "FR", "fr_FR", lock_date="2023-12-31"),
    CompanyRow(2, "Limes Iberia", "Valencia", "ES", "es_ES"),
    CompanyRow(3, "Limes Nordic", "Aarhus", "DK", "da_DK"),
    CompanyRow(4, "Limes Trading Marseille", "Marseille", "FR", "fr_FR", parent=1),
)

_USER: Final = "base.group_user"
_MULTI: Final = "base.group_multi_company"

# The id of the user for whom no rule holds, as in Odoo.
SYSTEM: Final = 1

USERS: Final = (
    UserRow(SYSTEM, "__system__", "System", "", (1,), ("base.group_system",), active=False),
    UserRow(
        2,
        "admin",
        "Ada Keller",
        "Systems Administrator",
        (1, 2, 3, 4),
        (
            "base.group_system",
            _MULTI,
            "group_sale_manager",
            "group_account_manager",
            "group_hr_manager",
            "group_purchase_manager",
            "group_stock_manager",
            "group_project_manager",
        ),
    ),
    UserRow(3, "marie", "Marie Laurent", "Salesperson", (1,), ("group_sale_salesman",)),
    UserRow(4, "paul", "Paul Mercier", "Sales Support", (1,), ("group_sale_salesman_all_leads",)),
    UserRow(5, "sofia", "Sofia Renard", "Head of Sales", (1, 4), ("group_sale_manager", _MULTI)),
    UserRow(6, "diego", "Diego Navarro", "Salesperson", (2,), ("group_sale_salesman",)),
    UserRow(7, "lucia", "Lucía Campos", "Sales Team Leader", (2,), ("group_sale_team_leader",)),
    UserRow(8, "erik", "Erik Lund", "Salesperson", (3,), ("group_sale_salesman",)),
    UserRow(
        9,
        "ingrid",
        "Ingrid Dahl",
        "Sales Team Leader",
        (3,),
        ("group_sale_team_leader", "group_sale_salesman_all_leads"),
    ),
    UserRow(10, "hugo", "Hugo Blanc", "Salesperson", (4,), ("group_sale_salesman",)),
    UserRow(11, "claire", "Claire Fontaine", "Chief Accountant", (1, 4), ("group_account_manager", _MULTI)),
    UserRow(12, "ana", "Ana Ribeiro", "Accountant", (2,), ("group_account_invoice",)),
    UserRow(13, "lars", "Lars Holm", "Auditor", (1, 2, 3, 4), ("group_account_readonly", _MULTI)),
    UserRow(14, "nina", "Nina Petit", "HR Officer", (1, 4), ("group_hr_user", _MULTI)),
    UserRow(15, "helene", "Hélène Brun", "Head of HR", (1, 2, 3, 4), ("group_hr_manager", _MULTI)),
    UserRow(16, "tom", "Tom Girard", "Buyer", (1,), ("group_purchase_user",)),
    UserRow(17, "carmen", "Carmen Vidal", "Head of Purchase", (1, 2), ("group_purchase_manager", _MULTI)),
    UserRow(18, "olaf", "Olaf Berg", "Warehouse Worker", (3,), ("group_stock_user",)),
    UserRow(19, "rosa", "Rosa Molina", "Head of Logistics", (1, 2, 3), ("group_stock_manager", _MULTI)),
    UserRow(20, "yann", "Yann Caron", "Warehouse Worker", (4,), ("group_stock_user",)),
    UserRow(21, "leo", "Léo Marchand", "Consultant", (1,), ("group_project_user",)),
    UserRow(22, "emma", "Emma Roche", "Project Manager", (1, 2), ("group_project_manager", _MULTI)),
    UserRow(23, "felix", "Felix Krogh", "Consultant", (3,), ("group_project_user",)),
    UserRow(24, "julia", "Julia Serra", "Consultant", (2,), ("group_project_user",)),
    UserRow(25, "victor", "Victor Adam", "Receptionist", (1,), (_USER,)),
    UserRow(26, "olga", "Olga Weiss", "User Administrator", (1, 2, 3, 4), ("base.group_erp_manager", _MULTI)),
    UserRow(27, "bruno", "Bruno Faure", "Customer", (1,), ("base.group_portal",), customer=1),
    UserRow(28, "chloe", "Chloe Winter", "Customer", (3,), ("base.group_portal",), customer=2),
    UserRow(29, "sam", "Sam Perrin", "Former Salesperson", (1,), ("group_sale_salesman",), active=False),
    UserRow(
        30,
        "isabel",
        "Isabel Moreau",
        "Director",
        (1, 2, 3, 4),
        ("group_direction", "group_sale_team_leader", _MULTI),
    ),
    UserRow(31, "public", "Public User", "Visitor", (1,), ("base.group_public",), active=False),
)

TEAMS: Final = (
    TeamRow(1, "Lyon", 1, 5, (3, 4, 5, 29)),
    TeamRow(2, "Iberia", 2, 7, (6, 7)),
    TeamRow(3, "Nordic", 3, 9, (8, 9)),
    TeamRow(4, "Marseille", 4, 5, (10,)),
    TeamRow(5, "Key Accounts", None, 30, (30,)),
)

# Name, parent, company, manager (a user id).
DEPARTMENTS: Final = (
    ("Direction", None, 1, 30),
    ("Sales", 1, 1, 5),
    ("Finance", 1, 1, 11),
    ("Human Resources", 1, 1, 15),
    ("Purchase", 1, 1, 17),
    ("Logistics", 1, 1, 19),
    ("Services", 1, 1, 22),
    ("Information Systems", 1, 1, 2),
    ("Sales Iberia", 2, 2, 7),
    ("Sales Nordic", 2, 3, 9),
    ("Sales Marseille", 2, 4, 10),
    ("Warehouse Nordic", 6, 3, 18),
)

STAGES: Final = (
    ("New", "Nouveau"),
    ("Qualified", "Qualifié"),
    ("Proposition", "Proposition"),
    ("Won", "Gagné"),
)
TAGS: Final = ("Office", "Design", "Public Tender", "Urgent", "Partner", "Export", "Renewal", "Training")

# Name and parent.
CATEGORIES: Final = (
    ("All", None),
    ("Furniture", 1),
    ("Chairs", 2),
    ("Desks", 2),
    ("Storage", 2),
    ("Lighting", 1),
    ("Indoor", 6),
    ("Outdoor", 6),
    ("Services", 1),
)

# Name, code and company.
WAREHOUSES: Final = (
    ("Lyon North", "LYN", 1),
    ("Lyon South", "LYS", 1),
    ("Valencia Harbour", "VLC", 2),
    ("Aarhus", "AAR", 3),
    ("Marseille Docks", "MRS", 4),
)


def salespeople(company: int) -> tuple[int, ...]:
    """Users who sell for a company."""
    return tuple(m for team in TEAMS if team.company == company for m in team.members)
