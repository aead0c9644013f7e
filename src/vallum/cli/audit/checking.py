"""`vallum audit verify`, `prove`, `check-proof`, `gaps` and `coverage`: is it all there, and unchanged?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from vallum.audit import check_proof as standalone
from vallum.audit.anchors.file import read_notes
from vallum.audit.coverage import check_triggers
from vallum.audit.errors import AuditRefused
from vallum.audit.files import new_file
from vallum.audit.gaps import gaps as find_gaps
from vallum.audit.notes import Note, Verifier
from vallum.audit.problem import Problem
from vallum.audit.proofs import CHECKER
from vallum.audit.proofs import prove as make_proof
from vallum.audit.rows import check_rows
from vallum.audit.verify import verify as verify_log
from vallum.cli.audit.common import Folder, clock, opened, tell_problems
from vallum.cli.failure import OK
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell

__all__ = ["register"]

Against = Annotated[
    list[Path] | None,
    typer.Option("--against", metavar="FILE", help="Checkpoints kept elsewhere.", show_default=False),
]
LogKey = Annotated[
    str | None, typer.Option("--log-key", help="The log's key, as it was published.", show_default=False)
]
WitnessKey = Annotated[
    list[str] | None,
    typer.Option("--witness-key", help="A witness that must have signed.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    note = "Exit code 0: nothing is wrong; 1: something is."
    app.command(
        epilog=examples(
            "vallum audit verify", "vallum audit verify --against /mnt/anchor/checkpoints", note=note
        )
    )(verify)
    app.command(
        epilog=examples(
            "vallum audit prove 1234 --output proof.json --with-checker check_proof.py",
            "python check_proof.py proof.json --log-key 'log.example/shop+1a2b3c4d+AT…'",
        )
    )(prove)
    app.command(
        "check-proof", epilog=examples("vallum audit check-proof proof.json --log-key '…+…+…'", note=note)
    )(check_proof)
    app.command(epilog=examples("vallum audit gaps", note=note))(gaps)
    app.command(epilog=examples("vallum audit coverage", "vallum audit coverage --rows", note=note))(coverage)


def _notes(paths: list[Path] | None) -> list[Note]:
    found: list[Note] = []
    for path in paths or ():
        if path.is_dir():
            found += [note for file in sorted(path.iterdir()) if file.is_file() for note in read_notes(file)]
        else:
            found += read_notes(path)
    if paths and not found:
        raise AuditRefused("there is no checkpoint to hold the log against", where=str(paths[0]))
    return found


@command
def verify(
    shell: Shell,
    against: Against = None,
    log_key: LogKey = None,
    witness_key: WitnessKey = None,
    values: Annotated[
        bool, typer.Option("--values", help="Each erasable value as well; takes longer.")
    ] = False,
    hashes_only: Annotated[
        bool, typer.Option("--hashes-only", help="Not whether each event is filed where searches find it.")
    ] = False,
    processes: Annotated[int, typer.Option("--processes", min=1, max=64, help="Processes at work.")] = 2,
    folder: Folder = None,
) -> int:
    """Hash every event again and hold the log against what was signed."""
    audit = opened(shell, folder)
    with audit.connection():
        found = verify_log(
            audit.dsn,
            audit.home,
            against=_notes(against),
            key=Verifier.parse(log_key) if log_key else None,
            witnesses=[Verifier.parse(text) for text in witness_key or ()],
            filed=not hashes_only,
            values=values,
            processes=processes,
            progress=shell.progress,
        )
    retained = f", {found.missing:,} of them let go as declared" if found.missing else ""
    compared = f", against {found.against} checkpoints kept elsewhere" if found.against else ""
    good = f"{found.size:,} events{retained} lead to the signed root{compared}"
    return tell_problems(shell, found.problems, good, found.as_dict())


@command
def prove(
    shell: Shell,
    event: Annotated[
        int, typer.Argument(metavar="EVENT", min=0, help="Its place in the log.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; else standard output.", show_default=False),
    ] = None,
    disclose: Annotated[
        list[str] | None,
        typer.Option(
            "--disclose", metavar="LABEL", help="Lay open a value: new.name; * for all.", show_default=False
        ),
    ] = None,
    with_checker: Annotated[
        Path | None,
        typer.Option(
            "--with-checker", metavar="FILE", help="Write the program for outsiders too.", show_default=False
        ),
    ] = None,
    folder: Folder = None,
) -> None:
    """Make a proof of one event that an outsider can check without Vallum and without the database."""
    audit = opened(shell, folder)
    with audit.connection() as connection:
        bundle = make_proof(connection, audit.home, event, disclose=disclose or ())
    text = json.dumps(bundle, ensure_ascii=False, indent=2) + "\n"
    if with_checker is not None:
        _write_checker(with_checker)
    if output is None:
        typer.echo(text, nl=False)
        return
    with new_file(output) as file:
        file.write(text.encode())
    if shell.json:
        shell.write({"proof": str(output), "log_key": bundle["log_key"], "steps": len(bundle["path"])})
    else:
        shell.show(Text(f"✔ {output}: {len(bundle['path'])} hashes lead to the signed root", style="green"))
        shell.show(Text(f"log key {bundle['log_key']}", no_wrap=True))


def _write_checker(path: Path) -> None:
    """The program for outsiders; one that is there already will do."""
    program = CHECKER.read_bytes()
    if path.is_file() and path.read_bytes() == program:
        return
    with new_file(path) as file:
        file.write(program)


@command
def check_proof(
    shell: Shell,
    proof: Annotated[Path, typer.Argument(metavar="FILE", show_default=False)],
    log_key: Annotated[
        str, typer.Option("--log-key", help="The log's key, as it was published.", show_default=False)
    ],
    witness_key: WitnessKey = None,
    roots: Annotated[
        Path | None,
        typer.Option(
            "--timestamp-roots", help="Check the time stamp by these certificates.", show_default=False
        ),
    ] = None,
) -> int:
    """Check a proof. The same program, alone in a file, is written by `prove --with-checker`."""
    try:
        bundle: Any = json.loads(proof.read_text(encoding="utf-8"))
        found = standalone.check(bundle, log_key, witness_key or [])
        if roots is not None:
            found["timestamp"] = _stamp(bundle, roots)
    except standalone.Wrong as error:
        return tell_problems(shell, [Problem("proof", str(error))], "", {"holds": False})
    except (ValueError, KeyError, TypeError, AttributeError):
        return tell_problems(shell, [Problem("proof", "the bundle is damaged")], "", {"holds": False})
    except OSError as error:
        raise AuditRefused(f"the proof cannot be read: {error.strerror}", where=str(proof)) from error
    if shell.json:
        shell.write({"holds": True, **found})
    else:
        shell.show(Text(f"✔ event {found['index']:,} of {found['size']:,} in {found['log']}", style="green"))
        shell.console.print_json(json.dumps(found["event"], ensure_ascii=False))
    return OK


def _stamp(bundle: dict[str, Any], roots: Path) -> str:
    import base64

    from vallum.audit.anchors.timestamp import check_token
    from vallum.audit.errors import AnchorFailed

    if "timestamp" not in bundle:
        raise standalone.Wrong("the proof has no time stamp")
    text = bundle["checkpoint"].rpartition("\n\n")[0] + "\n"
    try:
        return check_token(base64.b64decode(bundle["timestamp"]), text.encode(), roots)
    except AnchorFailed as error:
        raise standalone.Wrong(str(error)) from error


@command
def gaps(shell: Shell, against: Against = None, folder: Folder = None) -> int:
    """Look for what is missing or late, without hashing: fit for a timer."""
    audit = opened(shell, folder)
    with audit.connection() as connection:
        found = find_gaps(connection, audit.home, clock.now(), against=_notes(against))
    return tell_problems(shell, found, "nothing is missing and nothing waits", {})


@command
def coverage(
    shell: Shell,
    rows: Annotated[
        bool,
        typer.Option("--rows", help="Each row against its newest event: finds what triggers did not see."),
    ] = False,
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Rows of this table only.", show_default=False)
    ] = None,
    folder: Folder = None,
) -> int:
    """Check that everything that should be audited is, by triggers and functions nobody has touched."""
    audit = opened(shell, folder)
    chosen = [audit.relation(name) for name in table] if table else None
    with audit.connection() as connection:
        found = check_triggers(connection)
        if rows:
            found += check_rows(connection, chosen, shell.progress)
    good = "triggers and functions are those that were made" + (
        ", and rows are as the log has them" if rows else ""
    )
    return tell_problems(shell, found, good, {})
