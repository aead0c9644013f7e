"""Odoo's answers about every user and every model, held against the API over HTTP and `enforce.query`.

Records of models whose code decides as well as rules (attachments, messages) are compared elsewhere.
One difference is chosen: Odoo describes the fields of any model to anybody; here a model that no
access right opens to the user may be left undescribed, by the API as by `enforce.query`.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Final

import pytest

import vallum
from tests.support.accounts import odoo_key
from tests.support.odoo import OdooReference
from tests.support.serving import serving
from tests.support.temporary import temporary_folder
from vallum.facade import Session
from vallum.kernel import AccessDenied, VallumError
from vallum.postgres import Database

LETTERS: Final = {"read": "r", "write": "w", "create": "c", "unlink": "u"}
SHUT: Final = "no access right"
# The test makes keys of its own; menus are told by their groups.
ELSEWHERE: Final = frozenset({"res.users.apikeys", "ir.ui.menu"})
# Code lets portal users read a few fields alone; what Odoo told are the fields' groups.
FIELDS_BY_CODE: Final = frozenset({"project.task"})
# Comparisons, each of a user and a model: four rights, fields, and records for each set of companies.
AT_LEAST: Final = {18: 55_000, 19: 55_000}


@dataclass(frozen=True, slots=True)
class Caller:
    """One user of the API, on a connection that is kept."""

    connection: http.client.HTTPConnection
    key: str

    def __call__(self, model: str, method: str, **arguments: Any) -> Any:
        """The answer; `SHUT` for an error of access."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        self.connection.request("POST", f"/json/2/{model}/{method}", json.dumps(arguments), headers)
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status == 200:
            return answer
        return SHUT if (response.status, answer["name"]) == (403, "odoo.exceptions.AccessError") else answer


@dataclass
class Told:
    """What Odoo told, and what differs from it."""

    reference: OdooReference
    everything: dict[str, list[int]]
    compared: int = 0
    wrong: list[str] = field(default_factory=list)

    @cached_property
    def answers(self) -> Any:
        return self.reference.answers("access")

    @cached_property
    def models(self) -> Any:
        """Those Odoo was asked about: abstract ones have no records."""
        found = self.reference.answers("registry")["models"]
        return {name: model for name, model in found.items() if not model["abstract"]}

    @cached_property
    def rights(self) -> dict[int, dict[str, str]]:
        """Letters of the operations granted, by user and model."""
        return {entry["user"]: entry["models"] for entry in self.answers["access"]}

    @cached_property
    def shut(self) -> dict[int, dict[str, list[str]]]:
        """Fields that are denied, by user and model."""
        return {entry["user"]: entry["denied"] for entry in self.answers["fields"]}

    def readable(self, model: str, rules: dict[str, dict[str, int | None]]) -> list[int]:
        """The records that pass the rules."""
        index = rules.get(model, {}).get("read")
        return self.everything[model] if index is None else self.answers["idsets"][index]

    def same(self, what: object, odoo: object, *ours: object) -> None:
        """Note a difference."""
        self.compared += 1
        self.wrong += [f"{what}: {odoo!s:.150} there, {here!s:.150} here" for here in ours if here != odoo]


@pytest.mark.slow
@pytest.mark.parametrize("version", [18, 19])
def test_every_user_sees_and_may_do_what_odoo_says(
    version: int, request: pytest.FixtureRequest, store: str
) -> None:
    """The rights, fields and records of every user on every model are the same in all three."""
    reference: OdooReference = request.getfixturevalue(f"odoo{version}")
    copy: str = request.getfixturevalue(f"odoo{version}_copy")
    told = Told(reference, _everything(reference))
    keys = {user["id"]: odoo_key(copy, user["login"]) for user in told.answers["users"] if user["active"]}
    settings = {"registry": reference.registry}
    with (
        temporary_folder() as folder,
        serving(folder, dsn=copy, store=store, settings=settings, secure=False) as server,
        vallum.open(copy, registry=reference.registry) as opened,
        closing(http.client.HTTPConnection("localhost", server.port, timeout=60)) as connection,
    ):
        for user, key in keys.items():
            caller = Caller(connection, key)
            _compare_rights(told, user, caller, opened.as_user(user))
            for entry in told.answers["visible"]:
                if entry["user"] == user:
                    _compare_records(told, entry, caller, opened.as_user(user, entry["companies"]))
    assert not told.wrong, f"{len(told.wrong)} differ\n" + "\n".join(told.wrong[:40])
    assert told.compared >= AT_LEAST[version]


