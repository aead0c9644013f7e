"""The names and defaults of the settings are a promise to whoever wrote a `vallum.toml`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.golden import Golden
from vallum.kernel import settings_reference

_TEXT = """# Settings

In `vallum.toml` in the project's folder, in variables of the environment, or as options of the command
line; the latter first. A list is written as a list in the file, with commas between in a variable.
Passwords and secrets are refused in the file, which may be shared.

{settings}

Sign-in has a table of its own, `[identity]`: [its settings](../how-to/accounts.md#settings).
"""


def test_settings_keep_their_names(golden: Golden, pytestconfig: pytest.Config) -> None:
    """No setting changes its name or its default unnoticed, and the page lists them all."""
    page = replace(golden, folder=pytestconfig.rootpath / "docs" / "reference")
    page.check("settings.md", _TEXT.format(settings=settings_reference()))
