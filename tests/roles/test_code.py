"""Models that row level security cannot hold, as code takes part."""

from __future__ import annotations

import pytest

from vallum.domain import Named
from vallum.domain.named.base import plain
from vallum.enforce.roles.code import hidden_by_code
from vallum.schema import Model


@pytest.mark.parametrize("method", ["_search", "_check_access"])
def test_code_on_top_of_known_code_locks(method: str) -> None:
    """What Odoo's own module does is known; what another adds to it is not."""
    named = Named(searches={"res.users": plain})

    def users(*modules: str) -> Model:
        return Model(name="res.users", table="res_users", fields={}, overrides={method: modules})

    assert hidden_by_code(users("base"), named) is None
    assert "other" in (hidden_by_code(users("base", "other"), named) or "")


def test_unknown_code_locks_unless_it_is_declared_plain() -> None:
    """Whoever registers an implementation says what the code does."""
    model = Model(name="x.thing", table="x_thing", fields={}, overrides={"_search": ("x",)})
    assert hidden_by_code(model, Named()) is not None
    assert hidden_by_code(model, Named(searches={"x.thing": plain})) is None
