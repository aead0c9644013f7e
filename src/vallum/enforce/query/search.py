"""Search as an actor."""

from __future__ import annotations

from typing import Any

from vallum.domain import Filter, parse, root
from vallum.domain.filter import Ids, Within, every
from vallum.domain.sql import select_ids
from vallum.enforce.application import Application
from vallum.enforce.statement import compiled
from vallum.policy import SUPERUSER_ID, Actor, menus
from vallum.schema import Model

__all__ = ["Query"]


class Query:
    """What one actor finds and reads; None stands for the superuser."""

    def __init__(self, application: Application, actor: Actor | None) -> None:
        self.application = application
        self.actor = actor

    def where(self, model: Model, domain: Any, *, active_test: bool = True) -> Filter:
        """The filter of a search of the model, over its root row.

        Raises: AccessDenied, UnknownField, MalformedDomain, UnsupportedDomain and kin.
        """
        app = self.application
        env = app.env(self.actor, active_test=active_test)
        found = app.lowering.search(model, parse(domain), env)
        if model.name == "ir.ui.menu" and app.schema.version < 19 and app.policy.menus:
            visible = menus(app.policy, self.actor or app.actor(SUPERUSER_ID), version=app.schema.version)
            found = every((found, Within(app.lowering.id_ref(root(model)), Ids(tuple(sorted(visible))))))
        return found

    def search(self, model: str, domain: Any = (), *, active_test: bool = True) -> list[int]:
        """The ids of the records found."""
        target = self.application.schema.model(model)
        where = self.where(target, domain, active_test=active_test)
        text, values = compiled(select_ids(root(target), where))
        return [row[0] for row in self.application.database.rows(text, values)]
