"""`vallum group`: groups that Vallum gives, for good or for a while, and requests for them."""

from __future__ import annotations

from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated

import typer
from rich.text import Text

from vallum.cli.accounts import account_of, opened, rows
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.kernel import MissingReference

__all__ = ["app"]

app = typer.Typer(
    name="group",
    help="Groups that Vallum gives to accounts, beside those of the application.",
    no_args_is_help=True,
)

Login = Annotated[
    str, typer.Argument(metavar="LOGIN", help="The account's login, or id.", show_default=False)
]
Group = Annotated[
    str, typer.Argument(metavar="GROUP", help="The group's xml id: base.group_system.", show_default=False)
]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The request's number.", show_default=False)]


@app.command(epilog=examples("vallum group members base.group_system"))
@command
def members(shell: Shell, group: Group) -> None:
    """List the accounts that have a group from Vallum."""
    with opened(shell) as identity:
        accounts, now = identity.base.accounts, identity.base.now()
        found = [
            {**membership.as_dict(), "login": accounts.get(membership.account_id).login}
            for membership in identity.base.memberships.members(group, now)
        ]
    if shell.json:
        shell.write(found)
    else:
        shell.show(rows(found, "login", "source", "granted", "granted_by", "expires"))


@app.command(
    epilog=examples(
        "vallum group give marie sales.group_manager",
        "vallum group give marie base.group_system --minutes 60",
    )
)
@command
def give(
    shell: Shell,
    login: Login,
    group: Group,
    minutes: Annotated[int | None, typer.Option("--minutes", min=1, help="For so long only.")] = None,
) -> None:
    """Make an account a member of a group."""
    _check(shell, group)
    with opened(shell) as identity:
        account = account_of(identity, login)
        expires = identity.base.now() + timedelta(minutes=minutes) if minutes else None
        identity.give_group(account, group, by=None, expires=expires)
        held = [
            membership.as_dict()
            for membership in identity.base.memberships.of(account.id, identity.base.now())
        ]
    if shell.json:
        shell.write(held)
    else:
        shell.show(rows(held, "group", "source", "granted_by", "expires"))


@app.command(epilog=examples("vallum group take marie sales.group_manager"))
@command
def take(shell: Shell, login: Login, group: Group) -> int:
    """Make an account a member no longer, where it was made one by hand."""
    with opened(shell) as identity:
        done = identity.take_group(account_of(identity, login), group, by=None)
    if shell.json:
        shell.write({"taken": done})
    else:
        shell.show(Text("✔ taken" if done else "it was no member by hand"))
    return OK if done else REFUSED


@app.command(epilog=examples("vallum group requests", "vallum group requests --all --json"))
@command
def requests(
    shell: Shell, everything: Annotated[bool, typer.Option("--all", help="Those decided as well.")] = False
) -> None:
    """List requests for groups."""
    with opened(shell) as identity:
        found = [
            request.as_dict() for request in identity.elevations.some(state=None if everything else "asked")
        ]
    if shell.json:
        shell.write(found)
    else:
        shell.show(
            rows(
                found, "id", "login", "group", "minutes", "reason", "state", "asked", "decided_by", "expires"
            )
        )


@app.command(
    epilog=examples('vallum group request marie base.group_system --minutes 60 --reason "restore the backup"')
)
@command
def request(
    shell: Shell,
    login: Login,
    group: Group,
    reason: Annotated[str, typer.Option("--reason", help="What it is needed for.")],
    minutes: Annotated[int, typer.Option("--minutes", min=1, help="For how long.")] = 60,
) -> None:
    """Ask for a group in somebody's name."""
    _check(shell, group)
    with opened(shell) as identity:
        asked = identity.elevations.ask(account_of(identity, login), group, reason, minutes)
    if shell.json:
        shell.write(asked.as_dict())
    else:
        shell.show(Text(f"✔ request {asked.id}; somebody else decides"))


@app.command(epilog=examples("vallum group decide 4 --as olga", "vallum group decide 4 --as olga --refuse"))
@command
def decide(
    shell: Shell,
    number: Number,
    by: Annotated[str, typer.Option("--as", help="Who decides: another account, that may.")],
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse it.")] = False,
) -> None:
    """Approve or refuse a request, in the name of somebody who may and did not ask."""
    with opened(shell) as identity:
        decided = identity.elevations.decide(
            identity.elevations.get(number), account_of(identity, by), approve=not refuse
        )
    if shell.json:
        shell.write(decided.as_dict())
    else:
        until = f" until {decided.expires:%Y-%m-%d %H:%M} UTC" if decided.expires else ""
        shell.show(Text(f"✔ {decided.state}{until}"))


@app.command("end", epilog=examples("vallum group end 4"))
@command
def end(shell: Shell, number: Number) -> None:
    """End a grant before its time."""
    with opened(shell) as identity:
        ended = identity.elevations.end(identity.elevations.get(number), by="server")
    if shell.json:
        shell.write(ended.as_dict())
    else:
        shell.show(Text("✔ ended"))


def _check(shell: Shell, group: str) -> None:
    """Refuse a group that the application does not have, where the settings say which that is.

    Raises: MissingReference, and what opening it raises.
    """
    if shell.settings.dsn is None:
        return
    with shell.open() as vallum:
        known = vallum.application.policy.group_ids
    if group not in known:
        near = get_close_matches(group, known, n=1)
        raise MissingReference(
            f"no group is called `{group}`",
            fix=f"did you mean `{near[0]}`?" if near else "write its xml id, such as base.group_user",
        )
