"""The audit trail of an application: its presets by model, and searching it with somebody's eyes.

With an actor, the record rules and field groups hold on the trail too: an event is shown where the actor may
read the record as it is now, and of its values those of fields that are open. What cannot be decided (a
record that is gone, a table that is no model) is not shown.
Each call opens a connection of its own, and closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg

from vallum.audit.actors import Who, stamp
from vallum.audit.canonical import Json
from vallum.audit.capture import Mode
from vallum.audit.errors import AuditRefused
from vallum.audit.install import Audited, Hand, Step, apply_step, audited, begin, disable, drop_all, plan
from vallum.audit.keys import actor_key, make_keys
from vallum.audit.search import Event, Wanted, find
from vallum.audit.state import Home
from vallum.audit.tables import find_table, read_tables
from vallum.kernel import NO_PROGRESS, AccessDenied, Operation, Progress, UnknownModel, VallumError
from vallum.policy import SUPERUSER_ID, Actor
from vallum.postgres import connect

if TYPE_CHECKING:
    from vallum.enforce.application import Stamp
    from vallum.facade.session import Session

__all__ = ["PRESETS", "Audit"]

Connection = psycopg.Connection[Any]
# By what is to be watched: the tables of Odoo's models and of relations between them.
PRESETS: Final[Mapping[str, tuple[str, ...]]] = {
    "users": ("res_users", "res_company_users_rel", "res_users_apikeys"),
    "groups": ("res_groups", "res_groups_users_rel", "res_groups_implied_rel"),
    "rights": ("ir_model_access",),
    "rules": ("ir_rule", "rule_group_rel"),
    "invoices": ("account_move", "account_move_line", "account_payment"),
    "payslips": ("hr_payslip", "hr_payslip_line", "hr_version", "hr_contract"),
    "partners": ("res_partner", "res_partner_bank"),
    "parameters": ("ir_config_parameter",),
}
# What opens a door is not written down twice: only that it changed.
HIDDEN: Final[Mapping[str, tuple[str, ...]]] = {
    "res_users": ("password", "totp_secret", "oauth_access_token"),
    "res_users_apikeys": ("key",),
    "res_partner": ("signup_token",),
}


class Audit:
    """The trail of one database. `folder`: the log's own, where its keys are."""

    def __init__(self, dsn: str, folder: Path, who: Who | None = None) -> None:
        self.dsn = dsn
        self.home = Home(folder)
        self._who = who or Who(0, "vallum")

    @contextmanager
    def connection(self, *, readonly: bool = True) -> Iterator[Connection]:
        """A connection of its own, in UTC. Raises: AuditRefused (no trail here, or no right to it)."""
        with connect(self.dsn, readonly=readonly, autocommit=True) as connection:
            connection.execute("SET timezone = 'UTC'")
            try:
                yield connection
            except psycopg.errors.InsufficientPrivilege as error:
                raise AuditRefused(
                    f"PostgreSQL refuses: {error.diag.message_primary}",
                    fix="connect as the owner of the trail",
                ) from error
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
                if "audit_" not in (error.diag.message_primary or ""):
                    raise
                raise AuditRefused(
                    "there is no audit trail in this database", fix="run `vallum audit enable`"
                ) from error

    @property
    def hand(self) -> Hand:
        """Who acts on the trail itself. Raises: KeyRefused."""
        return Hand(actor_key(self.home.actor_key), self._who)

    def wanted(
        self,
        presets: Iterable[str],
        tables: Iterable[str],
        modes: Mapping[str, Mapping[str, Mode]] | None = None,
    ) -> dict[str, dict[str, Mode]]:
        """The tables these names stand for that are there, with what is known of their columns.

        Raises: AuditRefused (no preset of that name, a table that is not there, nothing at all).
        """
        with self.connection() as connection:
            there = read_tables(connection)
            found: dict[str, dict[str, Mode]] = {}
            for preset in presets:
                if preset not in PRESETS:
                    raise AuditRefused(f"no preset is called `{preset}`", fix="use " + ", ".join(PRESETS))
                for name in PRESETS[preset]:
                    if f"public.{name}" in there:
                        found[f"public.{name}"] = {}
            for name in tables:
                found.setdefault(find_table(connection, name).relation, {})
            for relation, given in found.items():
                columns = {c.name for c in there[relation].columns}
                hidden = HIDDEN.get(relation.removeprefix("public."), ())
                given.update({name: "hidden" for name in hidden if name in columns})
                given.update((modes or {}).get(relation, {}))
        if not found:
            raise AuditRefused("none of these tables is there", fix="name tables with --table")
        return found

    def plan(self, wanted: Mapping[str, Mapping[str, Mode]]) -> list[Step]:
        """What auditing these tables takes; changes nothing. Raises: AuditRefused."""
        with self.connection() as connection:
            return plan(connection, wanted)

    def enable(
        self,
        steps: Sequence[Step],
        origin: str | None = None,
        *,
        baseline: bool = False,
        progress: Progress = NO_PROGRESS,
    ) -> list[Step]:
        """Carry the steps out, one table a transaction; says what was done.

        Raises: AuditRefused, KeyRefused (the tables before the one it stopped at are audited).
        """
        make_keys(self.home.folder)
        hand, done = self.hand, []
        with self.connection(readonly=False) as connection:
            begin(connection, origin)
            progress.start(len(steps), "enabling")
            for step in steps:
                if step.action in ("enable", "renew"):
                    apply_step(connection, step, hand, baseline=baseline)
                    done.append(step)
                progress.advance()
            progress.done()
        return done

    def disable(self, tables: Iterable[str] | None, progress: Progress = NO_PROGRESS) -> list[str]:
        """End the auditing of these tables; None: of all, and drop the log in the database too."""
        with self.connection(readonly=False) as connection:
            if tables is None:
                names = list(audited(connection))
                drop_all(connection)
                return names
            names = [find_table(connection, name).relation for name in tables]
            return disable(connection, names, self.hand, progress)

    def audited(self) -> dict[str, Audited]:
        """The tables that are audited."""
        with self.connection() as connection:
            return audited(connection)

    def relation(self, name: str) -> str:
        """The table that a name means: a table's, or a model's (`res.partner`). Raises: AuditRefused."""
        with self.connection() as connection:
            known = audited(connection)
            for candidate in (name, f"public.{name}", f"public.{name.replace('.', '_')}"):
                if candidate in known:
                    return candidate
            return find_table(connection, name).relation

    def stamp(self, source: Callable[[], tuple[str, str]] = lambda: ("", "")) -> Stamp:
        """What stamps each writing call with its actor: to be added to an application's `stamps`.

        `source`: the address and the request's id at that moment. Raises: KeyRefused.
        """
        key = actor_key(self.home.actor_key)

        def say(connection: Connection, actor: Actor | None) -> None:
            user, login = (SUPERUSER_ID, "superuser") if actor is None else (actor.user_id, actor.login)
            stamp(connection, key, Who(user, login, *source()))

        return say

    def search(self, wanted: Wanted, *, limit: int | None = 100, newest_first: bool = True) -> list[Event]:
        """The events asked for. Raises: AuditRefused."""
        with self.connection() as connection:
            return list(find(connection, wanted, limit=limit, newest_first=newest_first))

    def search_as(self, session: Session, wanted: Wanted, *, limit: int = 100) -> list[Event]:
        """The events asked for that the session's actor may see, newest first.

        Raises: AuditRefused, AccessDenied (the actor may read none of the tables, or fields, asked for).
        """
        eyes = Eyes(session)
        relations = eyes.relations(wanted.relations, wanted.field)
        if not relations:
            raise AccessDenied("none of these events is open to this user", where=session.login)
        shown: list[Event] = []
        end = wanted.end
        with self.connection() as connection:
            while len(shown) < limit:
                part = replace(wanted, relations=relations, end=end)
                events = list(find(connection, part, limit=500))
                shown += eyes.seen(events)
                if len(events) < 500:
                    break
                end = events[-1].index
        return shown[:limit]


