"""`vallum policy`: changes of an application's own policy, proposed by one person and decided by another.

Whoever runs these on the server holds the database anyway: the names they give by `--as` are theirs to
answer for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from vallum.cli.accounts import account_of, opened, rows
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.kernel import SettingsError

if TYPE_CHECKING:
    from vallum.governance import Changes, Person, Proposed, Told
    from vallum.policy.change import Change, Kind

__all__ = ["app"]

app = typer.Typer(
    name="policy",
    help="Changes of an application's own policy: proposed by one person, decided by another.",
    no_args_is_help=True,
)

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The change's number.", show_default=False)]
As = Annotated[str, typer.Option("--as", metavar="LOGIN", help="Who does it.", show_default=False)]
What = Annotated[str, typer.Argument(metavar="KIND", help="group, right or rule.", show_default=False)]
Item = Annotated[
    str, typer.Argument(metavar="XML_ID", help="What it is called: shop.rule_own.", show_default=False)
]
Comment = Annotated[str, typer.Option("--comment", help="What to say about it.")]


@app.command(
    "changes", epilog=examples("vallum policy changes", "vallum policy changes --state waiting --json")
)
@command
def listed(
    shell: Shell,
    state: Annotated[
        str | None, typer.Option("--state", help="waiting, approved, refused, withdrawn or retired.")
    ] = None,
) -> None:
    """List changes, newest first."""
    with _changes(shell) as changes:
        found = [one.as_dict() for one in changes.some(state)]
    if shell.json:
        shell.write(found)
    else:
        shell.show(
            rows(
                found,
                "id",
                "kind",
                "xml_id",
                "state",
                "reason",
                "author",
                "asked",
                "decided_by",
                right=("id",),
            )
        )


@app.command(epilog=examples("vallum policy show 4"))
@command
def show(shell: Shell, number: Number) -> None:
    """Show a change: before, after, and what became of it."""
    with _changes(shell) as changes:
        found = changes.get(number)
        conflicts = changes.conflicts(found)
    if shell.json:
        shell.write({**found.as_dict(), "conflicts": conflicts})
        return
    decided = f", {found.state} by {found.decider.login}" if found.decider else f", {found.state}"
    shell.show(Text(f"{found.change.kind} {found.change.xml_id}: {found.reason}"))
    shell.show(Text(f"proposed by {found.author.login} {found.asked:%Y-%m-%d %H:%M}{decided}", style="dim"))
    if conflicts:
        shell.show(Text("✘ it was made from what is no longer in force", style="bold red"))
    parts = [{"part": name, "before": old, "after": new} for name, old, new in found.differences()]
    shell.show(rows(parts, "part", "before", "after"))


@app.command(
    epilog=examples(
        "vallum policy propose rule shop.own --domain \"[('user_id', '=', user.id)]\" --as olga --reason why",
        "vallum policy propose right shop.access_note --remove --as olga --reason 'nobody needs it'",
    )
)
@command
def propose(
    shell: Shell,
    kind: What,
    xml_id: Item,
    by: As,
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="The model of a new rule or right.")] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="The records of a rule.")] = None,
    groups: Annotated[
        list[str] | None, typer.Option("--group", help="For whom; of a group: what it includes. May repeat.")
    ] = None,
    operations: Annotated[
        list[str] | None, typer.Option("--op", help="read, write, create, unlink. May repeat.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="It shall be no more.")] = False,
) -> None:
    """Propose a change; what is not given stays as it is."""
    from vallum.policy.change import Change

    given = {"name": name, "model": model, "domain": domain, "operations": operations}
    with opened(shell) as identity, _changes(shell) as changes:
        before = changes.in_force(_kind(kind), xml_id)
        after = None if remove else _after(_kind(kind), xml_id, dict(before or {}), given, groups)
        change: Change = Change(kind=_kind(kind), xml_id=xml_id, before=before, after=after)
        made = changes.propose(change, reason, _person(identity, by))
    _said(shell, made, "somebody else decides")


@app.command(epilog=examples("vallum policy approve 4 --as admin"))
@command
def approve(shell: Shell, number: Number, by: As, comment: Comment = "") -> None:
    """Approve a change, in the name of somebody who may and did not propose it. It holds at once."""
    with opened(shell) as identity, _changes(shell, by) as changes:
        done = changes.approve(number, _person(identity, by, decides=True), comment)
    _said(shell, done, "in force")


@app.command(epilog=examples("vallum policy refuse 4 --as admin --comment 'too wide'"))
@command
def refuse(shell: Shell, number: Number, by: As, comment: Comment = "") -> None:
    """Decide against a change, in the name of somebody who may."""
    with opened(shell) as identity, _changes(shell, by) as changes:
        done = changes.refuse(number, _person(identity, by, decides=True), comment)
    _said(shell, done)


@app.command(epilog=examples("vallum policy withdraw 4 --as olga"))
@command
def withdraw(shell: Shell, number: Number, by: As) -> None:
    """Take back a change that waits, in the name of who proposed it."""
    with opened(shell) as identity, _changes(shell, by) as changes:
        done = changes.withdraw(number, _person(identity, by))
    _said(shell, done)


@app.command(
    epilog=examples(
        "vallum policy retire rule shop.rule_own",
        note="For whoever deploys the files: what was approved is in them now, or overruled by them.",
    )
)
@command
def retire(shell: Shell, kind: What, xml_id: Item) -> int:
    """Let the files alone say what an item is; its approved changes hold no longer."""
    from vallum.governance import retire as retired

    found = retired(shell.dsn, _kind(kind), xml_id, _recorder(shell, ""))
    if shell.json:
        shell.write([one.as_dict() for one in found])
    else:
        shell.show(Text(f"✔ {len(found)} retired" if found else "no approved change is about it"))
    return OK if found else REFUSED


@contextmanager
def _changes(shell: Shell, by: str = "") -> Iterator[Changes]:
    """The changes of the settings' application.

    Raises: SettingsError (an Odoo's policy is changed in that Odoo).
    """
    from vallum.governance import Changes

    if shell.settings.metadata is None:
        raise SettingsError(
            "the policy of an Odoo is changed in that Odoo",
            where="metadata",
            fix="name an application of your own by `metadata` and `policy`",
        )
    with shell.open() as vallum:
        yield Changes(vallum.application, _recorder(shell, by))


def _recorder(shell: Shell, by: str) -> Told:
    """What tells the trail, where there is one."""
    from vallum.cli.recording import record_for

    return lambda facts: record_for(shell, "policy-change", facts, by or str(facts.get("author", "")))


def _person(identity: Any, login: str, *, decides: bool = False) -> Person:
    """An account, as one who proposes or decides.

    Raises: UnknownAccount, NotPermitted.
    """
    from vallum.governance import Person
    from vallum.identity.errors import NotPermitted

    account, base = account_of(identity, login), identity.base
    approvers = base.settings.approvers or base.settings.administrators
    if decides and not base.people.is_in(account, approvers, base.now()):
        raise NotPermitted("this is for those who approve changes", where=account.login)
    return Person(account.user_id or 0, account.login)


def _kind(text: str) -> Kind:
    from vallum.policy.change import KINDS

    for kind in KINDS:
        if kind == text:
            return kind
    raise SettingsError(f"there is no `{text:.40}` in a policy", where="KIND", fix="use " + ", ".join(KINDS))


def _after(
    kind: Kind, xml_id: str, item: dict[str, Any], given: dict[str, Any], groups: list[str] | None
) -> dict[str, Any]:
    """The item with what is given; a new one has what is given, and is for everyone but for that."""
    parts = {"group": ("name",), "right": ("name", "model", "operations")}.get(kind, tuple(given))
    stray = [name for name, value in given.items() if value is not None and name not in parts]
    if stray:
        raise SettingsError(f"a {kind} has no {stray[0]}", where=f"--{stray[0]}", fix="leave it out")
    new = {"name": xml_id, "model": "", "operations": ["read", "write", "create", "unlink"], "domain": "[]"}
    for name in parts:
        item[name] = given[name] if given[name] is not None else item.get(name, new[name])
    if "operations" in item:
        order = ("read", "write", "create", "unlink")
        item["operations"] = sorted(
            set(item["operations"]), key=lambda o: order.index(o) if o in order else 9
        )
    if kind == "right":
        if groups is not None and len(groups) > 1:
            raise SettingsError("an access right is for one group", where="--group", fix="give one")
        item["group"] = item.get("group") if groups is None else groups[0]
    else:
        key = "implied" if kind == "group" else "groups"
        item[key] = item.get(key, []) if groups is None else sorted(set(groups))
    return item


def _said(shell: Shell, found: Proposed, more: str = "") -> None:
    if shell.json:
        shell.write(found.as_dict())
    else:
        shell.show(Text(f"✔ change {found.id} {found.state}" + (f": {more}" if more else "")))
