"""`vallum roles`: the policy inside PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vallum.cli import roles_logins as secrets
from vallum.cli import roles_screen as screen
from vallum.cli.arguments import names_of, user_of
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.recording import told
from vallum.cli.shell import Shell
from vallum.kernel import SettingsError

if TYPE_CHECKING:
    from vallum.facade import Vallum
    from vallum.facade.roles import Users as Chosen

__all__ = ["app"]

app = typer.Typer(
    name="roles",
    help="The policy inside PostgreSQL: roles, GRANT and row level security, for plain SQL connections.",
    no_args_is_help=True,
)

Users = Annotated[
    str | None,
    typer.Option(
        "--users",
        metavar="A,B",
        help="Only these users get a role, later too; all: everyone again.",
        show_default=False,
    ),
]
Writable = Annotated[
    bool | None,
    typer.Option(
        "--writable/--read-only",
        help="Whether roles may write what their users may, later too; only read, if never said.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Writable even in an Odoo database.")]
LockTimeout = Annotated[
    float,
    typer.Option(
        "--lock-timeout",
        metavar="SECONDS",
        min=0.001,
        max=3600,
        help="How long to wait for a table others are using.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(epilog=examples("vallum roles plan", "vallum roles plan --sql > policy.sql"))
@command
def plan(
    shell: Shell,
    users: Users = None,
    writable: Writable = None,
    force: Force = False,
    sql: Annotated[bool, typer.Option("--sql", help="The exact statements, and nothing else.")] = False,
) -> None:
    """Show what applying would change, and what would stay locked. Changes nothing."""
    with shell.open() as vallum:
        found = vallum.roles.plan(
            _chosen(vallum, users), writable=writable, force=force, progress=shell.progress
        )
        warnings = screen.warnings(vallum, found)
    if shell.json:
        shell.write(screen.proposal_data(found, warnings))
    elif sql:
        for statement in screen.statements(found):
            typer.echo(statement)
    else:
        shell.show(*screen.proposal(found, warnings))


@app.command(
    epilog=examples(
        "vallum roles apply",
        "vallum roles apply --users marie,paul --yes",
        "vallum roles apply --writable",
        note="--writable lets SQL insert, update and delete what rights and rules let the user. An Odoo "
        "database is written by Odoo: it takes --force as well.",
    )
)
@command
def apply(
    shell: Shell,
    users: Users = None,
    writable: Writable = None,
    force: Force = False,
    lock_timeout: LockTimeout = 5.0,
    yes: Yes = False,
) -> int:
    """Bring PostgreSQL to the policy, in one transaction."""
    with shell.open() as vallum:
        chosen = _chosen(vallum, users)
        if not yes:
            _cannot_ask(shell)
            found = vallum.roles.plan(chosen, writable=writable, force=force, progress=shell.progress)
            shell.show(*screen.proposal(found, screen.warnings(vallum, found)))
            if not found.is_empty:
                typer.confirm("Apply?", abort=True, err=True)
        told(shell, "policy-change", act="roles applied")
        done = vallum.roles.apply(
            chosen, writable=writable, force=force, lock_timeout=lock_timeout, progress=shell.progress
        )
    if shell.json:
        shell.write(screen.applied_data(done))
    else:
        shell.show(*screen.applied(done))
    return OK


@app.command(
    epilog=examples(
        "vallum roles status",
        note="Exit code 0: PostgreSQL holds today's policy; 1: it does not, or nothing is applied.",
    )
)
@command
def status(shell: Shell) -> int:
    """Say whether PostgreSQL still holds what was applied, and whether that is today's policy."""
    with shell.open() as vallum:
        found = vallum.roles.status(progress=shell.progress)
    if shell.json:
        shell.write(found.as_dict())
    else:
        shell.show(*screen.status(found))
    return OK if found.is_clean else REFUSED


@app.command(epilog=examples("vallum roles drop", "vallum roles drop --yes --json"))
@command
def drop(shell: Shell, lock_timeout: LockTimeout = 5.0, yes: Yes = False) -> None:
    """Undo everything: policies, grants, roles and their logins. It takes the database alone."""
    from vallum.facade.roles import drop_roles

    dsn = shell.dsn
    if not yes:
        _cannot_ask(shell)
        typer.confirm("Remove all policies, roles and logins that Vallum has made?", abort=True, err=True)
    told(shell, "policy-change", act="roles dropped")
    count = drop_roles(dsn, lock_timeout=lock_timeout)
    if shell.json:
        shell.write({"undone": count})
    else:
        shell.show(*screen.dropped(count))


