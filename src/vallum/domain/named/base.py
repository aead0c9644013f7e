"""Named implementations for Odoo's base module: users, groups, companies, attachments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from vallum.domain.ast import Condition, Domain, Not, Open, all_of, any_of, conditions
from vallum.domain.env import Env
from vallum.domain.filter import (
    NEVER,
    Bound,
    Compare,
    Filter,
    Holds,
    Ids,
    Implying,
    IsNull,
    Linked,
    No,
    NotEmpty,
    OneOf,
    Plain,
    Ref,
    Row,
    RowSet,
    Select,
    Within,
    every,
    some,
)
from vallum.domain.lower import NEGATIVE, Lowering, root
from vallum.domain.named import DisplayName, FieldAccess, FieldDomain, Search, SearchMethod
from vallum.kernel import UnsupportedDomain
from vallum.schema import Field, Model


def user_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Users: one whose login is the text is found alone; otherwise by name."""
    plain = lowering.plain_display_name(model, operator, value, env)
    exact = ("in", "ilike") if env.schema.version >= 19 else ("=", "ilike")
    if operator not in exact or not value:
        return plain
    logins = value if isinstance(value, tuple) else (value,)
    by_login = lowering.select(model, lowering.search(model, Condition("login", "in", logins), env))
    if isinstance(by_login, Ids) and not by_login.ids:
        return plain
    return any_of(
        (
            Condition("id", "in", by_login),
            all_of((Condition("id", "in", _all_unless_any(model, by_login, env)), plain)),
        )
    )


def _all_unless_any(model: Model, rows: RowSet, env: Env) -> RowSet:
    """All records where `rows` is empty, none otherwise."""
    return Select(Ref(root(model), "id", Plain("int4")), No(NotEmpty(rows)))


def company_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Companies: by name; the context that narrows them is only the client's."""
    return lowering.plain_display_name(model, operator, value, env)


def country_state_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """States: by name or code, or as `State (Country)`."""
    plain = lowering.plain_display_name(model, operator, value, env)
    if not value or operator in NEGATIVE or operator not in ("ilike", "=", "in"):
        return plain
    texts = value if isinstance(value, tuple) else (value,)
    inner = "=" if operator == "in" else operator
    return any_of((plain, *(d for t in texts if isinstance(t, str) for d in _state_in_country(t, inner))))


def _state_in_country(text: str, operator: str) -> list[Domain]:
    match = re.fullmatch(r"(?P<name>.+)\((?P<country>.+)\)", text)
    if match is None:
        return []
    country = match["country"].strip()
    where = any_of(
        (Condition("country_id.name", "ilike", country), Condition("country_id.code", "=", country))
    )
    return [all_of((Condition("name", operator, match["name"].strip()), where))]


def bank_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Banks: by the beginning of their BIC, or by name."""
    if operator not in ("ilike", "not ilike") or not value:
        return lowering.plain_display_name(model, operator, value, env)
    found = any_of((Condition("bic", "=ilike", f"{value}%"), Condition("name", "ilike", value)))
    return found if operator == "ilike" else Not(found)


def partner_category_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Contact tags: what matches by name, and all below it."""
    plain = lowering.plain_display_name(model, operator, value, env)
    if not operator.endswith("like"):
        return plain
    return Condition("id", "child_of", lowering.select(model, lowering.search(model, plain, env)))


def currency_rate_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Rates: by their date, written as in the user's language."""
    raise UnsupportedDomain("currency rates are searched by dates in the user's own format")


