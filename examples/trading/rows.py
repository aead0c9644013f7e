"""All tables of the company with their rows.

Pure. Invariant: equal seed and size give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .basics import (
    STAFF,
    company_rows,
    department_rows,
    employee_rows,
    partner_rows,
    product_rows,
    user_rows,
)
from .documents import (
    invoice_rows,
    lead_rows,
    lead_tag_rows,
    move_rows,
    order_line_rows,
    order_rows,
    project_follower_rows,
    project_rows,
    purchase_rows,
    task_follower_rows,
    task_rows,
    task_user_rows,
)
from .lines import BY_SYSTEM, TRACK, Lines, as_line
from .people import CATEGORIES, COMPANIES, DEPARTMENTS, STAGES, TAGS, TEAMS, USERS, WAREHOUSES
from .world import World

__all__ = ["Stream", "streams"]


@dataclass(frozen=True, slots=True)
class Stream:
    """The rows of one table: tab-separated text in the order of `columns`."""

    table: str
    columns: tuple[str, ...]
    count: int
    lines: Callable[[], Lines]


def streams(world: World, groups: tuple[tuple[str, str], ...]) -> tuple[Stream, ...]:
    """All tables with their rows; `groups` are xml ids and names, in the policy's order.

    Records of all models add up to `world.rows`: leads are what is left for them.
    """
    fixed = _fixed(groups)
    bulk = _bulk(world)
    leads = world.rows - world.orders - sum(stream.count for stream in (*fixed, *bulk))
    return (*fixed, *bulk, *_selling(world, leads), *_relations(world, groups, leads))


def _stream(table: str, columns: str, count: int, lines: Callable[[], Lines]) -> Stream:
    return Stream(table, (*columns.split(), *TRACK), count, lines)


def _fixed(groups: tuple[tuple[str, str], ...]) -> tuple[Stream, ...]:
    def numbered(*rows: tuple[object, ...]) -> Callable[[], Lines]:
        return lambda: (as_line(n, *row, *BY_SYSTEM) for n, row in enumerate(rows, 1))

    paths = {0: ""}
    for n, (_, parent) in enumerate(CATEGORIES, 1):
        paths[n] = f"{paths[parent or 0]}{n}/"
    stages = [(f'{{"en_US": "{en}", "fr_FR": "{fr}"}}', n, en == "Won") for n, (en, fr) in enumerate(STAGES)]
    categories = [(name, parent, paths[n]) for n, (name, parent) in enumerate(CATEGORIES, 1)]
    teams = [(t.name, True, t.leader, t.company, "250000.00") for t in TEAMS]
    places = [(name, code, True, company) for name, code, company in WAREHOUSES]
    return (
        _stream(
            "res_company",
            "id name active parent_id parent_path partner_id country_code vat lock_date",
            len(COMPANIES),
            company_rows,
        ),
        _stream(
            "res_users", "id login name active share lang tz partner_id company_id", len(USERS), user_rows
        ),
        _stream("res_groups", "id xml_id name", len(groups), numbered(*groups)),
        _stream(
            "hr_department",
            "id name active parent_id parent_path company_id manager_id",
            len(DEPARTMENTS),
            department_rows,
        ),
        _stream(
            "crm_team", "id name active user_id company_id invoiced_target", len(teams), numbered(*teams)
        ),
        _stream("crm_stage", "id name sequence is_won", len(stages), numbered(*stages)),
        _stream("crm_tag", "id name color", len(TAGS), numbered(*((t, n % 11) for n, t in enumerate(TAGS)))),
        _stream("product_category", "id name parent_id parent_path", len(categories), numbered(*categories)),
        _stream("stock_warehouse", "id name code active company_id", len(places), numbered(*places)),
    )


def _bulk(world: World) -> tuple[Stream, ...]:
    return (
        _stream(
            "res_partner",
            "id name active is_company email phone city country_code vat type parent_id"
            " commercial_partner_id company_id user_id credit_limit bank_account comment",
            world.partners,
            lambda: partner_rows(world),
        ),
        _stream(
            "hr_employee",
            "id name active user_id company_id department_id parent_id job_title work_email work_phone"
            " private_email private_street birthday social_security salary",
            STAFF,
            lambda: employee_rows(world),
        ),
        _stream(
            "product_product",
            "id name default_code active sale_ok categ_id company_id list_price standard_price",
            world.products,
            lambda: product_rows(world),
        ),
        _stream(
            "sale_order_line",
            "id order_id sequence name product_id product_uom_qty price_unit price_subtotal"
            " purchase_price order_partner_id salesman_id company_id state",
            world.order_lines,
            lambda: order_line_rows(world),
        ),
        _stream(
            "account_move",
            "id name move_type state payment_state date invoice_date_due partner_id"
            " commercial_partner_id company_id invoice_user_id sale_order_id amount_total"
            " amount_residual",
            world.invoices,
            lambda: invoice_rows(world),
        ),
        _stream(
            "purchase_order",
            "id name state date_order partner_id user_id company_id product_id amount_total"
            " negotiated_discount",
            world.purchases,
            lambda: purchase_rows(world),
        ),
        _stream(
            "stock_move",
            "id reference direction state date product_id product_uom_qty warehouse_id partner_id"
            " company_id value",
            world.moves,
            lambda: move_rows(world),
        ),
        _stream(
            "project_project",
            "id name active privacy_visibility user_id partner_id company_id date_start budget",
            world.projects,
            lambda: project_rows(world),
        ),
        _stream(
            "project_task",
            "id name active priority state project_id parent_id partner_id company_id date_deadline"
            " hours_planned hours_cost",
            world.tasks,
            lambda: task_rows(world),
        ),
    )


def _selling(world: World, leads: int) -> tuple[Stream, ...]:
    return (
        _stream(
            "crm_lead",
            "id name active type priority stage_id team_id user_id company_id partner_id contact_name"
            " email_from phone expected_revenue probability date_deadline",
            leads,
            lambda: lead_rows(world, leads),
        ),
        _stream(
            "sale_order",
            "id name state date_order partner_id user_id team_id company_id opportunity_id"
            " amount_total margin",
            world.orders,
            lambda: order_rows(world, leads),
        ),
    )


def _relations(world: World, groups: tuple[tuple[str, str], ...], leads: int) -> tuple[Stream, ...]:
    numbers = {xml_id: n for n, (xml_id, _) in enumerate(groups, 1)}
    companies = [f"{c}\t{u.id}\n" for u in USERS for c in u.companies]
    members = [f"{numbers[g]}\t{u.id}\n" for u in USERS for g in u.group_xml_ids]
    teams = [f"{t.id}\t{m}\n" for t in TEAMS for m in t.members]
    return (
        Stream("res_company_users_rel", ("cid", "user_id"), len(companies), lambda: iter(companies)),
        Stream("res_groups_users_rel", ("gid", "uid"), len(members), lambda: iter(members)),
        Stream("crm_team_member_rel", ("team_id", "user_id"), len(teams), lambda: iter(teams)),
        Stream("crm_tag_rel", ("lead_id", "tag_id"), leads // 10, lambda: lead_tag_rows(world, leads)),
        _counted(
            "project_project_followers_rel",
            ("project_id", "partner_id"),
            lambda: project_follower_rows(world),
        ),
        _counted("project_task_followers_rel", ("task_id", "partner_id"), lambda: task_follower_rows(world)),
        _counted("project_task_user_rel", ("task_id", "user_id"), lambda: task_user_rows(world)),
    )


def _counted(table: str, columns: tuple[str, ...], lines: Callable[[], Lines]) -> Stream:
    return Stream(table, columns, sum(1 for _ in lines()), lines)
