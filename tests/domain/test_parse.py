"""Domains as lists and as text: what is one, what is not, and that no input exhausts the parser."""

from __future__ import annotations

import json
import time
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.domain import (
    FALSE,
    OPERATORS,
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
    parse,
    parse_text,
    to_list,
)
from vallum.domain.parse import ANY_OPERATORS, MAX_DEPTH
from vallum.kernel import MalformedDomain, UnknownOperator

A, B, C = (Condition(name, "=", 1) for name in "abc")
LISTS: tuple[list[Any], ...] = (["a", "=", 1], ["b", "=", 1], ["c", "=", 1])
WHERE = "rules.xml:12"

# form


@pytest.mark.parametrize(
    ("source", "domain"),
    [
        ([], TRUE),
        ((), TRUE),
        ([LISTS[0]], A),
        ([LISTS[0], LISTS[1]], And((A, B))),
        (["&", *LISTS[:2]], And((A, B))),
        (["|", *LISTS[:2]], Or((A, B))),
        (["|", *LISTS], And((Or((A, B)), C))),
        (["|", "|", *LISTS], Or((A, B, C))),
        (["|", LISTS[0], "|", *LISTS[1:]], Or((A, B, C))),
        (["|", LISTS[0], "&", *LISTS[1:]], Or((A, And((B, C))))),
        (["!", LISTS[0]], Not(A)),
        (["!", "!", LISTS[0]], A),
        (["!", "|", *LISTS[:2], LISTS[2]], And((Not(Or((A, B))), C))),
        ([[1, "=", 1]], TRUE),
        ([(0, "=", 1)], FALSE),
        (["|", [0, "=", 1], LISTS[0]], A),
        (["&", [0, "=", 1], LISTS[0]], FALSE),
        (["!", [1, "=", 1]], FALSE),
        ([True], TRUE),
        ([A, ["b", "=", 1]], And((A, B))),
        (A, A),
    ],
)
def test_list_is_read_as_the_domain_it_stands_for(source: Any, domain: Domain) -> None:
    """Operators stand before their operands; conditions side by side all hold."""
    assert parse(source) == domain


@pytest.mark.parametrize(
    ("condition", "parsed"),
    [
        (("a", "==", 1), Condition("a", "=", 1)),
        (("a", "<>", 1), Condition("a", "!=", 1)),
        (("a", "=", None), Condition("a", "=", False)),
        (("a", "in", [1, None]), Condition("a", "in", (1, False))),
        (("a", "in", {2}), Condition("a", "in", (2,))),
        (("a.b.c", "=", Decimal("1.5")), Condition("a.b.c", "=", Decimal("1.5"))),
        (("a", "any", [("b", "=", 1)]), Condition("a", "any", B)),
        (("a", "not any", []), Condition("a", "not any", TRUE)),
    ],
)
def test_condition_is_brought_into_one_form(condition: Any, parsed: Condition) -> None:
    """Other spellings of operators and of nothing are Odoo's."""
    assert parse([condition]) == parsed


@pytest.mark.parametrize(
    ("source", "error", "what"),
    [
        ("a = 1", MalformedDomain, "a domain is a list"),
        (None, MalformedDomain, "a domain is a list"),
        ({"a": 1}, MalformedDomain, "a domain is a list"),
        (3, MalformedDomain, "a domain is a list"),
        (["|", LISTS[0]], MalformedDomain, "lacks an operand"),
        (["&"], MalformedDomain, "lacks an operand"),
        (["!"], MalformedDomain, "lacks an operand"),
        ([LISTS[0], "|"], MalformedDomain, "lacks an operand"),
        (["a", "=", 1], MalformedDomain, "is not a condition"),
        (["and", *LISTS[:2]], MalformedDomain, "neither a condition nor"),
        ([["a", "="]], MalformedDomain, "is not a condition"),
        ([["a", "=", 1, 2]], MalformedDomain, "is not a condition"),
        ([[]], MalformedDomain, "is not a condition"),
        ([3], MalformedDomain, "is not a condition"),
        ([None], MalformedDomain, "is not a condition"),
        ([["", "=", 1]], MalformedDomain, "is not a field"),
        ([[".a", "=", 1]], MalformedDomain, "is not a field"),
        ([["a.", "=", 1]], MalformedDomain, "is not a field"),
        ([["a..b", "=", 1]], MalformedDomain, "is not a field"),
        ([[None, "=", 1]], MalformedDomain, "is not a field"),
        ([[["a"], "=", 1]], MalformedDomain, "is not a field"),
        ([[2, "=", 1]], MalformedDomain, "is not a field"),
        ([[1, "=", 2]], MalformedDomain, "is not a field"),
        ([[True, "=", 1]], MalformedDomain, "is not a field"),
        ([["a", 1, 1]], MalformedDomain, "is not an operator"),
        ([["a", ["="], 1]], MalformedDomain, "is not an operator"),
        ([["a", "~", 1]], UnknownOperator, "no operator '~'"),
        ([["a", "LIKE", 1]], UnknownOperator, "no operator 'LIKE'"),
        ([["a", "", 1]], UnknownOperator, "no operator ''"),
        ([["a", "=", {"x": 1}]], MalformedDomain, "cannot be a value"),
        ([["a", "=", b"x"]], MalformedDomain, "cannot be a value"),
        ([["a", "=", object]], MalformedDomain, "cannot be a value"),
        ([["a", "=", "x\x00y"]], MalformedDomain, "NUL"),
        ([["a", "in", ["x\x00y"]]], MalformedDomain, "NUL"),
        ([["a", "in", [[1]]]], MalformedDomain, "holds [1]"),
        ([["a", "in", [{}]]], MalformedDomain, "holds {}"),
        ([["a", "any", 1]], MalformedDomain, "a domain is a list"),
        ([["a", "any", [["b", "~", 1]]]], UnknownOperator, "no operator '~'"),
        ([["a", "any", [3]]], MalformedDomain, "is not a condition"),
    ],
)
def test_malformed_domain_is_refused_with_a_reason(source: Any, error: type[Exception], what: str) -> None:
    """The error says what is wrong and where it was written."""
    with pytest.raises(error) as caught:
        parse(source, where=WHERE)
    assert type(caught.value) is error
    assert what in str(caught.value)
    assert caught.value.where == WHERE  # type: ignore[attr-defined]


