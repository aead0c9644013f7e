"""What the commands about accounts share: the opened identity, and accounts named on the command line.

Whoever runs them on the server acts as the server: it holds the database and the secret anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from vallum.cli.shell import Shell
from vallum.kernel import SettingsError

if TYPE_CHECKING:
    from rich.table import Table

    from vallum.identity import Account, Identity

__all__ = ["account_of", "ask", "flag", "opened", "rows", "when"]


@contextmanager
def opened(shell: Shell) -> Iterator[Identity]:
    """The identity of the settings; its tables are made where they are missing.

    Raises: SettingsError, ConnectionFailed.
    """
    from vallum.identity.opening import open_identity, prepare, store_of
    from vallum.postgres import Database

    with store_of(shell.settings) as dsn:
        prepare(dsn)
        with Database(dsn, readonly=False) as store:
            identity = open_identity(store, shell.settings)
            try:
                yield identity
            finally:
                identity.close()


def account_of(identity: Identity, text: str) -> Account:
    """A login, or an id where no login is written like that.

    Raises: UnknownAccount.
    """
    found = identity.base.accounts.by_login(text)
    if found is not None:
        return found
    return identity.base.accounts.get(int(text)) if text.isdecimal() else identity.base.accounts.find(text)


def ask(shell: Shell, question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone.

    Raises: SettingsError (a program cannot be asked), typer.Abort.
    """
    import typer

    if yes:
        return
    if shell.json:
        raise SettingsError("a program cannot be asked", where="--json", fix="add --yes")
    typer.confirm(question, abort=True, err=True)


def rows(found: list[dict[str, Any]], *columns: str, right: tuple[str, ...] = ()) -> Table:
    """Some columns of what a program is told, as a table for people."""
    from vallum.cli.tables import plain

    table = plain(*(name.replace("_", " ") for name in columns), right=right)
    for item in found:
        table.add_row(*(_shown(item.get(name)) for name in columns))
    return table


def when(moment: datetime | None) -> str:
    """An instant for people."""
    return moment.strftime("%Y-%m-%d %H:%M") if moment else "–"


def flag(value: bool) -> str:
    """Yes or no, for people."""
    return "yes" if value else "no"


def _shown(value: Any) -> Text:
    if value is None or value == "" or value == []:
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text(flag(value))
    if isinstance(value, list):
        return Text(", ".join(map(str, value)))
    text = str(value)
    # Instants are in ISO form for programs; people need no seconds.
    if len(text) >= 19 and text[4] == text[7] == "-" and text[10] == "T":
        text = text[:16].replace("T", " ")
    return Text(text)
