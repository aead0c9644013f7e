"""What a command works with: its settings, the opened application, where to say something."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vallum.kernel import Progress, Settings, SettingsError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from vallum.facade import Vallum

__all__ = ["Shell"]

# Where nobody watches, tables are as wide as a reader's window usually is.
_WIDTH: Final = 100


@dataclass
class Shell:
    """Options given so far; those of an inner command override those before it."""

    options: Mapping[str, object] = field(default_factory=dict)
    config: Path | None = None
    json: bool = False

    def with_options(self, given: Mapping[str, Any]) -> Shell:
        """A shell with these options as well; None among them: not given."""
        named = {name: value for name, value in given.items() if name not in ("config", "as_json")}
        return Shell(
            {**self.options, **{name: value for name, value in named.items() if value}},
            given["config"] or self.config,
            self.json or given["as_json"],
        )

    def with_settings(self, given: Mapping[str, Any]) -> Shell:
        """A shell with these settings as well, as a command's own options give them."""
        return Shell({**self.options, **given}, self.config, self.json)

    @cached_property
    def settings(self) -> Settings:
        """Raises: SettingsError."""
        return Settings.load(file=self.config, overrides=self.options)

    @property
    def debug(self) -> bool:
        """Whether an error shows where it arose; not where the settings themselves are wrong."""
        try:
            return self.settings.debug
        except SettingsError:
            return False

    @property
    def dsn(self) -> str:
        """The database of the settings.

        Raises: SettingsError (nothing says which).
        """
        dsn = self.settings.dsn
        if dsn is None:
            raise SettingsError(
                "no database is given",
                fix="give --dsn postgresql://…, set VALLUM_DSN, or write `dsn` into vallum.toml; "
                "`vallum demo` needs none",
            )
        return dsn

    def open(self) -> Vallum:
        """The application of the settings, its users with the groups Vallum gives them now.

        Raises: SettingsError (nothing says which), and what `vallum.open` raises.
        """
        settings, dsn = self.settings, self.dsn
        from vallum.cli.store import found_store
        from vallum.facade import open

        if settings.metadata is not None and str(settings.project) not in sys.path:
            # As with every tool that loads an application by name; what is installed has precedence.
            sys.path.append(str(settings.project))
        opened = open(
            dsn,
            registry=settings.registry,
            metadata=settings.metadata,
            policy=settings.policy or None,
            odoo_version=settings.odoo_version,
            statement_timeout=settings.statement_timeout,
        )
        try:
            with found_store(settings) as store:
                if store is not None:
                    from vallum.identity.given import give_groups

                    give_groups(opened.application, store, lasting=False)
        except BaseException:
            opened.close()
            raise
        return opened

    @cached_property
    def progress(self) -> Progress:
        """The bar on standard error; nothing where that is no terminal."""
        from vallum.cli.progress import BarProgress

        return BarProgress()

    @cached_property
    def console(self) -> Console:
        """Standard output."""
        from vallum.cli.terminal import PlainConsole

        class Output(PlainConsole):
            def on_broken_pipe(self) -> None:
                """Rich would end the process with 1, which here means: refused."""
                raise BrokenPipeError

        return Output(width=shutil.get_terminal_size((_WIDTH, 24)).columns, highlight=False)

    def show(self, *parts: RenderableType) -> None:
        """Say something to people; a text that is not to be wrapped is left to the terminal, whole."""
        from rich.text import Text

        for part in parts:
            self.console.print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))

    def note(self, text: str) -> None:
        """Say something beside the answer, on standard error."""
        from vallum.cli.terminal import plain_text

        print(plain_text(text), file=sys.stderr)

    def write(self, data: object) -> None:
        """Say something to programs: JSON, one document."""
        import msgspec

        encoder = msgspec.json.Encoder(enc_hook=str, decimal_format="number")
        print(msgspec.json.format(encoder.encode(data), indent=2).decode(), flush=True)
