"""Answers that repeat records within records: bounded by what is sent, not by what is read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import Company


def _spec(depth: int) -> dict[str, Any]:
    """Groups of the users of groups of users, and so on."""
    inner: dict[str, Any] = {"name": {}}
    for _ in range(depth):
        inner = {"user_ids": {"fields": {"group_ids": {"fields": inner}}}}
    return inner


@pytest.mark.parametrize("method", ["web_read", "web_search_read"])
@pytest.mark.attacks("rpc: growing answers")
def test_tree_that_grows_by_repetition_is_refused(method: str, serve_company: Company) -> None:
    """Few records, each within each of the others: the answer would be as large as one likes."""
    headers = {"Authorization": f"Bearer {serve_company.people.keys['admin']}"}
    with serve_company.server.client(headers=headers) as client:
        groups = client.post("/json/2/res.groups/search", json={"domain": []}).json()
        which = {"ids": groups} if method == "web_read" else {"domain": [["id", "in", groups]]}
        one = client.post(f"/json/2/res.groups/{method}", json={**which, "specification": _spec(1)})
        assert one.status_code == 200
        many = client.post(f"/json/2/res.groups/{method}", json={**which, "specification": _spec(4)})
        assert many.status_code == 422, len(many.content)
        assert "records" in many.json()["message"]


@pytest.mark.attacks("rpc: growing answers")
def test_export_that_grows_by_repetition_is_refused(serve_company: Company) -> None:
    """Rows are counted while they are made."""
    headers = {"Authorization": f"Bearer {serve_company.people.keys['admin']}"}
    with serve_company.server.client(headers=headers) as client:
        companies = client.post("/json/2/res.company/search", json={"domain": []}).json()
        path = "/".join(["user_ids", "company_ids"] * 2 + ["user_ids", "login"])
        found = client.post(
            "/json/2/res.company/export_data", json={"ids": companies * 8, "fields_to_export": [path]}
        )
        assert found.status_code == 422, len(found.content)
