"""The layers around every request, in their order."""

from __future__ import annotations

from tests.support.golden import Golden
from vallum.server.middleware import STACK


def test_order_of_the_layers_is_looked_at(golden: Golden) -> None:
    """Who is asked first, and who answers for whom, depends on it."""
    lines = [f"{layer.__name__:<14} {(layer.__doc__ or '').splitlines()[0]}" for layer in STACK]
    golden.check("stack.txt", "\n".join(lines))
