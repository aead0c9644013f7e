"""Make the policy of the records that were read: ids, references, model names.

Pure. Ids are given in order of appearance. Invariant: a reference that nothing defines
never widens access: it is an error, or a group that nobody belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from vallum.kernel import MalformedPolicy, MissingReference, Operation
from vallum.policy.model import AccessRight, Action, Group, Menu, Policy, RecordRule
from vallum.policy.readers.modules.literal import Ref
from vallum.policy.readers.modules.records import ACTION_TYPES, IRRELEVANT, Outcome, Record, Records

__all__ = ["ModelNames", "assemble"]

_GROUP: Final = "res.groups"
_MENU: Final = "ir.ui.menu"
_ACTIONS: Final = "ir.actions"
_TARGETS: Final = {
    "implied_ids": _GROUP,
    "group_id": _GROUP,
    "groups": _GROUP,
    "groups_id": _GROUP,
    "parent_id": _MENU,
    "action": _ACTIONS,
}
# The field without which a record only changes one that another module defines; else `name`.
_DEFINING: Final = {"ir.model.access": "model_id", "ir.rule": "model_id", "ir.model": "model"}
# Records that may change something unknown: alone, they decide nothing.
_FREE: Final = frozenset({"ir.model", *ACTION_TYPES})
_UNDEFINED: Final = "changes a record that none of these modules defines"
_NAMING_A_MODEL: Final = {"ir.actions.act_window": "res_model", "ir.actions.report": "model"}


class ModelNames:
    """Model names by xml id: `sale.model_sale_order` is `sale.order`, if somebody knows that model."""

    def __init__(
        self, models: Iterable[str], by_module: Mapping[str, frozenset[str]], records: Records
    ) -> None:
        self._records = records
        self._by_module = by_module
        self._by_suffix: dict[str, set[str]] = {}
        for model in (*models, *(m for names in by_module.values() for m in names)):
            self._by_suffix.setdefault(model.replace(".", "_"), set()).add(model)
        self._guessed: set[str] = set()

    def resolve(self, ref: Ref) -> str:
        """The name of the model that an xml id stands for.

        Raises: MalformedPolicy (not a model's xml id, or several models could be meant).
        """
        record = self._records.by_id.get(ref.xml_id)
        if record is not None and record.model == "ir.model" and record.values.get("model"):
            return str(record.values["model"])
        module, _, name = ref.xml_id.partition(".")
        suffix = name.removeprefix("model_")
        if suffix == name or not suffix:
            raise MalformedPolicy(
                f"`{ref.xml_id}` is not a model", where=ref.where, fix="write model_ and the model's name"
            )
        known = self._by_suffix.get(suffix, set())
        found = (known & self._by_module.get(module, frozenset())) or known
        if len(found) > 1:
            names = " or ".join(f"`{n}`" for n in sorted(found))
            raise MalformedPolicy(f"`{ref.xml_id}` may be {names}", where=ref.where)
        if found:
            return next(iter(found))
        model = suffix.replace("_", ".")
        if model not in self._guessed:
            self._guessed.add(model)
            self._records.note(f"`{ref.xml_id}` is taken for `{model}`; no source names it", ref.where)
        return model


def assemble(
    records: Records,
    names: ModelNames,
    *,
    given: frozenset[str],
    field_refs: Iterable[Ref] = (),
    strict: bool,
    source: str,
) -> tuple[Policy, frozenset[str]]:
    """The policy, and the xml ids it needs that nothing here defines.

    `given` are the modules that were read, `field_refs` the groups of fields.

    Raises: MissingReference (with `strict`), MalformedPolicy, CyclicHierarchy.
    """
    assembling = _Assembling(records, names)
    missing = _missing(records, given, field_refs)
    if strict and missing:
        ref = next(iter(missing))
        raise MissingReference(
            f"nothing defines the {_noun(missing[ref])} `{ref.xml_id}`",
            where=ref.where,
            fix="give the module that does as well, or correct the xml id",
        )
    assembling.number(missing)
    policy = Policy.of(
        assembling.groups(),
        assembling.rights(),
        assembling.rules(),
        assembling.menus(),
        source=source,
    )
    assembling.settle_the_rest()
    return policy, frozenset(ref.xml_id for ref in missing)


def _missing(records: Records, given: frozenset[str], field_refs: Iterable[Ref]) -> dict[Ref, str]:
    """The references nothing defines, in order of appearance, each with the model it should be of.

    Raises: MalformedPolicy.
    """
    missing: dict[Ref, str] = {}

    def add(ref: Ref, model: str) -> None:
        if missing.setdefault(ref, model) != model:
            both = f"a {_noun(missing[ref])} and a {_noun(model)}"
            raise MalformedPolicy(f"`{ref.xml_id}` cannot be {both}", where=ref.where)

    for record in records.all:
        if not _is_defined(record) and record.model not in _FREE:
            if record.xml_id is None or record.xml_id.split(".")[0] in given:
                what = f"`{record.label}` has no `{_DEFINING.get(record.model, 'name')}`"
                raise MalformedPolicy(what, where=record.source)
            add(Ref(record.xml_id, record.source), record.model)
        for name, ref in record.refs():
            if (model := _TARGETS.get(name)) and not _finds(records, ref, model):
                add(ref, model)
    for ref in field_refs:
        if not _finds(records, ref, _GROUP):
            add(ref, _GROUP)
    return missing


def _finds(records: Records, ref: Ref, model: str) -> bool:
    """Whether the reference leads to a record that is defined.

    Raises: MalformedPolicy (to one of another model).
    """
    record = records.by_id.get(ref.xml_id)
    if record is None:
        return False
    if record.model != model and not (model == _ACTIONS and record.model in ACTION_TYPES):
        raise MalformedPolicy(
            f"`{ref.xml_id}` is a record of `{record.model}`, not a {_noun(model)}", where=ref.where
        )
    return _is_defined(record)


def _is_defined(record: Record) -> bool:
    name = _DEFINING.get(record.model, "name")
    # A menu without a name takes its action's; anything else needs a value.
    return name in record.values if record.model == _MENU else bool(record.values.get(name))


def _noun(model: str) -> str:
    return {_GROUP: "group", _MENU: "menu", _ACTIONS: "action"}.get(model, f"`{model}`")


class _Assembling:
    """Numbers for the records, then the items of the policy made of them."""

    def __init__(self, records: Records, names: ModelNames) -> None:
        self.records = records
        self.names = names
        self.group_ids: dict[Ref, int] = {}
        self.menu_ids: dict[Ref, int] = {}
        self.external: dict[Ref, str] = {}
        self.settled: set[Record] = set()

    def number(self, missing: Mapping[Ref, str]) -> None:
        """Give groups and menus their ids: records first, then what is missing."""
        for ref, model in [*((Ref(r.label), r.model) for r in self.records.all), *missing.items()]:
            if model == _GROUP:
                self.group_ids.setdefault(ref, len(self.group_ids) + 1)
            elif model == _MENU:
                self.menu_ids.setdefault(ref, len(self.menu_ids) + 1)
        self.external = dict(missing)

    def groups(self) -> Iterator[Group]:
        """All groups; one that is missing has no members and implies what was said of it."""
        for ref, number in self.group_ids.items():
            record = self.records.by_id.get(ref.xml_id)
            if record is None:
                yield Group(id=number, name=ref.xml_id, xml_id=ref.xml_id, source=ref.where)
                continue
            self._settle(record, Outcome.MERGED if ref in self.external else Outcome.LOADED)
            yield Group(
                id=number,
                name=str(record.values.get("name") or record.label),
                xml_id=record.xml_id,
                implied=self._group_set(record, "implied_ids"),
                source=record.source,
            )

    def rights(self) -> Iterator[AccessRight]:
        """The access rights that are active."""
        for number, record in enumerate(self._active("ir.model.access"), start=1):
            group = record.values.get("group_id")
            yield AccessRight(
                id=number,
                name=str(record.values.get("name") or record.label),
                model=self._model(record),
                group=self.group_ids[group] if isinstance(group, Ref) else None,
                operations=_operations(record, default=False),
                xml_id=record.xml_id,
                source=record.source,
            )

    def rules(self) -> Iterator[RecordRule]:
        """The record rules that are active and have an operation."""
        for number, record in enumerate(self._active("ir.rule"), start=1):
            yield RecordRule(
                id=number,
                name=str(record.values.get("name") or record.label),
                model=self._model(record),
                domain=str(record.values.get("domain_force") or "[]"),
                groups=self._group_set(record, "groups"),
                operations=_operations(record, default=True),
                xml_id=record.xml_id,
                source=record.source,
            )

    def menus(self) -> Iterator[Menu]:
        """All menus; one that is missing is a folder without groups."""
        action_ids = {r: i for i, r in enumerate((r for r in self.records.all if r.model in ACTION_TYPES), 1)}
        for ref, number in self.menu_ids.items():
            record = self.records.by_id.get(ref.xml_id)
            if record is None or ref in self.external:
                if record is not None:
                    self._settle(record, Outcome.SKIPPED, _UNDEFINED)
                yield Menu(id=number, name=ref.xml_id, xml_id=ref.xml_id, source=ref.where)
                continue
            self._settle(record, Outcome.LOADED)
            parent = record.values.get("parent_id")
            action = self._action(record)
            name = record.values.get("name") or (action and action.values.get("name"))
            sequence = record.values.get("sequence")
            yield Menu(
                id=number,
                name=str(name or (record.xml_id or "?").partition(".")[2]),
                parent=self.menu_ids[parent] if isinstance(parent, Ref) else None,
                action=self._opened(action, action_ids[action]) if action else None,
                groups=self._group_set(record, "groups_id"),
                sequence=sequence if isinstance(sequence, int) else 10,
                active=bool(record.values.get("active", True)),
                xml_id=record.xml_id,
                source=record.source,
            )

    def settle_the_rest(self) -> None:
        """Account for the records that are not items of the policy themselves."""
        for record in self.records.all:
            if record in self.settled:
                continue
            if record.model in ACTION_TYPES:
                self._settle(record, Outcome.SKIPPED, "no menu opens this action")
            elif not _is_defined(record):
                self._settle(record, Outcome.SKIPPED, IRRELEVANT)
            else:
                self._settle(record, Outcome.LOADED)

    def _active(self, model: str) -> Iterator[Record]:
        for record in self.records.all:
            if record.model != model:
                continue
            if not _is_defined(record):
                self._settle(record, Outcome.SKIPPED, _UNDEFINED)
            elif not record.values.get("active", True):
                self._settle(record, Outcome.SKIPPED, "inactive")
            elif model == "ir.rule" and not _operations(record, default=True):
                self._settle(record, Outcome.SKIPPED, "a rule for no operation")
            else:
                self._settle(record, Outcome.LOADED)
                yield record

    def _action(self, menu: Record) -> Record | None:
        ref = menu.values.get("action")
        if not isinstance(ref, Ref):
            return None
        if ref in self.external:
            self.records.note(f"the action `{ref.xml_id}` is not known: the menu opens nothing", ref.where)
            return None
        return self.records.by_id[ref.xml_id]

    def _opened(self, record: Record, number: int) -> Action:
        self._settle(record, Outcome.LOADED)
        if isinstance(ref := record.values.get("model_id"), Ref):
            model: str | None = self.names.resolve(ref)
        else:
            named = record.values.get(_NAMING_A_MODEL.get(record.model, "model_id"))
            model = str(named) if named else None
        return Action(type=record.model, id=number, model=model, groups=self._group_set(record, "groups_id"))

    def _model(self, record: Record) -> str:
        value = record.values["model_id"]
        return self.names.resolve(value) if isinstance(value, Ref) else str(value)

    def _group_set(self, record: Record, name: str) -> frozenset[int]:
        return frozenset(self.group_ids[ref] for ref in record.links.get(name, ()))

    def _settle(self, record: Record, outcome: Outcome, reason: str = "") -> None:
        if record not in self.settled:
            self.settled.add(record)
            self.records.settle(record, outcome, reason)


def _operations(record: Record, *, default: bool) -> frozenset[Operation]:
    return frozenset(o for o in Operation if record.values.get(f"perm_{o.value}", default))
