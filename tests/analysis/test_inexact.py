"""Code that decides beside rights and rules is named."""

from __future__ import annotations

from dataclasses import replace

from tests.analysis.world import SCHEMA
from vallum.analysis import inexact_models
from vallum.schema import Schema


def test_models_with_overridden_access_are_named() -> None:
    """By method and module; what only shows names is left out."""
    assert dict(inexact_models(SCHEMA)) == {"lead": ("`_search` of `lead` is code of `sales_plus`",)}


def test_override_of_a_parent_counts() -> None:
    """Whoever delegates to an inexact model is inexact."""
    asset = replace(SCHEMA.model("asset"), overrides={"_check_access": ("vault", "safe")})
    schema = Schema.of([*(m for m in SCHEMA.models.values() if m.name != "asset"), asset])
    assert inexact_models(schema)["lead"][-1] == "`_check_access` of `asset` is code of `vault`, `safe`"


def test_override_of_the_engine_makes_everything_inexact() -> None:
    """Who changes how rules are computed changes them for all models."""
    users = replace(SCHEMA.model("res.users"), overrides={"has_group": ("odd",)})
    schema = Schema.of([*(m for m in SCHEMA.models.values() if m.name != "res.users"), users])
    assert inexact_models(schema).keys() == schema.models.keys()