def test_error_never_repeats_a_megabyte() -> None:
    """Errors end up in logs and in answers."""
    for source in ("x" * 10**6, [["a" * 10**6, "~", 1]], [["a", "~" * 10**6, 1]], [["x" * 10**6]]):
        with pytest.raises((MalformedDomain, UnknownOperator)) as caught:
            parse(source)
        assert len(str(caught.value)) < 500


# size


def test_ten_thousand_negations_are_read() -> None:
    """An even number of them is none."""
    assert parse(["!"] * 10_000 + [LISTS[0]]) == A
    assert parse(["!"] * 10_001 + [LISTS[0]]) == Not(A)


@pytest.mark.parametrize("sign", ["&", "|"])
def test_long_chain_is_wide_not_deep(sign: str) -> None:
    """Ten thousand conditions in one row, however they are put together."""
    kind = And if sign == "&" else Or
    items = [[f"f{i}", "=", 1] for i in range(10_001)]
    leading = parse([sign] * 10_000 + items)
    following = parse([part for item in items[:-1] for part in (sign, item)] + [items[-1]])
    assert isinstance(leading, kind)
    assert len(leading.children) == 10_001
    assert leading == following


def test_hundred_thousand_ids_are_read() -> None:
    """Lists of ids are long in practice."""
    start = time.process_time()
    domain = parse([["id", "in", list(range(100_000))]])
    assert isinstance(domain, Condition)
    assert len(domain.value) == 100_000
    assert parse([["a", "=", 1]] * 100_000) == And((A,) * 100_000)
    assert time.process_time() - start < 30  # a square would take minutes


def _nested(depth: int, outer: list[Any]) -> list[Any]:
    domain: list[Any] = [["a", "=", 1]]
    for _ in range(depth):
        domain = [[*outer, domain]]
    return domain


def _alternating(depth: int) -> list[Any]:
    return [sign for i in range(depth) for sign in ("&|"[i % 2], ["a", "=", 1])] + [["a", "=", 1]]


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 10_000, 100_000])
@pytest.mark.parametrize("build", [lambda n: _nested(n, ["a", "any"]), _alternating, lambda n: _path(n)])
def test_deep_domain_is_refused(depth: int, build: Any) -> None:
    """Deep nesting means an error, not a crash of the process."""
    start = time.process_time()
    with pytest.raises(MalformedDomain, match="deeper than 100 levels"):
        parse(build(depth), where=WHERE)
    assert time.process_time() - start < 30  # a square would take minutes


def _path(depth: int) -> list[Any]:
    return [[".".join(["a"] * (depth + 2)), "=", 1]]


def test_deep_domain_of_nodes_is_refused() -> None:
    """Also where it is built of parsed parts."""
    domain: Domain = A
    for _ in range(MAX_DEPTH + 1):
        domain = Not(And((domain, B)))
    with pytest.raises(MalformedDomain, match="deeper than"):
        parse(domain)
    with pytest.raises(MalformedDomain, match="deeper than"):
        parse([domain, A])


def test_domain_that_contains_itself_is_refused() -> None:
    """A list can; nothing may hang on it."""
    source: list[Any] = []
    source.append(["a", "any", source])
    with pytest.raises(MalformedDomain):
        parse(source)
    source[:] = [["a", "in", source]]
    with pytest.raises(MalformedDomain):
        parse(source)


def test_domain_of_a_hundred_levels_is_read() -> None:
    """The limit is far above what people write."""
    assert parse(_nested(MAX_DEPTH - 1, ["a", "any"])) is not None


