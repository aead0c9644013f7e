"""Named implementations for human resources: employees, departments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vallum.domain.ast import TRUE, Condition, Domain, any_of, conditions
from vallum.domain.env import Access, Env
from vallum.domain.filter import Compare, Filter, Plain, Ref, Row, Select, Within, every
from vallum.domain.lower import NEGATIVE, Lowering, root
from vallum.domain.named import DisplayName, FieldAccess, FieldDomain, Search, SearchMethod
from vallum.domain.named.base import plain
from vallum.kernel import AccessDenied, MalformedDomain, UnknownField, UnsupportedDomain
from vallum.schema import Field, Model


def employees(lowering: Lowering, model: Model, domain: Domain, env: Env, active_test: bool) -> Filter:
    """Employees: who may not read them finds those of the public directory, by its fields alone."""
    access = env.access
    if access is None or access.readable(model) or "hr.employee.public" not in env.schema.models:
        return lowering.plain_search(model, domain, env, active_test=active_test)
    public = env.schema.model("hr.employee.public")
    try:
        found = lowering.search(public, domain, env, active_test=active_test)
    except (UnknownField, MalformedDomain) as error:
        if env.schema.version >= 19:
            for condition in conditions(domain):
                access.check_field(model.field(condition.head))
            raise UnsupportedDomain(
                f"a search of employees by who sees only the directory: {error}"
            ) from error
        raise AccessDenied("the employee directory cannot be searched like that", where=str(error)) from error
    at = root(model)
    where: Filter = Within(lowering.id_ref(at), Select(Ref(root(public), "id", Plain("int4")), found))
    if model.active_name and env.active_test:
        where = every((where, Compare(Ref(at, model.active_name, Plain("bool")), "=", True)))
    return where


def company_employee(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Domain:
    """Users by their employee in the current company."""
    return Condition("employee_ids", operator, value)


def department_manager_access(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Domain:
    """Reports on oneself, and on the departments one manages and those below them."""
    if operator in NEGATIVE and env.schema.version >= 19:
        raise UnsupportedDomain(f"`{operator}` on `{field}`")
    departments = env.schema.model("hr.department")
    employees_ = env.schema.model("hr.employee")
    at = root(employees_)
    mine = every(
        (
            Compare(Ref(at, "user_id", Plain("int4")), "=", env.user_id),
            lowering.lower(employees_, own_company_employees(env), env.sudo(), at),
            lowering.lower(employees_, Condition("active", "=", True), env.sudo(), at)
            if env.active_test
            else every(()),
        )
    )
    managed = Condition("manager_id", "in", Select(lowering.id_ref(at), mine))
    inner = env.sudo()
    rows = lowering.select(departments, lowering.search(departments, managed, inner))
    return any_of(
        (
            Condition("employee_id.user_id", "=", env.user_id),
            Condition("employee_id.department_id", "child_of", rows),
        )
    )


def own_company_employees(env: Env) -> Domain:
    """The domain of `res.users.employee_ids`: employees of the active companies."""
    companies = env.companies or ((env.company,) if env.company else ())
    return Condition("company_id", "in", tuple(companies)) if companies else TRUE


_HR_ONLY: Final = frozenset(
    {"activity_calendar_event_id", "rating_ids", "website_message_ids", "message_has_sms_error"}
)


def employee_field(model: Model, field: Field, access: Access, version: int) -> bool:
    """Some fields of an employee are for HR officers, by code since Odoo 19."""
    return version < 19 or field.name not in _HR_ONLY or access.in_group("hr.group_hr_user")


METHODS: Final[Mapping[str, SearchMethod]] = {
    "res.users.employee_id": company_employee,
    "_search_has_department_manager_access": department_manager_access,
}
DISPLAY_NAMES: Final[Mapping[str, DisplayName]] = {}
SEARCHES: Final[Mapping[str, Search]] = {"hr.employee": employees, "hr.leave.type": plain}
FIELD_DOMAINS: Final[Mapping[str, FieldDomain]] = {"res.users.employee_ids": own_company_employees}
COLUMNS: Final[Mapping[str, str]] = {"hr.employee.version_id": "current_version_id"}
FIELD_ACCESS: Final[Mapping[str, FieldAccess]] = {"hr.employee": employee_field}
# Whose code is known, by model.
MODULES: Final[Mapping[str, str]] = {
    "hr.employee": "hr",
    "hr.leave.type": "hr_holidays",
}
