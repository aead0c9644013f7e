"""Paging by keyset: complete, without repetition, and telling nothing."""

from __future__ import annotations

import pytest

import vallum
from vallum.kernel import AccessDenied, UnknownRecord

ORDERS = [
    None,
    "id desc",
    "date_deadline",
    "date_deadline desc",
    "date_deadline nulls first, id desc",
    "date_deadline desc nulls last, priority",
    "stage_id desc, partner_id, name desc",
    "active desc, company_id nulls first",
    "user_id desc nulls first, probability",
    "create_date desc, expected_revenue desc, id desc",
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("login", ["marie", "lucia", "isabel"])
def test_pages_add_up_to_the_search(app: vallum.Vallum, login: str, order: str | None) -> None:
    """NULLs, descending columns and ties included."""
    user = app.as_user(login)
    domain = [("expected_revenue", "<", 30_000)]
    whole = user.search("crm.lead", domain, order=order)[:90]
    seen: list[int] = []
    after: int | None = None
    while len(seen) < len(whole):
        page = user.page("crm.lead", domain, limit=13, order=order, after=after)
        seen.extend(page.ids)
        after = page.next
        if after is None:
            break
    assert seen[: len(whole)] == whole


def test_last_page_has_no_next(app: vallum.Vallum) -> None:
    """Not even where it is exactly full."""
    marie = app.as_user("marie")
    total = marie.search_count("crm.lead")
    assert marie.page("crm.lead", limit=total).next is None
    assert marie.page("crm.lead", limit=total - 1).next is not None
    assert marie.page("crm.lead", [("id", "=", 0)]).ids == ()
    assert marie.page("crm.lead", limit=0).ids == ()


def test_cursor_that_left_the_domain_still_works(app: vallum.Vallum) -> None:
    """What comes behind it is found by its place in the order."""
    marie = app.as_user("marie")
    whole = marie.search("crm.lead", order="name")
    behind = marie.page("crm.lead", [("id", "!=", whole[10])], limit=5, order="name", after=whole[10])
    assert list(behind.ids) == whole[11:16]


def test_hidden_cursor_is_unknown(app: vallum.Vallum) -> None:
    """Where a hidden record stands among one's own would tell what it holds."""
    marie = app.as_user("marie")
    hidden = next(i for i in app.sudo().search("crm.lead") if i not in set(marie.search("crm.lead")))
    for cursor in (hidden, 10**9):
        with pytest.raises(UnknownRecord, match=f"cursor {cursor} is no record"):
            marie.page("crm.lead", after=cursor)


def test_order_of_a_page_is_checked(app: vallum.Vallum) -> None:
    """As that of a search."""
    marie = app.as_user("marie")
    with pytest.raises(AccessDenied):
        marie.page("sale.order", order="margin", after=marie.search("sale.order", limit=1)[0])
