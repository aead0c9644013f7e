"""Single values by Odoo's documented rules: what a record holds, and how a condition reads it."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

OPPOSITES = {"=": "!=", "in": "not in", "like": "not like", "ilike": "not ilike", "any": "not any"}
OPPOSITES |= {v: k for k, v in OPPOSITES.items()}
NEGATIVE = {"!=", "not in", "not like", "not ilike", "not any"}
NUMBERS = {"integer", "float", "monetary"}
FALSY = {"integer": 0, "float": 0, "monetary": 0, "char": "", "text": "", "boolean": False}


class Values:
    """Plain rows, and what they mean to one reader."""

    def __init__(self, schema: Any, tables: Any, links: Any, company: int, fallbacks: Any, lang: str) -> None:
        self.schema, self.tables, self.links = schema, tables, links
        self.company, self.fallbacks, self.lang = str(company), fallbacks, lang
        self.old = schema.version < 19

    def comodel(self, field: Any) -> Any:
        return self.schema.models[field.comodel]

    def value(self, field: Any, record: Any) -> Any:
        if field.name == "id":
            return record
        if field.type == "one2many":
            comodel = self.comodel(field)
            inverse = comodel.fields[field.inverse]
            return {i for i in self.tables[comodel.table] if self.value(inverse, i) == record}
        if field.type == "many2many":
            return {k[field.column2] for k in self.links[field.relation] if k[field.column1] == record}
        value = self.tables[self.schema.models[field.model].table][record][field.name]
        if field.translate and value is not None:
            value = value["en_US"] if value.get(self.lang) is None else value[self.lang]
        if field.company_dependent:
            values = value or {}
            unset = None if self.old or field.type not in NUMBERS else 0.0
            value = values[self.company] if self.company in values else self.fallbacks.get(field.name, unset)
            if field.comodel and value not in self.tables[self.comodel(field).table]:
                value = None
        return self.typed(field, value)

    def closure(self, model: Any, parent: Any, seeds: set[int], up: bool) -> set[int]:
        reached: set[int] = set()
        rows = self.tables[model.table]
        todo = set(seeds)
        while todo:
            reached |= todo
            if up:
                todo = {self.value(parent, i) for i in todo if i in rows} - reached - {None}
            else:
                todo = {i for i in rows if self.value(parent, i) in todo} - reached
        return reached

    def no(self, truth: bool | None) -> bool | None:
        return truth is not True if not self.old else None if truth is None else not truth

    def typed(self, field: Any, value: Any) -> Any:
        if value is None or value is False:
            return None if value is None or field.type != "boolean" else False
        if field.type in ("date", "datetime"):
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            if field.type == "date":
                return moment.date() if isinstance(moment, datetime) else moment
            return moment if isinstance(moment, datetime) else datetime.combine(moment, time.min)
        return Decimal(str(value)) if field.type == "monetary" else value

    def scalar18(self, field: Any, mine: Any, operator: str, value: Any) -> bool | None:
        falsy = None if field.name == "id" else FALSY.get(field.type)
        if operator in ("in", "not in"):
            kept = [v for v in value if v is not False]
            null = len(kept) < len(value) or (falsy is not None and falsy in kept)
            kept += [falsy] if null and falsy is not None and falsy not in kept else []
            wanted = [self.typed(field, v) for v in kept]
            if mine is None:
                return null == (operator == "in") or (None if operator == "in" and kept else False)
            return (mine in wanted) == (operator == "in")
        if field.type == "boolean":
            wanted_truth = value == (operator == "=")
            return mine if wanted_truth else not mine
        if operator in ("=", "!=") and value is False:
            if falsy is None:
                return (mine is None) == (operator == "=")
            value = falsy
        if operator.endswith("like"):
            if not value and "=" not in operator:
                return operator in ("like", "ilike")
            if mine is None:
                return True if bool(value) == (operator in NEGATIVE) else None
            return _like(operator, mine, value) != (operator in NEGATIVE)
        if field.type == "datetime" and isinstance(value, str) and len(value) == 10:
            value += " 23:59:59" if operator in (">", "<=") else " 00:00:00"
        wanted = self.typed(field, falsy if value is False and field.type in NUMBERS else value)
        if mine is not None:
            return None if wanted is None else _compare(operator, mine, wanted)
        if operator in ("=", "!="):
            return True if bool(value) == (operator == "!=") else None
        counts_as_zero = field.type in NUMBERS and field.name != "id"
        return True if counts_as_zero and _compare(operator, 0, wanted) else None

    def scalar19(self, field: Any, mine: Any, operator: str, value: Any) -> bool:
        falsy = None if field.name == "id" else FALSY.get(field.type)
        if operator.endswith("like"):
            if not value:
                return "=" not in operator or mine is None or mine == falsy
            return mine is not None and _like(operator, mine, value)
        mine = falsy if mine is None else mine
        wanted: Any
        if operator in ("=", "in"):
            wanted = [self.typed(field, v) for v in (value if isinstance(value, list) else [value])]
            wanted = [falsy if v is None else v for v in wanted]
            if field.type == "datetime" and mine is not None:
                wanted = [v and v.replace(microsecond=0) for v in wanted]
                return mine.replace(microsecond=0) in wanted
            return mine in wanted
        wanted = self.typed(field, value)
        wanted = falsy if wanted is None else wanted
        if mine is None or wanted is None:
            return False
        if field.type == "datetime":
            whole_day = isinstance(value, str) and len(value) == 10
            step = timedelta(days=1) if whole_day else timedelta(seconds=1)
            wanted = wanted.replace(microsecond=0) + (step if operator in (">", "<=") else timedelta())
            operator = {">": ">=", "<=": "<"}.get(operator, operator)
        return _compare(operator, mine, wanted)


def _compare(operator: str, left: Any, right: Any) -> bool:
    order = (left > right) - (left < right)
    return order in {"=": (0,), "!=": (-1, 1), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}[operator]


def _like(operator: str, value: Any, pattern: Any) -> bool:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    pattern = str(pattern) if "=" in operator else f"%{pattern}%"
    parts = re.findall(r"\\(.)|(%)|(_)|(.)", pattern, re.DOTALL)
    regex = "".join(".*" if some else "." if one else re.escape(e or c) for e, some, one, c in parts)
    flags = re.DOTALL | (re.IGNORECASE if "ilike" in operator else re.NOFLAG)
    return re.fullmatch(regex, text, flags) is not None
