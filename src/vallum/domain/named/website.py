"""Named implementations for websites: what is published, who is a member of a course or list.

Outside a web request there is no current website, as for Odoo's own remote calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vallum.domain.ast import Condition, Domain, any_of
from vallum.domain.env import Env
from vallum.domain.filter import Compare, Filter, No, Plain, Ref, Row, Select, Within, every
from vallum.domain.lower import NEGATIVE, Lowering, root
from vallum.domain.named import DisplayName, FieldAccess, FieldDomain, Search, SearchMethod
from vallum.domain.named.base import wanted
from vallum.kernel import UnsupportedDomain
from vallum.schema import Field, Model


def website_published(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Domain:
    """Records published anywhere."""
    return Condition("is_published", "=", wanted(field, operator, value))


def course_member(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Filter:
    """Courses the actor takes part in."""
    return _course(lowering, field, operator, value, env, row, invited=False)


def course_invited(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Filter:
    """Courses the actor is invited to."""
    return _course(lowering, field, operator, value, env, row, invited=True)


def _course(
    lowering: Lowering, field: Field, operator: str, value: Any, env: Env, row: Row, *, invited: bool
) -> Filter:
    asked = wanted(field, operator, value)
    members = env.schema.model("slide.channel.partner")
    at = root(members)
    status = Compare(Ref(at, "member_status", Plain("varchar")), "=" if invited else "!=", "invited")
    mine = every(
        (
            Compare(Ref(at, "partner_id", Plain("int4")), "=", env.partner_id or 0),
            Compare(Ref(at, "active", Plain("bool")), "=", True),
            status,
        )
    )
    found = Within(lowering.id_ref(row), Select(Ref(at, "channel_id", Plain("int4")), mine))
    return found if asked else No(found)


def followed_project_lines(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Domain:
    """Timesheet lines by the followers of their project or task."""
    if operator in NEGATIVE:
        raise UnsupportedDomain(f"`{operator}` on `{field}`")
    followers = env.schema.model("mail.followers")
    parts: list[Domain] = []
    for name, of in (("project_id", "project.project"), ("task_id", "project.task")):
        followed = (Condition("res_model", "=", of), Condition("partner_id", operator, value))
        where = every(tuple(lowering.lower(followers, c, env.sudo(), root(followers)) for c in followed))
        ids = Select(Ref(root(followers), "res_id", Plain("int4")), where)
        parts.append(Condition(name, "in", ids))
    return any_of(parts)


def group_members(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Filter:
    """Mailing groups by their members."""
    if operator in NEGATIVE:
        raise UnsupportedDomain(f"`{operator}` on `{field}`")
    members = env.schema.model("mail.group.member")
    where = lowering.lower(members, Condition("partner_id", operator, value), env.sudo(), root(members))
    return Within(lowering.id_ref(row), Select(Ref(root(members), "mail_group_id", Plain("int4")), where))


METHODS: Final[Mapping[str, SearchMethod]] = {
    "_search_website_published": website_published,
    "slide.channel.is_member": course_member,
    "slide.channel.is_member_invited": course_invited,
    "account.analytic.line.message_partner_ids": followed_project_lines,
    "timesheets.analysis.report.message_partner_ids": followed_project_lines,
    "mail.group.member_partner_ids": group_members,
}
DISPLAY_NAMES: Final[Mapping[str, DisplayName]] = {}
SEARCHES: Final[Mapping[str, Search]] = {}
FIELD_DOMAINS: Final[Mapping[str, FieldDomain]] = {}
COLUMNS: Final[Mapping[str, str]] = {}
FIELD_ACCESS: Final[Mapping[str, FieldAccess]] = {}
# Whose code is known, by model.
MODULES: Final[Mapping[str, str]] = {}