# text


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("", TRUE),
        ("  []\n", TRUE),
        ('[["a", "=", 1]]', A),
        ("[('a', '=', 1)]", A),
        ("[('a', '=', 1), '|', ('b', '=', 1), ('c', '=', 1)]", And((A, Or((B, C))))),
        ("[('a', '=', None)]", Condition("a", "=", False)),
        ('[["a", "=", null]]', Condition("a", "=", False)),
        ('[["a", "=", true]]', Condition("a", "=", True)),
        ("[('a', 'in', (1, 2))]", Condition("a", "in", (1, 2))),
        ("[('a', '=', -1.5)]", Condition("a", "=", -1.5)),
        ("[ # a comment\n('a', '=', 1)]", A),
    ],
)
def test_text_is_json_or_python(text: str, domain: Domain) -> None:
    """Both spellings are in use."""
    assert parse_text(text) == domain


@pytest.mark.parametrize(
    "text",
    [
        "[('a', '=', user.id)]",
        "[('a', '=', uid)]",
        "[('a', '=', print(1))]",
        "[('a', '=', __import__('os').system('true'))]",
        "[('a', '=', 1 * 2)]",
        "[x for x in ()]",
        "[('a', '=', f'{1}')]",
        "lambda: 1",
        "[('a', '=', 1",
        "a = 1",
        "hello",
        "1",
        "'text'",
        "{}",
        "{'a': 1}",
        "[('a', '=', b'x')]",
        "[('a', '=', 1j)]",
        "[('a', '=', ...)]",
        "[" * 10_000,
        "[" * 10_000 + "]" * 10_000,
        "(" * 100_000,
        "-" * 100_000 + "1",
        "[('a', '=', '\x00')]",
        "[('a', '=', '\ud800",
        "[" + "9" * 10_000 + "]",
        "[('a', '=', " + "9" * 10_000 + ")]",
        '[["a", "=", ' + "9" * 10_000 + "]]",
        "x" * 2_000_001,
    ],
)
def test_text_is_never_evaluated(text: str) -> None:
    """Names, calls and operators are not literals; nothing of them is run."""
    with pytest.raises(MalformedDomain) as caught:
        parse_text(text, where=WHERE)
    assert caught.value.where == WHERE
    assert len(str(caught.value)) < 500


# properties

_SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=5),
)
_VALUES = st.one_of(_SCALARS, st.lists(_SCALARS, max_size=4).map(tuple))
_PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join)
_PLAIN = st.builds(Condition, _PATHS, st.sampled_from(sorted(OPERATORS - ANY_OPERATORS)), _VALUES)
_DOMAINS: st.SearchStrategy[Domain] = st.recursive(
    st.one_of(_PLAIN, st.booleans().map(Constant)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(all_of),
        st.lists(inner, max_size=3).map(any_of),
        inner.map(negate),
        st.builds(Condition, _PATHS, st.sampled_from(sorted(ANY_OPERATORS)), inner),
    ),
    max_leaves=12,
)
_SETTINGS = settings(max_examples=400, derandomize=True, database=None, deadline=None)


@_SETTINGS
@given(domain=_DOMAINS)
def test_printed_domain_is_read_back(domain: Domain) -> None:
    """Print and parse are inverses: as lists, as JSON and as Python."""
    printed = to_list(domain)
    assert parse(printed) == domain
    assert parse_text(json.dumps(printed)) == domain
    assert parse_text(repr(printed)) == domain
    assert parse(domain) == domain


@_SETTINGS
@given(domain=_DOMAINS)
def test_parsed_domain_is_flat(domain: Domain) -> None:
    """No and in an and, no or in an or, no double negation, no constant beside conditions."""
    todo: list[Domain] = [parse(to_list(domain))]
    while todo:
        match todo.pop():
            case And(children) | Or(children) as node:
                assert len(children) >= 2
                assert not any(isinstance(c, Constant | type(node)) for c in children)
                todo.extend(children)
            case Not(child):
                assert not isinstance(child, Constant | Not)
                todo.append(child)


@_SETTINGS
@given(domain=_DOMAINS)
def test_double_negation_is_none(domain: Domain) -> None:
    """And the conditions stay the same."""
    assert negate(negate(domain)) == domain
    assert list(conditions(negate(domain))) == list(conditions(domain))


@_SETTINGS
@given(junk=st.recursive(_SCALARS | st.none() | st.sampled_from("&|!"), lambda i: st.lists(i, max_size=4)))
def test_any_list_is_a_domain_or_malformed(junk: Any) -> None:
    """There is no third way out."""
    try:
        parsed = parse(junk)
    except (MalformedDomain, UnknownOperator):
        return
    assert parse(to_list(parsed)) == parsed


def test_dates_are_printed_as_odoo_writes_them() -> None:
    """JSON has no dates."""
    at = datetime.fromisoformat("2024-02-29 10:00:00")
    assert to_list(Condition("a", "in", (date(2024, 2, 29), at, Decimal("1.5")))) == [
        ["a", "in", ["2024-02-29", "2024-02-29 10:00:00", 1.5]]
    ]
