"""The API as it describes itself: each actor gets what the policy grants; the server does what it says."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.conftest import Company, Odoo
from tests.support.serving import Server

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES: Final = 6


def _document(server: Server, key: str) -> Any:
    with server.client(headers={"Authorization": f"Bearer {key}"}) as client:
        return client.get("/json/2/openapi.json").json()


def test_document_shows_what_the_actor_may(serve_company: Company) -> None:
    """marie may write leads and not delete them; nobody is told of models that are shut."""
    server, keys = serve_company.server, serve_company.people.keys
    marie, sofia = _document(server, keys["marie"])["paths"], _document(server, keys["sofia"])["paths"]
    assert "/json/2/crm.lead/write" in marie
    assert "/json/2/crm.lead/unlink" not in marie
    assert "/json/2/crm.lead/unlink" in sofia
    assert not any(path.startswith("/json/2/hr.payslip/") for path in marie)
    bruno = _document(server, keys["bruno"])["paths"]
    assert not any(path.startswith("/json/2/crm.lead/") for path in bruno)
    assert any(path.startswith("/json/2/sale.order/") for path in bruno)


def test_document_of_an_odoo_writes_nothing(serve19: Odoo) -> None:
    """An attached Odoo is only read."""
    paths = _document(serve19.server, serve19.key)["paths"]
    assert "/json/2/crm.lead/search_read" in paths
    assert not any(path.endswith(("/create", "/write", "/unlink", "/copy")) for path in paths)


def test_nobody_reads_the_document(serve_company: Company) -> None:
    """Without a key there is none."""
    with serve_company.server.client() as client:
        assert client.get("/json/2/openapi.json").status_code == 401


@pytest.mark.slow
@pytest.mark.parametrize("model", ["crm.lead", "res.users", "sale.order"])
def test_own_application_does_as_described(model: str, serve_company: Company) -> None:
    """No 5xx, no answer that is not described, whatever is asked, as described or not."""
    _run(serve_company.server, serve_company.people.keys["marie"], model)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["crm.lead", "res.partner"])
def test_odoo_does_as_described(model: str, serve18: Odoo) -> None:
    """The same over an attached Odoo."""
    _run(serve18.server, serve18.key, model)


def _run(server: Server, key: str, model: str) -> None:
    document = _document(server, key)
    document["paths"] = {p: d for p, d in document["paths"].items() if p.startswith(f"/json/2/{model}/")}
    schema = schemathesis.openapi.from_dict(document)
    ran = 0
    with server.client() as client:
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]  # what cannot be read has no `ok`
            for mode in GenerationMode:
                _ask(client, key, operation, mode)
            ran += 1
    assert ran >= 10


def _ask(client: httpx.Client, key: str, operation: Any, mode: GenerationMode) -> None:
    """What the description allows, or what it does not."""

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        body = {} if case.body is NOT_SET else case.body
        # What is no JSON comes as bytes, and goes out as they are.
        content = body if isinstance(body, bytes) else json.dumps(body)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        response = client.post(operation.path, content=content, headers=headers)
        checked = schemathesis.Response.from_httpx(response, verify=False)
        case.validate_response(checked, checks=CHECKS)

    asked()
