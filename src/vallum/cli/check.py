"""`vallum check`: what is missing, what is not exact, and which rules cannot be read."""

from __future__ import annotations

import typer

from vallum.cli import tables
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "check",
        epilog=examples(
            "vallum check --dsn postgresql:///odoo --registry registry.json.gz",
            note="Exit code 1 where a rule cannot be read for somebody: whoever meets it is refused. "
            "Gaps and inexact models alone do not count.",
        ),
    )(check)


@command
def check(shell: Shell) -> int:
    """Try every record rule for every active user, and list what Vallum does not know for sure."""
    with shell.open() as vallum:
        report = vallum.check(progress=shell.progress)
        gaps, inexact, schema, users = vallum.gaps, vallum.inexact(), vallum.schema, vallum.users
        policy = vallum.policy
    if shell.json:
        shell.write(
            {
                "models": len(schema.models),
                "users": len(users),
                "groups": len(policy.groups),
                "rights": len(policy.rights),
                "rules": report.rules,
                "bound": report.bound,
                "broken": [
                    {
                        "rule": f.rule.xml_id or f.rule.id,
                        "model": f.rule.model,
                        "users": f.users,
                        **f.error.as_dict(),
                    }
                    for f in report.broken
                ],
                "gaps": gaps,
                "unreachable": report.unreachable,
                "inexact": inexact,
            }
        )
    else:
        shell.show(*tables.checked(schema, policy, report, gaps, inexact))
    return REFUSED if report.broken else OK
