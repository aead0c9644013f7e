"""`vallum sso key` and `metadata`: our keys of SAML, and what providers are to be given."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vallum.cli.accounts import rows
from vallum.cli.options import command, examples
from vallum.cli.providers import Id, sign_on
from vallum.cli.shell import Shell
from vallum.kernel import SettingsError

__all__ = ["app"]

app = typer.Typer()


@app.command(
    epilog=examples(
        "vallum sso key",
        "vallum sso key --add",
        "vallum sso key --switch",
        "vallum sso key --drop",
        note="To replace a key: --add one, give providers our metadata anew, --switch, then --drop the old.",
    )
)
@command
def key(
    shell: Shell,
    add: Annotated[bool, typer.Option("--add", help="Add a key, which does not sign yet.")] = False,
    switch: Annotated[bool, typer.Option("--switch", help="Sign with the key added last.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Drop all keys but the one that signs.")] = False,
) -> None:
    """Show the keys that sign what we send to SAML providers, and decrypt what they send; make the first."""
    from vallum.identity.saml.keys import key_file

    if add + switch + drop > 1:
        raise SettingsError("one thing at a time", where="vallum sso key", fix="give one of the options")
    with sign_on(shell) as world:
        file = key_file(shell.settings)
        before = file()
        now = world.clock.now()
        if add and before:
            keys = file.add(now)
        elif switch:
            keys = file.switch()
        elif drop:
            keys = file.drop()
        else:
            keys = file.make(now)
        if keys != before:
            what = "added" if len(keys) > len(before) else "switched" if switch else "dropped"
            with world.store.transaction() as tx:
                world.accounts.record(tx, "sso.key-changed", None, {"what": what})
    _show(shell, keys, str(file.path))


def _show(shell: Shell, keys: Any, where: str) -> None:
    shown = [
        {
            "use": "signs, decrypts" if number == 0 else "decrypts",
            "sha256": one.fingerprint,
            "until": f"{one.known.not_valid_after_utc:%Y-%m-%d}",
        }
        for number, one in enumerate(keys)
    ]
    if shell.json:
        shell.write({"file": where, "keys": shown})
    else:
        shell.show(rows(shown, "use", "until", "sha256"))


@app.command(epilog=examples("vallum sso metadata corp > vallum.xml"))
@command
def metadata(shell: Shell, id: Id) -> None:
    """Write our own SAML metadata, for the provider."""
    from vallum.identity.saml.flow import SamlFlow
    from vallum.identity.saml.keys import key_file

    with sign_on(shell) as world:
        flow = SamlFlow(
            world.store,
            world.accounts,
            world.clock,
            world.identity.base.settings.url,
            key_file(shell.settings),
        )
        text = flow.metadata(id).decode()
    if shell.json:
        shell.write({"metadata": text})
    else:
        typer.echo(text)
