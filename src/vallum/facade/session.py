"""One user's eyes, or the superuser's: what they find, what they read, write and may do."""

from __future__ import annotations

from collections.abc import Mapping

from vallum.enforce import Query, Values
from vallum.kernel import AccessDenied, Operation, UnknownOperation
from vallum.policy import SUPERUSER_ID, Actor, Decision, Menu, Scope, decide, fields, menus
from vallum.schema import Field

__all__ = ["Session", "operation_of"]


def operation_of(value: str | Operation) -> Operation:
    """The operation of that name.

    Raises: UnknownOperation.

    >>> operation_of("unlink").letter
    'u'
    """
    try:
        return Operation(value)
    except ValueError:
        near = "use `unlink`" if value in ("delete", "remove") else "use read, write, create or unlink"
        raise UnknownOperation(f"no operation `{value}`", fix=near) from None


class Session(Query, Values):
    """What one actor finds, reads, writes and may do; `actor` None stands for the superuser.

    Beside the rights below it has all of `vallum.enforce.Query`: `search`, `search_count`, `read`,
    `search_read`, `read_group`, `page`, `fields_get`, `name_search`, `check`; and of `vallum.enforce.Values`:
    `create`, `write`, `unlink`, `copy`, `default_get`, `exists`, `has_access`, `check_access_rights`.
    """

    def __repr__(self) -> str:
        return f"Session({self.login!r})"

    @property
    def login(self) -> str:
        """Whose eyes these are."""
        return self.actor.login if self.actor else "superuser"

    def can(self, operation: str | Operation, model: str) -> Decision:
        """Whether an access right grants the operation on the model; rules are in `scope`.

        Raises: UnknownModel, UnknownOperation.
        """
        name = self.application.schema.model(model).name
        return decide(self.application.policy, self._decider, operation_of(operation), name)

    def scope(self, operation: str | Operation, model: str) -> Scope:
        """The records of a model that the rules leave for an operation, and the rules they come from.

        Raises: UnknownModel, UnknownOperation, ForbiddenExpression, MalformedDomain.
        """
        return self.application.access(self._decider).scope(model, operation_of(operation))

    def fields(self, model: str) -> Mapping[str, Field]:
        """The fields of a model that are open, by name.

        Raises: UnknownModel.
        """
        target = self.application.schema.model(model)
        found = fields(self.application.policy, self._decider, target)
        return {name: field for name, field in found.items() if self._open(field)}

    def menus(self) -> tuple[Menu, ...]:
        """The menu entries that are visible, as they are ordered."""
        policy, version = self.application.policy, self.application.schema.version
        visible = menus(policy, self._decider, version=version)
        return tuple(sorted((m for m in policy.menus if m.id in visible), key=lambda m: (m.sequence, m.id)))

    @property
    def _decider(self) -> Actor:
        """The actor for those who decide."""
        if self.actor is not None:
            return self.actor
        return Actor(user_id=SUPERUSER_ID, login=self.login, groups=frozenset(), superuser=True)

    def _open(self, field: Field) -> bool:
        """Whether code of the model leaves the field open as well."""
        if self._decider.superuser:
            return True
        try:
            self.application.access(self._decider).check_field(field)
        except AccessDenied:
            return False
        return True
