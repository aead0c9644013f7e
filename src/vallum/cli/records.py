"""`vallum search` and `vallum read`: records as a user sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vallum.cli import tables
from vallum.cli.arguments import companies_of, ids_of, names_of, user_of
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.domain import parse_text

if TYPE_CHECKING:
    from vallum.facade import Session, Vallum

__all__ = ["register"]

Login = Annotated[str, typer.Argument(metavar="LOGIN", help="The user's login, or id.", show_default=False)]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Such as sale.order.", show_default=False)]
Fields = Annotated[str | None, typer.Option("--fields", metavar="A,B", help="The fields to show.")]
Companies = Annotated[
    str | None, typer.Option("--companies", metavar="1,2", help="Companies switched on: ids, or all.")
]
Sudo = Annotated[
    bool, typer.Option("--sudo", help="As the superuser: what is there without rights and rules.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(
        "search",
        epilog=examples(
            "vallum search marie crm.lead",
            "vallum search marie crm.lead \"[('stage_id.name', '=', 'Won')]\" --fields name,user_id",
            'vallum search marie crm.lead \'[["active", "=", false]]\' --all --json',
        ),
    )(search)
    app.command("read", epilog=examples("vallum read marie crm.lead 4,8 --fields name,user_id"))(read)


@command
def search(
    shell: Shell,
    login: Login,
    model: ModelName,
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A domain, as Python or JSON.")] = "[]",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Records to show at most.")] = 80,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Records to skip.")] = 0,
    order: Annotated[
        str | None, typer.Option("--order", metavar="ORDER", help="Such as 'name desc, id'.")
    ] = None,
    fields: Fields = None,
    companies: Companies = None,
    everything: Annotated[bool, typer.Option("--all", help="Archived records too.")] = False,
    sudo: Sudo = False,
) -> None:
    """Search a model as a user: the records that are left, and how many there are."""
    condition = parse_text(domain, where="DOMAIN")
    with shell.open() as vallum:
        session = _session(vallum, login, companies, sudo)
        wanted = names_of(fields, "--fields") or _name_field(session, model)
        count = session.search_count(model, condition, active_test=not everything)
        records = session.search_read(
            model, condition, wanted, active_test=not everything, limit=limit, offset=offset, order=order
        )
    if shell.json:
        shell.write({"model": model, "count": count, "offset": offset, "records": records})
    else:
        shell.show(*tables.records(model, session.login, wanted, records, count))


@command
def read(
    shell: Shell,
    login: Login,
    model: ModelName,
    ids: Annotated[str, typer.Argument(metavar="IDS", help="Ids of records: 4,8.", show_default=False)],
    fields: Fields = None,
    companies: Companies = None,
    sudo: Sudo = False,
) -> None:
    """Read records as a user, the fields that are open to them or those asked for."""
    wanted_ids = ids_of(ids, "IDS", "4,8")
    with shell.open() as vallum:
        session = _session(vallum, login, companies, sudo)
        found = session.read(model, wanted_ids, names_of(fields, "--fields"))
    if shell.json:
        shell.write({"model": model, "records": found})
    else:
        shell.show(*(tables.record(model, values) for values in found))


def _session(vallum: Vallum, login: str, companies: str | None, sudo: bool) -> Session:
    who = user_of(vallum, login)
    session = vallum.as_user(who, companies_of(vallum, who, companies))
    return vallum.sudo() if sudo else session


def _name_field(session: Session, model: str) -> list[str]:
    """What names a record, where the user may see it."""
    target = session.application.schema.model(model)
    name = target.rec_name
    return [name] if name and name in session.fields(model) and target.field(name).stored else []
