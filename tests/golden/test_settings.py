"""The names of the settings are a promise to whoever wrote a `vallum.toml`."""

from __future__ import annotations

from tests.support.golden import Golden
from vallum.kernel import settings_reference


def test_settings_keep_their_names(golden: Golden) -> None:
    """No setting changes its name unnoticed."""
    golden.check("settings.txt", settings_reference())
