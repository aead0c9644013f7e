"""A draft as a data file in Odoo's format: of a module for an Odoo, of the policy's folder for one's own.

In an Odoo what is there already is changed by a call of `write`: that holds on installing and on updating,
for records that no module made, and for those that modules made to stay as they are (`noupdate`).
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from vallum.kernel import Operation
from vallum.policy import Policy
from vallum.server.console.sketch import Sketch, existing

__all__ = ["patch"]

_MODELS: Final = {"group": "res.groups", "right": "ir.model.access", "rule": "ir.rule"}


def patch(policy: Policy, sketch: Sketch, *, odoo: bool) -> bytes:
    """The file, the reason and the modules it needs beside it."""
    now = existing(policy, sketch.kind, sketch.id) if sketch.id else None
    top = etree.Element("odoo")
    if sketch.reason:
        top.append(_comment(sketch.reason))
    modules = sorted({name.partition(".")[0] for name in (*sketch.groups, *_own(now, odoo=odoo))})
    if odoo and modules:
        top.append(_comment(f"The module's manifest depends on: {', '.join(modules)}"))
    model = _MODELS[sketch.kind]
    if sketch.remove:
        _removal(top, model, sketch, now.xml_id if now else None)
    elif now is not None and odoo:
        _call(top, model, sketch, now.xml_id)
    else:
        name = sketch.xml_id.partition(".")[2] if odoo else sketch.xml_id
        _record(etree.SubElement(top, "record", id=name, model=model), sketch, odoo=odoo)
    etree.indent(top, "    ")
    return etree.tostring(top, xml_declaration=True, encoding="utf-8", pretty_print=True)


def _own(now: object, *, odoo: bool) -> list[str]:
    xml_id = getattr(now, "xml_id", None)
    return [xml_id] if odoo and xml_id else []


def _comment(text: str) -> etree._Comment:
    plain = "".join(c for c in text if c.isprintable() or c in "\n\t").replace("--", "—").rstrip("-")
    return etree.Comment(f" {plain} ")


def _removal(top: etree._Element, model: str, sketch: Sketch, xml_id: str | None) -> None:
    which = ("id", xml_id) if xml_id else ("search", f"[('id', '=', {sketch.id})]")
    etree.SubElement(top, "delete", model=model).set(*which)


def _call(top: etree._Element, model: str, sketch: Sketch, xml_id: str | None) -> None:
    """A call of `write` on the record that is there."""
    call = etree.SubElement(top, "function", model=model, name="write")
    which = f"ref({xml_id!r})" if xml_id else str(sketch.id)
    etree.SubElement(call, "value", eval=f"[{which}]")
    refs = ", ".join(f"ref({group!r})" for group in sketch.groups)
    values = {"name": repr(sketch.name)}
    if sketch.kind == "group":
        values["implied_ids"] = f"[(6, 0, [{refs}])]"
    elif sketch.kind == "rule":
        values["domain_force"] = repr(sketch.domain)
        values["groups"] = f"[(6, 0, [{refs}])]"
    else:
        values["group_id"] = refs or "False"
    if sketch.kind != "group":
        values |= {f"perm_{o.value}": str(o in sketch.operations) for o in Operation}
    written = ", ".join(f"{name!r}: {value}" for name, value in values.items())
    etree.SubElement(call, "value", eval=f"{{{written}}}")


def _record(record: etree._Element, sketch: Sketch, *, odoo: bool) -> None:
    """The whole record. In an Odoo its model is looked up, since only its own module could name it."""
    _field(record, "name", sketch.name or sketch.xml_id)
    refs = ", ".join(f"ref({group!r})" for group in sketch.groups)
    if sketch.kind == "group":
        _field(record, "implied_ids", eval=f"[(6, 0, [{refs}])]")
        return
    if odoo:
        _field(record, "model_id", search=f"[('model', '=', '{sketch.model}')]")
    else:
        _field(record, "model_id", ref=f"model_{sketch.model.replace('.', '_')}")
    if sketch.kind == "rule":
        _field(record, "domain_force", sketch.domain)
        _field(record, "groups", eval=f"[(6, 0, [{refs}])]")
    elif sketch.groups:
        _field(record, "group_id", ref=sketch.groups[0])
    for operation in Operation:
        _field(record, f"perm_{operation.value}", eval=str(operation in sketch.operations))


def _field(record: etree._Element, name: str, text: str | None = None, **attributes: str) -> None:
    made = etree.SubElement(record, "field", name=name)
    for key, value in attributes.items():
        made.set(key, value)
    made.text = text
