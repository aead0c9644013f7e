"""The records of the security model while they are read: one per xml id, later ones merged in.

Pure. As when Odoo installs the modules: a record with an xml id that exists changes the
fields it gives and leaves the others; links are commands applied to what is there.
Invariant: every row and element that was seen has exactly one entry in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

from vallum.kernel import MalformedPolicy
from vallum.policy.readers.modules.literal import Command, Ref

__all__ = [
    "ACTION_TYPES",
    "ALIASES",
    "FIELDS",
    "IGNORED",
    "IRRELEVANT",
    "Entry",
    "Kind",
    "Ledger",
    "Outcome",
    "Record",
    "Records",
    "Scalar",
    "Value",
]


class Kind(StrEnum):
    """How a field's value is written."""

    TEXT = "text"
    BOOL = "bool"
    INT = "int"
    MODEL = "model"
    ONE = "one"
    MANY = "many"


class Outcome(StrEnum):
    """What became of a row or element; `merged`: it changed a record defined elsewhere."""

    LOADED = "loaded"
    MERGED = "merged"
    SKIPPED = "skipped"


_PERMISSIONS: Final = dict.fromkeys(("perm_read", "perm_write", "perm_create", "perm_unlink"), Kind.BOOL)
_ACTION: Final = {"name": Kind.TEXT, "groups_id": Kind.MANY}

ACTION_TYPES: Final[Mapping[str, Mapping[str, Kind]]] = MappingProxyType(
    {
        "ir.actions.act_window": {**_ACTION, "res_model": Kind.TEXT},
        "ir.actions.server": {**_ACTION, "model_id": Kind.MODEL},
        "ir.actions.report": {**_ACTION, "model": Kind.TEXT},
        "ir.actions.client": _ACTION,
        "ir.actions.act_url": _ACTION,
    }
)

FIELDS: Final[Mapping[str, Mapping[str, Kind]]] = MappingProxyType(
    {
        "res.groups": {
            "name": Kind.TEXT,
            "implied_ids": Kind.MANY,
            "implied_by_ids": Kind.MANY,
            "menu_access": Kind.MANY,
            "rule_groups": Kind.MANY,
        },
        "ir.model.access": {
            "name": Kind.TEXT,
            "model_id": Kind.MODEL,
            "group_id": Kind.ONE,
            "active": Kind.BOOL,
            **_PERMISSIONS,
        },
        "ir.rule": {
            "name": Kind.TEXT,
            "model_id": Kind.MODEL,
            "domain_force": Kind.TEXT,
            "groups": Kind.MANY,
            "active": Kind.BOOL,
            **_PERMISSIONS,
        },
        "ir.ui.menu": {
            "name": Kind.TEXT,
            "parent_id": Kind.ONE,
            "action": Kind.ONE,
            "groups_id": Kind.MANY,
            "sequence": Kind.INT,
            "active": Kind.BOOL,
        },
        "ir.model": {"model": Kind.TEXT},
        **ACTION_TYPES,
    }
)

# Odoo 19's names.
ALIASES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {(model, "group_ids"): "groups_id" for model in ("ir.ui.menu", *ACTION_TYPES)}
)

# Fields that decide nothing; any other field of these models is worth a note.
IGNORED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "res.groups": frozenset(
            {"api_key_duration", "category_id", "color", "comment", "privilege_id", "sequence", "share"}
            | {"user_ids", "users"}
        ),
        "ir.model.access": frozenset(),
        "ir.rule": frozenset({"global"}),
        "ir.ui.menu": frozenset({"web_icon", "web_icon_data"}),
    }
)

IRRELEVANT: Final = "not part of the security model"

# A link from the group's side is a link on the other record.
_INVERSE: Final = {
    "implied_by_ids": ("res.groups", "implied_ids"),
    "menu_access": ("ir.ui.menu", "groups_id"),
    "rule_groups": ("ir.rule", "groups"),
}

