"""Gather what the database has to hold: model by model, then what is between them, then users.

Pure but for the relations it is told of. What cannot be held exactly is locked: nobody gets
a grant on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

from vallum.domain.ast import Open
from vallum.enforce.application import Application
from vallum.enforce.roles.attachments import attachment_helper
from vallum.enforce.roles.base import FUNCTIONS
from vallum.enforce.roles.code import hidden_by_code
from vallum.enforce.roles.columns import Holders
from vallum.enforce.roles.expressions import Library
from vallum.enforce.roles.found import Relation
from vallum.enforce.roles.items import Item, Locked, Plan
from vallum.enforce.roles.links import Link, ends_readable, link_grant, link_items, links
from vallum.enforce.roles.names import RoleNames
from vallum.enforce.roles.people import Grants, role_items, user_items
from vallum.enforce.roles.scopes import COMPANIES, ModelRules, RuleCompiler
from vallum.enforce.roles.signed import link_view, model_view, schema_items
from vallum.enforce.roles.tables import helper_items, table_items, target, view_item
from vallum.enforce.roles.writes import (
    WRITES,
    is_guarded,
    link_grants,
    link_policies,
    link_writers,
    model_grants,
    refer_item,
    sequence_grant,
    stamp_item,
    unwritable,
)
from vallum.kernel import Operation, Progress, VallumError
from vallum.policy import Actor
from vallum.schema import Model

__all__ = ["Planner"]

CURRENT_COMPANY: Final = Open("company_id", False)


class Planner:
    """Gathers a plan model by model: `model` for each, then `links` and `bystanders`, then `plan`."""

    def __init__(
        self,
        application: Application,
        relations: Mapping[str, Relation],
        names: RoleNames,
        schema: str,
        actors: list[Actor],
        code_models: bool,
        writable: bool,
    ) -> None:
        self.application, self.relations, self.names, self.schema = application, relations, names, schema
        self.actors, self.code_models, self.writable = actors, code_models, writable
        self.library = Library(schema, places={COMPANIES: 1, CURRENT_COMPANY: 2})
        self.compiler = RuleCompiler(
            application.policy, application.schema, application.lowering, application.env(None), self.library
        )
        self.holders = Holders(application, actors)
        self.without: frozenset[int] = frozenset()
        self.poolers: tuple[str, ...] = ()
        self.grants = Grants(names)
        self.tables: list[Item] = []
        self.late: list[Callable[[], list[Item]]] = []
        self.locked: list[Locked] = []
        self.read_only: list[Locked] = []
        self.warnings: list[str] = []
        self.ends: dict[str, Relation] = {}
        self.writes: dict[str, frozenset[Operation]] = {}
        self.restricted: set[str] = set()
        self.ruled: set[frozenset[int]] = set()
        self._owners: dict[str, str] = {}

    def leave_out(self, taken: Collection[str]) -> None:
        """Users and groups whose roles' names others have; before anything else."""
        self.without = frozenset(g for g in self.application.policy.groups if self.names.group(g) in taken)
        gone = [actor for actor in self.actors if self.names.user(actor.user_id) in taken]
        self.warnings += [
            f"{actor.login} gets no role: {self.names.user(actor.user_id)} is there, and not Vallum's"
            for actor in gone
        ]
        self.actors = [actor for actor in self.actors if actor not in gone]
        self.holders = Holders(self.application, self.actors)

    def model(self, model: Model) -> None:
        """The policies and grants of a model, or a lock."""
        relation = self.relations.get(model.table)
        if model.abstract or relation is None:
            return
        other = self._owners.setdefault(model.table, model.name)
        rules: list[ModelRules] = []
        try:
            reason = self._reason(model, relation, other)
            if reason is None:
                rules.append(self.compiler.rules(model))
                if relation.kind not in "vm":
                    rules += self._writing(model, relation, other)
                if other == model.name:
                    self._guard(relation, rules)
        except VallumError as error:
            reason = str(error)
        if reason is not None:
            self.locked.append(Locked(model.name, reason))
            self.writes.pop(model.name, None)
            return
        self.ends[model.name] = relation
        if any(of.restricted for of in rules) or relation.guarded:
            self.restricted.add(model.name)
        self._grant(model, relation, self.compiler.rules(model))

    def attachments(self, model: Model) -> None:
        """Attachments, which follow the records they belong to."""
        relation = self.relations.get(model.table)
        if relation is None:
            return
        reason = self._reason(model, relation, self._owners.setdefault(model.table, model.name), code=False)
        if reason is None:
            try:
                models = [self.application.schema.model(name) for name in self.ends]
                documents = [(of, self.compiler.rules(of)) for of in models]
                helper = attachment_helper(
                    self.application, self.library, relation, documents, self.compiler.within
                )
                rules = replace(self.compiler.rules(model), code=(helper,))
                self._guard(relation, [rules])
            except VallumError as error:
                reason = str(error)
        if reason is not None:
            self.locked.append(Locked(model.name, reason))
            return
        self.ends[model.name] = relation
        self.restricted.add(model.name)
        if self.writable:
            self.read_only.append(Locked(model.name, "code of its module decides who writes its records"))
        self._grant(model, relation, rules)

    def _guard(self, relation: Relation, rules: list[ModelRules]) -> None:
        if relation.kind in "vm":
            self.tables.append(view_item(relation, self.compiler, rules[0], self.schema))
            return
        self.tables += table_items(rules, relation, self.compiler, self.names, self.schema)
        self.ruled.update(of.ruled_groups for of in rules if of.ruled_groups)

    def _writing(self, model: Model, relation: Relation, other: str) -> list[ModelRules]:
        """The rules for writing, where the model may be written to; none otherwise."""
        if not self.writable:
            return []
        reason = unwritable(relation)
        if other != model.name:
            reason = f"it shares its table with `{other}`"
        if reason is not None:
            self.read_only.append(Locked(model.name, reason))
            return []
        found = []
        for operation in WRITES:
            try:
                rules = self.compiler.rules(model, operation)
                # What a policy cannot say shows only when it is written.
                self.compiler.policies(rules)
            except VallumError as error:
                self.read_only.append(Locked(model.name, f"{operation}: {error}"))
            else:
                found.append(rules)
        self.writes[model.name] = frozenset(rules.operation for rules in found)
        return found

    def _grant(self, model: Model, relation: Relation, rules: ModelRules) -> None:
        place = target(relation, self.schema)
        reading = self.holders.grants(model, relation.columns)
        for grant in reading:
            self.grants.add(place, grant)
        if self.poolers and self._owners[model.table] == model.name:
            view = model_view(relation, rules, reading, self.compiler, self.poolers, self.schema)
            self.tables += [view] if view else []
        operations = self.writes.get(model.name, frozenset())
        for grant in model_grants(self.holders, model, relation, operations):
            self.grants.add(place, grant)
        usage = sequence_grant(self.holders, model) if Operation.CREATE in operations else None
        if usage is not None and relation.sequence is not None:
            self.grants.add(f"SEQUENCE {relation.sequence}", usage)
        if not operations:
            return
        # Once it is known what may be read at all.
        self.late.append(lambda: self._refer(model, relation))
        stamp = stamp_item(relation, self.schema)
        if stamp is not None:
            self.tables.append(stamp)

    def _refer(self, model: Model, relation: Relation) -> list[Item]:
        item = refer_item(model, relation, self.ends, self.names, self.schema)
        return [] if item is None else [item]

    def _reason(self, model: Model, relation: Relation, other: str, *, code: bool = True) -> str | None:
        """Why a model cannot be held exactly, if anything keeps it."""
        if not relation.mine:
            return f"its table belongs to {relation.owner}"
        if relation.widened:
            return "a policy of others opens its table to everybody"
        if other != model.name and (
            self.compiler.rules(model).restricted or other in {locked.model for locked in self.locked}
        ):
            return f"it shares its table with `{other}`"
        for rule in self.application.policy.rules_by_model.get(model.name, ()):
            for group in sorted(rule.groups & self.without):
                return f"a role of others has the name of its rules' group: {self.names.group(group)}"
        return None if self.code_models or not code else hidden_by_code(model, self.application.named)

    def links(self) -> None:
        """Relation tables, once all models are known."""
        shut = {locked.model for locked in self.locked} | (
            self.application.schema.models.keys() - self.ends.keys()
        )
        found, locked = links(self.application.schema, self.relations, self._owners, shut)
        self.locked += locked
        circles = {model: self.holders.of_model(model) for model in self.ends}
        for link in found:
            grant = link_grant(link, circles, self.holders.of_field)
            if grant is not None:
                self.grants.add(target(link.relation, self.schema), grant)
                self.tables += self._signed(link)
            self._link(link, readable=grant is not None)

    def _signed(self, link: Link) -> list[Item]:
        if not self.poolers:
            return []
        rules = {model: self.compiler.rules(self.application.schema.model(model)) for _, model in link.ends}
        return [link_view(link, rules, self.compiler, self.poolers, self.schema)]

    def _link(self, link: Link, *, readable: bool) -> None:
        conditions = ends_readable(link, self.ends, self.restricted, self.schema)
        schema = self.application.schema
        opened = unwritable(link.relation) is None
        writable = [model for model, known in self.writes.items() if Operation.WRITE in known]
        writers = link_writers(link, schema, writable, self.holders) if opened else {}
        guarded = bool(writers) and is_guarded(writers, self.compiler, schema)
        for place, grant in link_grants(link, writers, self.schema):
            self.grants.add(place, grant)
        if not (conditions or guarded) or not (readable or writers):
            return
        self.tables += link_items(link, conditions, self.names, self.schema)
        if writers:
            self.late.append(
                lambda: link_policies(
                    link, writers, conditions, self.compiler, schema, self.grants, self.schema
                )
            )

    def bystanders(self) -> None:
        """What of others touches the plan, or reads past it."""
        guarded = {item.name for item in self.tables if item.kind == "row security"}
        for relation in self.relations.values():
            name = f"{self.schema}.{relation.name}"
            if relation.public:
                self.warnings.append(f"everybody may read columns of {name}: revoke it from PUBLIC")
            if relation.foreign:
                self.warnings.append(f"{name} has policies of others: {', '.join(relation.foreign)}")
            elif relation.guarded:
                self.warnings.append(f"{name} has row level security of others, which hides its rows")
            if relation.name in guarded and relation.readers:
                self.warnings.append(
                    f"{', '.join(relation.readers)} may read {name}, and will see no row of it:"
                    " give them BYPASSRLS or a policy"
                )

    def plan(self, progress: Progress) -> Plan:
        """The plan, in the order it is carried out."""
        # They want roles that are named by all grants, and may want helpers.
        late = [item for items in self.late for item in items()]
        items = [
            Item("functions", "all", FUNCTIONS, ""),
            *role_items(self.application, self.names, self.schema, self.ruled, self.without),
            *(schema_items(self.poolers) if self.poolers else ()),
            *helper_items(self.library.helpers.values()),
            *self.tables,
            *self.grants.items(),
            *late,
            *user_items(
                self.application,
                self.actors,
                self.names,
                self.schema,
                self.grants,
                self.ruled,
                self.without,
                self.library,
                self.warnings,
                progress,
            ),
        ]
        return Plan(
            self.names,
            tuple(items),
            tuple(self.locked),
            tuple(self.warnings),
            tuple(self.read_only),
            self.writable,
            self.schema,
        )
