"""Odoo's API held against ours over HTTPS: the same answers, and the same names of errors."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx
import pytest

from tests.enforce.calls import WRITING, calls, repeat
from tests.support.accounts import odoo_key
from tests.support.odoo import OdooReference
from tests.support.serving import Server, serving
from tests.support.temporary import temporary_folder
from vallum.postgres import Database
from vallum.server.worker import named_database

# Where the answers differ, and why.
TIES: Final = "records without a phone tie, and Odoo leaves their order to PostgreSQL; here ids decide"
MISSING: Final = "Odoo tells that a record does not exist; here it is refused as a hidden one is"
PUBLIC: Final = "Odoo asks another model, which lacks the field: an error; here the field is shut"
EXPANDED: Final = "code of the field adds stages without leads, and whether a stage is folded"
READ_ONLY: Final = "an Odoo database is only read"
EXISTS: Final = "Odoo tells everybody which records exist; here those who may read them"
DEFAULTS: Final = "defaults live in Odoo's code"
BUILD: Final = "Odoo tells its build as well"
MANAGER: Final = "databases are not listed"
CLIENT: Final = "Odoo tells its web client much that no other client needs"
NO_SESSION: Final = "Odoo has no page here without a database; here the session is over"
STATUS: Final = "a wrong field is an error of the client's, 422; in Odoo the server's, 500"
UNSIGNED: Final = "Odoo has no page for GET; here nobody is told before a key is shown"
DIFFERENT: Final[dict[int, dict[int, str]]] = {
    18: {
        0: BUILD,
        13: TIES,
        30: TIES,
        22: MISSING,
        39: MISSING,
        40: EXISTS,
        57: EXISTS,
        62: DEFAULTS,
        63: EXPANDED,
        **dict.fromkeys((66, 67, 68, 69, 70, 71, 72, 73, 75), READ_ONLY),
        85: MANAGER,
        87: CLIENT,
        90: CLIENT,
        91: NO_SESSION,
    },
    19: {
        22: MISSING,
        39: MISSING,
        110: MISSING,
        29: PUBLIC,
        30: PUBLIC,
        62: DEFAULTS,
        63: EXPANDED,
        **dict.fromkeys((66, 67, 68, 69, 70, 71, 72, 73, 75, 97), READ_ONLY),
        85: MANAGER,
        87: CLIENT,
        90: CLIENT,
        91: NO_SESSION,
        108: STATUS,
        113: UNSIGNED,
    },
}
EQUAL: Final = {18: 70, 19: 90}


@pytest.mark.slow
@pytest.mark.parametrize("version", [18, 19])
def test_recorded_calls_are_answered_as_odoo_does(
    version: int, request: pytest.FixtureRequest, store: str
) -> None:
    """In order, over the protocols they were recorded on; what Odoo wrote in between is written here too."""
    reference: OdooReference = request.getfixturevalue(f"odoo{version}")
    copy: str = request.getfixturevalue(f"odoo{version}_copy")
    key = odoo_key(copy, "demo")
    writes = {call.number: call for call in calls(reference) if call.method in WRITING}
    wrong: list[str] = []
    equal = 0
    with (
        temporary_folder() as folder,
        serving(folder, dsn=copy, store=store, settings={"registry": reference.registry}) as server,
        server.client() as client,
        Database(copy, readonly=False) as writer,
    ):
        for number, recorded in enumerate(reference.answers("rpc")["calls"]):
            status, answer = _asked(server, client, recorded, version, named_database(copy), key)
            if number in writes:
                repeat(writer, writes[number])
            expected = _told(recorded.get("response"))
            if answer == expected and status == recorded["status"]:
                equal += 1
                assert number not in DIFFERENT[version], f"{number} is equal now"
            elif number not in DIFFERENT[version] and not _cut(recorded, answer):
                wrong.append(f"{number}: {expected!s:.200} there, {answer!s:.200} here")
    assert not wrong, "\n".join(wrong)
    assert equal == EQUAL[version]


def _asked(
    server: Server, client: httpx.Client, recorded: Any, version: int, database: str, key: str
) -> tuple[int, Any]:
    """The status and the answer of ours."""
    body = recorded.get("request") or recorded.get("body") or {}
    body = json.loads(json.dumps(body).replace(f'"t{version}"', f'"{database}"'))
    headers = {}
    if "Authorization" in recorded.get("headers", {}):
        shown = "nonsense" if recorded["note"] == "bad key" else key
        headers = {"Authorization": f"Bearer {shown}", "X-Odoo-Database": database}
    if recorded.get("note") == "no session":
        client.cookies.clear()
    if recorded.get("note") == "GET":
        response = client.get(recorded["path"])
    else:
        response = client.post(recorded["path"], json=body, headers=headers)
    return response.status_code, _told(response.json())


def _told(answer: Any) -> Any:
    """An answer without the envelope; of an error, its name alone."""
    if isinstance(answer, dict) and "jsonrpc" in answer:
        if "error" in answer:
            return ("error", answer["error"]["data"]["name"])
        return answer.get("result")
    if isinstance(answer, dict) and "debug" in answer:
        return ("error", answer["name"])
    return answer


def _cut(recorded: Any, answer: Any) -> bool:
    """Whether Odoo's answer was cut off, and what is left of it begins as ours."""
    kept = recorded.get("response")
    if not (isinstance(kept, dict) and kept.get("_too_long")):
        return False
    first = json.loads("{" + kept["_head"].split('"result": {', 1)[1].split("}, ", 1)[0] + "}}")
    [(name, described)] = first.items()
    return bool(answer[name] == described)


def test_every_recorded_call_is_looked_at(odoo18: OdooReference, odoo19: OdooReference) -> None:
    """What is compared, and what is told to differ, are all there is."""
    assert len(odoo18.answers("rpc")["calls"]) == 93
    assert len(odoo19.answers("rpc")["calls"]) == 114
