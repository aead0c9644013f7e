"""The fixture `world`."""

from tests.support.sso_world import world

__all__ = ["world"]
