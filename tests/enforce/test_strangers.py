"""Code of modules that nobody here knows, on top of code that is known: refused, not guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.support.application import opened
from tests.support.odoo import OdooReference
from vallum.domain import Named, odoo_named
from vallum.domain.named.base import plain
from vallum.enforce import Application, Query
from vallum.kernel import AccessDenied, UnsupportedDomain
from vallum.schema import Schema


def _with(
    application: Application, model: str, methods: Mapping[str, str], named: Named | None = None
) -> Application:
    """The application where another module overrides these methods of the model as well."""
    schema = application.schema
    found = schema.model(model)
    overrides = {**found.overrides}
    for method, module in methods.items():
        overrides[method] = (*overrides.get(method, ()), module)
    changed = replace(found, overrides=overrides)
    models = [changed if m.name == model else m for m in schema.models.values()]
    return Application(
        application.database,
        Schema.of(models, version=schema.version, gaps=schema.gaps),
        application.policy,
        application.directory,
        named=named,
    )


@pytest.mark.parametrize("method", ["_search", "_check_access"])
@pytest.mark.parametrize("model", ["res.users", "ir.attachment", "crm.lead"])
def test_search_that_another_module_changes_is_refused(
    odoo18: OdooReference, model: str, method: str
) -> None:
    """What Odoo's own module does is known, what another adds is not; the superuser is not bound by it."""
    application = _with(opened(odoo18), model, {method: "other"})
    with pytest.raises(UnsupportedDomain, match="other"):
        Query(application, application.actor("demo")).search(model)
    assert Query(application, None).search(model)


def test_search_is_answered_once_somebody_says_what_the_code_does(odoo18: OdooReference) -> None:
    """A registered implementation stands for all code there is, or for the modules it names."""
    known = odoo_named().with_search("res.users", plain)
    application = _with(opened(odoo18), "res.users", {"_search": "other"}, known)
    assert Query(application, application.actor("demo")).search("res.users")
    partly = odoo_named().with_search("res.users", plain, modules=["base"])
    application = _with(opened(odoo18), "res.users", {"_search": "other"}, partly)
    with pytest.raises(UnsupportedDomain, match="other"):
        Query(application, application.actor("demo")).search("res.users")


def test_names_that_another_module_searches_are_refused(odoo18: OdooReference) -> None:
    """Searching by name is code as well."""
    application = _with(opened(odoo18), "res.users", {"_search_display_name": "other"})
    with pytest.raises(UnsupportedDomain, match="other"):
        Query(application, application.actor("demo")).name_search("res.users", "a")


def test_fields_that_another_module_decides_about_are_shut(odoo18: OdooReference) -> None:
    """A field is open only where everything that decides about it is known."""
    plainly, changed = (
        opened(odoo18),
        _with(opened(odoo18), "project.task", {"check_field_access_rights": "other"}),
    )
    assert Query(plainly, plainly.actor("admin")).search("project.task", [("name", "!=", False)], limit=1)
    with pytest.raises(AccessDenied, match="other"):
        Query(changed, changed.actor("admin")).search("project.task", [("name", "!=", False)], limit=1)
    assert not Query(changed, changed.actor("admin")).fields_get("project.task")
