"""Attachments follow the record they belong to: the code of `ir.attachment` as a helper that gives ids.

Pure. Public ones are for everyone; those of no record for who made them and for system users; the others for
who may read the record. Stricter than Odoo where the record's own model is locked, or lately installed: then
the attachment is shown to nobody. Those of fields are not shown, as Odoo's search does not find them.
Source: `vallum.domain.named.base.attachments`, which holds against Odoo's own answers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from vallum.domain.named.base import attachments
from vallum.enforce.application import Application
from vallum.enforce.roles.expressions import HELPERS, Helper, Library
from vallum.enforce.roles.found import Relation
from vallum.enforce.roles.names import literal, quoted
from vallum.enforce.roles.scopes import ModelRules
from vallum.kernel import Operation
from vallum.policy import Policy
from vallum.schema import Model

__all__ = ["MODEL", "attachment_helper", "is_known"]

MODEL: Final = "ir.attachment"
_SYSTEM: Final = "base.group_system"
Within = Callable[[ModelRules], Helper]


def is_known(model: Model, application: Application) -> bool:
    """Whether a model is that of attachments, and no code but Odoo's own decides of it."""
    by = {m for method in ("_search", "_check_access") for m in model.overrides.get(method, ())}
    return (
        model.name == MODEL and by <= {"base"} and application.named.searches.get(model.name) is attachments
    )


def attachment_helper(
    application: Application,
    library: Library,
    relation: Relation,
    documents: Iterable[tuple[Model, ModelRules]],
    within: Within,
) -> Helper:
    """The helper that gives the ids of attachments. `documents`: the models whose records may be read."""
    known = set(application.facts.document_models(relation.name, "res_model"))
    table = f"{quoted(library.schema, relation.name)} a"
    ways = ["a.public IS TRUE", _unattached(application.policy)]
    ways += [
        _of_documents(application.policy, library.schema, model, rules, within)
        for model, rules in documents
        if model.name in known
    ]
    foreign = sorted(name for name in known if name not in application.schema.models)
    if foreign and application.schema.version < 19:
        # Of modules that are gone: Odoo 18 finds no one to ask.
        names = ", ".join(map(literal, foreign))
        ways.append(f"a.res_model IN ({names}) AND NOT ({_unattached(application.policy)})")
    body = (
        f"SELECT a.id FROM {table} WHERE (a.res_field IS NULL OR a.res_field = '')"  # noqa: S608
        f" AND (({') OR ('.join(way for way in ways if way)}))"
    )
    return library.text_helper(body)


def _unattached(policy: Policy) -> str:
    """Of no record, for who made them and for system users."""
    mine = f"a.create_uid = (SELECT u.user_id FROM {HELPERS}.users u WHERE u.role_name = $1)"  # noqa: S608
    system = policy.group_ids.get(_SYSTEM)
    if system is not None:
        mine += f" OR {_member({system})}"
    return f"(a.res_id IS NULL OR a.res_id = 0) AND ({mine})"


def _of_documents(policy: Policy, schema: str, model: Model, rules: ModelRules, within: Within) -> str:
    """Attachments of a model's records; nothing where nobody has the right to read them."""
    rights = [r for r in policy.rights_by_model.get(model.name, ()) if Operation.READ in r.operations]
    if not rights:
        return ""
    parts = [f"a.res_model = {literal(model.name)}"]
    if all(right.group is not None for right in rights):
        parts.append(_member({right.group for right in rights if right.group is not None}))
    if rules.restricted:
        parts.append(f"a.res_id IN (SELECT {within(rules).qualified}($1))")
    else:
        parts.append(f"a.res_id IN (SELECT id FROM {quoted(schema, model.table)})")  # noqa: S608
    return " AND ".join(parts)


def _member(groups: Collection[int]) -> str:
    listed = ", ".join(map(str, sorted(groups)))
    return f"(SELECT {HELPERS}.member_of($1, ARRAY[{listed}]::int[]))"
