"""Rows of leads, orders, invoices, purchases, stock moves, projects and tasks, as lines for COPY."""

from __future__ import annotations

from typing import Final

from .lines import FIRST, FOUNDED, GOODS, LAST, TRADES, Lines, as_line, as_money, as_text
from .people import COMPANIES, STAGES, TAGS, WAREHOUSES
from .world import (
    COMPANY_OF,
    DAYS,
    LAST_DAY,
    LINES_OF_ORDERS,
    ORDERS_PER_BLOCK,
    TIMES,
    World,
    cost_of,
    seller_of,
)

__all__ = [
    "invoice_rows",
    "lead_rows",
    "lead_tag_rows",
    "move_rows",
    "order_line_rows",
    "order_rows",
    "project_follower_rows",
    "project_rows",
    "purchase_rows",
    "task_follower_rows",
    "task_rows",
    "task_user_rows",
]


_BUYERS: Final = {1: (16, 17), 2: (17,), 3: (19,), 4: (16,)}
_CONSULTANTS: Final = {1: (21, 22), 2: (22, 24), 3: (23,), 4: (21,)}
_WAREHOUSES: Final = {
    c.id: tuple(n for n, (_, _, company) in enumerate(WAREHOUSES, 1) if company == c.id) for c in COMPANIES
}


def lead_rows(world: World, count: int) -> Lines:
    stages = len(STAGES)
    for i in range(1, count + 1):
        h = world.hash(6, i)
        company = COMPANY_OF[h % 20]
        user, team = seller_of(company, h >> 8)
        if (h >> 5) % 64 == 0:
            team = 5
        owner = r"\N" if (h >> 20) % 50 == 0 else company
        customer = world.customer(h >> 24)
        partner = world.head(customer) + (h >> 40) % 3 if (h >> 43) % 4 else r"\N"
        first, last = FIRST[(h >> 44) % 16], LAST[(h >> 48) % 16]
        stage = 1 + (h >> 52) % stages
        day = i * LAST_DAY // count
        stamp = f"{DAYS[day]} {TIMES[h % 600]}"
        uid = user or 1
        yield (
            f"{i}\t{GOODS[(h >> 54) % 8][0]}s for {last} {TRADES[(h >> 57) % 8]}"
            f"\t{'f' if h % 17 == 0 else 't'}"
            f"\t{'opportunity' if h % 3 else 'lead'}\t{(h >> 10) % 4}\t{stage}\t{team}\t{as_text(user)}"
            f"\t{owner}"
            f"\t{partner}\t{first} {last}\t{first.lower()}.{i}@lead.example\t+33 6 {h % 10**8:08d}"
            f"\t{(h >> 16) % 90_000}.00\t{100 if stage == stages else (h >> 58) * 1.5}\t{DAYS[day + h % 59]}"
            f"\t{uid}\t{stamp}\t{uid}\t{stamp}\n"
        )


_STATES: Final = ("draft", "draft", "sent", "sent", "sale", "sale", "sale", "sale", "sale", "cancel")


def order_rows(world: World, leads: int) -> Lines:
    for i in range(1, world.orders + 1):
        h, company, user, team, customer, day = world.order(i)
        total, cost = world.order_total(i)
        stamp = f"{DAYS[day]} {TIMES[h % 600]}"
        lead = 1 + (h >> 20) % leads if h % 3 == 0 else r"\N"
        margin = "-" + as_money(cost - total) if cost > total else as_money(total - cost)
        uid = user or 1
        yield (
            f"{i}\tS{i:08d}\t{_STATES[(h >> 48) % 10]}\t{stamp}\t{world.head(customer) + (h >> 52) % 3}"
            f"\t{as_text(user)}"
            f"\t{team}\t{company}\t{lead}\t{as_money(total)}\t{margin}\t{uid}\t{stamp}\t{uid}\t{stamp}\n"
        )