@pytest.mark.slow
@pytest.mark.parametrize("version", [18, 19])
def test_archived_users_are_refused(version: int, request: pytest.FixtureRequest, store: str) -> None:
    """Odoo's answers know what they would see; with a key that was never withdrawn, they see nothing."""
    reference: OdooReference = request.getfixturevalue(f"odoo{version}")
    copy: str = request.getfixturevalue(f"odoo{version}_copy")
    logins = [user["login"] for user in reference.answers("access")["users"] if not user["active"]]
    assert logins
    settings = {"registry": reference.registry}
    with (
        temporary_folder() as folder,
        serving(folder, dsn=copy, store=store, settings=settings, secure=False) as server,
        server.client() as client,
    ):
        for login in logins:
            headers = {"Authorization": f"Bearer {odoo_key(copy, login)}"}
            response = client.post("/json/2/res.partner/search", json={"domain": []}, headers=headers)
            assert response.status_code == 401, login


def _everything(reference: OdooReference) -> dict[str, list[int]]:
    """The ids of all records of the models that have a table, in order."""
    with Database(reference.dsn) as database:
        return {
            name: [i for (i,) in database.rows(f'SELECT id FROM "{model["table"]}" ORDER BY id')]
            for name, model in reference.answers("access")["models"].items()
        }


def _compare_rights(told: Told, user: int, caller: Caller, session: Session) -> None:
    for model, known in told.models.items():
        letters = told.rights[user].get(model, "")
        for operation, letter in LETTERS.items():
            if told.reference.version == 18:
                asked = {"operation": operation, "raise_exception": False}
                answer = caller(model, "check_access_rights", **asked)
            else:
                answer = caller(model, "has_access", ids=[], operation=operation)
            mine = _refused(partial(session.check, model, (), operation)) is None
            told.same((user, model, operation), letter in letters, answer, mine)
        fields = sorted(known["fields"].keys() - set(told.shut[user].get(model, ())))
        described = _names(caller(model, "fields_get", attributes=["type"]))
        mine = _names(_refused(partial(session.fields_get, model)))
        if not letters or model in FIELDS_BY_CODE:
            # No more than Odoo tells, at least.
            known_ones = set(fields)
            told.same(
                (user, model, "more fields"), [], *(_more(some, known_ones) for some in (described, mine))
            )
        else:
            told.same((user, model, "fields"), fields, described, mine)


def _more(some: Any, known: set[str]) -> list[str]:
    """Fields of an answer that are not among the known."""
    return [] if some == SHUT else sorted(set(some) - known)


def _compare_records(told: Told, entry: Any, caller: Caller, session: Session) -> None:
    companies: Sequence[int] = entry["companies"]
    context = {"allowed_company_ids": companies, "active_test": False}
    code_decides = session.application.named.searches.keys() | ELSEWHERE
    for model in sorted(told.answers["models"].keys() - code_decides):
        granted = "r" in told.rights[entry["user"]].get(model, "")
        readable = told.readable(model, entry["rules"]) if granted else SHUT
        answer = caller(model, "search", domain=[], order="id", context=context)
        mine = _refused(partial(session.search, model, [], order="id", active_test=False))
        told.same((entry["user"], companies, model), readable, answer, mine)


def _names(fields: Any) -> Any:
    return fields if fields == SHUT else sorted(fields)


def _refused(ask: Callable[[], Any]) -> Any:
    """The answer; `SHUT` for a refusal, the error for another one."""
    try:
        return ask()
    except AccessDenied:
        return SHUT
    except VallumError as error:
        return error
