"""The domain language: parse, check, lower to a filter, compile to SQL or evaluate in Python."""

from vallum.domain.ast import (
    FALSE,
    TRUE,
    And,
    Condition,
    Constant,
    Domain,
    Not,
    Or,
    all_of,
    any_of,
    conditions,
    negate,
    to_list,
)
from vallum.domain.env import Access, Env, Facts
from vallum.domain.expression import evaluate, evaluate_domain
from vallum.domain.filter import Filter
from vallum.domain.lower import Lowering, root
from vallum.domain.lower18 import Lowering18
from vallum.domain.lower19 import Lowering19
from vallum.domain.named import Named, odoo_named
from vallum.domain.parse import OPERATORS, parse, parse_asked, parse_text
from vallum.domain.records import RecordReader, Records, RuleContext

__all__ = [
    "FALSE",
    "OPERATORS",
    "TRUE",
    "Access",
    "And",
    "Condition",
    "Constant",
    "Domain",
    "Env",
    "Facts",
    "Filter",
    "Lowering",
    "Lowering18",
    "Lowering19",
    "Named",
    "Not",
    "Or",
    "RecordReader",
    "Records",
    "RuleContext",
    "all_of",
    "any_of",
    "conditions",
    "evaluate",
    "evaluate_domain",
    "lowering_for",
    "negate",
    "odoo_named",
    "parse",
    "parse_asked",
    "parse_text",
    "root",
    "to_list",
]


def lowering_for(version: int) -> Lowering:
    """The lowering of Odoo's major version: 19 and later, or 18 and earlier."""
    return Lowering19() if version >= 19 else Lowering18()
