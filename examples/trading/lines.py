"""COPY's text format, and words that rows of several tables share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .world import DAYS

__all__ = [
    "BY_SYSTEM",
    "FIRST",
    "FOUNDED",
    "GOODS",
    "LAST",
    "TRACK",
    "TRADES",
    "Lines",
    "as_line",
    "as_money",
    "as_text",
]


Lines = Iterator[str]

FIRST: Final = (
    "Alice",
    "Benoît",
    "Carla",
    "David",
    "Elena",
    "Fabien",
    "Greta",
    "Henrik",
    "Inès",
    "Jonas",
    "Karin",
    "Luc",
    "Mona",
    "Nils",
    "Olivia",
    "Pedro",
)
LAST: Final = (
    "Arnaud",
    "Bakker",
    "Costa",
    "Durand",
    "Engel",
    "Ferrer",
    "Garnier",
    "Hansen",
    "Ibáñez",
    "Jensen",
    "Klein",
    "Leroy",
    "Martín",
    "Nielsen",
    "Olsen",
    "Prieto",
)
TRADES: Final = ("Furnishing", "Interiors", "Hotels", "Workspaces", "Schools", "Clinics", "Retail", "Studios")
GOODS: Final = (
    ("Oak Desk", "Bureau en chêne"),
    ("Swivel Chair", "Chaise pivotante"),
    ("Shelf", "Étagère"),
    ("Floor Lamp", "Lampadaire"),
    ("Meeting Table", "Table de réunion"),
    ("Cabinet", "Armoire"),
    ("Garden Light", "Lampe de jardin"),
    ("Installation", "Installation"),
)
FOUNDED: Final = f"{DAYS[0]} 08:00:00"
TRACK: Final = ("create_uid", "create_date", "write_uid", "write_date")
BY_SYSTEM: Final = (1, FOUNDED, 1, FOUNDED)


def as_money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def as_text(value: object) -> str:
    """A value in COPY's text format."""
    if value is None:
        return r"\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)


def as_line(*values: object) -> str:
    return "\t".join(map(as_text, values)) + "\n"
