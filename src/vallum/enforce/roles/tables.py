"""Row level security of tables, and views that hold the rules of models over views.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vallum.enforce.roles.expressions import Helper
from vallum.enforce.roles.found import GUARD, Relation
from vallum.enforce.roles.items import Item
from vallum.enforce.roles.names import RoleNames, key_of, literal, quoted
from vallum.enforce.roles.scopes import ModelRules, RowPolicy, RuleCompiler
from vallum.kernel import Operation

__all__ = ["SIGNED", "VIEWS", "helper_items", "row_security", "table_items", "target", "view_item"]

VIEWS: Final = "vallum_views"
SIGNED: Final = "vallum_signed"

# Odoo holds what is to be written against the record as it was, not as it becomes: without a CHECK of its
# own PostgreSQL would hold USING against the new row as well.
_COMMANDS: Final = {
    Operation.READ: ("SELECT", "USING ({})"),
    Operation.WRITE: ("UPDATE", "USING ({}) WITH CHECK (true)"),
    Operation.CREATE: ("INSERT", "WITH CHECK ({})"),
    Operation.UNLINK: ("DELETE", "USING ({})"),
}


def target(relation: Relation, schema: str) -> str:
    """What is granted in a relation's place."""
    return quoted(VIEWS, relation.name) if relation.kind in "vm" else quoted(schema, relation.name)


def helper_items(helpers: Iterable[Helper]) -> list[Item]:
    """The helpers as functions that run as their owner."""
    found = []
    for helper in helpers:
        function = f"{helper.qualified}(name)"
        make = (
            f"CREATE FUNCTION {function} RETURNS SETOF integer LANGUAGE sql STABLE SECURITY DEFINER"
            f" SET search_path = pg_catalog, pg_temp AS {literal(helper.body)};"
            f" GRANT EXECUTE ON FUNCTION {function} TO PUBLIC"
        )
        found.append(Item("helper", helper.name, make, f"DROP FUNCTION IF EXISTS {function}"))
    return found


def table_items(
    rules: Iterable[ModelRules], relation: Relation, compiler: RuleCompiler, names: RoleNames, schema: str
) -> list[Item]:
    """What holds a model's rules on its table, one set of them an operation; nothing where none restricts."""
    rules = list(rules)
    if not any(of.restricted for of in rules):
        return []
    policies = [policy for of in rules for policy in compiler.policies(of)]
    return [
        *row_security(relation, names, schema),
        *(_policy(p, relation.name, schema, names) for p in policies),
    ]


def row_security(relation: Relation, names: RoleNames, schema: str) -> list[Item]:
    """Row level security switched on, unless it was on before us."""
    if relation.guarded:
        return []
    table = quoted(schema, relation.name)
    return [
        Item(
            "row security",
            relation.name,
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
            f" CREATE POLICY {GUARD} ON {table} FOR SELECT TO {quoted(names.guard)} USING (false)",
            f"ALTER TABLE IF EXISTS {table} DISABLE ROW LEVEL SECURITY;"
            f" DROP POLICY IF EXISTS {GUARD} ON {table}",
        )
    ]


def _policy(policy: RowPolicy, relation: str, schema: str, names: RoleNames) -> Item:
    table = quoted(schema, relation)
    kind = "PERMISSIVE" if policy.permissive else "RESTRICTIVE"
    if policy.free_of:
        # A role of its own keeps this way out of the plans of all others: an OR would cost them the index.
        roles = quoted(names.free(key_of(policy.free_of)))
    elif policy.groups is not None:
        roles = ", ".join(quoted(names.group(g)) for g in sorted(policy.groups))
    else:
        roles = quoted(names.everyone) if policy.permissive else "PUBLIC"
    name = quoted(policy.name)
    command, form = _COMMANDS[policy.operation]
    make = f"CREATE POLICY {name} ON {table} AS {kind} FOR {command} TO {roles} {form.format(policy.using)}"
    return Item("policy", f"{relation}: {policy.name}", make, f"DROP POLICY IF EXISTS {name} ON {table}")


def view_item(relation: Relation, compiler: RuleCompiler, rules: ModelRules, schema: str) -> Item:
    """A view that holds a model's rules over a view, which has no policies."""
    view, source = quoted(VIEWS, relation.name), quoted(schema, relation.name)
    columns = ", ".join(quoted(c) for c in relation.columns)
    make = f"CREATE VIEW {view} WITH (security_barrier) AS SELECT {columns} FROM {source}"  # noqa: S608
    if rules.restricted:
        helper = compiler.within(rules)
        make += f" WHERE id IN (SELECT {helper.qualified}(current_user))"
    return Item("view", relation.name, make, f"DROP VIEW IF EXISTS {view}")
