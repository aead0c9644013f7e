"""The attacks, on PostgreSQL 15, 16 and 17."""

import pytest

from tests.roles.test_attacks import *  # noqa: F403 - the same tests, on other servers

pytestmark = pytest.mark.slow
