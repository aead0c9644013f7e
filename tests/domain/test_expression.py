"""The language of rules: what may be said, and that nothing else can."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.schemas import field, model, schema
from vallum.domain import RuleContext, evaluate, evaluate_domain, parse, to_list
from vallum.kernel import ForbiddenExpression, MalformedDomain, UnknownField, VallumError
from vallum.schema import Schema

NOW = datetime.fromisoformat("2024-02-29 12:30:00")
WHERE = "rules.xml:12"

SCHEMA = schema(
    model("res.country", {"name": field("char")}),
    model(
        "res.company",
        {"name": field("char"), "country_id": field("many2one", comodel="res.country")},
    ),
    model(
        "res.partner",
        {
            "name": field("char"),
            "parent_id": field("many2one", comodel="res.partner"),
            "child_ids": field("one2many", comodel="res.partner", inverse="parent_id"),
        },
    ),
    model("res.groups", {"name": field("char"), "xml_id": field("char")}),
    model(
        "res.users",
        {
            "login": field("char"),
            "active": field("boolean"),
            "karma": field("integer"),
            "partner_id": field("many2one", comodel="res.partner"),
            "company_id": field("many2one", comodel="res.company"),
            "groups_id": field(
                "many2many", comodel="res.groups", relation="rel", column1="uid", column2="gid"
            ),
        },
    ),
)
ROWS: dict[str, dict[int, dict[str, Any]]] = {
    "res.country": {1: {"name": "BE"}, 2: {"name": "FR"}},
    "res.company": {1: {"name": "One", "country_id": 1}, 2: {"name": "Two", "country_id": 2}},
    "res.partner": {
        5: {"name": "Top", "parent_id": None, "child_ids": (7, 8)},
        7: {"name": "Marie", "parent_id": 5, "child_ids": ()},
    },
    "res.groups": {
        11: {"name": "User", "xml_id": "base.group_user"},
        12: {"name": "Sales", "xml_id": "sales.group"},
    },
    "res.users": {
        3: {
            "login": "marie",
            "active": True,
            "karma": None,
            "partner_id": 7,
            "company_id": 1,
            "groups_id": (11, 12),
        }
    },
}


class Reader:
    """Reads records from `ROWS`."""

    schema: Schema = SCHEMA

    def read(self, model: str, ids: Sequence[int], field: str) -> Mapping[int, Any]:
        """The values, by id."""
        return {i: ROWS[model][i][field] for i in ids}


CONTEXT = RuleContext(Reader(), 3, 1, (1, 2), (1, 2), lambda: NOW)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("user.id", 3),
        ("user.login", "marie"),
        ("user.partner_id.id", 7),
        ("user.partner_id.parent_id.id", 5),
        ("user.partner_id.parent_id.child_ids.ids", [7, 8]),
        ("user.partner_id.parent_id.parent_id.id", False),
        ("user.partner_id.parent_id.parent_id.name", False),
        ("user.active", True),
        ("user.karma", False),
        ("user['login']", "marie"),
        ("uid", 3),
        ("company_id", 1),
        ("company_ids", [1, 2]),
        ("company_ids + [False]", [1, 2, False]),
        ("[*company_ids, False]", [1, 2, False]),
        ("company_ids[:1]", [1]),
        ("company_ids[-1]", 2),
        ("[c for c in company_ids if c != 1]", [2]),
        ("[(a, b) for a in company_ids for b in company_ids if a < b]", [(1, 2)]),
        ("{c for c in company_ids}", {1, 2}),
        ("[1] if user.active else [2]", [1]),
        ("user.partner_id.parent_id.parent_id and 1 or 2", 2),
        ("not user.active", False),
        ("3 in [user.id]", True),
        ("user in user", True),
        ("1 < 2 < 3", True),
        ("user.groups_id.ids", [11, 12]),
        ("len(user.groups_id)", 2),
        ("user.env.company.id", 1),
        ("user.env.companies.ids", [1, 2]),
        ("user.env.companies.mapped('country_id').ids", [1, 2]),
        ("user.env.companies.country_id.ids", [1, 2]),
        ("user.mapped('groups_id.name')", ["User", "Sales"]),
        ("user.has_group('sales.group')", True),
        ("user.has_group('base.group_system')", False),
        ("user._is_internal()", True),
        ("(user.partner_id | user.partner_id.parent_id).ids", [7, 5]),
        ("time.strftime('%Y-%m-%d')", "2024-02-29"),
        ("datetime.date.today().year", 2024),
        ("(datetime.datetime.now() - datetime.timedelta(days=1)).strftime('%d')", "28"),
        ("user.login.upper()", "MARIE"),
        ("'%s,%s'.split(',')", ["%s", "%s"]),
        ("sum([1, 2], 3)", 6),
        ("{'a': 1}.get('a')", 1),
        ("-1", -1),
        ("None", None),
    ],
)
def test_allowed_expression_has_its_value(text: str, value: Any) -> None:
    """What Odoo's own rules say can be said."""
    assert evaluate(text, CONTEXT) == value


