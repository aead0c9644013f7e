"""Read XML data files: records of the security model, menus, deletions.

Every element Odoo would act on gets an entry in the ledger, also those that decide nothing.
Invariant: no entity is expanded and nothing outside the file is read; a DOCTYPE is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lxml import etree

from vallum.kernel import MalformedPolicy
from vallum.policy.readers.modules.csv_file import boolean
from vallum.policy.readers.modules.literal import Command, Evaluated, Ref, commands, evaluate, qualify
from vallum.policy.readers.modules.records import ALIASES, FIELDS, IGNORED, IRRELEVANT, Kind, Records, Value

__all__ = ["XmlFile"]

_ROOTS: Final = frozenset({"odoo", "openerp", "data"})
# The field of a nested record that points back at the record around it.
_OWNER: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("ir.model", "access_ids"): "model_id",
        ("ir.model", "rule_ids"): "model_id",
        ("res.groups", "model_access"): "group_id",
        ("ir.ui.menu", "child_id"): "parent_id",
    }
)


class XmlFile:
    """One file of a module; `read` writes what it holds into `records`.

    `known` are the modules that may define a record this reading does not see.
    """

    def __init__(
        self, *, module: str, label: str, records: Records, known: frozenset[str], strict: bool
    ) -> None:
        self.module = module
        self.label = label
        self.records = records
        self.known = known
        self.strict = strict

    def read(self, raw: bytes) -> None:
        """Read the file's bytes.

        Raises: MalformedPolicy, ForbiddenExpression.
        """
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        try:
            root = etree.fromstring(raw, parser)
        except etree.XMLSyntaxError as error:
            where = f"{self.label}:{error.lineno or 1}"
            raise MalformedPolicy(f"not an XML file: {error.msg}", where=where) from error
        if root.getroottree().docinfo.internalDTD is not None:
            line = raw[: max(raw.find(b"<!DOCTYPE"), 0)].count(b"\n") + 1
            raise MalformedPolicy(
                "a document type or entities are not read",
                where=f"{self.label}:{line}",
                fix="remove the DOCTYPE and write the text out",
            )
        if root.tag not in _ROOTS:
            raise self._malformed(root, f"the root is <{root.tag!s}>", "use <odoo>")
        self._children(root, noupdate=False)

    # -- elements ---------------------------------------------------------------------

    def _children(self, root: etree._Element, *, noupdate: bool) -> None:
        noupdate = _flag(root, "noupdate", default=noupdate)
        for element in root.iterchildren(tag=etree.Element):
            match element.tag:
                case "odoo" | "openerp" | "data":
                    self._children(element, noupdate=noupdate)
                case "record":
                    self._record(element, noupdate=noupdate)
                case "menuitem":
                    self._menuitem(element, None, noupdate=noupdate)
                case "delete":
                    self._delete(element)
                case "template":
                    self._skip(element, "ir.ui.view", IRRELEVANT)
                case "function":
                    self._function(element)
                case _:
                    self._skip(element, str(element.tag), "an element Odoo passes over")

    def _record(
        self, element: etree._Element, *, noupdate: bool, owner: Mapping[str, Value] | None = None
    ) -> None:
        model = element.get("model")
        if not model:
            raise self._malformed(element, "a <record> without a model")
        xml_id = self._xml_id(element)
        if model not in FIELDS:
            self._skip(element, model, IRRELEVANT)
        elif reason := self._unwanted(element, xml_id):
            self._skip(element, model, reason)
        else:
            values = {**self._values(element, model), **(owner or {})}
            self.records.write(model, xml_id, values, self._where(element), noupdate=noupdate)
        for field in element.iterchildren("field"):
            back = _OWNER.get((model, field.get("name", "")))
            inner = {back: Ref(xml_id, self._where(field))} if back and xml_id else None
            for nested in field.iterchildren("record"):
                self._record(nested, noupdate=noupdate, owner=inner)

    def _unwanted(self, element: etree._Element, xml_id: str | None) -> str:
        """Why Odoo would not create the record, where it says forcecreate="0"."""
        if _flag(element, "forcecreate", default=True):
            return ""
        missing = [
            ref
            for field in element.iterchildren("field")
            if (ref := field.get("ref")) and not self._exists(qualify(ref, self.module, self._where(field)))
        ]
        if missing:
            return f"forcecreate is off and `{missing[0]}` does not exist"
        if xml_id and not xml_id.startswith(f"{self.module}.") and not self._exists(xml_id):
            return "forcecreate is off and there is no such record"
        return ""

    def _exists(self, xml_id: str) -> bool:
        module, name = xml_id.split(".")
        return xml_id in self.records.by_id or module in self.known or name.startswith("model_")

    def _menuitem(self, element: etree._Element, parent: Ref | None, *, noupdate: bool) -> None:
        where = self._where(element)
        xml_id = self._xml_id(element)
        if xml_id is None:
            raise self._malformed(element, "a <menuitem> without an id")
        if parent is None and (name := element.get("parent")):
            parent = Ref(qualify(name, self.module, where), where)
        values: dict[str, Value] = {
            "parent_id": parent,
            "active": _flag(element, "active", default=True),
            "name": element.get("name") or None,
        }
        if sequence := element.get("sequence"):
            values["sequence"] = self._integer(sequence, element)
        if action := element.get("action"):
            values["action"] = Ref(qualify(action, self.module, where), where)
        changes = []
        for group in filter(None, element.get("groups", "").split(",")):
            ref = Ref(qualify(group.removeprefix("-").strip(), self.module, where), where)
            changes.append(Command("unlink" if group.startswith("-") else "link", (ref,)))
        if changes:
            values["groups_id"] = tuple(changes)
        self.records.write("ir.ui.menu", xml_id, values, where, noupdate=noupdate)
        for child in element.iterchildren("menuitem"):
            self._menuitem(child, Ref(xml_id, self._where(child)), noupdate=noupdate)

    def _delete(self, element: etree._Element) -> None:
        model = element.get("model", "")
        xml_id = self._xml_id(element)
        if model not in FIELDS:
            self._skip(element, model, IRRELEVANT)
        elif xml_id:
            self.records.delete(model, xml_id, self._where(element))
        elif self.strict:
            raise self._malformed(element, f"a <delete> of `{model}` by search", "name the record by its id")
        else:
            self._skip(element, model, "a search needs the database")
            self.records.note(f"the deletion of `{model}` by search is not done", self._where(element))

    def _function(self, element: etree._Element) -> None:
        model, name = element.get("model", ""), element.get("name", "")
        self._skip(element, model, f"`{name}` is code, which is not run")
        if model in FIELDS:
            self.records.note(f"`{name}` of `{model}` may change the policy; not known", self._where(element))

    # -- fields -----------------------------------------------------------------------

    def _values(self, element: etree._Element, model: str) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for field in element.iterchildren("field"):
            name = field.get("name", "")
            name = ALIASES.get((model, name), name)
            if kind := FIELDS[model].get(name):
                values[name] = self._value(field, kind)
            elif name not in IGNORED.get(model, {name}) and "@" not in name and field.find("record") is None:
                self.records.note(f"the field `{name}` of `{model}` is not read", self._where(field))
        return values

    def _value(self, field: etree._Element, kind: Kind) -> Value:
        if kind is Kind.MODEL and (search := field.get("search")):
            return self._searched_model(search, field)
        if field.get("search") or field.get("type", "char") not in {"char", "int", "text"}:
            raise self._malformed(field, "a `search` or `type` that is not read", "use `ref` or `eval`")
        if field.get("file"):
            raise self._malformed(field, "a value from another file", "write it here")
        if name := field.get("ref"):
            if kind not in {Kind.MODEL, Kind.ONE}:
                raise self._malformed(field, "`ref` for a field that is no many2one", "use `eval`")
            return Ref(qualify(name, self.module, self._where(field)), self._where(field))
        if (expression := field.get("eval")) is not None:
            value = evaluate(expression, self.module, self._where(field))
            return self._evaluated(value, kind, field)
        return self._text(field, kind)

    def _evaluated(self, value: Evaluated, kind: Kind, field: etree._Element) -> Value:
        where = self._where(field)
        match kind, value:
            case Kind.MANY, _:
                return commands(value, where)
            case ((Kind.MODEL | Kind.ONE), (None | False | Ref())):
                return value if isinstance(value, Ref) else None
            case Kind.BOOL, str():
                return boolean(value, where)
            case Kind.BOOL, (None | bool() | int()):
                return bool(value)
            case Kind.INT, int():
                return int(value)
            case Kind.TEXT, str():
                return value
            case Kind.TEXT, (None | False):
                return None
            case Kind.TEXT, list() if not _holds_ref(value):
                # Odoo stores the text of the list.
                return repr(value)
        raise self._malformed(field, f"a value of the wrong kind for `{field.get('name')}`")

    def _text(self, field: etree._Element, kind: Kind) -> Value:
        text = field.text or ""
        if any((child.tail or "").strip() for child in field) or field.find("*") is not None:
            raise self._malformed(
                field, f"`{field.get('name')}` goes on after a comment or element", "Odoo reads no further"
            )
        match kind:
            case Kind.TEXT:
                return text or None
            case Kind.BOOL:
                return boolean(text, self._where(field))
            case Kind.INT:
                return self._integer(text, field)
            case Kind.MODEL | Kind.ONE | Kind.MANY if text.strip():
                raise self._malformed(field, f"`{field.get('name')}` as text", "use `ref` or `eval`")
            case Kind.MODEL | Kind.ONE:
                return None
            case Kind.MANY:
                return (Command("set"),)

    def _searched_model(self, search: str, field: etree._Element) -> str:
        match evaluate(search, self.module, self._where(field)):
            case [("model", "=", str() as model)]:
                return model
        raise self._malformed(field, "a search that needs the database", "use [('model', '=', '…')]")

    def _integer(self, text: str, element: etree._Element) -> int:
        try:
            return int(text)
        except ValueError:
            raise self._malformed(element, f"`{text}` is not a whole number") from None

    # -- places -----------------------------------------------------------------------

    def _xml_id(self, element: etree._Element) -> str | None:
        name = element.get("id")
        return qualify(name, self.module, self._where(element)) if name else None

    def _where(self, element: etree._Element) -> str:
        return f"{self.label}:{element.sourceline}"

    def _skip(self, element: etree._Element, model: str, reason: str) -> None:
        self.records.skip(model, element.get("id"), self._where(element), reason)

    def _malformed(self, element: etree._Element, what: str, fix: str | None = None) -> MalformedPolicy:
        return MalformedPolicy(what, where=self._where(element), fix=fix)


def _flag(element: etree._Element, name: str, *, default: bool) -> bool:
    """An attribute as Odoo reads it: everything but 0, false and off is true."""
    text = element.get(name)
    return default if not text else text.lower() not in {"0", "false", "off"}


def _holds_ref(value: Evaluated) -> bool:
    match value:
        case Ref():
            return True
        case list() | tuple():
            return any(_holds_ref(item) for item in value)
        case dict():
            return any(_holds_ref(item) for item in value.values())
    return False