def all_implied_ids(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Domain:
    """Groups that imply one of these, directly or not."""
    if operator not in ("in", "not in") or not isinstance(value, tuple):
        raise UnsupportedDomain(f"`{operator}` on `{field}`")
    ids = lowering.ids(field, value)
    return Condition("id", operator, Implying(ids))


def all_group_ids(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Domain:
    """Users by a group they have directly or by implication."""
    return Condition("group_ids.all_implied_ids", operator, value)


def plain(lowering: Lowering, model: Model, domain: Domain, env: Env, active_test: bool) -> Filter:
    """Searches whose code changes only the order, or only what a client's context asks for."""
    return lowering.plain_search(model, domain, env, active_test=active_test)


def attachments(lowering: Lowering, model: Model, domain: Domain, env: Env, active_test: bool) -> Filter:
    """Attachments follow the record they belong to.

    Public ones are for everyone; those of no record for who made them and for system
    users; the others for who may read the record.
    """
    if not any(c.path in ("id", "res_field") for c in conditions(domain)):
        domain = all_of((Condition("res_field", "=", False), domain))
        shows_fields = False
    else:
        shows_fields = True
    found = lowering.plain_search(model, domain, env, active_test=active_test)
    access = env.access
    if access is None:
        return found
    system = access.in_group("base.group_system")
    if shows_fields and not system:
        raise UnsupportedDomain("attachments of fields depend on who may read each field")
    at = root(model)
    res_model, res_id = Ref(at, "res_model", Plain("varchar")), Ref(at, "res_id", Plain("int4"))
    public = Holds(Compare(Ref(at, "public", Plain("bool")), "=", True), True)
    unattached: Filter = some((IsNull(res_id), Compare(res_id, "=", 0)))
    if not system:
        unattached = every((unattached, Compare(Ref(at, "create_uid", Plain("int4")), "=", env.user_id)))
    documents = [
        every((Compare(res_model, "=", name), readable_documents(lowering, name, res_id, env)))
        for name in env.facts.document_models("ir_attachment", "res_model")
        if name in env.schema.models
    ]
    if env.schema.version < 19:
        known = tuple(
            n for n in env.facts.document_models("ir_attachment", "res_model") if n not in env.schema.models
        )
        if known:
            documents.append(every((OneOf(res_model, known), No(unattached))))
    return every((found, some((public, unattached, *documents))))


def readable_documents(
    lowering: Lowering, name: str, res_id: Ref, env: Env, operation: str = "read"
) -> Filter:
    """Rows whose `res_id` is a record of the model that the actor may read (or else `operation`)."""
    model = env.schema.model(name)
    access = env.access
    if access is None or not access.may(model, operation) or model.abstract or not model.relation:
        return NEVER
    every_record = env.with_active_test(False)
    if operation == "read" and env.schema.version < 19:
        rows = lowering.select(model, lowering.search(model, all_of(()), every_record))
    else:
        rows = lowering.select(model, access.rules(model, every_record, operation))
    return NEVER if isinstance(rows, Ids) else Within(res_id, rows)


def linked_partner(row: Row, relation: str, column1: str, column2: str, partner: int | Open | None) -> Filter:
    """Rows linked to the actor's own partner."""
    if partner is None:
        return NEVER
    rows: RowSet = Bound(partner) if isinstance(partner, Open) else Ids((partner,))
    return Linked(row, relation, column1, column2, rows)


def wanted(field: Field, operator: str, value: Any) -> bool:
    """What a condition on a boolean asks for.

    Raises: UnsupportedDomain for what is not a plain yes or no.
    """
    values = value if isinstance(value, tuple) else (value,)
    if operator not in ("=", "!=", "in", "not in") or len(set(map(bool, values))) != 1:
        raise UnsupportedDomain(f"`{operator}` on `{field}`")
    return bool(values[0]) == (operator in ("=", "in"))


METHODS: Final[Mapping[str, SearchMethod]] = {
    "res.groups.all_implied_ids": all_implied_ids,
    "res.users.all_group_ids": all_group_ids,
}
DISPLAY_NAMES: Final[Mapping[str, DisplayName]] = {
    "res.users": user_name,
    "res.company": company_name,
    "res.country.state": country_state_name,
    "res.bank": bank_name,
    "res.partner.category": partner_category_name,
    "res.currency.rate": currency_rate_name,
}
SEARCHES: Final[Mapping[str, Search]] = {
    "ir.attachment": attachments,
    "res.groups": plain,
    "res.users": plain,
}
FIELD_DOMAINS: Final[Mapping[str, FieldDomain]] = {}
COLUMNS: Final[Mapping[str, str]] = {}
FIELD_ACCESS: Final[Mapping[str, FieldAccess]] = {}
# Whose code is known, by model.
MODULES: Final[Mapping[str, str]] = {
    "ir.attachment": "base",
    "res.bank": "base",
    "res.company": "base",
    "res.country.state": "base",
    "res.currency.rate": "base",
    "res.groups": "base",
    "res.partner.category": "base",
    "res.users": "base",
}
