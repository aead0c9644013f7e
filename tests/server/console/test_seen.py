"""Records through somebody else's eyes: what of them the viewer learns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import vallum
from tests.support.company import METADATA, POLICY
from vallum import Vallum
from vallum.server.console.seen import Seen
from vallum.server.console.site import Site

LIMIT = 50


@pytest.fixture(scope="module")
def opened(company: str) -> Iterator[Vallum]:
    """The company."""
    with vallum.open(company, metadata=METADATA, policy=POLICY) as found:
        yield found


def test_search_with_another_ones_eyes_says_nothing_of_hidden_records(opened: Vallum) -> None:
    """Not even that there are more: else asking again and again would tell their values."""
    site, model = Site(vallum=opened), opened.schema.model("crm.lead")
    viewer, other = opened.users.find("marie"), opened.users.find("admin")
    own, eyes = site.eyes_of(viewer), site.eyes_of(other)
    mine = own.search("crm.lead", active_test=False)
    hidden = sorted(set(eyes.search("crm.lead", active_test=False)) - set(mine))
    assert len(hidden) > LIMIT
    assert mine
    seen = Seen(site, own, other, eyes)
    asked: dict[str, Any] = {"limit": LIMIT, "offset": 0, "order": None, "archived": True}
    found = seen.search(model, [("id", "in", hidden)], **asked)
    assert (found.ids, found.total, found.left_out, found.more) == ((), None, 0, False)
    both = seen.search(model, [("id", "in", [*mine[:3], *hidden])], **asked)
    assert (set(both.ids), both.more) == (set(mine[:3]), False)
    assert seen.search(model, [], **asked).total == len(eyes.search("crm.lead", active_test=False))


def test_search_with_lesser_eyes_leaves_out_what_they_lack(opened: Vallum) -> None:
    """What the viewer finds and the other one has not is not shown as theirs."""
    site, model = Site(vallum=opened), opened.schema.model("crm.lead")
    viewer, other = opened.users.find("admin"), opened.users.find("marie")
    own, eyes = site.eyes_of(viewer), site.eyes_of(other)
    theirs = eyes.search("crm.lead", limit=5)
    beyond = [i for i in own.search("crm.lead", limit=200) if i not in set(eyes.search("crm.lead"))]
    found = Seen(site, own, other, eyes).search(
        model, [("id", "in", [*theirs, *beyond])], limit=300, offset=0, order="id desc", archived=False
    )
    assert list(found.ids) == sorted(theirs, reverse=True)
