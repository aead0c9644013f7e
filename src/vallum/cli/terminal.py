"""A console that a value of the database cannot give orders to.

Names and values are shown as they are, but for control characters: an escape sequence in a customer's name
could clear the screen, write over the lines above it, or set the window's title.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.segment import Segment

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

__all__ = ["PlainConsole", "plain_text"]

# C0 and C1, but for the tab and the line's end; what turns the direction of writing around.
_ORDERS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain_text(text: str) -> str:
    """The text without what a terminal would take for an order.

    >>> plain_text("a\\x1b[2Jb")
    'a[2Jb'
    """
    return _ORDERS.sub("", text)


class PlainConsole(Console):
    """Rich's console; its own colours and movements are untouched."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of something shown, each text of them plain."""
        for segment in super().render(renderable, options):
            if segment.control is None and _ORDERS.search(segment.text):
                yield Segment(plain_text(segment.text), segment.style)
            else:
                yield segment
