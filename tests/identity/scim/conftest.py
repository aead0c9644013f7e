"""A directory, written down, with rules for its groups."""

from __future__ import annotations

import pytest

from tests.support.scim import Directory
from tests.support.sso_world import World
from tests.support.sso_world import world as world

RULES = [
    {"value": "Sales", "groups": ["sales_team.group_sale_salesman"]},
    {"value": "Staff", "groups": ["base.group_user"]},
]


@pytest.fixture
def corp(world: World) -> Directory:
    """The directory `corp`."""
    world.provider(kind="scim", id="corp", label="Corp", rules=RULES)
    return Directory(world.store, world.accounts, world.clock)
