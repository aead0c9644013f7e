"""What is loaded into objects: columns and relationships that are shut to the actor stay out of them.

A shut column is deferred wherever its entity is loaded; reading it asks for it by name, which the
compiler refuses. So `AccessDenied` comes where the attribute is read, and not where the object is.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import ColumnProperty, Mapper, RelationshipProperty, defer, lazyload
from sqlalchemy.orm.interfaces import CompileStateOption
from sqlalchemy.sql import visitors

from vallum.enforce.session.criteria import Criteria
from vallum.kernel import AccessDenied
from vallum.schema import Field

__all__ = ["Hidden", "Hide", "shut", "watch"]


class Hidden:
    """The attributes that are shut to one actor."""

    def __init__(self, criteria: Criteria) -> None:
        self.criteria = criteria
        self._known: dict[Any, bool] = {}

    def __contains__(self, prop: object) -> bool:
        found = self._known.get(prop)
        if found is None:
            found = self._known[prop] = self._hides(prop)
        return found

    def _hides(self, prop: object) -> bool:
        if isinstance(prop, ColumnProperty):
            return any(self._shut(c) for column in prop.columns for c in _columns(column))
        field = self.field(prop)
        return field is not None and not self.criteria.open(field)

    def _shut(self, column: sa.Column[Any]) -> bool:
        criteria, table = self.criteria, column.table.name
        model = criteria.tables.models.get(table)
        if criteria.eyes.access is None or model is None or column.primary_key:
            return False
        field = model.fields.get(column.name)
        return field is None or not field.stored or field.x2many or not criteria.open(field)

    def field(self, prop: object) -> Field | None:
        """The x2many field that a relationship is."""
        if not isinstance(prop, RelationshipProperty) or not isinstance(prop.parent.local_table, sa.Table):
            return None
        model = self.criteria.tables.models.get(prop.parent.local_table.name)
        field = model.fields.get(prop.key) if model is not None else None
        return field if field is not None and field.x2many else None

    def check_path(self, path: Any) -> None:
        """Raises AccessDenied where a relationship that is loaded is shut."""
        for prop in path or ():
            if isinstance(prop, RelationshipProperty) and prop in self:
                field = self.field(prop)
                if field is not None:
                    self.criteria.eyes.check_field(field)

    def keys(self, mapper: Mapper[Any]) -> list[str]:
        """The column attributes of a mapper that are shut."""
        return [prop.key for prop in mapper.column_attrs if prop in self]


def _columns(expression: Any) -> list[sa.Column[Any]]:
    return [e for e in visitors.iterate(expression) if isinstance(e, sa.Column)]


class Hide(CompileStateOption):
    """A statement option: shut columns are deferred, shut relationships not loaded, at any depth."""

    __slots__ = ("hidden",)
    _cache_key_traversal: Any = []  # noqa: RUF012 - SQLAlchemy's own way to say: nothing to tell apart
    propagate_to_loaders = False

    def __init__(self, hidden: Hidden) -> None:
        self.hidden = hidden

    def process_compile_state(self, compile_state: Any) -> None:
        compile_state.attributes = _Attributes(compile_state.attributes, self.hidden)

    def process_compile_state_replaced_entities(self, compile_state: Any, mapper_entities: Any) -> None:
        self.process_compile_state(compile_state)


class _Attributes(dict[Any, Any]):
    """The loader options of a statement, with those for shut attributes in place of any given."""

    def __init__(self, given: Any, hidden: Hidden) -> None:
        super().__init__(given)
        self._hidden = hidden

    def __contains__(self, key: object) -> bool:
        return self._shut(key) is not None or super().__contains__(key)

    def __getitem__(self, key: Any) -> Any:
        prop = self._shut(key)
        if prop is None:
            return super().__getitem__(key)
        loader: Any = defer if isinstance(prop, ColumnProperty) else lazyload
        return loader(prop.class_attribute).context[0]

    def _shut(self, key: Any) -> Any:
        if isinstance(key, tuple) and len(key) == 2 and key[0] == "loader" and key[1]:
            prop = key[1][-1]
            if isinstance(prop, ColumnProperty | RelationshipProperty) and prop in self._hidden:
                return prop
        return None


class _Denied:
    """What an object asks for a shut attribute that has expired."""

    __slots__ = ("hidden", "key")

    def __init__(self, hidden: Hidden, key: str) -> None:
        self.hidden, self.key = hidden, key

    def __call__(self, state: Any, passive: Any) -> Any:
        for column in _columns(state.mapper.column_attrs[self.key].expression):
            self.hidden.criteria.check_column(column.table.name, column.name)
        raise AccessDenied(f"`{self.key}` is not open to {self.hidden.criteria.actor.login}")


def _expired(state: Any, _attrs: Any) -> None:
    hidden = getattr(state.session, "vallum_hidden", None)
    if hidden is not None:
        shut(state, hidden)


def shut(state: Any, hidden: Hidden) -> None:
    """Let an object refuse its shut columns, whatever it held of them."""
    keys = hidden.keys(state.mapper)
    if not keys:
        return
    for key in keys:
        state.expired_attributes.discard(key)
        state.dict.pop(key, None)
        state.committed_state.pop(key, None)
    state.callables = {**state.callables, **{key: _Denied(hidden, key) for key in keys}}


def watch() -> None:
    """See to it, once, that expired objects of guarded sessions do not ask for what is shut."""
    if not event.contains(Mapper, "expire", _expired):
        event.listen(Mapper, "expire", _expired, raw=True)
