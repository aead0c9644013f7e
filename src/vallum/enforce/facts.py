"""Facts of a database that change what domains mean, read when first needed and kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from psycopg import sql

from vallum.domain import Facts
from vallum.postgres import Database
from vallum.schema import Schema

__all__ = ["read_facts"]


def read_facts(database: Database, schema: Schema) -> Facts:
    """The facts of an application's database: extensions, defaults, companies, document models."""
    unaccent = database.rows("SELECT true FROM pg_extension WHERE extname = 'unaccent'")

    @cache
    def fallbacks(company: int | None) -> Mapping[tuple[str, str], Any]:
        if "ir.default" not in schema:
            return MappingProxyType({})
        found: dict[tuple[str, str], Any] = {}
        for model, field, value in database.rows(
            "SELECT f.model, f.name, d.json_value FROM ir_default d"
            " JOIN ir_model_fields f ON f.id = d.field_id"
            " WHERE (d.user_id IS NULL OR d.user_id = 1) AND (d.company_id IS NULL OR d.company_id = %s)"
            " AND d.condition IS NULL ORDER BY d.user_id, d.company_id, d.id",
            (company,),
        ):
            found.setdefault((model, field), json.loads(value))
        return MappingProxyType(found)

    @cache
    def document_models(table: str, column: str) -> tuple[str, ...]:
        name = sql.Identifier(column)
        statement = sql.SQL("SELECT DISTINCT {0} FROM {1} WHERE {0} IS NOT NULL ORDER BY 1")
        return tuple(r[0] for r in database.rows(statement.format(name, sql.Identifier(table))))

    @cache
    def root_company(company: int | None) -> int | None:
        model = schema.models.get("res.company")
        if company is None or model is None or not model.parent_store:
            return company
        rows = database.rows(
            "SELECT split_part(parent_path, '/', 1) FROM res_company WHERE id = %s", (company,)
        )
        return int(rows[0][0]) if rows and rows[0][0] else company

    return Facts(
        unaccent=bool(unaccent),
        fallbacks=fallbacks,
        document_models=document_models,
        root_company=root_company,
    )
