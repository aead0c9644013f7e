"""Read the policy and the users of an Odoo database.

Reads only; everything is loaded or an error is raised.
Source: `res_groups`, `ir_model_access`, `ir_rule`, `ir_ui_menu`, `ir_act_*`, `res_users`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from vallum.kernel import Operation
from vallum.policy.model import AccessRight, Action, Group, Menu, Policy, RecordRule
from vallum.policy.users import User
from vallum.schema import Schema

__all__ = ["read_policy", "read_users"]


class Queryable(Protocol):
    """What a reader needs of a database: rows of a statement."""

    def rows(self, sql: str, params: Any = None) -> Sequence[tuple[Any, ...]]:
        """All rows of one statement."""


_OPERATIONS: Final = (Operation.READ, Operation.WRITE, Operation.CREATE, Operation.UNLINK)


def read_policy(database: Queryable, schema: Schema) -> Policy:
    """The policy of an Odoo database.

    Raises: CyclicHierarchy, MissingReference.
    """
    return Policy.of(
        _groups(database),
        _rights(database),
        _rules(database),
        _menus(database),
        source="database",
    )


def _xml_ids(database: Queryable, model: str) -> dict[int, str]:
    """The xml id of each record of a model; the oldest where there are several."""
    statement = "SELECT res_id, module || '.' || name FROM ir_model_data WHERE model = %s ORDER BY id DESC"
    return dict(database.rows(statement, (model,)))


def _groups(database: Queryable) -> list[Group]:
    implied: dict[int, set[int]] = {}
    for group, other in database.rows("SELECT gid, hid FROM res_groups_implied_rel"):
        implied.setdefault(group, set()).add(other)
    xml_ids = _xml_ids(database, "res.groups")
    return [
        Group(
            id=i,
            name=name or "",
            xml_id=xml_ids.get(i),
            implied=frozenset(implied.get(i, ())),
            source=f"res.groups {i}",
        )
        for i, name in database.rows("SELECT id, name->>'en_US' FROM res_groups ORDER BY id")
    ]


def _operations(flags: Sequence[bool | None]) -> frozenset[Operation]:
    return frozenset(op for op, flag in zip(_OPERATIONS, flags, strict=True) if flag)


def _rights(database: Queryable) -> list[AccessRight]:
    xml_ids = _xml_ids(database, "ir.model.access")
    rows = database.rows(
        "SELECT a.id, a.name, m.model, a.group_id, a.perm_read, a.perm_write, a.perm_create, a.perm_unlink"
        " FROM ir_model_access a JOIN ir_model m ON m.id = a.model_id WHERE a.active ORDER BY a.id"
    )
    return [
        AccessRight(
            id=i,
            name=name or "",
            model=model,
            group=group,
            operations=_operations(flags),
            xml_id=xml_ids.get(i),
            source=f"ir.model.access {i}",
        )
        for i, name, model, group, *flags in rows
    ]


def _rules(database: Queryable) -> list[RecordRule]:
    groups: dict[int, set[int]] = {}
    for rule, group in database.rows("SELECT rule_group_id, group_id FROM rule_group_rel"):
        groups.setdefault(rule, set()).add(group)
    xml_ids = _xml_ids(database, "ir.rule")
    rows = database.rows(
        "SELECT r.id, r.name, m.model, r.domain_force,"
        " r.perm_read, r.perm_write, r.perm_create, r.perm_unlink"
        " FROM ir_rule r JOIN ir_model m ON m.id = r.model_id WHERE r.active ORDER BY r.id"
    )
    return [
        RecordRule(
            id=i,
            name=name or "",
            model=model,
            domain=(domain or "").strip(),
            groups=frozenset(groups.get(i, ())),
            operations=_operations(flags),
            xml_id=xml_ids.get(i),
            source=f"ir.rule {i} `{xml_ids.get(i) or name or ''}`",
        )
        for i, name, model, domain, *flags in rows
    ]


def _menus(database: Queryable) -> list[Menu]:
    groups: dict[int, set[int]] = {}
    for menu, group in database.rows("SELECT menu_id, gid FROM ir_ui_menu_group_rel"):
        groups.setdefault(menu, set()).add(group)
    actions = _actions(database)
    xml_ids = _xml_ids(database, "ir.ui.menu")
    rows = database.rows(
        "SELECT id, name->>'en_US', parent_id, action, sequence, active FROM ir_ui_menu ORDER BY id"
    )
    return [
        Menu(
            id=i,
            name=name or "",
            parent=parent,
            action=actions.get(action),
            groups=frozenset(groups.get(i, ())),
            sequence=sequence or 0,
            active=bool(active),
            xml_id=xml_ids.get(i),
            source=f"ir.ui.menu {i}",
        )
        for i, name, parent, action, sequence, active in rows
    ]


def _actions(database: Queryable) -> dict[str, Action]:
    """Actions by their reference, such as `ir.actions.act_window,12`."""
    statements = {
        "ir.actions.act_window": "SELECT id, res_model FROM ir_act_window",
        "ir.actions.report": "SELECT id, model FROM ir_act_report_xml",
        "ir.actions.server": "SELECT s.id, m.model FROM ir_act_server s"
        " LEFT JOIN ir_model m ON m.id = s.model_id",
        "ir.actions.client": "SELECT id, NULL FROM ir_act_client",
        "ir.actions.act_url": "SELECT id, NULL FROM ir_act_url",
    }
    return {
        f"{kind},{i}": Action(type=kind, id=i, model=model)
        for kind, statement in statements.items()
        for i, model in database.rows(statement)
    }


def read_users(database: Queryable, schema: Schema) -> list[User]:
    """The users of an Odoo database, inactive ones included.

    Up to 18 the groups are those Odoo stores (implied ones written out); from 19 the
    explicit ones, to be closed by the policy.
    """
    groups = _pairs(database, "SELECT uid, gid FROM res_groups_users_rel")
    companies = _pairs(
        database,
        "SELECT r.user_id, r.cid FROM res_company_users_rel r JOIN res_company c ON c.id = r.cid"
        " WHERE c.active ORDER BY c.sequence, c.name, c.id",
    )
    rows = database.rows(
        "SELECT u.id, u.login, u.active, u.partner_id, u.company_id, p.lang, p.tz, p.name"
        " FROM res_users u LEFT JOIN res_partner p ON p.id = u.partner_id ORDER BY u.id"
    )
    return [
        User(
            id=i,
            login=login,
            name=name or login,
            active=bool(active),
            partner_id=partner,
            company_id=company,
            company_ids=tuple(companies.get(i, ())),
            groups=frozenset(groups.get(i, ())),
            groups_closed=schema.version < 19,
            lang=lang or "en_US",
            tz=tz,
        )
        for i, login, active, partner, company, lang, tz, name in rows
    ]


def _pairs(database: Queryable, statement: str) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for key, value in database.rows(statement):
        found.setdefault(key, []).append(value)
    return found