@app.command(
    epilog=examples(
        "vallum roles login marie",
        "vallum roles login marie --valid-days 30 --json",
        "vallum roles login marie --no-password",
        "vallum roles login marie --disable",
        note="The password is shown once, on standard output, and kept nowhere.",
    )
)
@command
def login(
    shell: Shell,
    user: Annotated[str, typer.Argument(metavar="USER", help="The user's login, or id.", show_default=False)],
    valid_days: Annotated[
        int, typer.Option("--valid-days", min=1, max=3650, help="Days until the password ends.")
    ] = 90,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Certificates instead: show the server's settings for it.")
    ] = False,
    disable: Annotated[bool, typer.Option("--disable", help="No more login; end the sessions.")] = False,
) -> None:
    """Let a user sign in to PostgreSQL with a new password, or no longer."""
    if no_password and disable:
        raise SettingsError("--no-password lets a user in, --disable shuts it out", fix="give one of them")
    with shell.open() as vallum:
        who = user_of(vallum, user)
        if disable:
            told(shell, "administration", act="log-in shut", of=who)
            ended = vallum.roles.disable(who)
            _tell_disabled(shell, user, ended)
            return
        told(shell, "administration", act="log-in made", of=who)
        made = vallum.roles.login(who, None if no_password else valid_days)
        name, database = vallum.users.find(who).login, vallum.roles.database
    if shell.json:
        shell.write(secrets.login_data(made, name, database))
    else:
        shell.show(*secrets.login(made, name, database))


@app.command(
    epilog=examples(
        "vallum roles pooler bi_gateway",
        "vallum roles pooler bi_gateway --remove",
        note="The key is shown once, on standard output, and kept nowhere but in PostgreSQL. The views that "
        "the pooler reads come with the next `vallum roles apply`.",
    )
)
@command
def pooler(
    shell: Shell,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="The pooler's role.", show_default=False)],
    remove: Annotated[bool, typer.Option("--remove", help="It may act for nobody any more.")] = False,
) -> int:
    """Let a role act for users by a signed setting, with a new key; one that is missing is made."""
    with shell.open() as vallum:
        if remove:
            told(shell, "administration", act="pooler removed", role=role)
            was = vallum.roles.unpool(role)
            _tell_unpooled(shell, role, was)
            return OK if was else REFUSED
        told(shell, "administration", act="pooler made", role=role)
        made = vallum.roles.pooler(role)
    if shell.json:
        shell.write(secrets.pooler_data(made))
    else:
        shell.show(*secrets.pooler(made))
    return OK


@app.command(
    epilog=examples(
        "vallum roles advise",
        "vallum roles advise --rows 100000 --measure",
        note="--measure makes each index within a transaction that is rolled back: who writes to the table "
        "waits until then.",
    )
)
@command
def advise(
    shell: Shell,
    rows: Annotated[int, typer.Option("--rows", min=0, help="Tables of at least so many rows.")] = 10_000,
    measure: Annotated[bool, typer.Option("--measure", help="Time a count before and after.")] = False,
) -> None:
    """List the indexes that rules want, and those that users lose to row level security."""
    with shell.open() as vallum:
        found = vallum.roles.advise(rows=rows, measure=measure, progress=shell.progress)
    if shell.json:
        shell.write(
            {"wanted": [at.as_dict() for at in found.wanted], "lost": [at.as_dict() for at in found.lost]}
        )
    else:
        shell.show(*screen.advice(found, rows))


def _chosen(vallum: Vallum, text: str | None) -> Chosen:
    names = names_of(text, "--users")
    if names is None:
        return None
    if names == ["all"]:
        return "all"
    return [user_of(vallum, name) for name in names]


def _tell_disabled(shell: Shell, user: str, ended: int) -> None:
    if shell.json:
        shell.write({"sessions_ended": ended})
    else:
        shell.show(*secrets.disabled(user, ended))


def _tell_unpooled(shell: Shell, role: str, was: bool) -> None:
    if shell.json:
        shell.write({"removed": was})
    else:
        shell.show(*secrets.unpooled(role, was))


def _cannot_ask(shell: Shell) -> None:
    if shell.json:
        raise SettingsError("a program cannot be asked", where="--json", fix="add --yes")
