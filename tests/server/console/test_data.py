"""Lists of records, files of them, tables as addresses: what the policy gives, for people and programs."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from litestar.testing import TestClient
from lxml import etree

from tests.server.console.conftest import ADMINISTRATORS, AUDITORS
from tests.support.console import Console, console_app
from vallum import Vallum
from vallum.enforce import Application
from vallum.policy import Directory

Client = TestClient[Any]


@pytest.fixture(scope="module")
def served(console: Console) -> Iterator[tuple[Client, Console]]:
    """The console, asked without a browser; it keeps its events in a list of its own."""
    own = Console("", console.vallum)
    app = console_app(console.vallum, administrators=ADMINISTRATORS, auditors=AUDITORS, console=own)
    with TestClient(app) as client:
        yield client, own


def _as(client: Client, login: str, path: str) -> Any:
    return client.get(path, headers={"cookie": f"who={login}"}, follow_redirects=False)


def _sheet(content: bytes) -> list[list[str]]:
    """The texts of a spreadsheet's first sheet, row by row; a formula would be none of them."""
    space = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        texts = [
            "".join(item.itertext())
            for item in etree.fromstring(book.read("xl/sharedStrings.xml")).findall("m:si", space)
        ]
        sheet = etree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    assert sheet.findall(".//m:f", space) == []

    def value(cell: etree._Element) -> str:
        text = cell.findtext("m:v", "", space)
        return texts[int(text)] if cell.get("t") == "s" else text

    return [[value(cell) for cell in row.findall("m:c", space)] for row in sheet.findall(".//m:row", space)]


@pytest.mark.parametrize("login", ["marie", "sofia", "paul"])
def test_files_hold_what_the_policy_gives(served: tuple[Client, Console], login: str) -> None:
    """CSV, JSON and XLSX have the records and fields of the list, no others, and the trail is told."""
    client, console = served
    console.events.clear()
    user = console.vallum.users.find(login)
    ids = console.vallum.as_user(login, user.company_ids or None).search("crm.lead", [])
    path = "/data/crm.lead?col=probability,user_id"
    rows = _as(client, login, f"{path}&format=json").json()
    assert sorted(row["id"] for row in rows) == sorted(ids)
    assert set(rows[0]) == {"id", "name", "probability", "user_id"}
    lines = list(csv.DictReader(io.StringIO(_as(client, login, f"{path}&format=csv").text.lstrip("\ufeff"))))
    assert [int(line["id"]) for line in lines] == [row["id"] for row in rows]
    sheet = _sheet(_as(client, login, f"{path}&format=xlsx").content)
    assert [row[0] for row in sheet[1:]] == [str(row["id"]) for row in rows]
    assert [row[1] for row in sheet[1:]] == [row["name"] for row in rows]
    assert [event.kind for event in console.events] == ["export"] * 3
    assert {event.facts["records"] for event in console.events} == {len(ids)}


def test_file_of_a_shut_field_holds_none_of_it(served: tuple[Client, Console]) -> None:
    """Who asks for a salary by its column gets a file without it."""
    client, _ = served
    for kind in ("csv", "json", "xlsx"):
        answer = _as(client, "marie", f"/data/hr.employee?col=salary&format={kind}")
        assert answer.status_code in (200, 403)
        if answer.status_code == 200 and kind != "xlsx":
            assert "salary" not in answer.text


def test_conditions_groups_and_order_are_in_the_address(served: tuple[Client, Console]) -> None:
    """What is built by forms gives the same as the domain it stands for; a group leads to its records."""
    client, console = served
    user = console.vallum.users.find("paul")
    eyes = console.vallum.as_user("paul", user.company_ids or None)
    domain = [("probability", ">", 10), ("name", "ilike", "desk")]
    expected = eyes.search("crm.lead", domain, order="probability desc, id")
    built = "c=probability~%3E~10&f=name&o=ilike&v=desk"
    for query in (built, "c=probability~%3E~10&c=name~ilike~desk", f"domain={domain}"):
        address = f"/data/crm.lead?{query}&col=probability&order=probability+desc&format=json"
        rows = _as(client, "paul", address).json()
        assert sorted(row["id"] for row in rows) == sorted(expected), query
        values = [row["probability"] for row in rows]
        assert values == sorted(values, reverse=True)
    page = etree.HTML(_as(client, "paul", "/data/crm.lead?group=stage_id").text)
    groups = [str(a.get("href")) for a in page.findall(".//tbody//th//a")]
    assert groups
    found: list[int] = []
    for href in groups:
        rows = _as(client, "paul", f"{href}&format=json").json()
        found += [row["id"] for row in rows]
    assert sorted(found) == sorted(eyes.search("crm.lead", []))


def test_viewing_as_somebody_is_recorded_and_shows_what_both_may(served: tuple[Client, Console]) -> None:
    """An administrator sees through others' eyes what their own see too; nobody else does."""
    client, console = served
    console.events.clear()
    marie = console.vallum.users.find("marie")
    rows = _as(client, "admin", f"/data/crm.lead?as={marie.id}&format=json").json()
    admin = console.vallum.users.find("admin")
    both = set(console.vallum.as_user("marie", marie.company_ids).search("crm.lead", []))
    both &= set(console.vallum.as_user("admin", admin.company_ids or None).search("crm.lead", []))
    assert {row["id"] for row in rows} == both
    assert ("sensitive-read", marie.id) in [(e.kind, e.facts.get("as_user")) for e in console.events]
    for login in ("lars", "paul"):
        assert _as(client, login, f"/data/crm.lead?as={marie.id}").status_code == 403


TABLES = (
    "/data",
    "/data/crm.lead?q=desk",
    "/access?q=marie",
    "/access/who-can?model=crm.lead",
    "/people?q=a",
    "/groups",
    "/workshop?q=lead",
)


@pytest.mark.parametrize("path", TABLES)
def test_every_table_has_an_address_and_twins(served: tuple[Client, Console], path: str) -> None:
    """It can be copied as a link, and is there for programs as JSON and CSV at the same address."""
    client, _ = served
    page = etree.HTML(_as(client, "admin", path).text)
    assert page.findall(".//table")
    assert page.xpath("//button[@data-copy]")
    for kind in ("json", "csv"):
        hrefs = {str(a.get("href")) for a in page.findall(".//a")}
        (href,) = (href for href in hrefs if f"format={kind}" in href)
        answer = _as(client, "admin", href)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/json" if kind == "json" else "text/csv")
        assert len(answer.json() if kind == "json" else answer.text.splitlines())


def test_matrix_of_many_people_draws_a_window(console: Console) -> None:
    """Of 10,000 people a page holds as many cells as fit, and any other window has its address."""
    known = console.vallum.application
    people = [user for user in known.directory if user.active and user.id > 1]
    more = [
        replace(people[i % len(people)], id=1_000_000 + i, login=f"user{i}", name=f"User {i}")
        for i in range(10_000)
    ]
    directory = Directory([*known.directory, *more])
    many = Vallum(Application(known.database, known.schema, known.policy, directory))
    with TestClient(console_app(many, administrators=("admin",))) as client:
        for path in ("/access", "/access?u=9000", "/access?u=9000&m=10"):
            page = etree.HTML(_as(client, "admin", path).text)
            cells = page.xpath("//a[@data-cell]")
            assert 0 < len(cells) <= 600, path
        assert "User 8" in "".join(page.itertext())
