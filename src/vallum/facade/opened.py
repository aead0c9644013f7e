"""An opened application: everybody's eyes, and the questions about everybody.

Whoever holds a `Vallum` can read all the data its database connection can, and be anyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

from vallum.enforce import Application
from vallum.facade.check import Report, check
from vallum.facade.session import Session, operation_of
from vallum.kernel import NO_PROGRESS, Operation, Progress, UnknownUser
from vallum.policy import Actor, Directory, Policy
from vallum.schema import Gap, Model, Schema

if TYPE_CHECKING:
    from vallum.analysis import Explanation, Holder, Snapshot

__all__ = ["Inexact", "Vallum"]


@dataclass(frozen=True, slots=True)
class Inexact:
    """A model where code decides that Vallum has no implementation of: `method`, by these modules."""

    model: str
    method: str
    modules: tuple[str, ...]
    consequence: str


class Vallum:
    """An application over its database. Safe to be shared by threads; close it, or use `with`."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __repr__(self) -> str:
        return f"Vallum({self.application.database!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to the database."""
        self.application.database.close()

    # What it knows

    @property
    def schema(self) -> Schema:
        """Models and fields."""
        return self.application.schema

    @property
    def policy(self) -> Policy:
        """Groups, access rights, record rules, menus."""
        return self.application.policy

    @property
    def users(self) -> Directory:
        """The users, inactive ones included."""
        return self.application.directory

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Facts the source of the schema could not tell, and what that makes inexact."""
        return self.schema.gaps

    def inexact(self) -> tuple[Inexact, ...]:
        """Models whose access depends on code of their modules that Vallum does not have."""
        return tuple(
            Inexact(model.name, method, modules, _CONSEQUENCES[method])
            for model in self.schema.models.values()
            for method, modules in sorted(model.overrides.items())
            if method in _CONSEQUENCES and not self._has_code(model, method)
        )

    def check(self, *, progress: Progress = NO_PROGRESS) -> Report:
        """Whether every record rule can be bound for every active user it is for, and read as a filter."""
        return check(self.application, progress=progress)

    # Somebody's eyes

    def as_user(self, who: str | int, companies: Sequence[int] | None = None) -> Session:
        """The eyes of a user, given by login or id. `companies`: the active ones, the user's own by default.

        Raises: UnknownUser, CompanyNotAllowed.
        """
        return Session(self.application, self._actor(who, companies))

    def sudo(self) -> Session:
        """The superuser's eyes: no right and no rule restricts them."""
        return Session(self.application, None)

    # Questions about everybody

    def explain(
        self,
        who: str | int,
        operation: str | Operation,
        model: str,
        record: int | None = None,
        field: str | None = None,
        *,
        companies: Sequence[int] | None = None,
    ) -> Explanation:
        """Whether the user may do this, and the whole chain of reasons.

        Raises: UnknownUser, CompanyNotAllowed, UnknownOperation, UnknownModel, UnknownField, UnknownRecord.
        """
        from vallum.analysis import explain

        actor = self._actor(who, companies)
        return explain(self.application, actor, operation_of(operation), model, record, field)

    def who_can(
        self,
        operation: str | Operation,
        model: str,
        record: int | None = None,
        field: str | None = None,
        *,
        companies: Literal["all"] | None = None,
        active_only: bool = True,
        progress: Progress = NO_PROGRESS,
    ) -> tuple[Holder, ...]:
        """The users who may do this, each with the reasons. `companies="all"`: with all of theirs switched on.

        Raises: UnknownOperation, UnknownModel, UnknownField, UnknownRecord.
        """
        from vallum.analysis import who_can

        return who_can(
            self.application,
            operation_of(operation),
            model,
            record_id=record,
            field=field,
            companies=companies,
            active_only=active_only,
            progress=progress,
        )

    def snapshot(
        self,
        path: str | Path | None = None,
        *,
        users: Sequence[str | int] | None = None,
        progress: Progress = NO_PROGRESS,
        resume: Snapshot | None = None,
    ) -> Snapshot:
        """Everybody's effective access, to be kept and compared; written to `path` where that is given.

        Raises: UnknownUser, OSError.
        """
        from vallum.analysis import take_snapshot, write_snapshot

        chosen = None if users is None else [self._actor(who).user_id for who in users]
        taken = take_snapshot(self.application, users=chosen, progress=progress, resume=resume)
        if path is not None:
            write_snapshot(taken, Path(path))
        return taken

    def _actor(self, who: str | int, companies: Sequence[int] | None = None) -> Actor:
        try:
            return self.application.actor(who, companies)
        except UnknownUser as error:
            near = get_close_matches(str(who), [user.login for user in self.users], n=3)
            if near:
                error.fix = "use " + " or ".join(f"`{login}`" for login in near)
            raise

    def _has_code(self, model: Model, method: str) -> bool:
        named = self.application.named
        covered = {
            "_search": named.searches,
            "_search_display_name": named.display_names,
            "_has_field_access": named.field_access,
            "check_field_access_rights": named.field_access,
        }
        return model.name in covered.get(method, {})


_CONSEQUENCES: Final = {
    "_search": "a search may find more or fewer records than Odoo's",
    "_search_display_name": "searches by name are refused",
    "_check_access": "access to a single record may differ from Odoo's",
    "_has_field_access": "fields shut by code are open",
    "check_field_access_rights": "fields shut by code are open",
}
