"""The size of the company and what is true of its records: a function of the seed and an id.

Pure: any record can be told without those before it. Memory stays constant, and an
order knows its lines and the reverse.
Invariant: equal seed and size give equal records.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from .people import COMPANIES, TEAMS, USERS, salespeople

__all__ = [
    "COMPANY_OF",
    "DAYS",
    "LAST_DAY",
    "LINES_OF_ORDERS",
    "MINIMUM_ROWS",
    "ORDERS_PER_BLOCK",
    "SELLERS",
    "TIMES",
    "World",
    "cost_of",
    "price_of",
    "seller_of",
]


MINIMUM_ROWS: Final = 2_000

_MASK: Final = (1 << 64) - 1
LAST_DAY: Final = 1_249
DAYS: Final = tuple(str(date(2023, 1, 2) + timedelta(days=d)) for d in range(LAST_DAY + 60))
TIMES: Final = tuple(f"{8 + m // 60:02d}:{m % 60:02d}:00" for m in range(600))
COMPANY_OF: Final = (1,) * 10 + (2,) * 5 + (3,) * 3 + (4,) * 2
SELLERS: Final = {c.id: salespeople(c.id) for c in COMPANIES}
_TEAM_OF_USER: Final = {member: team.id for team in TEAMS for member in team.members}
_TEAM_OF_COMPANY: Final = {team.company: team.id for team in TEAMS if team.company}
LINES_OF_ORDERS: Final = (1, 2, 2, 3, 3, 4, 5, 6)
ORDERS_PER_BLOCK: Final = len(LINES_OF_ORDERS)
_LINES_PER_BLOCK: Final = sum(LINES_OF_ORDERS)
_FIRST_LINE: Final = tuple(sum(LINES_OF_ORDERS[:n]) for n in range(ORDERS_PER_BLOCK))
_CONTACTS: Final = 4


@dataclass(frozen=True, slots=True)
class World:
    """How many of everything there are, for about `rows` records in all."""

    rows: int
    seed: int

    @property
    def customers(self) -> int:
        """Customer companies, a multiple of five: each has three contacts."""
        return max(5, self.rows // 100 // 5 * 5)

    @property
    def first_customer(self) -> int:
        """The id of the first customer's partner."""
        return len(COMPANIES) + len(USERS) + 1

    @property
    def partners(self) -> int:
        return self.first_customer - 1 + self.customers * _CONTACTS

    @property
    def products(self) -> int:
        return max(20, self.rows // 100)

    @property
    def orders(self) -> int:
        return self.rows * 8 // 100 // ORDERS_PER_BLOCK * ORDERS_PER_BLOCK

    @property
    def order_lines(self) -> int:
        return self.orders // ORDERS_PER_BLOCK * _LINES_PER_BLOCK

    @property
    def invoices(self) -> int:
        return self.rows * 8 // 100

    @property
    def purchases(self) -> int:
        return self.rows * 3 // 100

    @property
    def moves(self) -> int:
        return self.rows * 17 // 100

    @property
    def projects(self) -> int:
        return min(5_000, max(12, self.rows // 1_000))

    @property
    def tasks(self) -> int:
        return self.rows * 3 // 100

    def hash(self, kind: int, number: int) -> int:
        """64 bits that look random, the same for the same seed, kind of row and number."""
        h = (number * 0x9E3779B97F4A7C15 + kind * 0xD1B54A32D192ED03 + self.seed * 0x8CB92BA72F3D8DD7) & _MASK
        h = (h ^ (h >> 31)) * 0xBF58476D1CE4E5B9 & _MASK
        h = (h ^ (h >> 27)) * 0x94D049BB133111EB & _MASK
        return h ^ (h >> 31)

    def customer(self, bits: int) -> int:
        """A customer of all companies by 16 bits, the first ones far more often than the last."""
        bits &= 0xFFFF
        k = bits * bits * self.customers >> 32
        return k if k % 5 else k + 1

    def head(self, customer: int) -> int:
        """The partner that is the customer itself."""
        return self.first_customer + customer * _CONTACTS

    def product(self, bits: int) -> int:
        """A product of all companies by 24 bits."""
        p = 1 + (bits & 0xFFFFFF) * self.products // 0x1000000
        return p if p % 20 else p - 1

    def order(self, number: int) -> tuple[int, int, int | None, int, int, int]:
        """Hash, company, salesperson, team, customer and day of an order."""
        h = self.hash(1, number)
        company = COMPANY_OF[h % 20]
        user, team = seller_of(company, h >> 8)
        day = number * LAST_DAY // self.orders
        return h, company, user, team, self.customer(h >> 32), day

    def order_line(self, number: int) -> tuple[int, int, int]:
        """Product, quantity and price (in cents) of an order line."""
        h = self.hash(2, number)
        product = self.product(h)
        return product, 1 + (h >> 24) % 20, price_of(product)

    def order_total(self, number: int) -> tuple[int, int]:
        """Amount and cost of an order, in cents: those of its lines."""
        block, position = divmod(number - 1, ORDERS_PER_BLOCK)
        first = block * _LINES_PER_BLOCK + _FIRST_LINE[position] + 1
        total = cost = 0
        for line in range(first, first + LINES_OF_ORDERS[position]):
            product, quantity, price = self.order_line(line)
            total += quantity * price
            cost += quantity * cost_of(product, 1)
        return total, cost


def seller_of(company: int, bits: int) -> tuple[int | None, int]:
    """A salesperson (none for one record in twelve) and the team."""
    if bits % 12 == 0:
        return None, _TEAM_OF_COMPANY[company]
    sellers = SELLERS[company]
    user = sellers[(bits >> 8) % len(sellers)]
    return user, _TEAM_OF_USER[user] if company != 4 else 4


def price_of(product: int) -> int:
    return 500 + product * 7_919 % 49_500


def cost_of(product: int, company: int) -> int:
    return price_of(product) * (50 + product * 31 % 30 + company) // 100