def order_line_rows(world: World) -> Lines:
    line = 0
    for i in range(1, world.orders + 1):
        h, company, user, _, customer, day = world.order(i)
        stamp = f"{DAYS[day]} {TIMES[h % 600]}"
        uid = user or 1
        tail = (
            f"\t{world.head(customer) + (h >> 52) % 3}\t{as_text(user)}\t{company}\t{_STATES[(h >> 48) % 10]}"
            f"\t{uid}\t{stamp}\t{uid}\t{stamp}\n"
        )
        for n in range(LINES_OF_ORDERS[(i - 1) % ORDERS_PER_BLOCK]):
            line += 1
            product, quantity, price = world.order_line(line)
            yield (
                f"{line}\t{i}\t{10 * (n + 1)}\t{GOODS[product % 8][0]} {product}\t{product}\t{quantity}"
                f"\t{as_money(price)}\t{as_money(quantity * price)}"
                f"\t{as_money(cost_of(product, company))}{tail}"
            )


def invoice_rows(world: World) -> Lines:
    for i in range(1, world.invoices + 1):
        order = 1 + (i - 1) * world.orders // world.invoices
        h, company, user, _, customer, day = world.order(order)
        h2 = world.hash(7, i)
        total, _ = world.order_total(order)
        bill = h2 % 5 == 0
        kind = "in_invoice" if bill else "out_refund" if h2 % 31 == 0 else "out_invoice"
        state = "draft" if (h2 >> 8) % 10 == 0 else "cancel" if (h2 >> 8) % 20 == 1 else "posted"
        paid = state == "posted" and (h2 >> 16) % 3 != 0
        link = order if not bill and _STATES[(h >> 48) % 10] == "sale" else r"\N"
        head = world.head(customer)
        stamp = f"{DAYS[day]} {TIMES[h2 % 600]}"
        seller = r"\N" if bill else as_text(user)
        yield (
            f"{i}\t{'BILL' if bill else 'INV'}/{i:08d}\t{kind}\t{state}\t{'paid' if paid else 'not_paid'}"
            f"\t{DAYS[day]}"
            f"\t{DAYS[day + 30]}\t{head + h2 % 2}\t{head}\t{company}\t{seller}\t{link}\t{as_money(total)}"
            f"\t{'0.00' if paid else as_money(total)}\t11\t{stamp}\t11\t{stamp}\n"
        )


def purchase_rows(world: World) -> Lines:
    states = ("draft", "sent", "to approve", "purchase", "purchase", "purchase", "purchase", "cancel")
    for i in range(1, world.purchases + 1):
        h = world.hash(8, i)
        company = COMPANY_OF[h % 20]
        buyers = _BUYERS[company]
        buyer = buyers[(h >> 8) % len(buyers)] if (h >> 12) % 10 else None
        product = world.product(h >> 20)
        stamp = f"{DAYS[i * LAST_DAY // world.purchases]} {TIMES[h % 600]}"
        amount = cost_of(product, company) * (1 + (h >> 44) % 200)
        uid = buyer or 1
        yield (
            f"{i}\tP{i:08d}\t{states[(h >> 52) % 8]}\t{stamp}\t{world.head(world.customer(h >> 36))}"
            f"\t{as_text(buyer)}"
            f"\t{company}\t{product}\t{as_money(amount)}\t{(h >> 60) * 1.25}\t{uid}\t{stamp}\t{uid}"
            f"\t{stamp}\n"
        )


def move_rows(world: World) -> Lines:
    directions = ("outgoing", "outgoing", "outgoing", "incoming", "incoming", "internal")
    states = ("done",) * 6 + ("assigned", "confirmed", "draft", "cancel")
    for i in range(1, world.moves + 1):
        h = world.hash(9, i)
        company = COMPANY_OF[h % 20]
        places = _WAREHOUSES[company]
        direction = directions[(h >> 8) % 6]
        product = world.product(h >> 16)
        quantity = 1 + (h >> 40) % 50
        partner = r"\N" if direction == "internal" else world.head(world.customer(h >> 44))
        stamp = f"{DAYS[i * LAST_DAY // world.moves]} {TIMES[h % 600]}"
        yield (
            f"{i}\tWH/{i:08d}\t{direction}\t{states[(h >> 60) % 10]}\t{stamp}\t{product}\t{quantity}"
            f"\t{places[(h >> 12) % len(places)]}\t{partner}\t{company}"
            f"\t{as_money(quantity * cost_of(product, company))}"
            f"\t19\t{stamp}\t19\t{stamp}\n"
        )