Scalar: TypeAlias = str | bool | int | Ref | None
Value: TypeAlias = Scalar | tuple[Command, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One CSV row, XML element or file: what it was for and what became of it."""

    source: str
    model: str
    xml_id: str | None = None
    outcome: Outcome = Outcome.LOADED
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every row and element that was seen, in the order of reading."""

    entries: tuple[Entry, ...] = ()

    @property
    def seen(self) -> int:
        """All of them."""
        return len(self.entries)

    @property
    def loaded(self) -> int:
        """Those that defined something in the policy."""
        return sum(e.outcome is Outcome.LOADED for e in self.entries)

    @property
    def merged(self) -> int:
        """Those that changed what another one defined."""
        return sum(e.outcome is Outcome.MERGED for e in self.entries)

    @property
    def skipped(self) -> tuple[Entry, ...]:
        """Those without effect, each with its reason."""
        return tuple(e for e in self.entries if e.outcome is Outcome.SKIPPED)


@dataclass(slots=True, eq=False)
class Record:
    """A record of the security model as the files up to here make it."""

    model: str
    xml_id: str | None
    source: str
    noupdate: bool = False
    values: dict[str, Scalar] = field(default_factory=dict)
    links: dict[str, dict[Ref, Ref]] = field(default_factory=dict)
    entries: list[int] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The xml id, or where the record stands."""
        return self.xml_id or self.source

    def change(self, name: str, changes: Iterable[Command]) -> None:
        """Apply link commands to the field `name`."""
        linked = self.links.setdefault(name, {})
        for command in changes:
            if command.verb == "set":
                linked.clear()
            for ref in command.refs:
                linked.pop(ref, None)
                if command.verb != "unlink":
                    linked[ref] = ref

    def refs(self) -> Iterator[tuple[str, Ref]]:
        """The records this one points at, with the field that does."""
        for name, value in self.values.items():
            if isinstance(value, Ref):
                yield name, value
        for name, linked in self.links.items():
            for ref in linked:
                yield name, ref


class Records:
    """All records in order of appearance, the ledger and the notes of one reading."""

    def __init__(self) -> None:
        self.by_id: dict[str, Record] = {}
        self.all: dict[Record, None] = {}
        self.notes: list[str] = []
        self._entries: list[Entry] = []

    def ledger(self) -> Ledger:
        """What became of everything seen."""
        return Ledger(tuple(self._entries))

    def note(self, text: str, where: str) -> None:
        """Tell the reader of the result something that may surprise."""
        self.notes.append(f"{where}: {text}")

    def skip(self, model: str, xml_id: str | None, source: str, reason: str) -> None:
        """Account for something without effect."""
        self._entries.append(
            Entry(source=source, model=model, xml_id=xml_id, outcome=Outcome.SKIPPED, reason=reason)
        )

    def settle(self, record: Record, outcome: Outcome, reason: str = "") -> None:
        """Say what became of a record; what came after its first entry was merged into it."""
        for index in record.entries:
            self._entries[index] = replace(self._entries[index], outcome=outcome, reason=reason)
            if outcome is Outcome.LOADED:
                outcome = Outcome.MERGED

    def write(
        self, model: str, xml_id: str | None, values: Mapping[str, Value], source: str, *, noupdate: bool
    ) -> Record:
        """Create the record, or change the fields given.

        Raises: MalformedPolicy (the xml id belongs to a record of another model).
        """
        record = self._record(model, xml_id, source, noupdate=noupdate)
        record.entries.append(len(self._entries))
        self._entries.append(Entry(source=source, model=model, xml_id=xml_id))
        for name, value in values.items():
            if not isinstance(value, tuple):
                record.values[name] = value
            elif name in _INVERSE:
                self._change_others(*_INVERSE[name], value, Ref(record.label, source))
            else:
                record.change(name, value)
        return record

    def delete(self, model: str, xml_id: str, source: str) -> None:
        """Remove a record, as `<delete id=…>` does; one that does not exist is passed over."""
        record = self.by_id.get(xml_id)
        if record is None:
            self.skip(model, xml_id, source, "there is no such record to delete")
            return
        _check_model(record, model, source)
        self.settle(record, Outcome.SKIPPED, f"deleted at {source}")
        self._entries.append(Entry(source=source, model=model, xml_id=xml_id, outcome=Outcome.MERGED))
        del self.by_id[record.label], self.all[record]

    def _record(self, model: str, xml_id: str | None, source: str, *, noupdate: bool) -> Record:
        record = self.by_id.get(xml_id) if xml_id else None
        if record is None:
            record = Record(model, xml_id, source, noupdate)
            self.all[record] = None
            self.by_id[record.label] = record
            return record
        _check_model(record, model, source)
        if record.noupdate != noupdate:
            kept = "keeps this change" if record.noupdate else "brings the first values back"
            self.note(f"`{xml_id}` changes {record.source}; an update of that module {kept}", source)
        return record

    def _change_others(self, model: str, name: str, changes: tuple[Command, ...], group: Ref) -> None:
        for command in changes:
            if command.verb == "set":
                for record in self.all:
                    if record.model == model and name in record.links:
                        record.change(name, (Command("unlink", (group,)),))
            for ref in command.refs:
                verb = "unlink" if command.verb == "unlink" else "link"
                other = self._record(model, ref.xml_id, ref.where, noupdate=False)
                other.change(name, (Command(verb, (group,)),))


def _check_model(record: Record, model: str, source: str) -> None:
    if record.model != model:
        raise MalformedPolicy(
            f"`{record.xml_id}` is a record of `{record.model}`, not of `{model}`",
            where=source,
            fix=f"it is defined at {record.source}; use another xml id",
        )