def test_rule_with_comments_and_newlines_is_a_domain() -> None:
    """Rules are written over several lines, with reasons beside them."""
    text = """[
        '|',  # own records
        ('user_id', '=', user.id),
        ('company_id', 'in', company_ids + [False]),
    ]"""
    assert to_list(evaluate_domain(text, CONTEXT)) == [
        "|",
        ["user_id", "=", 3],
        ["company_id", "in", [1, 2, False]],
    ]


def test_records_in_a_domain_stand_for_their_ids() -> None:
    """`('company_id', 'in', user.env.companies)` is a common way to write it."""
    text = "[('company_id', 'in', user.env.companies)]"
    assert evaluate_domain(text, CONTEXT) == parse([("company_id", "in", [1, 2])])


@pytest.mark.parametrize("text", ["", "  \n "])
def test_rule_without_text_lets_all_records_through(text: str) -> None:
    """As in Odoo, where such a rule has no condition."""
    assert to_list(evaluate_domain(text, CONTEXT)) == [[1, "=", 1]]


FORBIDDEN = [
    # names
    "eval('1')",
    "exec('1')",
    "open('x')",
    "__import__('os')",
    "__builtins__",
    "globals()",
    "getattr(user, 'login')",
    "type(user)",
    "range(10)",
    "print(1)",
    "object()",
    "env",
    "self",
    # syntax
    "lambda: 1",
    "(x := 1)",
    "f'{user.login}'",
    "f'{1}'",
    "await user",
    "[x async for x in user]",
    "(yield 1)",
    "{a: 1 for a in company_ids}",
    "{**{}}",
    "max(*[1, 2])",
    "max(**{})",
    "import os",
    "x = 1",
    "1; 2",
    "del user",
    "[x for x.y in [1]]",
    "[a for a, b in [(1, 2)]]",
    "~1",
    "2 ** 2",
    "1 << 2",
    "1 ^ 2",
    "b'x'",
    "1j",
    "...",
    # attributes
    "user.__class__",
    "user._context",
    "user['_context']",
    "user.partner_id._name",
    "user.env.cr",
    "user.env.__class__",
    "user.env['res.users']",
    "user.env.ref('x')",
    "user.has_group.__self__",
    "user.has_group.owner",
    "len.__self__",
    "''.__class__",
    "''.__class__.__mro__",
    "'{0.__class__}'.format(user)",
    "'{}'.format_map({})",
    "'%s' % user",
    "'x'.encode('utf8')",
    "[].append(1)",
    "[].__class__",
    "().__class__.__bases__[0].__subclasses__()",
    "{}.items()",
    "(1).real",
    "time.sleep(1)",
    "time.__loader__",
    "datetime.sys",
    "datetime.date.__subclasses__()",
    "datetime.date.fromtimestamp(0)",
    "datetime.datetime.strptime('', '')",
    "datetime.timedelta.max",
    "time.strftime.owner",
    "[x for x in [1]].__class__",
    # calls
    "user()",
    "company_ids()",
    "user.env()",
    "user.sudo.__call__()",
    "user.partner_id.has_group('base.group_user')",
    "user.mapped(1)",
    "user.mapped('login.upper')",
    "(len if user else eval)(1, 2)",
    # values that fail
    "1 / 0",
    "company_ids[9]",
    "{}['x']",
    "int('x')",
    "sum(['a', 'b'])",
    "sum(['a', 'b'], '')",
    "sum([[1], [2]], [])",
    "str(user)",
    "str([user])",
    "str(len)",
    "user + [1]",
    "user.env.companies.name",
    "time.strftime()",
    "datetime.timedelta(days=10 ** 9)",
    "datetime.timedelta(days=9999999999)",
    "{[]: 1}",
    "'\x00'",
    "'\ud800'.join(1)",
    "(",
    "9" * 5000,
    "[",
]


@pytest.mark.parametrize("text", FORBIDDEN)
def test_forbidden_expression_says_where(text: str) -> None:
    """Whatever is not listed raises, with the rule's place; the caller denies."""
    with pytest.raises(ForbiddenExpression) as caught:
        evaluate(text, CONTEXT, where=WHERE)
    assert caught.value.where == WHERE
    assert caught.value.what


@pytest.mark.parametrize(
    "name", ["search", "write", "unlink", "create", "browse", "with_user", "env.cr.execute"]
)
def test_methods_of_records_are_not_there(name: str) -> None:
    """A rule reads; it neither searches nor writes."""
    with pytest.raises((ForbiddenExpression, UnknownField)):
        evaluate(f"user.{name}([])", CONTEXT)


def test_unknown_field_says_where() -> None:
    """A typing error in a rule is found by its place."""
    with pytest.raises(UnknownField) as caught:
        evaluate("user.partner_id.nmae", CONTEXT, where=WHERE)
    assert caught.value.where == WHERE
    assert caught.value.fix == "use `name`"


