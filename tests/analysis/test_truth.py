"""Which conditions a failing domain is blamed on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vallum.analysis.truth import blamed, inwards, leaves, text_of
from vallum.domain import FALSE, TRUE, And, Condition, Domain, Not, Or, all_of, any_of, negate

NAMES = "abcde"
CONDITIONS = {n: Condition(n, "=", 1) for n in NAMES}

domains = st.recursive(
    st.sampled_from(list(CONDITIONS.values())),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(all_of),
        st.lists(inner, min_size=2, max_size=4).map(any_of),
        inner.map(negate),
    ),
    max_leaves=12,
)


def value(domain: Domain, truth: dict[str, bool]) -> bool:
    match domain:
        case And(children):
            return all(value(c, truth) for c in children)
        case Or(children):
            return any(value(c, truth) for c in children)
        case Not(child):
            return not value(child, truth)
        case Condition(path):
            return truth[path]
    return domain == TRUE


@given(domains, st.fixed_dictionaries({n: st.booleans() for n in NAMES}))
def test_negation_inwards_keeps_the_meaning(domain: Domain, truth: dict[str, bool]) -> None:
    """Only the form changes, and negation ends at conditions."""
    pushed = inwards(domain)
    assert value(pushed, truth) == value(domain, truth)
    assert all(isinstance(c.child if isinstance(c, Not) else c, Condition) for c in leaves(pushed))


@given(domains, st.fixed_dictionaries({n: st.booleans() for n in NAMES}))
def test_blamed_conditions_fail_and_would_suffice(domain: Domain, truth: dict[str, bool]) -> None:
    """Every condition that is blamed fails; were they all met, the domain would hold."""
    pushed = inwards(domain)
    if value(pushed, truth):
        return
    known = {leaf: value(leaf, truth) for leaf in leaves(pushed)}
    found = blamed(pushed, known)
    assert found
    assert all(not known[leaf] for leaf in found)
    mended = {leaf: known[leaf] or leaf in found for leaf in known}
    assert _holds(pushed, mended)


def _holds(domain: Domain, truth: dict[Domain, bool]) -> bool:
    if isinstance(domain, And):
        return all(_holds(c, truth) for c in domain.children)
    if isinstance(domain, Or):
        return any(_holds(c, truth) for c in domain.children)
    return truth[domain]


def test_domain_that_fails_only_as_a_whole_is_blamed_itself() -> None:
    """Where no condition fails alone, the whole is named: a refusal is never without a reason."""
    whole = And((CONDITIONS["a"], CONDITIONS["b"]))
    assert blamed(whole, dict.fromkeys(whole.children, True)) == (whole,)


def test_domain_is_read_as_text() -> None:
    """Nested parts are in brackets, long lists are cut."""
    nested = And((CONDITIONS["a"], Or((CONDITIONS["b"], Not(CONDITIONS["c"])))))
    assert text_of(nested) == "a = 1 and (b = 1 or not (c = 1))"
    assert text_of(Condition("line_ids", "any", CONDITIONS["a"])) == "line_ids any (a = 1)"
    assert text_of(Condition("id", "in", tuple(range(100)))).endswith("11, … 100 in all]")
    assert (text_of(TRUE), text_of(FALSE)) == ("always", "never")
