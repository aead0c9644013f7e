"""`vallum user`: accounts, their links, sessions and second factors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vallum.cli.accounts import account_of, ask, opened, rows
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.identity.search import AccountQuery, find_accounts
from vallum.kernel import SettingsError

__all__ = ["app"]

app = typer.Typer(name="user", help="Accounts: who may sign in, and by what.", no_args_is_help=True)

Login = Annotated[
    str, typer.Argument(metavar="LOGIN", help="The account's login, or id.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command("list", epilog=examples("vallum user list", "vallum user list marie --json"))
@command
def list_(
    shell: Shell,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="How a login, a mail address, or a word of a name begins.")
    ] = "",
    services: Annotated[bool, typer.Option("--services", help="Only service accounts.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many at most.")] = 100,
    after: Annotated[
        int, typer.Option("--after", min=0, help="Without TEXT: those with a greater id, to go on.")
    ] = 0,
) -> None:
    """List accounts."""
    with opened(shell) as identity:
        query = AccountQuery(text=text, kind="service" if services else None)
        some = find_accounts(identity.base.store, query, after=after, limit=limit)
        found = [account.as_dict() for account in some]
    if shell.json:
        shell.write(found)
    else:
        shell.show(
            rows(found, "id", "login", "name", "kind", "user_id", "active", "last_sign_in", right=("id",))
        )


@app.command(epilog=examples("vallum user show marie"))
@command
def show(shell: Shell, login: Login) -> None:
    """Show an account: its groups, factors, sessions, devices and keys."""
    with opened(shell) as identity:
        base = identity.base
        account, now = account_of(identity, login), base.now()
        found = {
            **account.as_dict(),
            "groups": [membership.as_dict() for membership in base.memberships.of(account.id, now)],
            "factors": [factor.as_dict() for factor in identity.factors.of(account.id)],
            "recovery_codes": identity.factors.recovery_left(account.id),
            "sessions": [session.as_dict() for session in base.signed_in(account.id)],
            "devices": [device.as_dict() for device in base.devices.of(account.id, now)],
            "keys": [key.as_dict() for key in identity.keys.some(account.id)],
        }
    if shell.json:
        shell.write(found)
        return
    from vallum.cli.tables import titled

    plain = [{"what": name, "value": value} for name, value in found.items() if not isinstance(value, list)]
    shell.show(rows(plain, "what", "value"))
    for title, columns in _PARTS.items():
        part = found[title]
        if isinstance(part, list) and part:
            shell.show(titled(title.capitalize(), rows(part, *columns)))


_PARTS = {
    "groups": ("group", "source", "granted_by", "expires"),
    "factors": ("id", "kind", "name", "created", "used"),
    "sessions": ("kind", "id", "created", "seen", "expires", "methods", "address", "user_agent"),
    "devices": ("id", "created", "seen", "address", "user_agent"),
    "keys": ("id", "name", "prefix", "models", "operations", "expires", "revoked"),
}


@app.command(
    epilog=examples(
        "vallum user create marie --email marie@example.com --user-id 3",
        "vallum user create shop-sync --service --user-id 31",
        note="A person with an address is sent a link to choose a password; see `vallum user link`.",
    )
)
@command
def create(
    shell: Shell,
    login: Annotated[str, typer.Argument(metavar="LOGIN", help="What it signs in with.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help="The name to be shown.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Where links and notices go.")] = None,
    user_id: Annotated[
        int | None, typer.Option("--user-id", help="The application's user it acts as.")
    ] = None,
    service: Annotated[
        bool, typer.Option("--service", help="A program: it has keys, and no password.")
    ] = False,
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="For emergencies: its use raises an alarm.")
    ] = False,
) -> None:
    """Make an account."""
    with opened(shell) as identity:
        account = identity.create_account(
            login,
            by=None,
            name=name,
            email=email,
            user_id=user_id,
            kind="service" if service else "person",
            break_glass=break_glass,
        )
        invited = account.email and account.kind == "person"
        said = f"; {identity.base.notices.on_its_way(account, 'an invitation')}" if invited else ""
    _tell(shell, account.as_dict(), f"✔ account {account.id} `{account.login}`{said}")


@app.command(epilog=examples("vallum user change marie --email marie@example.org"))
@command
def change(
    shell: Shell,
    login: Login,
    name: Annotated[str | None, typer.Option("--name", help="The name to be shown.")] = None,
    email: Annotated[
        str | None, typer.Option("--email", help="Where links go; an empty text removes it.")
    ] = None,
    user_id: Annotated[
        int | None, typer.Option("--user-id", help="The application's user it acts as.")
    ] = None,
) -> None:
    """Change an account."""
    with opened(shell) as identity:
        account = identity.change_account(
            account_of(identity, login), by=None, name=name, email=email, user_id=user_id
        )
    _tell(shell, account.as_dict(), f"✔ account {account.id} `{account.login}` is changed")


@app.command(epilog=examples("vallum user reset marie"))
@command
def reset(shell: Shell, login: Login) -> None:
    """Send a link to choose a password, and end all sessions. Nobody else learns the password."""
    with opened(shell) as identity:
        account = account_of(identity, login)
        identity.start_reset(account, by=None)
        said = identity.base.notices.on_its_way(account, "a link")
    _tell(
        shell,
        {"login": account.login, "sent_to": account.email},
        f"✔ {said}",
    )


@app.command(
    epilog=examples(
        "vallum user link marie", note="Hand it over in person: whoever has the link chooses the password."
    )
)
@command
def link(shell: Shell, login: Login) -> None:
    """Print a link to choose a password, where there is no mail to send it by. Good once."""
    with opened(shell) as identity:
        url = identity.passwords.make_link(account_of(identity, login), by="server")
    _tell(shell, {"link": url}, url)


@app.command(epilog=examples("vallum user deactivate sam --yes"))
@command
def deactivate(shell: Shell, login: Login, yes: Yes = False) -> None:
    """Shut an account: its sessions, keys and half-done steps end at once."""
    with opened(shell) as identity:
        account = account_of(identity, login)
        ask(shell, f"Shut `{account.login}` and end all it is used by?", yes=yes)
        ended = identity.deactivate(account, by=None)
    _tell(shell, {"login": account.login, "sessions_ended": ended}, f"✔ shut; {ended} sessions ended")


@app.command(epilog=examples("vallum user activate sam"))
@command
def activate(shell: Shell, login: Login) -> None:
    """Open an account again. Its keys and sessions stay ended."""
    with opened(shell) as identity:
        account = identity.activate(account_of(identity, login), by=None)
    _tell(shell, account.as_dict(), f"✔ `{account.login}` is open")


@app.command(
    "end-sessions", epilog=examples("vallum user end-sessions marie", "vallum user end-sessions --all --yes")
)
@command
def end_sessions(
    shell: Shell,
    login: Annotated[str | None, typer.Argument(metavar="LOGIN", help="Whose sessions.")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Everyone's.")] = False,
    yes: Yes = False,
) -> None:
    """End sessions, at once."""
    if (login is None) != everyone:
        raise SettingsError("say whose sessions end", fix="give a login, or --all")
    with opened(shell) as identity:
        if everyone:
            ask(shell, "End the sessions of everyone?", yes=yes)
        account = account_of(identity, login) if login is not None else None
        ended = identity.end_sessions(account, by=None)
    _tell(shell, {"sessions_ended": ended}, f"✔ {ended} sessions ended")


@app.command("remove-factor", epilog=examples("vallum user remove-factor marie totp 3"))
@command
def remove_factor(
    shell: Shell,
    login: Login,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="totp or passkey.")],
    number: Annotated[int, typer.Argument(metavar="ID", help="Its id; `vallum user show` tells.")],
    yes: Yes = False,
) -> int:
    """Take a lost second factor away. Be sure who asks for it."""
    with opened(shell) as identity:
        account = account_of(identity, login)
        ask(shell, f"Take the {kind} {number} away from `{account.login}`?", yes=yes)
        done = identity.remove_factor(account, kind, number, by=None)
    _tell(shell, {"removed": done}, "✔ removed; the sessions ended" if done else "there is no such factor")
    return OK if done else REFUSED


@app.command("import-odoo", epilog=examples("vallum user import-odoo users.csv"))
@command
def import_odoo(
    shell: Shell,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV with the columns id, login, name, email, password.")
    ],
) -> None:
    """Take over people from an Odoo, password hashes included; each is hashed anew at the first sign-in."""
    import csv

    with opened(shell) as identity, file.open(encoding="utf-8", newline="") as source:
        made, refused = 0, list[dict[str, str]]()
        lines = list(csv.DictReader(source))
        shell.progress.start(len(lines), "accounts")
        try:
            for number, line in enumerate(lines, 2):
                error = identity.import_person(line)
                made += error is None
                if error is not None:
                    refused.append({"line": str(number), "login": line.get("login") or "", "why": error})
                shell.progress.advance()
        finally:
            shell.progress.done()
    if shell.json:
        shell.write({"made": made, "refused": refused})
        return
    shell.show(f"✔ {made} accounts")
    if refused:
        shell.show(rows([dict(item) for item in refused], "line", "login", "why"))


@app.command("deliver-mail", epilog=examples("vallum user deliver-mail"))
@command
def deliver_mail(shell: Shell) -> int:
    """Send the mail that waits, once. The server does so by itself."""
    from vallum.identity.outbox import smtp_sender

    with opened(shell) as identity:
        mail = identity.base.settings.mail
        if not mail.host:
            raise SettingsError(
                "no mail server is set", where="[identity.mail]", fix='write host = "mail.example.com"'
            )
        sent = failed = 0
        while True:
            done = identity.base.outbox.deliver(
                smtp_sender(mail, shell.settings.mail_password), identity.base.now()
            )
            sent, failed = sent + done[0], failed + done[1]
            if not sum(done):
                break
        waiting = identity.base.outbox.waiting()
    _tell(
        shell,
        {"sent": sent, "failed": failed, "waiting": waiting},
        f"{sent} sent, {failed} failed, {waiting} waiting",
    )
    return OK if not failed else REFUSED


def _tell(shell: Shell, data: dict[str, object], text: str) -> None:
    from rich.text import Text

    if shell.json:
        shell.write(data)
    else:
        shell.show(Text(text, no_wrap=True))
