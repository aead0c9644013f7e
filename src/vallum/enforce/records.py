"""Read the records that rule expressions mention: `user.partner_id`, `user.employee_ids`.

As superuser, with the user's own company and inactive records of x2many fields left
out, as Odoo evaluates rules. Values are kept for the life of the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from vallum.domain import TRUE, Env, Lowering, root
from vallum.domain.filter import Ids, Plain, Ref, Within, every
from vallum.domain.sql import Scope
from vallum.enforce.statement import compiled
from vallum.kernel import UnsupportedDomain
from vallum.postgres import Database
from vallum.schema import Field, Model, Schema

if TYPE_CHECKING:
    from vallum.policy import Policy

__all__ = ["SqlRecordReader"]


class SqlRecordReader:
    """Implements `vallum.domain.RecordReader` over a database.

    `seen` is told the models and relation tables whose records were read.
    """

    def __init__(
        self,
        database: Database,
        lowering: Lowering,
        policy: Policy,
        env: Env,
        seen: set[str] | None = None,
    ) -> None:
        self._seen = set() if seen is None else seen
        self._database = database
        self._lowering = lowering
        self._policy = policy
        self._env = env.sudo().with_active_test(True)
        self._known: dict[tuple[str, str], dict[int, Any]] = {}

    @property
    def schema(self) -> Schema:
        """The schema the records are of."""
        return self._env.schema

    def read(self, model: str, ids: Sequence[int], field: str) -> Mapping[int, Any]:
        """Per id the value: a scalar, an id or None for a many2one, ids for an x2many.

        Raises: UnknownField, UnsupportedDomain (the field is computed in code).
        """
        known = self._known.setdefault((model, field), {})
        missing = [i for i in dict.fromkeys(ids) if i not in known]
        if missing:
            known.update(dict.fromkeys(missing))
            known.update(self._read(self.schema.model(model), missing, field))
        return {i: known[i] for i in ids}

    def changed(self) -> bool:
        """Whether a value that was read is another one now.

        Raises: ConnectionFailed.
        """
        now = SqlRecordReader(self._database, self._lowering, self._policy, self._env)
        for (model, field), values in list(self._known.items()):
            known = dict(values)
            if now.read(model, list(known), field) != known:
                return True
        return False

    def _read(self, model: Model, ids: Sequence[int], name: str) -> Mapping[int, Any]:
        self._seen.add(model.name)
        computed = _COMPUTED.get((model.name, name))
        if computed is not None:
            return computed(self, ids)
        field = model.field(name)
        path = _PATHS.get((model.name, name)) or field.related
        if path and not field.stored:
            return self._along(model, ids, path)
        if field.type == "one2many" and field.stored:
            return self._one2many(ids, field)
        if field.type == "many2many" and field.stored:
            return self._many2many(ids, field)
        return self._column(model, ids, field)

    def _column(self, model: Model, ids: Sequence[int], field: Field) -> Mapping[int, Any]:
        scope = Scope(root(model))
        own = scope.ref(Ref(scope.root, "id", Plain("int4")))
        try:
            value = scope.ref(self._lowering.ref(field, self._env, scope.root))
        except UnsupportedDomain as error:
            raise UnsupportedDomain(
                f"`{field}` is computed in code", fix="rewrite the rule without it"
            ) from error
        chosen = own == sa.any_(sa.bindparam(None, list(ids)))
        return dict(self._rows(sa.select(own, value).select_from(scope.from_clause()).where(chosen)))

    def _along(self, model: Model, ids: Sequence[int], path: Sequence[str]) -> Mapping[int, Any]:
        """Values at the end of a path of many2one fields."""
        at: dict[int, Any] = {i: i for i in ids}
        for name in path[:-1]:
            step = model.field(name)
            if step.type != "many2one":
                raise UnsupportedDomain(f"`{step}` holds several records on the path {'.'.join(path)}")
            values = self.read(model.name, [i for i in at.values() if i], name)
            at = {i: values.get(where) if where else None for i, where in at.items()}
            model = self.schema.model(step.comodel or "")
        values = self.read(model.name, [i for i in at.values() if i], path[-1])
        return {i: values.get(where) if where else None for i, where in at.items()}

    def _one2many(self, ids: Sequence[int], field: Field) -> Mapping[int, Any]:
        comodel, inverse = self._lowering.inverse(field, self._env)
        self._seen.add(comodel.name)
        scope = Scope(root(comodel))
        env = self._env.through(field)
        where = self._lowering.search(comodel, self._lowering.field_domain(field, env), env)
        back = scope.ref(self._lowering.ref(inverse, env, scope.root))
        own = scope.ref(Ref(scope.root, "id", Plain("int4")))
        condition = sa.and_(scope.where(where), back == sa.any_(sa.bindparam(None, list(ids))))
        rows = self._rows(
            sa.select(back, own).select_from(scope.from_clause()).where(condition).order_by(own)
        )
        return _collected(ids, rows)

    def _many2many(self, ids: Sequence[int], field: Field) -> Mapping[int, Any]:
        comodel = self._lowering.comodel(field, self._env)
        self._seen.update((comodel.name, field.relation or ""))
        env = self._env.through(field)
        where = self._lowering.search(comodel, self._lowering.field_domain(field, env), env)
        link = sa.table(field.relation or "", sa.column(field.column1 or ""), sa.column(field.column2 or ""))
        own, other = link.c[field.column1 or ""], link.c[field.column2 or ""]
        scope = Scope(root(comodel))
        condition = scope.where(where)
        found = scope.ref(Ref(scope.root, "id", Plain("int4")))
        allowed = sa.select(found).select_from(scope.from_clause()).where(condition)
        chosen = own == sa.any_(sa.bindparam(None, list(ids)))
        rows = self._rows(sa.select(own, other).where(chosen, other.in_(allowed)).order_by(other))
        return _collected(ids, rows)

    def _rows(self, statement: sa.Select[Any]) -> Sequence[tuple[Any, ...]]:
        text, values = compiled(statement)
        return self._database.rows(text, values)

    # fields that Odoo computes

    def _employee(self, users: Sequence[int]) -> Mapping[int, Any]:
        employees = self._employees(users)
        return {user: found[-1] if found else None for user, found in employees.items()}

    def _employees(self, users: Sequence[int]) -> Mapping[int, Any]:
        """Active employees of a user in the user's own company."""
        model = self.schema.model("hr.employee")
        self._seen.add(model.name)
        companies = self.read("res.users", users, "company_id")
        employee_users = self._members(model, "user_id", users)
        employee_companies = self.read(model.name, [e for e, _ in employee_users], "company_id")
        return _collected(
            users, [(user, e) for e, user in employee_users if employee_companies[e] == companies[user]]
        )

    def _members(self, model: Model, field: str, values: Sequence[int]) -> list[tuple[int, int]]:
        scope = Scope(root(model))
        own = scope.ref(Ref(scope.root, "id", Plain("int4")))
        ref = self._lowering.ref(model.field(field), self._env, scope.root)
        value = scope.ref(ref)
        active = self._lowering.search(model, _EVERYTHING, self._env)
        condition = scope.where(every((Within(ref, Ids(tuple(values))), active)))
        statement = sa.select(own, value).select_from(scope.from_clause()).where(condition).order_by(own)
        return [(row[0], row[1]) for row in self._rows(statement)]

    def _closed_groups(self, users: Sequence[int]) -> Mapping[int, Any]:
        explicit = self.read("res.users", users, "group_ids")
        return {user: tuple(sorted(self._policy.close(explicit[user] or ()))) for user in users}

    def _group_names(self, groups: Sequence[int]) -> Mapping[int, Any]:
        return {g: self._policy.groups[g].xml_id for g in groups if g in self._policy.groups}


_EVERYTHING: Final = TRUE
_COMPUTED: Final[Mapping[tuple[str, str], Callable[[SqlRecordReader, Sequence[int]], Mapping[int, Any]]]] = {
    ("res.users", "employee_id"): SqlRecordReader._employee,
    ("res.users", "employee_ids"): SqlRecordReader._employees,
    ("res.users", "all_group_ids"): SqlRecordReader._closed_groups,
    ("res.groups", "xml_id"): SqlRecordReader._group_names,
}
# Fields of a company that Odoo computes from its contact.
_PATHS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("res.company", name): ("partner_id", name)
    for name in ("street", "street2", "zip", "city", "state_id", "country_id")
}


def _collected(ids: Sequence[int], rows: Sequence[tuple[Any, ...]]) -> dict[int, Any]:
    found: dict[int, list[int]] = {i: [] for i in ids}
    for key, value in rows:
        found[key].append(value)
    return {key: tuple(values) for key, values in found.items()}
