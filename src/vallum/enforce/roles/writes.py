"""What users may change through SQL: grants, and what guards the rows beside the policies.

Pure. A model is open to writing where it is open to reading, is a table, and the rules of the operation can
be compiled; else nobody gets the privilege, and the plan says so. A link between records is made and
removed by whoever may write the record whose field it is, and may read both ends.
Odoo's semantics: writing is held against the record as it was, creating against the record as made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from vallum.enforce.roles.columns import ColumnGrant, Holders
from vallum.enforce.roles.expressions import HELPERS
from vallum.enforce.roles.found import Relation, RolesRefused
from vallum.enforce.roles.items import Item
from vallum.enforce.roles.links import Link
from vallum.enforce.roles.names import RoleNames, literal, quoted
from vallum.enforce.roles.people import Grants
from vallum.enforce.roles.scopes import RuleCompiler
from vallum.enforce.roles.tables import target
from vallum.kernel import Operation
from vallum.schema import MAGIC_FIELDS, Field, Model, Schema

__all__ = [
    "WRITES",
    "check_writable",
    "is_guarded",
    "link_grants",
    "link_policies",
    "link_writers",
    "model_grants",
    "refer_item",
    "sequence_grant",
    "stamp_item",
    "unwritable",
]

WRITES: Final = (Operation.WRITE, Operation.CREATE, Operation.UNLINK)
# Every Odoo database has it, and no other application has any use for it.
_ODOO: Final = "ir_module_module"


def check_writable(relations: Mapping[str, Relation], *, forced: bool) -> None:
    """Raises RolesRefused for an Odoo database, unless forced."""
    if _ODOO in relations and not forced:
        raise RolesRefused(
            "this is an Odoo database: what is written past Odoo skips its constraints, computed fields,"
            " messages and caches, and leaves records that Odoo itself would never have made",
            where=_ODOO,
            fix="write through Odoo; or, knowing that, add --force",
        )


def unwritable(relation: Relation) -> str | None:
    """Why nobody may write to a relation that may be read."""
    if relation.kind not in "rp":
        return "a view is read only"
    if relation.opened:
        return "a policy of others lets everybody write"
    if relation.strange:
        return f"its ids come from {relation.sequence}, which belongs to somebody else"
    return None


def model_grants(
    holders: Holders, model: Model, relation: Relation, operations: Collection[Operation]
) -> Iterable[ColumnGrant]:
    """The privileges on a model's table: never TRUNCATE, REFERENCES or TRIGGER."""
    for operation in WRITES:
        if operation not in operations:
            continue
        if operation is not Operation.UNLINK:
            yield from holders.filled(model, relation.columns, operation)
        elif members := holders.of_model(model.name, operation):
            yield ColumnGrant(model.name, members, None, "DELETE")


def sequence_grant(holders: Holders, model: Model) -> ColumnGrant | None:
    """What gives new records their ids."""
    members = holders.of_model(model.name, Operation.CREATE)
    return ColumnGrant(model.name, members, None, "USAGE") if members else None


def stamp_item(relation: Relation, schema: str) -> Item | None:
    """The trigger that says who has written and when; none where a table does not keep that."""
    if not set(MAGIC_FIELDS) <= set(relation.columns):
        return None
    table = quoted(schema, relation.name)
    return Item(
        "trigger",
        f"{relation.name}: vallum_stamp",
        f"CREATE TRIGGER vallum_stamp BEFORE INSERT OR UPDATE ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION {HELPERS}.stamp()",
        f"DROP TRIGGER IF EXISTS vallum_stamp ON {table}",
    )


def refer_item(
    model: Model, relation: Relation, readable: Mapping[str, Relation], names: RoleNames, schema: str
) -> Item | None:
    """The trigger that lets users refer only to what they may read; the application itself passes by it."""
    known: list[str] = []
    for name, field in sorted(model.fields.items()):
        place = readable.get(field.comodel or "")
        if field.type != "many2one" or not field.stored or name not in relation.columns:
            continue
        if place is not None and name not in MAGIC_FIELDS:
            known += [name, target(place, schema)]
    if not known:
        return None
    table, own = quoted(schema, relation.name), literal(f"{names.prefix}_")
    return Item(
        "trigger",
        f"{relation.name}: vallum_refer",
        f"CREATE TRIGGER vallum_refer BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW"
        f" WHEN (starts_with(current_user::text, {own}))"
        f" EXECUTE FUNCTION {HELPERS}.refer({', '.join(map(literal, known))})",
        f"DROP TRIGGER IF EXISTS vallum_refer ON {table}",
    )


def link_writers(
    link: Link, schema: Schema, writable: Collection[str], holders: Holders
) -> dict[frozenset[int], list[Field]]:
    """Who may make and remove links, each circle with the fields it may do it by."""
    found: dict[frozenset[int], list[Field]] = {}
    for field in link.fields:
        if field.model in writable and schema.model(field.model).field(field.name).stored:
            members = holders.of_field(field, Operation.WRITE)
            members &= holders.of_model(field.comodel or "")
            if members:
                found.setdefault(members, []).append(field)
    return found


def is_guarded(writers: Mapping[frozenset[int], list[Field]], compiler: RuleCompiler, schema: Schema) -> bool:
    """Whether rules restrict who may make or remove links."""
    models = {schema.model(field.model) for fields in writers.values() for field in fields}
    return any(compiler.rules(model, Operation.WRITE).restricted for model in models)


def link_policies(
    link: Link,
    writers: Mapping[frozenset[int], list[Field]],
    conditions: Collection[str],
    compiler: RuleCompiler,
    schema: Schema,
    grants: Grants,
    namespace: str,
) -> list[Item]:
    """The policies for making and removing links, to the roles of those who may.

    Call it once all grants are known: the roles have their names from these.
    """
    items = []
    table = quoted(namespace, link.relation.name)
    for number, (members, fields) in enumerate(sorted(writers.items(), key=lambda w: sorted(w[0])), 1):
        role = grants.role_of(members)
        if role is None:
            continue
        owned = " OR ".join(dict.fromkeys(_owner(field, compiler, schema) for field in fields))
        condition = " AND ".join([*conditions, f"({owned})"])
        for command, form in (("INSERT", "WITH CHECK"), ("DELETE", "USING")):
            name = quoted(f"vallum_link_{command.lower()}_{number}")
            items.append(
                Item(
                    "policy",
                    f"{link.relation.name}: {name.strip(chr(34))}",
                    f"CREATE POLICY {name} ON {table} AS PERMISSIVE FOR {command} TO {quoted(role)}"
                    f" {form} ({condition})",
                    f"DROP POLICY IF EXISTS {name} ON {table}",
                )
            )
    return items


def _owner(field: Field, compiler: RuleCompiler, schema: Schema) -> str:
    """The record whose field it is, as one that may be written."""
    rules = compiler.rules(schema.model(field.model), Operation.WRITE)
    if not rules.restricted:
        return "true"
    return f"{quoted(field.column1 or '')} IN (SELECT {compiler.within(rules).qualified}(current_user))"


def link_grants(
    link: Link, writers: Iterable[frozenset[int]], namespace: str
) -> list[tuple[str, ColumnGrant]]:
    """The privileges on a relation table; a link is never changed into another."""
    place = target(link.relation, namespace)
    columns = (link.ends[0][0], link.ends[1][0])
    return [
        (place, grant)
        for members in writers
        for grant in (
            ColumnGrant(link.relation.name, members, columns, "INSERT"),
            ColumnGrant(link.relation.name, members, None, "DELETE"),
        )
    ]
