"""Fixture `world`: see `tests.support.sso_world`."""

from tests.support.sso_world import world as world
