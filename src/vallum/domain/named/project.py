"""Named implementations for projects: what portal users see of a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vallum.domain.env import Access
from vallum.domain.named import DisplayName, FieldAccess, FieldDomain, Search, SearchMethod
from vallum.schema import Field, Model

_READABLE: Final = frozenset(
    [
        "id",
        "active",
        "priority",
        "project_id",
        "display_in_project",
        "allow_task_dependencies",
        "subtask_count",
        "email_from",
        "create_date",
        "write_date",
        "company_id",
        "displayed_image_id",
        "display_name",
        "portal_user_names",
        "user_ids",
        "display_parent_task_button",
        "current_user_same_company_partner",
        "allow_milestones",
        "milestone_id",
        "has_late_and_unreached_milestone",
        "date_assign",
        "dependent_ids",
        "message_is_follower",
        "recurring_task",
        "closed_subtask_count",
        "dependent_tasks_count",
        "depend_on_ids",
        "depend_on_count",
        "repeat_interval",
        "repeat_unit",
        "repeat_type",
        "repeat_until",
        "recurrence_id",
        "recurring_count",
        "duration_tracking",
        "display_follow_button",
        "color",
        "is_template",
        "has_template_ancestor",
        "has_project_template",
        "allow_recurring_tasks",
        "stage_id_color",
        "access_token",
        "access_url",
        "name",
        "description",
        "partner_id",
        "date_deadline",
        "date_last_stage_update",
        "tag_ids",
        "sequence",
        "stage_id",
        "child_ids",
        "state",
        "is_closed",
        "parent_id",
    ]
)
_WITH_SALES: Final = frozenset(
    {"allow_billable", "sale_line_id", "sale_order_id", "display_sale_order_button"}
)
_WITH_TIMESHEETS: Final = frozenset(
    [
        "allow_timesheets",
        "analytic_account_active",
        "effective_hours",
        "encode_uom_in_days",
        "allocated_hours",
        "progress",
        "overtime",
        "remaining_hours",
        "subtask_effective_hours",
        "subtask_allocated_hours",
        "timesheet_ids",
        "total_hours_spent",
    ]
)
_NOT_IN_18: Final = frozenset({"access_token", "access_url"})


def task_field(model: Model, field: Field, access: Access, version: int) -> bool:
    """Portal users see the fields of a task that Odoo lists for them, and no others."""
    if not access.in_group("base.group_portal"):
        return True
    readable = _READABLE if version >= 19 else _READABLE - _NOT_IN_18
    if "sale_line_id" in model.fields:
        readable |= _WITH_SALES
    if "timesheet_ids" in model.fields:
        readable |= _WITH_TIMESHEETS
    return field.name in readable


METHODS: Final[Mapping[str, SearchMethod]] = {}
DISPLAY_NAMES: Final[Mapping[str, DisplayName]] = {}
SEARCHES: Final[Mapping[str, Search]] = {}
FIELD_DOMAINS: Final[Mapping[str, FieldDomain]] = {}
COLUMNS: Final[Mapping[str, str]] = {}
FIELD_ACCESS: Final[Mapping[str, FieldAccess]] = {"project.task": task_field}
# Whose code is known, by model.
MODULES: Final[Mapping[str, str]] = {
    "project.task": "project",
}
