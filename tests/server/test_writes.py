"""Writing through the API: as the policy allows, whole or not at all, once under a key."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.server.conftest import Company

LEADS = "/json/2/crm.lead"


@pytest.fixture
def marie(serve_company: Company) -> Iterator[httpx.Client]:
    """A client with marie's key."""
    headers = {"Authorization": f"Bearer {serve_company.people.keys['marie']}"}
    with serve_company.server.client(headers=headers) as client:
        yield client


def test_key_of_idempotency_creates_once(marie: httpx.Client) -> None:
    """Asked again, the same id; with other content, refused."""
    headers = {"Idempotency-Key": "order-4711"}
    first = marie.post(f"{LEADS}/create", json={"vals_list": [{"name": "once"}]}, headers=headers)
    again = marie.post(f"{LEADS}/create", json={"vals_list": [{"name": "once"}]}, headers=headers)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    other = marie.post(f"{LEADS}/create", json={"vals_list": [{"name": "other"}]}, headers=headers)
    assert other.status_code == 409
    assert marie.post(f"{LEADS}/search_count", json={"domain": [["name", "=", "once"]]}).json() == 1


def test_write_of_what_has_changed_is_refused(marie: httpx.Client) -> None:
    """With the `write_date` that was read, one of two writers wins."""
    [made] = marie.post(f"{LEADS}/create", json={"vals_list": [{"name": "v1"}]}).json()
    assert (
        marie.post(
            f"{LEADS}/write", json={"ids": [made], "vals": {"name": "v2"}, "version": "2001-01-01 00:00:00"}
        ).status_code
        == 409
    )
    [record] = marie.post(f"{LEADS}/read", json={"ids": [made], "fields": ["name"]}).json()
    assert record["name"] == "v1"


def test_half_of_a_list_is_not_created(marie: httpx.Client) -> None:
    """One bad set of values among good ones: nothing."""
    values = [{"name": "half"}, {"name": "half", "stage_id": 99_999_999}]
    assert marie.post(f"{LEADS}/create", json={"vals_list": values}).status_code == 403
    assert marie.post(f"{LEADS}/search_count", json={"domain": [["name", "=", "half"]]}).json() == 0


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"name": 7}, 422),
        ({"name": "x", "type": "bogus"}, 422),
        ({"name": "x", "user_id": "me"}, 422),
        ({"name": "x", "nofield": 1}, 422),
        ({}, 422),
        ([1], 422),
        ("name", 422),
    ],
)
def test_bad_values_are_refused(values: object, status: int, marie: httpx.Client) -> None:
    """Types, selections, relations, unknown and missing fields."""
    assert marie.post(f"{LEADS}/create", json={"vals_list": values}).status_code == status


def test_right_and_rule_hold_for_writes(marie: httpx.Client, serve_company: Company) -> None:
    """marie deletes no lead, writes none of others', and bruno none at all."""
    [made] = marie.post(f"{LEADS}/create", json={"vals_list": [{"name": "hers"}]}).json()
    assert marie.post(f"{LEADS}/unlink", json={"ids": [made]}).status_code == 403
    headers = {"Authorization": f"Bearer {serve_company.people.keys['bruno']}"}
    with serve_company.server.client(headers=headers) as bruno:
        assert bruno.post(f"{LEADS}/write", json={"ids": [made], "vals": {"name": "his"}}).status_code == 403
    headers = {"Authorization": f"Bearer {serve_company.people.keys['sofia']}"}
    with serve_company.server.client(headers=headers) as sofia:
        foreign = sofia.post(
            f"{LEADS}/search", json={"domain": [["user_id.login", "=", "paul"]], "limit": 1}
        ).json()
        if foreign:
            assert (
                marie.post(f"{LEADS}/write", json={"ids": foreign, "vals": {"name": "x"}}).status_code == 403
            )


def test_lines_are_written_by_commands(marie: httpx.Client) -> None:
    """Tags linked and set by the x2many commands that Odoo's clients send."""
    tags = marie.post("/json/2/crm.tag/search", json={"domain": [], "limit": 2}).json()
    [made] = marie.post(
        f"{LEADS}/create", json={"vals_list": [{"name": "tagged", "tag_ids": [[6, 0, tags]]}]}
    ).json()
    read = {"ids": [made], "fields": ["tag_ids"]}
    assert sorted(marie.post(f"{LEADS}/read", json=read).json()[0]["tag_ids"]) == sorted(tags)
    marie.post(f"{LEADS}/write", json={"ids": [made], "vals": {"tag_ids": [[3, tags[0], 0]]}})
    assert marie.post(f"{LEADS}/read", json=read).json()[0]["tag_ids"] == tags[1:]


def test_copy_default_and_existence(marie: httpx.Client) -> None:
    """A copy has another id, and what was given; a new record's values and existing records are told."""
    [made] = marie.post(f"{LEADS}/create", json={"vals_list": [{"name": "original"}]}).json()
    [twin] = marie.post(f"{LEADS}/copy", json={"ids": [made], "default": {"name": "twin"}}).json()
    assert twin != made
    assert marie.post(f"{LEADS}/exists", json={"ids": [made, 2**31 - 1]}).json() == [made]
    found = marie.post(
        f"{LEADS}/default_get", json={"fields_list": ["type"], "context": {"default_type": "lead"}}
    )
    assert found.json()["type"] == "lead"
