"""A small application: leads that belong to assets, five users, rules of every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from vallum.enforce import Application
from vallum.kernel import FixedClock, Operation
from vallum.policy import AccessRight, Action, Directory, Group, Menu, Policy, RecordRule, User
from vallum.postgres import Database, connect
from vallum.schema import Field, Model, Schema

__all__ = [
    "EVERY",
    "GROUPS",
    "MENUS",
    "POLICY",
    "RIGHTS",
    "RULES",
    "SCHEMA",
    "USERS",
    "Open",
    "crowd",
    "fill",
    "opened",
    "rule",
]

EMPLOYEE, SALESMAN, MANAGER, AUDITOR = 1, 2, 3, 4
EVERY: Final = frozenset(Operation)
READ: Final = frozenset({Operation.READ})

GROUPS: Final = (
    Group(id=EMPLOYEE, name="Employee", xml_id="base.group_user"),
    Group(id=SALESMAN, name="Salesman", xml_id="sales.salesman", implied=frozenset({EMPLOYEE})),
    Group(id=MANAGER, name="Manager", xml_id="sales.manager", implied=frozenset({SALESMAN})),
    Group(id=AUDITOR, name="Auditor", xml_id="base.auditor"),
)


def _right(number: int, model: str, group: int | None, operations: frozenset[Operation]) -> AccessRight:
    name = f"access_{model}_{group}"
    return AccessRight(id=number, name=name, model=model, group=group, operations=operations)


def rule(
    number: int, model: str, domain: str, *groups: int, operations: frozenset[Operation] = EVERY
) -> RecordRule:
    """A record rule, called by its number."""
    return RecordRule(
        id=number, name=f"rule {number}", model=model, domain=domain, groups=frozenset(groups),
        operations=operations,
    )  # fmt: skip


RIGHTS: Final = (
    _right(1, "lead", SALESMAN, EVERY),
    _right(2, "lead", AUDITOR, READ),
    _right(3, "asset", EMPLOYEE, READ),
    _right(4, "note", None, READ),
    _right(5, "report", SALESMAN, READ),
)
RULES: Final = (
    rule(1, "lead", "[('company_id', 'in', company_ids + [False])]"),
    rule(2, "lead", "['|', ('user_id', '=', user.id), ('user_id', '=', False)]", SALESMAN),
    rule(3, "lead", "[(1, '=', 1)]", MANAGER),
    rule(4, "asset", "[('secret', '=', False)]"),
    rule(5, "report", "[('id', '>', 0)]"),
)
_SCREEN: Final = Action(type="ir.actions.client", id=1)
MENUS: Final = (
    Menu(id=1, name="Leads", groups=frozenset({SALESMAN}), action=_SCREEN),
    Menu(id=2, name="Everybody's", action=_SCREEN),
)
POLICY: Final = Policy.of(GROUPS, RIGHTS, RULES, MENUS)


def _field(model: str, name: str, kind: str, column: str | None, **more: Any) -> Field:
    return Field(model=model, name=name, type=kind, column=column, **more)


def _model(name: str, *fields: Field, **more: Any) -> Model:
    own = _field(name, "id", "integer", "int4", not_null=True)
    return Model(name=name, table=name, fields={f.name: f for f in (own, *fields)}, **more)


SCHEMA: Final = Schema.of(
    [
        _model("res.users", _field("res.users", "login", "char", "varchar")),
        _model(
            "asset",
            _field("asset", "code", "char", "varchar"),
            _field("asset", "secret", "boolean", "bool"),
        ),
        _model(
            "lead",
            _field("lead", "name", "char", "varchar"),
            _field("lead", "margin", "float", "numeric", groups="sales.manager"),
            _field("lead", "user_id", "many2one", "int4", comodel="res.users"),
            _field("lead", "company_id", "integer", "int4"),
            _field("lead", "asset_id", "many2one", "int4", comodel="asset"),
            inherits={"asset": "asset_id"},
            overrides={"_search": ("sales_plus",), "_compute_display_name": ("sales",)},
        ),
        _model("note", _field("note", "text", "text", "text")),
        _model("ghost", abstract=True),
        # Its records live in code.
        _model("report", relation=False),
    ],
    version=18,
)
USERS: Final = (
    User(id=1, login="__system__", active=False, company_id=1, company_ids=(1, 2)),
    User(id=2, login="ada", company_id=1, company_ids=(1, 2), groups=frozenset({MANAGER})),
    User(id=3, login="bob", company_id=1, company_ids=(1,), groups=frozenset({SALESMAN})),
    User(id=4, login="eve", company_id=2, company_ids=(2,), groups=frozenset({AUDITOR})),
    User(id=5, login="old", active=False, company_id=1, company_ids=(1,), groups=frozenset({SALESMAN})),
)

# The last lead has no asset, though `_inherits` wants one.
_TABLES: Final = """
CREATE TABLE "res.users" (id int PRIMARY KEY, login varchar);
CREATE TABLE asset (id int PRIMARY KEY, code varchar, secret bool);
CREATE TABLE note (id int PRIMARY KEY, text text);
CREATE TABLE lead (
    id int PRIMARY KEY, name varchar, margin numeric, user_id int, company_id int, asset_id int
);
INSERT INTO "res.users" VALUES (1, '__system__'), (2, 'ada'), (3, 'bob'), (4, 'eve'), (5, 'old');
INSERT INTO asset VALUES (1, 'A', false), (2, 'B', true);
INSERT INTO note VALUES (1, 'x');
INSERT INTO lead VALUES
    (1, 'own', 9, 3, 1, 1), (2, 'nobody''s', 9, NULL, 1, 1), (3, 'ada''s', 9, 2, 1, 1),
    (4, 'abroad', 9, 3, 2, 1), (5, 'secret', 9, 3, 1, 2), (6, 'lost', 9, 3, 1, NULL);
"""

Open = Callable[..., Application]


def fill(dsn: str) -> None:
    """Create the tables and their rows."""
    with connect(dsn, readonly=False, autocommit=True) as connection:
        connection.execute(_TABLES.encode())


def opened(dsn: str, policy: Policy = POLICY, users: tuple[User, ...] = USERS) -> Application:
    """The application over a filled database."""
    clock = FixedClock(datetime(2026, 3, 1, tzinfo=UTC))
    return Application(Database(dsn), SCHEMA, policy, Directory(users), clock=clock)


def crowd(number: int) -> tuple[User, ...]:
    """That many more salesmen of company 1, with ids from 1,000."""
    bob = USERS[2]
    return (*USERS, *(replace(bob, id=1_000 + n, login=f"bob{n}") for n in range(number)))
