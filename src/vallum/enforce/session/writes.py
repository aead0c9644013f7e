"""Check statements that write where they run: rights, field groups and rules, row by row.

Everything a session writes passes here, whatever made it: a flush with its cascades and relation tables,
bulk methods, `insert()`, `update()` and `delete()`. A statement whose rows cannot be told is refused.
Invariant: an update or a deletion is checked on the rows as the database holds them, and these are locked
before it runs; new rows after they are inserted, and are gone again where the check fails, or nothing is
committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.dml import OnConflictDoNothing

from vallum.domain.filter import ALWAYS
from vallum.enforce.query.check import check_statement, missing
from vallum.enforce.query.eyes import batches
from vallum.enforce.session.criteria import Criteria, links_of
from vallum.enforce.session.parts import binds, bound_to, column_name, id_keys, says_nothing
from vallum.enforce.session.stamping import Stamping
from vallum.kernel import AccessDenied, Operation
from vallum.policy import refused
from vallum.schema import Field, Model

if TYPE_CHECKING:
    from vallum.enforce.session.connection import GuardedConnection

__all__ = ["Writes"]

_IDS: Final = postgresql.ARRAY(sa.BigInteger())
_UIDS: Final = {"create": ("create_uid", "write_uid"), "write": ("write_uid",)}
Params = list[dict[str, Any]]


class Writes:
    """The checks of one session's statements, in its own transaction."""

    def __init__(self, criteria: Criteria) -> None:
        self.criteria = criteria
        self.flushing = False
        self.created: set[tuple[str, int]] = set()
        # Models and relation tables that were written, and those that lost rows.
        self.written: set[str] = set()
        self.gone: set[str] = set()
        self.stamping = Stamping(criteria)
        self.refusal: tuple[object, Exception] | None = None

    def ended(self) -> None:
        """The transaction is over: let the application read anew what was written, if it lives on it."""
        self.created.clear()
        self.stamping.ended()
        self.criteria.application.changed(self.written, self.gone)
        self.written.clear()
        self.gone.clear()

    def check_refusal(self) -> None:
        """Raises what was refused while its rows are still there."""
        if self.refusal is not None:
            raise self.refusal[1]

    def run(self, connection: GuardedConnection, statement: Any, given: Any, options: Any) -> Any:
        """Check a statement that writes, run it, and check what it made.

        Raises: AccessDenied, UnsupportedDomain.
        """
        if self.criteria.application.schema.source != "sqlalchemy":
            raise AccessDenied(
                "an Odoo database is only read: what its records must be is in Odoo's own code",
                fix="write through Odoo",
            )
        self.stamping.say(connection)
        table = statement.table
        if not isinstance(table, sa.TableClause) or getattr(table, "schema", None):
            raise AccessDenied("a statement that writes to what is no table of the policy")
        criteria, many = self.criteria, isinstance(given, Sequence)
        params: Params = [dict(p) for p in given] if many else [dict(given)] if given else []
        if table.name in criteria.extra:
            return connection.run(statement, given, options)
        model = criteria.tables.models.get(table.name)
        name = table.name if model is None else model.name
        self.written.add(name)
        if isinstance(statement, sa.Delete):
            self.gone.add(name)
        if model is None:
            self._check_links(connection, table, statement, params)
            return connection.run(statement, given, options)
        if isinstance(statement, sa.Insert):
            return self._insert(connection, model, statement, params, many, options)
        return self._change(connection, model, statement, params, many, options)

    # rows of models

    def _insert(
        self,
        connection: GuardedConnection,
        model: Model,
        statement: Any,
        params: Params,
        many: bool,
        options: Any,
    ) -> Any:
        self._check_right(model, Operation.CREATE)
        clause = statement._post_values_clause
        if clause is not None and type(clause) is not OnConflictDoNothing:
            raise AccessDenied(
                f"an insert that changes records of `{model.name}` where they exist",
                fix="update them by a statement of its own",
            )
        empty = {key for p in params for key in p} - {
            k for p in params for k, v in p.items() if v is not None
        }
        self._check_fields(model, self._columns(statement, params) - self._names(statement, empty))
        statement, params = self._stamp(model, statement, params, "create")
        if not self._restricted(model, Operation.CREATE):
            return connection.run(statement, _given(params, many), options)
        query = check_statement(self.criteria.eyes, model, Operation.CREATE)
        with nullcontext() if self.flushing else connection.begin_nested():
            result, ids = self._inserted(connection, model, statement, params, many, options)
            try:
                self._check_ids(connection, model, ids, Operation.CREATE, query)
            except Exception as error:
                if self.flushing:
                    # The flush takes the rows back, unless somebody's handler catches this on the way.
                    self.refusal = (self.stamping.level(), error)
                raise
        if clause is None:
            self.created.update((model.name, i) for i in ids)
        return result

    def _inserted(
        self,
        connection: GuardedConnection,
        model: Model,
        statement: Any,
        params: Params,
        many: bool,
        options: Any,
    ) -> tuple[Any, list[int]]:
        """Run an insert, and tell the ids of the new rows."""
        given = _given(params, many)
        # What a statement says itself wins over its parameters.
        if params and says_nothing(statement) and all(isinstance(p.get("id"), int) for p in params):
            return connection.run(statement, given, options), [p["id"] for p in params]
        single = len(params) <= 1 and not many and statement.select is None and not statement._multi_values
        if statement._returning or not (single or statement._return_defaults):
            if statement._returning:
                raise AccessDenied(
                    f"an insert into `{model.name}` whose new ids cannot be told",
                    fix="add objects to the session, or leave `returning` out",
                )
            result = connection.run(statement.returning(statement.table.c.id), given, options)
            return result, [row[-1] for row in result]
        result = connection.run(statement, given, options)
        keys = [result.inserted_primary_key] if single else result.inserted_primary_key_rows
        return result, [key[0] for key in keys if key is not None and key[0] is not None]

    def _change(
        self,
        connection: GuardedConnection,
        model: Model,
        statement: Any,
        params: Params,
        many: bool,
        options: Any,
    ) -> Any:
        operation = Operation.WRITE if isinstance(statement, sa.Update) else Operation.UNLINK
        self._check_right(model, operation)
        query = check_statement(self.criteria.eyes, model, operation, locked=True)
        keys = id_keys(statement)
        wanted = [p.get(k) for p in params for k in keys]
        if operation is Operation.WRITE:
            bound = {b.key for b in binds(statement.whereclause)}
            changes = [{k: v for k, v in p.items() if k not in bound} for p in params]
            self._check_changed(model, self._columns(statement, changes))
        if keys and params and all(isinstance(i, int) for i in wanted):
            ids = [int(i) for i in wanted if i is not None]
        elif many:
            raise AccessDenied(
                f"a statement on `{model.name}` whose records cannot be told",
                fix="name them by their `id`",
            )
        else:
            statement, ids = self._narrowed(connection, statement, params)
        self._check_ids(connection, model, ids, operation, query)
        if operation is Operation.WRITE:
            statement, params = self._stamp(model, statement, params, "write")
        return connection.run(statement, _given(params, many), options)

    def _narrowed(
        self, connection: GuardedConnection, statement: Any, params: Params
    ) -> tuple[Any, list[int]]:
        """A bulk statement on just the rows that it finds and the actor may read, which are locked."""
        own = statement.table.c.id
        where = () if statement.whereclause is None else (statement.whereclause,)
        found = sa.select(own).where(*where).with_for_update(of=statement.table)
        ids = sorted({row[0] for row in connection.run(found, params[0] if params else None, None)})
        chosen = own == sa.any_(sa.bindparam(None, ids, _IDS))
        return statement.where(chosen), ids

    # rows of relation tables

    def _check_links(self, connection: Any, table: Any, statement: Any, params: Params) -> None:
        """Raises AccessDenied unless one of the fields over the table may be changed for each row."""
        fields = self.criteria.tables.relations.get(table.name)
        if fields is None:
            raise AccessDenied(f"no policy covers the table `{table.name}`")
        if self.criteria.eyes.access is None:
            return
        first, second = links_of(fields[0])
        keys = [bound_to(statement, table, column) for column, _ in (first, second)]
        if isinstance(statement, sa.Insert):
            keys = [first[0], second[0]]
        pairs = [tuple(p.get(key or "") for key in keys) for p in params]
        simple = isinstance(statement, sa.Delete) or (
            isinstance(statement, sa.Insert) and says_nothing(statement) and not statement._post_values_clause
        )
        if not pairs or not simple or not all(isinstance(i, int) for pair in pairs for i in pair):
            raise AccessDenied(
                f"a statement on `{table.name}` whose rows cannot be told",
                fix="change the relationship of an object, or give both columns as parameters",
            )
        by_column: dict[str, list[Any]] = {first[0]: [p[0] for p in pairs], second[0]: [p[1] for p in pairs]}
        reasons: list[AccessDenied] = []
        for field in fields:
            try:
                self._check_link(connection, field, by_column)
            except AccessDenied as error:
                reasons.append(error)
            else:
                return
        raise reasons[0]

    def _check_link(self, connection: Any, field: Field, by_column: Mapping[str, list[int]]) -> None:
        """Raises AccessDenied unless the records of the field are the actor's to change."""
        eyes, schema = self.criteria.eyes, self.criteria.application.schema
        eyes.check_field(field)
        owner, other = schema.model(field.model), schema.model(field.comodel or "")
        old = [i for i in by_column[field.column1 or ""] if (owner.name, i) not in self.created]
        if old:
            self._check_right(owner, Operation.WRITE)
            query = check_statement(eyes, owner, Operation.WRITE)
            self._check_ids(connection, owner, old, Operation.WRITE, query)
        far = [i for i in by_column[field.column2 or ""] if (other.name, i) not in self.created]
        if far:
            eyes.check_open(other)
            query = check_statement(eyes, other, Operation.READ)
            self._check_ids(connection, other, far, Operation.READ, query)

    # what is asked of each

    def _check_right(self, model: Model, operation: Operation) -> None:
        access = self.criteria.eyes.access
        if access is not None and not access.may(model, operation):
            raise refused(access.policy, access.actor, operation, model.name)

    def _restricted(self, model: Model, operation: Operation) -> bool:
        """Whether rules leave less than all records to the actor."""
        eyes = self.criteria.eyes
        return eyes.access is not None and eyes.access.rules(model, eyes.env(), operation) != ALWAYS

    def _check_ids(
        self, connection: Any, model: Model, ids: Iterable[int], operation: Operation, query: Any
    ) -> None:
        """Raises AccessDenied unless all the records are in the actor's scope for the operation."""
        wanted = list(dict.fromkeys(ids))
        if self.criteria.eyes.access is None or not wanted:
            return
        text, values = query
        found: set[int] = set()
        for some in batches(wanted):
            found.update(row[0] for row in connection.run_checked(text, {**values, "ids": some}))
        lacking = [i for i in wanted if i not in found]
        if lacking:
            raise missing(self.criteria.eyes, model, lacking, operation)

    def _check_fields(self, model: Model, columns: Iterable[str]) -> None:
        for column in columns:
            if self.criteria.shut(model.table, column):
                self.criteria.check_column(model.table, column)

    def _check_changed(self, model: Model, columns: set[str]) -> None:
        self._check_fields(model, columns)
        if "id" in columns:
            raise AccessDenied(f"the id of a record of `{model.name}` is never changed")
        if self.criteria.eyes.access is None:
            return
        for name in sorted(columns & model.fields.keys()):
            if model.fields[name].company_dependent:
                raise AccessDenied(
                    f"`{model.fields[name]}` holds the values of other companies too",
                    fix="write it by a statement that is allowed by name",
                )

    def _columns(self, statement: Any, params: Params) -> set[str]:
        """The columns that a statement sets."""
        keys: set[Any] = {key for p in params for key in p}
        keys.update(statement._values or ())
        if getattr(statement, "_ordered_values", None):
            keys.update(key for key, _ in statement._ordered_values)
        for rows in getattr(statement, "_multi_values", ()):
            for row in rows:
                if not isinstance(row, Mapping):
                    raise AccessDenied("values without their columns", fix="give them as dicts")
                keys.update(row)
        keys.update(getattr(statement, "_select_names", None) or ())
        return self._names(statement, keys)

    def _names(self, statement: Any, keys: Iterable[Any]) -> set[str]:
        """The columns that keys stand for: names, columns or attributes."""
        return {column_name(statement, key) for key in keys}

    def _stamp(self, model: Model, statement: Any, params: Params, kind: str) -> tuple[Any, Params]:
        """The statement with the actor as who made or changed the records."""
        user, columns = self.criteria.actor.user_id, statement.table.c
        fields = [model.fields[n] for n in _UIDS[kind] if n in model.fields]
        uids = {f.name: user for f in fields if f.stored and f.type == "many2one" and f.name in columns}
        if not uids:
            return statement, params
        if params and not statement._values:
            return statement, [{**p, **uids} for p in params]
        if getattr(statement, "_ordered_values", None) or getattr(statement, "_multi_values", None):
            raise AccessDenied(
                f"values of `{model.name}` that cannot take who changed them", fix="give them as parameters"
            )
        if isinstance(statement, sa.Insert) and statement.select is not None:
            raise AccessDenied(
                f"an insert into `{model.name}` from a query", fix="add objects to the session"
            )
        params = [{k: v for k, v in p.items() if k not in uids} for p in params]
        return statement.values({columns[name]: value for name, value in uids.items()}), params


def _given(params: Params, many: bool) -> Any:
    return params if many else params[0] if params else None
