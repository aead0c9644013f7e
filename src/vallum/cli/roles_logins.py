"""What `vallum roles login` and `pooler` say: secrets once, on standard output. Opens nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from rich.console import RenderableType
from rich.text import Text

from vallum.cli.roles_screen import whole
from vallum.cli.tables import titled

if TYPE_CHECKING:
    from vallum.enforce.roles.login import Login
    from vallum.enforce.roles.pooler import Pooler

__all__ = ["disabled", "login", "login_data", "pooler", "pooler_data", "unpooled"]

_YES: Final = ("✔ ", "green")
_NO: Final = ("✘ ", "bold red")


def login(made: Login, name: str, database: str) -> Iterable[RenderableType]:
    """The password, once; or the server's settings for a certificate."""
    if made.password is None:
        yield Text.assemble(_YES, f"{name} signs in as {made.role}, by certificate")
        yield titled("In pg_hba.conf, above other lines for this database", whole(_hba(made, database)))
        yield titled("In pg_ident.conf; the name in the certificate comes first", whole(_ident(made, name)))
        return
    yield Text.assemble(_YES, f"{name} signs in as {made.role} until {made.valid_until:%Y-%m-%d}")
    yield whole(f"  password  {made.password}")
    yield Text("  It is shown once. A new one takes its place: vallum roles login " + name)


def login_data(made: Login, name: str, database: str) -> dict[str, Any]:
    """The same for programs."""
    said = {"login": name, "database": database, "role": made.role, "valid_until": made.valid_until}
    if made.password is not None:
        return {**said, "password": made.password}
    return {**said, "pg_hba": _hba(made, database), "pg_ident": _ident(made, name)}


def disabled(user: str, ended: int) -> Iterable[RenderableType]:
    """That somebody is shut out."""
    yield Text.assemble(_YES, f"{user} can no longer sign in; {ended} session{'s' * (ended != 1)} ended")


def pooler(made: Pooler) -> Iterable[RenderableType]:
    """The key of a pooler, once; and the password where the role was made."""
    yield Text.assemble(_YES, f"{made.role} may act for users by what is signed with this key")
    if made.password is not None:
        yield whole(f"  password  {made.password}")
    yield whole(f"  key       {made.key.hex()}")
    yield Text("  Shown once; an older key counts no longer. Its views come with: vallum roles apply")


def pooler_data(made: Pooler) -> dict[str, Any]:
    """The same for programs."""
    said: dict[str, Any] = {"role": made.role, "key": made.key.hex()}
    return said if made.password is None else {**said, "password": made.password}


def unpooled(role: str, was: bool) -> Iterable[RenderableType]:
    """That a role acts for nobody."""
    sign = _YES if was else _NO
    yield Text.assemble(sign, f"{role} may act for nobody any more" if was else f"{role} was no pooler")


def _hba(made: Login, database: str) -> str:
    return f'hostssl "{database}" "{made.role}" all cert map=vallum'


def _ident(made: Login, name: str) -> str:
    return f'vallum "{name}" "{made.role}"'
