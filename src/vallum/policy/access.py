"""An actor's access as lowering needs it: the bridge from policy to domain."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from vallum.domain.env import Env
from vallum.domain.filter import ALWAYS, Filter
from vallum.domain.lower import Lowering, root
from vallum.domain.named import FIELD_METHODS, Named
from vallum.domain.records import RuleContext
from vallum.kernel import AccessDenied, Operation
from vallum.policy.decide import decide, may_read_field, scope
from vallum.policy.decision import Scope
from vallum.policy.model import Actor, Policy
from vallum.schema import Field, Model, Schema

__all__ = ["ActorAccess"]

# Another moment: a filter that is the same then does not depend on the time.
_ANOTHER_TIME: Final = timedelta(days=400, hours=1, minutes=1, seconds=1)


@dataclass(slots=True)
class ActorAccess:
    """What one actor may see under one policy. Scopes and their filters are kept.

    `timed` counts the scopes that were bound to the present moment: what is made meanwhile must not be kept.
    Implements `vallum.domain.env.Access`.
    """

    policy: Policy
    schema: Schema
    actor: Actor
    context: RuleContext
    lowering: Lowering
    named: Named
    timed: int = 0
    _scopes: dict[tuple[str, Operation], Scope] = field(default_factory=dict)
    _filters: dict[tuple[str, str, bool], Filter] = field(default_factory=dict)

    def readable(self, model: Model) -> bool:
        """Whether an access right lets the actor read the model."""
        return self.may(model, Operation.READ)

    def may(self, model: Model, operation: str) -> bool:
        """Whether an access right grants the operation on the model."""
        return decide(self.policy, self.actor, Operation(operation), model.name).allowed

    def check_model(self, model: Model) -> None:
        """Raises AccessDenied where no access right lets the actor read the model."""
        if not self.readable(model):
            raise refused(self.policy, self.actor, Operation.READ, model.name)

    def check_field(self, field: Field) -> None:
        """Raises AccessDenied where the field's groups, or code, shut the actor out.

        Where code that nobody here knows decides, the field is shut.
        """
        if not may_read_field(self.policy, self.actor, field):
            raise AccessDenied(
                f"the field `{field}` is not open to {self.actor.login}",
                fix=f"it is for {field.groups}",
            )
        strangers = self.named.strangers(self.schema.model(field.model), *FIELD_METHODS)
        if strangers:
            raise AccessDenied(
                f"who reads fields of `{field.model}` is decided by code of {', '.join(strangers)}",
                fix="register an implementation with `Named.with_field_access`",
            )
        code = self.named.field_access.get(field.model)
        if code is not None and not code(self.schema.model(field.model), field, self, self.schema.version):
            raise AccessDenied(f"the field `{field}` is not open to {self.actor.login}, by code of its model")

    def scope(self, model: str, operation: Operation) -> Scope:
        """The actor's scope on a model."""
        key = (model, operation)
        found = self._scopes.get(key)
        if found is None:
            found = scope(self.policy, self.schema, self.actor, operation, model, self.context)
            if found.depends_on_time:
                self.timed += 1
            else:
                self._scopes[key] = found
        return found

    def rules(self, model: Model, env: Env, operation: str = "read") -> Filter:
        """The actor's record rules as a filter over the model's root, read as superuser.

        Odoo 18 keeps the caller's view of inactive records inside rules; 19 counts all.
        """
        active_test = env.active_test and self.schema.version < 19
        key = (model.name, operation, active_test)
        found = self._filters.get(key)
        if found is None:
            bound = self.scope(model.name, Operation(operation))
            inner = env.sudo().with_active_test(active_test)
            found = self._lowered(model, bound, inner)
            another = replace(inner, now=inner.now + _ANOTHER_TIME)
            if not bound.depends_on_time and self._lowered(model, bound, another) == found:
                self._filters[key] = found
        return found

    def _lowered(self, model: Model, bound: Scope, env: Env) -> Filter:
        return self.lowering.lower(model, bound.domain, env, root(model)) if bound.restricted else ALWAYS

    def in_group(self, xml_id: str) -> bool:
        """Whether the actor is a member of the group."""
        return self.policy.group_ids.get(xml_id) in self.actor.groups


def refused(policy: Policy, actor: Actor, operation: Operation, model: str) -> AccessDenied:
    """The error for an operation that no access right grants, with the groups that would."""
    decision = decide(policy, actor, operation, model)
    groups = sorted({policy.groups[r.group].label for r in decision.would_grant if r.group is not None})
    return AccessDenied(
        f"{actor.login} has no access right to {operation} `{model}`",
        fix="it is granted to " + ", ".join(groups[:6]) + (", …" if len(groups) > 6 else "")
        if groups
        else "nobody has it",
    )
