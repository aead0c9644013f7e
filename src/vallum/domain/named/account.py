"""Named implementations for accounting: accounts, account groups, taxes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from vallum.domain.ast import TRUE, And, Condition, Domain, Not, Or, all_of, any_of
from vallum.domain.env import Env
from vallum.domain.filter import Filter, Row
from vallum.domain.lower import NEGATIVE, Lowering
from vallum.domain.named import DisplayName, FieldAccess, FieldDomain, Search, SearchMethod
from vallum.kernel import UnknownField, UnsupportedDomain
from vallum.schema import Field, Model


def account_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Accounts: by the beginning of their code (the first word), or by name."""
    texts = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(t, str) for t in texts) or not value:
        raise UnsupportedDomain(f"accounts by name with {value!r:.40}")
    if operator in NEGATIVE:
        raise UnsupportedDomain(f"accounts by name with `{operator}`")
    if operator == "in":
        return any_of(
            (Condition("code", "in", tuple(t.split(" ")[0] for t in texts)), Condition("name", "in", texts))
        )
    start = f"{value.split(' ')[0]}%"
    parts = [
        Condition("code", "=like" if env.schema.version >= 19 else "=ilike", start),
        Condition("name", operator, value),
    ]
    if env.schema.version >= 19 and "description" in model.fields:
        parts.append(Condition("description", "ilike", value))
    return any_of(parts)


def account_group_name(lowering: Lowering, model: Model, operator: str, value: Any, env: Env) -> Domain:
    """Account groups: by the beginning of their first code, or by name."""
    if operator == "ilike" and not str(value or "").strip():
        return TRUE
    if operator in NEGATIVE:
        if env.schema.version >= 19:
            raise UnsupportedDomain(f"account groups by name with `{operator}`")
        start = Not(Condition("code_prefix_start", "=ilike", f"{value}%"))
        return all_of((start, Condition("name", operator, value)))
    if operator == "in":
        raise UnknownField("no field `code` on `account.group`")
    return any_of((Condition("code_prefix_start", "=ilike", f"{value}%"), Condition("name", operator, value)))


def account_code(
    lowering: Lowering, model: Model, field: Field, operator: str, value: Any, env: Env, row: Row
) -> Filter:
    """Accounts by their code in the current company's root company."""
    stored = model.field("code_store")
    plain = replace(stored, name="code_store", company_dependent=True)
    company = env.facts.root_company(env.company)
    return lowering.column_condition(plain, operator, value, replace(env, company=company), row)


def taxes(lowering: Lowering, model: Model, domain: Domain, env: Env, active_test: bool) -> Filter:
    """Taxes: names match with anything between their letters (`21M` finds `21% M`)."""
    return lowering.plain_search(model, _loosened(domain, env), env, active_test=active_test)


def _loosened(domain: Domain, env: Env) -> Domain:
    match domain:
        case And(children):
            return all_of(_loosened(c, env) for c in children)
        case Or(children):
            return any_of(_loosened(c, env) for c in children)
        case Not(child):
            return Not(_loosened(child, env))
        case Condition(path, "like" | "ilike" as operator, str(value)):
            if path == "name" or (path == "display_name" and env.schema.version >= 19):
                return Condition(path, operator, loose_pattern(value))
    return domain


def loose_pattern(text: str) -> str:
    """The pattern a tax is searched with; quoted parts stay together.

    >>> loose_pattern('21M')
    '2%1%M'
    """
    parts = []
    for part in re.split(r'("[^"]*")', text):
        if part.startswith('"') and part.endswith('"') and len(part) > 1:
            parts.append("%" + part.replace("%", "_").replace('"', "") + "%")
        elif part:
            parts.append("%".join(re.sub(r"\W+", "", part)))
    return "".join(parts)


METHODS: Final[Mapping[str, SearchMethod]] = {"account.account.code": account_code}
DISPLAY_NAMES: Final[Mapping[str, DisplayName]] = {
    "account.account": account_name,
    "account.group": account_group_name,
}
SEARCHES: Final[Mapping[str, Search]] = {"account.tax": taxes}
FIELD_DOMAINS: Final[Mapping[str, FieldDomain]] = {}
COLUMNS: Final[Mapping[str, str]] = {}
FIELD_ACCESS: Final[Mapping[str, FieldAccess]] = {}
# Whose code is known, by model.
MODULES: Final[Mapping[str, str]] = {
    "account.account": "account",
    "account.group": "account",
    "account.tax": "account",
    "account.move": "account",
    "account.move.line": "account",
}
