"""No page shows anybody a value that the policy denies them: planted values, looked for in every page."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any, Final

import pytest
from litestar.testing import TestClient
from psycopg import sql

import vallum
from tests.server.console.conftest import ADMINISTRATORS, AUDITORS
from tests.support.company import METADATA, POLICY
from tests.support.console import console_app
from vallum import Vallum
from vallum.kernel import VallumError
from vallum.postgres import EmbeddedServer, connect
from vallum.schema import Field, Model

CANARY: Final = re.compile(r"CNRY([0-9]+)X([0-9]+)X([0-9]+)Z")
NUMBER: Final = re.compile(r"(?<![0-9])77[0-9]{9}(?![0-9])")
PLANTED: Final = 25
# What decides or identifies must stay what it is; logins and names of people are what oversight is about.
SPARED: Final = frozenset({"login", "parent_path", "lang", "tz", "country_code"})
LINK: Final = re.compile(r'href="(/[^"#]*)"')


@dataclass(frozen=True)
class Planted:
    """A database with canaries: texts by what they say, numbers by the value they are."""

    app: Vallum
    fields: list[tuple[str, str]]
    numbers: dict[str, tuple[str, str, int]]

    def readable(self, login: str, model: str, field: str, record: int) -> bool:
        """Whether the policy lets the user read the value."""
        user = self.app.users.find(login)
        try:
            eyes = self.app.as_user(login, user.company_ids or None)
            return bool(eyes.read(model, [record], [field], active_test=False))
        except VallumError:
            return False


@pytest.fixture(scope="module")
def planted(pg_server: EmbeddedServer, company: str) -> Iterator[Planted]:
    """The company with a canary in every text and every number of the first records of each model."""
    name = "canaries_" + company.rpartition("company_")[2].partition("?")[0]
    dsn = _copy(pg_server, company, name)
    with vallum.open(dsn, metadata=METADATA, policy=POLICY) as found:
        fields: list[tuple[str, str]] = []
        numbers: dict[str, tuple[str, str, int]] = {}
        with connect(dsn, readonly=False) as connection:
            connection.execute("SET session_replication_role = replica")
            for model in found.schema.models.values():
                for field in model.fields.values():
                    if _plantable(model, field):
                        _plant(connection, model, field, fields, numbers)
    with vallum.open(dsn, metadata=METADATA, policy=POLICY) as found:
        yield Planted(found, fields, numbers)
    pg_server.drop_database(name)


def _copy(server: EmbeddedServer, company: str, name: str) -> str:
    from examples.trading import generate

    dsn = server.create_database(name)
    generate(dsn, rows=2_000)
    return dsn


def _plantable(model: Model, field: Field) -> bool:
    if not (field.stored and field.column and model.relation) or field.name in SPARED or field.translate:
        return False
    if model.name in ("res.users", "res.groups", "res.company"):
        return field.groups is not None and field.type in ("char", "text", "html", "float", "monetary")
    return field.type in ("char", "text", "html", "monetary", "float") and not field.company_dependent


def _plant(
    connection: Any,
    model: Model,
    field: Field,
    fields: list[tuple[str, str]],
    numbers: dict[str, tuple[str, str, int]],
) -> None:
    table, column = sql.Identifier(model.table), sql.Identifier(field.name)
    ids = [
        row[0]
        for row in connection.execute(
            sql.SQL("SELECT id FROM {} ORDER BY id LIMIT {}").format(table, PLANTED)
        )
    ]
    fields.append((model.name, field.name))
    number = len(fields) - 1
    short = field.type == "char" and _length(connection, model.table, field.name) < 24
    if short:
        return
    for record in ids:
        if field.type in ("char", "text", "html"):
            value: Any = f"CNRY{number}X{record}X{record % 7}Z"
        else:
            value = int(f"77{number:04d}{record:05d}")
            numbers[str(value)] = (model.name, field.name, record)
        update = sql.SQL("UPDATE {} SET {} = %s WHERE id = %s").format(table, column)
        connection.execute(update, (value, record))


def _length(connection: Any, table: str, column: str) -> int:
    found = connection.execute(
        "SELECT coalesce(character_maximum_length, 10000) FROM information_schema.columns"
        " WHERE table_name = %s AND column_name = %s",
        (table, column),
    ).fetchone()
    return int(found[0]) if found else 10_000


def _walk(planted: Planted, login: str, most: int) -> tuple[int, int, list[str]]:
    """Visit pages from link to link; how many, how many canaries were seen, and those that must not be."""
    app = console_app(planted.app, administrators=ADMINISTRATORS, auditors=AUDITORS)
    wrong: list[str] = []
    told: dict[str, bool] = {}
    seen_canaries = 0
    starts = [
        "/",
        "/me",
        "/data",
        "/search?q=CNRY",
        "/people",
        "/groups",
        "/access?count=1",
        "/access/who-can?model=hr.employee&field=salary",
    ]
    starts += [f"/data/{m}" for m in planted.app.schema.models]
    starts += [f"/data/{m}?format=csv" for m in planted.app.schema.models]
    starts += [f"/data/{m}/{i}" for m in planted.app.schema.models for i in (1, 3, 8)]
    starts += [f"/data/{m}?group=company_id" for m in ("sale.order", "hr.employee")]
    starts += [
        f"/access/explain?user={u}&model={m}&record={i}"
        for u in (3, 9)
        for m in ("crm.lead", "hr.employee", "sale.order")
        for i in (2, 7, 9)
    ]
    starts += [
        f"/data/{m}{rest}?as={u}"
        for u in (6, 16, 17)
        for m in ("hr.employee", "crm.lead", "res.partner")
        for rest in ("", "/2")
    ]
    todo, done = deque(starts), set(starts)
    visited = 0
    with TestClient(app, cookies={"who": login}) as client:
        while todo and visited < most:
            path = todo.popleft()
            answer = client.get(path, follow_redirects=False)
            assert answer.status_code < 500, (login, path, answer.status_code)
            visited += 1
            text = unescape(answer.text)
            for found in CANARY.finditer(text):
                model, field = planted.fields[int(found[1])]
                seen_canaries += 1
                _judge(planted, login, path, found[0], (model, field, int(found[2])), told, wrong)
            for found in NUMBER.finditer(text.replace(",", "")):
                if found[0] in planted.numbers:
                    seen_canaries += 1
                    _judge(planted, login, path, found[0], planted.numbers[found[0]], told, wrong)
            for link in LINK.findall(answer.text):
                link = unescape(link)
                if link not in done and not link.startswith("/assets/"):
                    done.add(link)
                    todo.append(link)
    return visited, seen_canaries, wrong


def _judge(
    planted: Planted,
    login: str,
    path: str,
    canary: str,
    where: tuple[str, str, int],
    told: dict[str, bool],
    wrong: list[str],
) -> None:
    if canary not in told:
        told[canary] = planted.readable(login, *where)
    if not told[canary]:
        wrong.append(f"{login} at {path} sees {where}")


@pytest.mark.parametrize("login", ["marie", "bruno", "olga", "lars"])
def test_walker_sees_no_value_the_policy_denies(planted: Planted, login: str) -> None:
    """A seller, a customer, an administrator without business groups, and an auditor."""
    visited, canaries, wrong = _walk(planted, login, 120)
    assert wrong == []
    assert visited > 40
    assert canaries > 20


@pytest.mark.slow
def test_no_user_sees_a_value_the_policy_denies(planted: Planted) -> None:
    """Every user of the company, from link to link."""
    seen = 0
    for user in planted.app.users:
        if user.active and user.login != "__system__":
            _, canaries, wrong = _walk(planted, user.login, 150)
            assert wrong == []
            seen += canaries
    assert seen > 1_000


def test_walk_would_find_a_leak(planted: Planted) -> None:
    """The search itself works: what the head of HR sees is found to be nobody else's."""
    _, canaries, _ = _walk(planted, "helene", 120)
    assert canaries
    model, field, record = next(w for w in planted.numbers.values() if w[1] == "salary")
    assert planted.readable("helene", model, field, record)
    assert not planted.readable("marie", model, field, record)
