"""`vallum audit sequence`, `tail` and `witness`: processes that run."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from threading import Event as Flag
from typing import Annotated

import psycopg
import typer
from rich.text import Text

from vallum.audit import Alarm, AnchorFailed, Sequencer
from vallum.audit.anchors import read_anchors
from vallum.audit.forward import forward, target_of
from vallum.audit.keys import read_secret, signing_key
from vallum.audit.notes import COSIGNATURE, Signer, Verifier
from vallum.audit.search import tail as read_tail
from vallum.audit.witness import Witness, serve_witness
from vallum.cli.audit.common import Folder, clock, events_shown, opened
from vallum.cli.failure import OK, REFUSED
from vallum.cli.options import command, examples
from vallum.cli.shell import Shell
from vallum.kernel import ConnectionFailed, SettingsError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "vallum audit sequence",
            "vallum audit sequence --once --json",
            note="Runs until it is told to end. Exit code 1 with --once: an alarm was raised.",
        )
    )(sequence)
    app.command(
        epilog=examples(
            "vallum audit tail",
            "vallum audit tail --to syslog+tls://logs.example:6514",
            "vallum audit tail --to https://siem.example/vallum --secret-file hook.key",
        )
    )(tail)
    app.command(
        epilog=examples(
            "vallum audit witness --name witness.example/w1 --log-key 'log.example/shop+1a2b3c4d+AT…'",
            note="On a machine that the log's owner does not administer. Needs no database.",
        )
    )(witness)


def _until_told() -> Flag:
    """Set when the process is asked to end."""
    ended = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


@command
def sequence(
    shell: Shell,
    once: Annotated[bool, typer.Option("--once", help="One turn, then end.")] = False,
    period: Annotated[float, typer.Option("--period", min=0.05, max=60, help="Seconds between turns.")] = 0.5,
    takeover: Annotated[
        bool, typer.Option("--takeover", help="Fence off another sequencer that cannot be reached.")
    ] = False,
    folder: Folder = None,
) -> int:
    """Move events into the log, sign it, and tell the anchors."""
    audit = opened(shell, folder)
    ended = Flag() if once else _until_told()

    def told(alarm: Alarm) -> None:
        shell.note(f"ALARM {alarm.at} {alarm.code}: {alarm.what}")

    anchors = read_anchors(audit.home)
    worker = Sequencer(audit.dsn, audit.home, anchors=anchors, clock=clock, notify=told, takeover=takeover)
    while True:
        try:
            with worker.running():
                while True:
                    done = worker.step()
                    if once:
                        data = {
                            "events": done.events,
                            "size": done.size,
                            "alarms": [a.as_dict() for a in done.alarms],
                        }
                        if shell.json:
                            shell.write(data)
                        else:
                            shell.show(Text(f"✔ {done.events:,} events sequenced; the log has {done.size:,}"))
                        return REFUSED if done.alarms else OK
                    if ended.wait(0 if done.events > 2_000 else period):
                        return OK
        except (ConnectionFailed, psycopg.OperationalError) as error:
            # What was not committed is still in the inbox.
            if once or ended.is_set():
                raise
            shell.note(f"the database is away: {str(error).splitlines()[0]}; trying again")
            if ended.wait(2):
                return OK


@command
def tail(
    shell: Shell,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URL", help="Forward instead: syslog… or https.", show_default=False),
    ] = None,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="Sign what a webhook gets.", show_default=False)
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option("--ca", help="Certificates that syslog over TLS is checked by.", show_default=False),
    ] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="A webhook on another machine may be http://.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="What is there now, then end.")] = False,
    start: Annotated[
        int | None, typer.Option("--from", min=0, help="Show from this event on.", show_default=False)
    ] = None,
    folder: Folder = None,
) -> int:
    """Show events as they come, or forward each at least once."""
    audit = opened(shell, folder)
    ended = Flag() if once else _until_told()
    if to is not None:
        secret = read_secret(secret_file).strip() if secret_file else None
        target = target_of(to, secret=secret, ca=str(ca) if ca else None, plain_http=plain_http)
        with audit.connection(readonly=False) as connection:
            while True:
                try:
                    count = forward(connection, target)
                except AnchorFailed as error:
                    if once:
                        raise
                    shell.note(f"{error}; trying again")
                    count = 0
                if once:
                    if shell.json:
                        shell.write({"forwarded": count, "to": target.name})
                    else:
                        shell.show(Text(f"✔ {count:,} events forwarded to {target.name}"))
                    return OK
                if ended.wait(1):
                    return OK
    with audit.connection() as connection:
        row = connection.execute("SELECT size FROM vallum.audit_state").fetchone()
        at = start if start is not None else max(0, (row[0] if row else 0) - 10)
        while True:
            events = read_tail(connection, at)
            if events:
                if shell.json:
                    import msgspec

                    for event in events:
                        sys.stdout.write(msgspec.json.encode(event.as_dict()).decode() + "\n")
                    sys.stdout.flush()
                else:
                    events_shown(shell, events)
                at = events[-1].index + 1
            elif once:
                return OK
            if not events and ended.wait(0.5):
                return OK


@command
def witness(
    shell: Shell,
    name: Annotated[str, typer.Option("--name", help="The witness's name: host/path.", show_default=False)],
    log_key: Annotated[
        list[str], typer.Option("--log-key", help="The key of a log to vouch for.", show_default=False)
    ],
    key_file: Annotated[
        Path, typer.Option("--key-file", help="The witness's own key; made if missing.")
    ] = Path("witness.key"),
    state: Annotated[Path, typer.Option("--state", help="Where it remembers what it signed.")] = Path(
        "witness"
    ),
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8443,
    cert: Annotated[
        Path | None, typer.Option("--cert", help="TLS: the certificate.", show_default=False)
    ] = None,
    cert_key: Annotated[
        Path | None, typer.Option("--cert-key", help="TLS: its key.", show_default=False)
    ] = None,
) -> int:
    """Vouch for others' logs: sign what continues what was signed before (C2SP tlog-witness)."""
    if (cert is None) != (cert_key is None):
        raise SettingsError("TLS needs a certificate and its key", fix="give --cert and --cert-key")
    logs: dict[str, tuple[Verifier, ...]] = {}
    for text in log_key:
        key = Verifier.parse(text)
        logs[key.name] = (*logs.get(key.name, ()), key)
    if not key_file.exists():
        _make_key(key_file)
    signer = Signer(name, signing_key(key_file), COSIGNATURE)
    server = serve_witness(
        Witness(signer, logs, state, clock), host, port, (cert, cert_key) if cert and cert_key else None
    )
    ended = _until_told()
    bound = f"{'https' if cert else 'http'}://{host}:{server.server_address[1]}"
    if shell.json:
        shell.write({"url": bound, "key": signer.verifier.text, "logs": sorted(logs)})
    else:
        shell.show(Text(f"listening on {bound}"), Text(f"key {signer.verifier.text}", no_wrap=True))
    sys.stdout.flush()
    from threading import Thread

    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    ended.wait()
    server.shutdown()
    server.server_close()
    return OK


def _make_key(path: Path) -> None:
    from vallum.audit.keys import make_signing_key

    make_signing_key(path)
