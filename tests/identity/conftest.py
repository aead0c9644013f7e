"""Fixtures: `world`, an identity over a database of its own, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.identity.world import START, World
from vallum.kernel import FixedClock
from vallum.postgres import EmbeddedServer

Maker = Callable[..., World]


@pytest.fixture
def new_world(pg_server: EmbeddedServer) -> Iterator[Maker]:
    """Makes worlds with settings of one's own."""
    made: list[World] = []

    def make(**settings: Any) -> World:
        world = World.make(pg_server, FixedClock(START), settings)
        made.append(world)
        return world

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(new_world: Maker) -> World:
    """An identity with the settings one gets when one sets nothing, but for cheap hashes."""
    return new_world()
