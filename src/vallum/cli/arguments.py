"""What is written on a command line: users, companies, lists of names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vallum.kernel import SettingsError, UnknownUser

if TYPE_CHECKING:
    from vallum.facade import Vallum

__all__ = ["companies_of", "ids_of", "names_of", "user_of"]


def user_of(vallum: Vallum, text: str) -> str | int:
    """A login, or an id where no login is written like that."""
    try:
        vallum.users.find(text)
    except UnknownUser:
        return int(text) if text.isdecimal() else text
    return text


def companies_of(vallum: Vallum, who: str | int, text: str | None) -> Sequence[int] | None:
    """The companies switched on: ids, `all` of the user's, or none given.

    Raises: SettingsError, UnknownUser.
    """
    if text is None:
        return None
    if text == "all":
        return vallum.users.find(who).company_ids or None
    return ids_of(text, "--companies", "1,2 or all")


def ids_of(text: str, where: str, example: str = "1,2") -> list[int]:
    """Ids between commas.

    Raises: SettingsError.

    >>> ids_of("1, 2", "IDS")
    [1, 2]
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and part.isascii() for part in parts):
        raise SettingsError(f"`{text}` is no list of ids", where=where, fix=f"write it as {example}")
    return [int(part) for part in parts]


def names_of(text: str | None, where: str) -> list[str] | None:
    """Names between commas; None where no text is given.

    Raises: SettingsError (a text without a name).

    >>> names_of("name, user_id", "--fields")
    ['name', 'user_id']
    """
    if text is None:
        return None
    names = [part for name in text.split(",") if (part := name.strip())]
    if not names:
        raise SettingsError("no name is given", where=where, fix="write them as a,b or leave the option out")
    return names
