"""Rows of companies, users, partners, employees and products, as lines for COPY."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from .lines import BY_SYSTEM, FIRST, GOODS, LAST, TRADES, Lines, as_line, as_money, as_text
from .people import CATEGORIES, COMPANIES, DEPARTMENTS, SYSTEM, USERS, UserRow
from .world import COMPANY_OF, DAYS, SELLERS, TIMES, World, cost_of, price_of

__all__ = [
    "STAFF",
    "company_rows",
    "department_rows",
    "employee_rows",
    "partner_rows",
    "product_rows",
    "user_rows",
]


STAFF: Final = 120

_CITIES: Final = (
    ("Lyon", "FR"),
    ("Valencia", "ES"),
    ("Aarhus", "DK"),
    ("Marseille", "FR"),
    ("Genève", "CH"),
    ("Porto", "PT"),
    ("Hamburg", "DE"),
    ("Malmö", "SE"),
)


def company_rows() -> Lines:
    for c in COMPANIES:
        yield as_line(
            c.id,
            c.name,
            True,
            c.parent,
            c.path,
            c.id,
            c.country,
            f"{c.country}{c.id:08d}",
            c.lock_date,
            *BY_SYSTEM,
        )


def _user_partner(user: UserRow) -> int:
    return len(COMPANIES) + user.id


def user_rows() -> Lines:
    for u in USERS:
        lang = COMPANIES[u.companies[0] - 1].lang
        yield as_line(
            u.id,
            u.login,
            u.name,
            u.active,
            u.share,
            lang,
            "Europe/Paris",
            _user_partner(u),
            u.companies[0],
            *BY_SYSTEM,
        )


def partner_rows(world: World) -> Lines:
    for c in COMPANIES:
        mail, phone = f"office{c.id}@limes.example", f"+33 4 00 00 00 {c.id:02d}"
        yield as_line(
            c.id,
            c.name,
            True,
            True,
            mail,
            phone,
            c.city,
            c.country,
            f"{c.country}{c.id:08d}",
            "contact",
            None,
            c.id,
            None,
            None,
            None,
            None,
            None,
            *BY_SYSTEM,
        )
    for u in USERS:
        company = COMPANIES[u.companies[0] - 1]
        parent = world.head(u.customer) if u.customer is not None else company.id
        id_ = _user_partner(u)
        yield as_line(
            id_,
            u.name,
            u.active,
            False,
            f"{u.login}@limes.example",
            None,
            company.city,
            company.country,
            None,
            "contact",
            parent,
            parent,
            None,
            None,
            None,
            None,
            None,
            *BY_SYSTEM,
        )
    for k in range(world.customers):
        yield from _customer(world, k)


def _customer(world: World, k: int) -> Lines:
    """A customer company and its three contacts, one of them a private address."""
    h, head = world.hash(3, k), world.head(k)
    city, country = _CITIES[h % 8]
    last = LAST[(h >> 8) % 16]
    company = None if k % 5 else 1 + k // 5 % 4
    sellers = SELLERS[company or COMPANY_OF[(h >> 12) % 20]]
    seller = sellers[(h >> 20) % len(sellers)]
    vat = f"{country}{h % 100_000_000:08d}"
    name = f"{last} {TRADES[(h >> 16) % 8]} {k}"
    iban = f"{country}{h % 10**16:016d}"
    stamp = f"{DAYS[h % 300]} {TIMES[h % 600]}"
    track = f"{seller}\t{stamp}\t{seller}\t{stamp}"
    limit = 1_000 * (1 + (h >> 40) % 50)
    owner, active = as_text(company), "f" if h % 50 == 0 else "t"
    yield (
        f"{head}\t{name}\t{active}\tt\tinfo{k}@customer.example\t+33 5 {h % 10**8:08d}\t{city}"
        f"\t{country}\t{vat}"
        f"\tcontact\t\\N\t{head}\t{owner}\t{seller}\t{limit}\t{iban}\t\\N\t{track}\n"
    )
    for n, kind in enumerate(("contact", "invoice" if k % 2 else "delivery", "private"), 1):
        first = FIRST[(h >> 4 * n) % 16]
        yield (
            f"{head + n}\t{first} {last}\t{active}\tf\t{first.lower()}{k}@customer.example\t\\N\t{city}"
            f"\t{country}\t\\N"
            f"\t{kind}\t{head}\t{head}\t{owner}\t{seller}\t\\N\t\\N\t\\N\t{track}\n"
        )


def department_rows() -> Lines:
    paths: dict[int, str] = {}
    for id_, (name, parent, company, manager) in enumerate(DEPARTMENTS, 1):
        paths[id_] = paths.get(parent or 0, "") + f"{id_}/"
        yield as_line(id_, name, True, parent, paths[id_], company, _employee(manager), *BY_SYSTEM)


_EMPLOYED: Final = tuple(u for u in USERS if not u.share and u.id != SYSTEM)


def _employee(user: int) -> int:
    """The employee a user is."""
    return next(n for n, u in enumerate(_EMPLOYED, 1) if u.id == user)


def employee_rows(world: World) -> Lines:
    director = _employee(30)
    managers = {manager for _, _, _, manager in DEPARTMENTS}
    for id_ in range(1, STAFF + 1):
        h = world.hash(4, id_)
        user = _EMPLOYED[id_ - 1] if id_ <= len(_EMPLOYED) else None
        company = user.companies[0] if user else COMPANY_OF[h % 20]
        department = _department(user, company, h)
        boss = director if user and user.id in managers else _employee(DEPARTMENTS[department - 1][3])
        name = user.name if user else f"{FIRST[(h >> 8) % 16]} {LAST[(h >> 12) % 16]}"
        login = user.login if user else f"staff{id_}"
        birthday = date(1960, 1, 1) + timedelta(days=(h >> 16) % 14_000)
        yield as_line(
            id_,
            name,
            user.active if user else True,
            user.id if user else None,
            company,
            department,
            None if boss == id_ else boss,
            user.job if user else "Assistant",
            f"{login}@limes.example",
            f"+33 4 72 {h % 10**6:06d}",
            f"{login}@home.example",
            f"{1 + h % 200} Rue du Port",
            birthday,
            f"{h % 10**13:013d}",
            f"{28_000 + (h >> 30) % 500 * 100}.00",
            *BY_SYSTEM,
        )


# Departments by what a user's first group is about, and where a company has one of its own.
_DEPARTMENT_OF_AREA: Final = {"sale": 2, "account": 3, "hr": 4, "purchase": 5, "stock": 6, "project": 7}
_OWN_DEPARTMENT: Final = {("sale", 2): 9, ("sale", 3): 10, ("sale", 4): 11, ("stock", 3): 12}


def _department(user: UserRow | None, company: int, h: int) -> int:
    """The one a user leads, else the one of the user's work; by chance for everyone else."""
    if user is None:
        fitting = [id_ for id_, (_, _, owner, _) in enumerate(DEPARTMENTS, 1) if owner == company and id_ > 1]
        return fitting[(h >> 24) % len(fitting)]
    for id_, (_, _, _, manager) in enumerate(DEPARTMENTS, 1):
        if manager == user.id:
            return id_
    area = user.groups[0].removeprefix("group_").split("_")[0]
    return _OWN_DEPARTMENT.get((area, company)) or _DEPARTMENT_OF_AREA.get(area, 8)


def product_rows(world: World) -> Lines:
    for id_ in range(1, world.products + 1):
        h = world.hash(5, id_)
        en, fr = GOODS[id_ % 8]
        company = None if id_ % 20 else 1 + id_ // 20 % 4
        costs = ", ".join(f'"{c.id}": {as_money(cost_of(id_, c.id))}' for c in COMPANIES)
        yield as_line(
            id_,
            f'{{"en_US": "{en} {id_}", "fr_FR": "{fr} {id_}"}}',
            f"LT{id_:07d}",
            h % 40 != 0,
            h % 9 != 0,
            2 + h % (len(CATEGORIES) - 1),
            company,
            as_money(price_of(id_)),
            f"{{{costs}}}",
            *BY_SYSTEM,
        )