class Eyes:
    """What of the trail one session may see."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._models = {
            f"public.{m.table}": m.name
            for m in session.application.schema.models.values()
            if m.relation and not m.abstract
        }
        self._fields: dict[str, frozenset[str]] = {}

    def relations(self, asked: Sequence[str] | None, field: str | None = None) -> list[str]:
        """The tables among these whose model may be read at all, and the field where one is asked for.

        Nobody learns when a field that is shut to them has changed, by asking for it.
        """
        names = self._models if asked is None else [name for name in asked if name in self._models]
        readable = [name for name in names if self._open(self._models[name])]
        return [name for name in readable if field is None or field in self._columns(self._models[name])]

    def _open(self, model: str) -> bool:
        try:
            if not self._session.can(Operation.READ, model).allowed:
                return False
            self._columns(model)
        except VallumError:
            return False
        return True

    def _columns(self, model: str) -> frozenset[str]:
        """The columns of open fields."""
        if model not in self._fields:
            fields = self._session.fields(model)
            self._fields[model] = frozenset(name for name, field in fields.items() if field.stored)
        return self._fields[model]

    def seen(self, events: Sequence[Event]) -> list[Event]:
        """The events of records that may be read, with the values of open fields."""
        by_model: dict[str, set[int]] = {}
        for event in events:
            record = _record_of(event)
            if record is not None and event.relation in self._models:
                by_model.setdefault(self._models[event.relation], set()).add(record)
        readable = {model: self._readable(model, ids) for model, ids in by_model.items()}
        found = []
        for event in events:
            model = self._models.get(event.relation or "")
            if model is not None and _record_of(event) in readable.get(model, ()):
                shown = self._shown(event, model)
                if shown is not None:
                    found.append(shown)
        return found

    def _readable(self, model: str, ids: set[int]) -> set[int]:
        try:
            return set(self._session.search(model, [("id", "in", sorted(ids))], active_test=False))
        except (AccessDenied, UnknownModel):
            return set()

    def _shown(self, event: Event, model: str) -> Event | None:
        columns = self._columns(model)
        content: dict[str, Json] = dict(event.content)
        for side in ("old", "new"):
            if content[side] is not None:
                content[side] = {name: value for name, value in content[side].items() if name in columns}
        if not content["old"] and not content["new"]:
            return None
        # From where others work is theirs.
        content["actor"] = {k: v for k, v in content["actor"].items() if k not in ("ip", "request")}
        content.pop("db", None)
        sides = {side: content.get(side) or {} for side in ("actor", "key", "new", "old")}
        altered = tuple(a for a in event.altered if a.partition(".")[2] in sides.get(a.partition(".")[0], ()))
        return replace(event, content=content, altered=altered, entry="")


def _record_of(event: Event) -> int | None:
    key = event.content.get("key") or {}
    value = key.get("id") if set(key) == {"id"} else None
    return value if isinstance(value, int) else None


def parse_moment(text: str) -> datetime:
    """An instant as people write it: ISO 8601; UTC where it names no zone. Raises: AuditRefused."""
    from datetime import UTC

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise AuditRefused(f"`{text}` is no time", fix="write it as 2026-03-01 or 2026-03-01T12:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