def _grown(start: str, step: str, times: int, end: str) -> str:
    """`end` of a value that each of many comprehension variables makes larger."""
    loops = "".join(f" for v{i + 1} in [{step.replace('v', f'v{i}')}]" for i in range(times))
    return f"[{end.replace('v', f'v{times}')} for v0 in [{start}]{loops}]"


BOMBS = {
    "repeated text": "'x' * 10000000000",
    "repeated list": "[0] * 10000000000",
    "repeated list of repeated lists": "[[0] * 1000000] * 1000000",
    "reversed factors": "10000000000 * 'x'",
    "doubled text": _grown("'x'", "v + v", 60, "len(v)"),
    "doubled list": _grown("[0]", "v + v", 60, "len(v)"),
    "doubled by stars": _grown("[0]", "[*v, *v]", 60, "len(v)"),
    "squared number": _grown("9" * 4000, "v * v", 30, "v"),
    "shared lists": _grown("[0]", "[v, v]", 60, "v"),
    "shared tuples, hashed": _grown("(0, 0)", "(v, v)", 60, "{v}"),
    "shared dictionaries": _grown("{0: 0}", "{0: v, 1: v}", 60, "v"),
    "long separator": "('x' * 500000).join(['y'] * 400000)",
    "loops in loops": "[0 for a in l for b in l for c in l]".replace(" l", " ('x' * 1000)"),
    "loops that find nothing": "[0 for a in ('x' * 100000) for b in ('x' * 100000) if 0]",
    "copies in a loop": "[len(list(b)) for b in [[0] * 500000] for a in [0] * 10000]",
    "sorting in a loop": "[min(b) for b in [[0] * 500000] for a in [0] * 10000]",
    "comparing in a loop": "[b == c for b in [[0] * 500000] for c in [[0] * 500000] for a in [0] * 9999]",
    "deep parentheses": "(" * 10_000 + ")" * 10_000,
    "deep brackets": "[" * 10_000 + "]" * 10_000,
    "deep not": "not " * 10_000 + "1",
    "deep minus": "-" * 10_000 + "1",
    "deep attributes": "user" + ".partner_id.parent_id" * 4_000,
    "deep subscripts": "company_ids" + "[:]" * 10_000,
    "deep calls": "user" + ".sudo()" * 10_000,
    "deep sums": "+".join(["1"] * 40_000),
    "deep choices": "1 if 0 else " * 8_000 + "1",
    "long text": "'" + "x" * 200_000 + "'",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_quickly(name: str) -> None:
    """Neither memory nor time runs out on a hostile rule."""
    start = time.process_time()
    with pytest.raises(ForbiddenExpression) as caught:
        evaluate(BOMBS[name], CONTEXT, where=WHERE)
    assert caught.value.where == WHERE
    assert time.process_time() - start < 30  # a square would take minutes


def test_rule_over_many_records_is_no_bomb() -> None:
    """A user of ten thousand companies can still be evaluated."""
    many = tuple(range(1, 10_001))
    context = replace(CONTEXT, company_ids=many)
    text = "[('company_id', 'in', [c for c in company_ids if c] + [False])]"
    assert to_list(evaluate_domain(text, context)) == [["company_id", "in", [*many, False]]]


def test_domain_with_a_wrong_form_says_where() -> None:
    """What an expression gives is checked like any other domain."""
    with pytest.raises(MalformedDomain) as caught:
        evaluate_domain("[('a', '=')]", CONTEXT, where=WHERE)
    assert caught.value.where == WHERE


_NAMES = st.sampled_from(
    ["user", "company_ids", "time", "datetime", "len", "str", "x", "0", "'a'", "[]", "{}"]
)
_ATTRIBUTES = st.sampled_from(
    [
        "login",
        "env",
        "ids",
        "partner_id",
        "__class__",
        "__init__",
        "__globals__",
        "mapped",
        "format",
        "_context",
    ]
)
_EXPRESSIONS = st.recursive(
    _NAMES,
    lambda inner: st.one_of(
        st.builds("({}).{}".format, inner, _ATTRIBUTES),
        st.builds("({})({})".format, inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("[{} for x in {}]".format, inner, inner),
        st.builds("({}) + ({})".format, inner, inner),
        st.builds("({}) if ({}) else ({})".format, inner, inner, inner),
    ),
    max_leaves=8,
)
_HARMLESS = (bool, int, float, str, list, tuple, set, dict, type(None))


@settings(max_examples=1500, derandomize=True, database=None, deadline=None)
@given(text=_EXPRESSIONS)
def test_no_expression_reaches_the_interpreter(text: str) -> None:
    """Whatever is put together, it ends in a value of the language or in an error of ours."""
    try:
        value = evaluate(f"str({text})", CONTEXT)
    except VallumError:
        return
    assert isinstance(value, str)
    for inner in ("object at 0x", "<class", "<built-in", "<function", "RuleContext", "mappingproxy"):
        assert inner not in value, f"{text} shows {value}"
