"""`vallum key`: API keys of service accounts."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.text import Text

from vallum.cli.accounts import account_of, ask, opened, rows
from vallum.cli.arguments import names_of
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.kernel import SettingsError

__all__ = ["app"]

app = typer.Typer(
    name="key", help="API keys: made for services, for a while, for a purpose.", no_args_is_help=True
)

Number = Annotated[
    int, typer.Argument(metavar="ID", help="The key's id; `vallum key list` tells.", show_default=False)
]
Days = Annotated[int, typer.Option("--days", min=1, max=90, help="Days until it ends.")]
_COLUMNS = (
    "id",
    "account",
    "name",
    "prefix",
    "models",
    "operations",
    "expires",
    "used",
    "used_from",
    "revoked",
)
_SHOWN_ONCE = "The key is shown once, on standard output, and kept nowhere."


@app.command("list", epilog=examples("vallum key list", "vallum key list shop-sync --json"))
@command
def list_(
    shell: Shell,
    login: Annotated[str | None, typer.Argument(metavar="LOGIN", help="Only those of an account.")] = None,
) -> None:
    """List keys, without what would let anyone use them."""
    with opened(shell) as identity:
        account_id = account_of(identity, login).id if login else None
        found = [key.as_dict() for key in identity.keys.some(account_id)]
    if shell.json:
        shell.write(found)
    else:
        shell.show(rows(found, *_COLUMNS, right=("id",)))


@app.command(
    epilog=examples(
        "vallum key create shop-sync --name orders --models sale.order,sale.order.line",
        "vallum key create shop-sync --name stock --models 'stock.*' --operations read,write",
        note=_SHOWN_ONCE,
    )
)
@command
def create(
    shell: Shell,
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="The service account.", show_default=False)],
    name: Annotated[str, typer.Option("--name", help="What it is for.")],
    models: Annotated[str, typer.Option("--models", help="Models, `sale.*` for all whose name begins so.")],
    operations: Annotated[str, typer.Option("--operations", help="Of read, write, create, unlink.")] = "read",
    addresses: Annotated[str | None, typer.Option("--from", help="Networks it may be used from.")] = None,
    rate: Annotated[int | None, typer.Option("--rate", min=1, help="Requests a minute at most.")] = None,
    days: Days = 90,
) -> None:
    """Make a key."""
    from vallum.identity.keys.scope import Scope

    scope = Scope.parse(
        names_of(models, "--models") or [],
        names_of(operations, "--operations") or [],
        names_of(addresses, "--from") or [],
        rate,
    )
    with opened(shell) as identity:
        made = identity.make_key(account_of(identity, login), name, scope, days=days, by=None)
    _tell(shell, made.key.as_dict(), made.text)


@app.command(epilog=examples("vallum key rotate 4", note=_SHOWN_ONCE))
@command
def rotate(shell: Shell, number: Number, days: Days = 90) -> None:
    """Make a key with the same scope; the old one goes on for the overlap, then ends."""
    with opened(shell) as identity:
        made = identity.rotate_key(identity.keys.get(number), days=days, by=None)
    _tell(shell, made.key.as_dict(), made.text)


@app.command(epilog=examples("vallum key revoke 4 --why 'laptop lost' --yes"))
@command
def revoke(
    shell: Shell,
    number: Number,
    why: Annotated[str, typer.Option("--why", help="The reason, for the record.")] = "revoked",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> int:
    """End a key at once."""
    with opened(shell) as identity:
        key = identity.keys.get(number)
        ask(shell, f"End the key `{key.name}` of `{key.login}`?", yes=yes)
        done = identity.revoke_key(key, why, by=None)
    _say(shell, {"revoked": done}, "✔ revoked" if done else "it was revoked before")
    return OK if done else REFUSED


@app.command("revoke-leaked", epilog=examples("vallum key revoke-leaked < found.txt"))
@command
def revoke_leaked(shell: Shell) -> int:
    """End a key that was found somewhere: paste it into standard input, never into an argument."""
    if sys.stdin.isatty():
        shell.note("Paste the key, then press Enter:")
    text = sys.stdin.readline().strip()
    if not text:
        raise SettingsError("no key was given", where="standard input", fix="paste the key that was found")
    with opened(shell) as identity:
        key = identity.revoke_leaked(text)
    if key is None:
        _say(shell, {"known": False}, "this is no key of this installation")
        return REFUSED
    _say(shell, {"known": True, **key.as_dict()}, f"✔ the key `{key.name}` of `{key.login}` is revoked")
    return OK


def _tell(shell: Shell, data: dict[str, object], text: str) -> None:
    if shell.json:
        shell.write({**data, "key": text})
    else:
        shell.show(Text(text, no_wrap=True))
        shell.note(f"key {data['id']}, until {data['expires']}. It is not shown again.")


def _say(shell: Shell, data: dict[str, object], text: str) -> None:
    if shell.json:
        shell.write(data)
    else:
        shell.show(Text(text))