def _project(world: World, number: int) -> tuple[int, int, str, int]:
    """Hash, company, visibility and customer of a project. The first two are open to the portal users."""
    h = world.hash(10, number)
    kinds = (
        "followers",
        "followers",
        "followers",
        "employees",
        "employees",
        "employees",
        "employees",
        "portal",
    )
    if number <= 2:
        return h, (1, 3)[number - 1], "portal", number
    return h, COMPANY_OF[h % 20], kinds[(h >> 8) % 8], world.customer(h >> 32)


def project_rows(world: World) -> Lines:
    for i in range(1, world.projects + 1):
        h, company, visibility, customer = _project(world, i)
        manager = 22 if company in (1, 2) else _CONSULTANTS[company][0]
        owner = None if h % 25 == 0 and i > 2 else company
        yield as_line(
            i,
            f"{GOODS[h % 8][0]} Project {i}",
            True,
            visibility,
            manager,
            world.head(customer),
            owner,
            DAYS[h % LAST_DAY],
            f"{5 + h % 400}000.00",
            manager,
            FOUNDED,
            manager,
            FOUNDED,
        )


def project_follower_rows(world: World) -> Lines:
    for i in range(1, world.projects + 1):
        h, company, visibility, customer = _project(world, i)
        for user in _CONSULTANTS[company][: 1 + h % 2]:
            yield f"{i}\t{len(COMPANIES) + user}\n"
        if visibility == "portal":
            yield f"{i}\t{world.head(customer)}\n"


def _task(world: World, number: int) -> tuple[int, int | None, int]:
    """Hash, project and company of a task; one in twenty is private."""
    h = world.hash(11, number)
    project = 1 + (h >> 8) % world.projects
    company = _project(world, project)[1]
    return h, (project if h % 20 else None), company


def task_rows(world: World) -> Lines:
    states = ("todo", "doing", "done", "done", "canceled")
    for i in range(1, world.tasks + 1):
        h, project, company = _task(world, i)
        customer = as_text(world.head(_project(world, project)[3]) if project else None)
        day = i * LAST_DAY // world.tasks
        stamp = f"{DAYS[day]} {TIMES[h % 600]}"
        hours = 1 + (h >> 40) % 80
        yield (
            f"{i}\t{GOODS[h % 8][0]}: step {i}\t{'f' if h % 30 == 1 else 't'}\t{int(h % 7 == 0)}"
            f"\t{states[(h >> 20) % 5]}\t{as_text(project)}\t\\N\t{customer}\t{company}\t{DAYS[day + h % 59]}"
            f"\t{hours}\t{hours * 65}.00\t{_CONSULTANTS[company][0]}\t{stamp}\t22\t{stamp}\n"
        )


def task_user_rows(world: World) -> Lines:
    for i in range(1, world.tasks + 1):
        h, project, company = _task(world, i)
        people = _CONSULTANTS[company]
        if project is None or (h >> 44) % 4:
            yield f"{i}\t{people[(h >> 48) % len(people)]}\n"


def task_follower_rows(world: World) -> Lines:
    for i in range(1, world.tasks + 1):
        h, _, _ = _task(world, i)
        if (h >> 52) % 5 == 0:
            yield f"{i}\t{len(COMPANIES) + 3 + (h >> 56) % 24}\n"


def lead_tag_rows(world: World, count: int) -> Lines:
    """A tag on one lead in ten."""
    for i in range(10, count + 1, 10):
        yield f"{i}\t{1 + world.hash(12, i) % len(TAGS)}\n"
