"""Provisioning: what directories say, in their dialects, and what becomes true by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from scim2_models import InvalidSyntaxException

from tests.support.scim import ENTERPRISE, GROUP, PATCH, USER, Directory
from vallum.identity.scim.bulk import run_bulk
from vallum.identity.scim.http import Request, Response, ScimHttp
from vallum.identity.scim.models import BULK_LIMIT
from vallum.identity.scim.tokens import TokenRefused, authenticate, make, revoke, tokens
from vallum.identity.sso.errors import NoSuchProvider
from vallum.identity.sso.store import Link, find_link, forget_provider, link
from vallum.postgres import connect, migrations

BULK = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"


def scim_type(answer: Any) -> tuple[int, str | None]:
    """Status and kind of an error."""
    return answer.status, (answer.body or {}).get("scimType")


def open_session(corp: Directory, login: str) -> int:
    """Somebody is signed in."""
    account, _ = corp.account(login)
    with corp.store.transaction() as tx:
        corp.accounts.open_session(tx, account, "local", None)
    return account


def sessions(corp: Directory, account: int) -> int:
    """How many there are."""
    with corp.store.transaction() as tx:
        return corp.accounts.sessions(tx, account)


LEAVING: dict[str, list[dict[str, Any]]] = {
    "entra": [{"op": "Replace", "path": "active", "value": "False"}],
    "entra-no-path": [{"op": "Replace", "value": {"active": "False"}}],
    "okta": [{"op": "replace", "value": {"active": False}}],
    "plain": [{"op": "replace", "path": "active", "value": False}],
    "urn": [{"op": "replace", "path": f"{USER}:active", "value": False}],
    "removed": [{"op": "remove", "path": "active"}],
    "spelled": [{"op": "REPLACE", "path": "ACTIVE", "value": "false"}],
}


@pytest.mark.parametrize("how", [*LEAVING, "put", "delete"])
@pytest.mark.asvs("7.4.2")
def test_who_leaves_the_directory_has_nothing_left(corp: Directory, how: str) -> None:
    """Whatever the directory calls it: account shut, sessions ended, groups gone, in one transaction."""
    person = corp.add("marie")
    corp.group("Sales", person["id"])
    account = open_session(corp, "marie")
    path = f"/Users/{person['id']}"
    if how == "delete":
        assert corp.ask("DELETE", path).status == 204
        assert corp.groups("marie") == set()
    elif how == "put":
        corp.body("PUT", path, {"schemas": [USER], "userName": "marie", "active": "False"})
    else:
        assert corp.patch(path, *LEAVING[how]).status == 200
    assert corp.account("marie") == (account, False)
    assert sessions(corp, account) == 0


def test_who_has_left_is_shut_again_by_saying_it_again(corp: Directory) -> None:
    """A session that came up in between ends as well."""
    person = corp.add("marie", active=False)
    account = open_session(corp, "marie")
    corp.patch(f"/Users/{person['id']}", *LEAVING["entra"])
    assert sessions(corp, account) == 0


def test_who_comes_back_is_the_same_account(corp: Directory) -> None:
    """By PATCH, and also after DELETE and a new POST, under whatever name: the directory's own id says so."""
    person = corp.add("marie", externalId="m-1")
    account, _ = corp.account("marie")
    path = f"/Users/{person['id']}"
    corp.patch(path, *LEAVING["okta"])
    corp.patch(path, {"op": "Replace", "path": "active", "value": "True"})
    assert corp.account("marie") == (account, True)
    corp.ask("DELETE", path)
    assert corp.ask("GET", path).status == 404
    again = corp.add("marie.curie", externalId="m-1")
    assert again["id"] != person["id"]
    assert corp.account("marie.curie") == (account, True)


@pytest.mark.asvs("10.5.2")
def test_name_that_is_given_to_somebody_new_brings_them_nothing(corp: Directory) -> None:
    """Whoever has another id is another person, whether the first one was removed or is called anew."""
    person = corp.add("marie", externalId="m-1")
    account, _ = corp.account("marie")
    new = {"schemas": [USER], "userName": "marie", "externalId": "m-2"}
    answer = corp.ask("POST", "/Users", new)
    assert scim_type(answer) == (409, "uniqueness")
    corp.ask("DELETE", f"/Users/{person['id']}")
    for sent in (new, {**new, "userName": "MARIE"}, {**new, "externalId": None}):
        answer = corp.ask("POST", "/Users", sent)
        assert scim_type(answer) == (409, "uniqueness")
        assert "externalId" in (answer.body or {})["detail"]
        assert corp.account("marie") == (account, False)
    # Called otherwise, the first one leaves the name to who comes after.
    again = corp.add("marie.curie", externalId="m-1")
    assert corp.account("marie.curie") == (account, True)
    corp.add("marie", externalId="m-2")
    assert corp.account("marie")[0] != account
    # An id is nobody else's, also by a change.
    path = f"/Users/{again['id']}"
    taken = corp.patch(path, {"op": "replace", "path": "externalId", "value": "m-2"})
    assert scim_type(taken) == (409, "uniqueness")
    assert corp.patch(path, {"op": "replace", "path": "externalId", "value": "m-3"}).status == 200
    corp.ask("DELETE", path)
    corp.add("third", externalId="m-1")
    assert corp.account("third")[0] != account


def test_id_that_a_directory_leaves_out_later_is_not_forgotten(corp: Directory) -> None:
    """Nobody gets an account by a name because its id was taken away before."""
    person = corp.add("marie", externalId="m-1")
    path = f"/Users/{person['id']}"
    corp.body("PUT", path, {"schemas": [USER], "userName": "marie"})
    corp.ask("DELETE", path)
    assert scim_type(corp.ask("POST", "/Users", {"schemas": [USER], "userName": "marie"}))[0] == 409
    account, _ = corp.account("marie")
    corp.add("marie", externalId="m-1")
    assert corp.account("marie") == (account, True)


def test_person_without_an_id_comes_back_by_an_administrators_word(corp: Directory) -> None:
    """A name alone does not say whether it is still the same person."""
    corp.ask("DELETE", f"/Users/{corp.add('marie')['id']}")
    answer = corp.ask("POST", "/Users", {"schemas": [USER], "userName": "marie"})
    assert scim_type(answer) == (409, "uniqueness")
    assert "vallum user activate" in (answer.body or {})["detail"]
    account, _ = corp.account("marie")
    corp.store.rows("UPDATE plain_account SET active = true WHERE id = %s", (account,))
    corp.add("marie")
    assert corp.account("marie") == (account, True)


def test_who_was_deleted_signs_in_no_more_to_who_comes_after(corp: Directory) -> None:
    """The account comes back, and is linked to nobody: the directory may have a new person under the id."""
    path = f"/Users/{corp.add('marie', externalId='m-9')['id']}"
    account, _ = corp.account("marie")
    with corp.store.transaction() as tx:
        link(tx, Link("corp", "https://id.example.com", "m-1", account), corp.clock.now())
    corp.ask("DELETE", path)
    corp.add("marie", externalId="m-9")
    assert corp.account("marie") == (account, True)
    with corp.store.transaction() as tx:
        assert find_link(tx, "corp", "https://id.example.com", "m-1") is None


def test_account_that_an_administrator_shut_is_not_opened(corp: Directory) -> None:
    """The directory opens what it has shut itself."""
    person = corp.add("marie")
    account, _ = corp.account("marie")
    with corp.store.transaction() as tx:
        corp.accounts.deactivate(tx, account, "administrator")
    corp.patch(f"/Users/{person['id']}", {"op": "Replace", "path": "active", "value": "True"})
    assert corp.account("marie") == (account, False)


def test_local_account_is_not_taken_over(corp: Directory) -> None:
    """Whoever can write to a directory does not thereby become somebody here."""
    with corp.store.transaction() as tx:
        from vallum.identity.accounts_port import Person

        corp.accounts.create(tx, Person("admin"), "local")
    answer = corp.ask("POST", "/Users", {"schemas": [USER], "userName": "ADMIN"})
    assert scim_type(answer) == (409, "uniqueness")
    person = corp.add("marie")
    answer = corp.patch(f"/Users/{person['id']}", {"op": "replace", "path": "userName", "value": "admin"})
    assert scim_type(answer) == (409, "uniqueness")
    assert corp.body("GET", f"/Users/{person['id']}")["userName"] == "marie"


def test_directories_do_not_see_each_other(corp: Directory, world: Any) -> None:
    """What is not theirs does not exist: not read, changed, removed, or made a member."""
    world.provider(kind="scim", id="other", label="Other")
    other = Directory(corp.store, corp.accounts, corp.clock, "other")
    person, group = corp.add("marie")["id"], corp.group("Sales")["id"]
    for path in (f"/Users/{person}", f"/Groups/{group}"):
        assert other.ask("GET", path).status == 404
        assert other.ask("DELETE", path).status == 404
        assert other.patch(path, *LEAVING["okta"]).status == 404
    assert other.body("GET", "/Users")["totalResults"] == 0
    assert "members" not in other.group("Sales", person)
    assert corp.groups("marie") == set()
    assert corp.account("marie")[1]


def test_groups_follow_members_and_names(corp: Directory) -> None:
    """By Entra's, Okta's and the standard's ways to add and remove; renaming counts too."""
    marie, paul = corp.add("marie")["id"], corp.add("paul")["id"]
    path = f"/Groups/{corp.group('Sales')['id']}"
    sales = {"sales_team.group_sale_salesman"}
    corp.patch(path, {"op": "Add", "path": "members", "value": [{"value": marie}, {"value": paul}]})
    assert corp.groups("marie") == corp.groups("paul") == sales
    corp.patch(path, {"op": "Remove", "path": "members", "value": [{"value": marie}]})
    assert (corp.groups("marie"), corp.groups("paul")) == (set(), sales)
    corp.patch(path, {"op": "remove", "path": f'members[value eq "{paul}"]'})
    assert corp.groups("paul") == set()
    corp.patch(path, {"op": "replace", "path": "members", "value": [{"value": marie}]})
    assert corp.groups("marie") == sales
    group_id = path.rpartition("/")[2]
    corp.patch(path, {"op": "replace", "value": {"id": group_id, "displayName": "Staff"}})
    assert corp.groups("marie") == {"base.group_user"}
    assert corp.body("GET", f"/Users/{marie}")["groups"][0]["display"] == "Staff"
    corp.ask("DELETE", path)
    assert corp.groups("marie") == set()


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "groups", "value": [{"value": "base.group_system"}]},
        {"op": "replace", "path": "id", "value": "other"},
        {"op": "replace", "path": "meta.version", "value": "1"},
        {"op": "add", "value": {"groups": [{"value": "base.group_system"}]}},
    ],
)
@pytest.mark.attacks("injection: SCIM PATCH of privileged attributes")
@pytest.mark.asvs("8.2.3")
def test_privileged_attributes_are_not_written(corp: Directory, operation: dict[str, Any]) -> None:
    """Groups come by membership and rules, ids and versions from here."""
    person = corp.add("marie")
    assert scim_type(corp.patch(f"/Users/{person['id']}", operation)) == (400, "mutability")
    assert corp.groups("marie") == set()


def test_roles_and_passwords_mean_nothing(corp: Directory) -> None:
    """A role is a word of the directory; a password is never stored, nor shown."""
    person = corp.add("marie", password="canary-4711", roles=[{"value": "base.group_system"}])
    path = f"/Users/{person['id']}"
    corp.patch(
        path,
        {"op": "add", "path": "roles", "value": [{"value": "admin"}]},
        {"op": "add", "path": "entitlements", "value": [{"value": "admin"}]},
        {"op": "replace", "path": "password", "value": "canary-4711"},
        {"op": "add", "value": {"isAdmin": True, "user_id": 1, "break_glass": True}},
    )
    assert corp.groups("marie") == set()
    assert "canary" not in str(corp.body("GET", path))
    stored = corp.store.rows("SELECT data::text FROM vallum.scim_user")[0][0]
    assert "canary" not in stored
    assert "break_glass" not in stored


def test_entra_writes_what_the_standard_does_not_know(corp: Directory) -> None:
    """Dotted keys, entries that are not there yet, a manager by bare id, unknown attributes."""
    boss = corp.add("boss")["id"]
    person = corp.add("marie", externalId="oid-1", **{ENTERPRISE: {"manager": boss}})
    answer = corp.patch(
        f"/Users/{person['id']}",
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "marie@example.com"},
        {"op": "Replace", "value": {"name.givenName": "Marie", f"{ENTERPRISE}:department": "R&D"}},
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": boss},
        {"op": "Add", "path": "customThing", "value": "x"},
    )
    assert answer.status == 200
    found = corp.body("GET", f"/Users/{person['id']}")
    assert found["emails"] == [{"type": "work", "value": "marie@example.com"}]
    assert found["name"]["givenName"] == "Marie"
    assert found[ENTERPRISE]["department"] == "R&D"
    assert found[ENTERPRISE]["manager"]["value"] == boss
    rows = corp.store.rows("SELECT name, email FROM plain_account WHERE login = 'marie'")
    assert rows == [("Marie", "marie@example.com")]
    corp.patch(f"/Users/{person['id']}", {"op": "Replace", "path": f"{ENTERPRISE}:manager", "value": ""})
    assert "manager" not in corp.body("GET", f"/Users/{person['id']}").get(ENTERPRISE, {})


def test_versions_guard_against_lost_changes(corp: Directory) -> None:
    """ETags: read unless changed, change unless changed; what changes nothing is no new version."""
    made = corp.ask("POST", "/Users", {"schemas": [USER], "userName": "marie"})
    tag, path = made.headers["ETag"], f"/Users/{(made.body or {})['id']}"
    assert made.headers["Location"].endswith(path)
    assert corp.ask("GET", path, if_none_match=tag).status == 304
    change = {"schemas": [PATCH], "Operations": [{"op": "replace", "path": "title", "value": "Dr"}]}
    changed = corp.ask("PATCH", path, change, if_match=tag)
    assert changed.status == 200
    assert changed.headers["ETag"] != tag
    assert corp.ask("PATCH", path, change, if_match=tag).status == 412
    assert corp.ask("PUT", path, {"schemas": [USER], "userName": "x"}, if_match=tag).status == 412
    assert corp.ask("DELETE", path, if_match=tag).status == 412
    assert corp.ask("PATCH", path, change).headers["ETag"] == changed.headers["ETag"]
    assert corp.ask("GET", path, if_none_match=tag).status == 200


def test_replacing_leaves_out_what_is_left_out(corp: Directory) -> None:
    """PUT is the whole resource; what is ours to say stays."""
    person = corp.add("marie", title="Dr", displayName="Marie")
    path = f"/Users/{person['id']}"
    found = corp.body("PUT", path, {**person, "title": None, "userName": "marie2"})
    assert ("title" in found, found["userName"], found["id"]) == (False, "marie2", person["id"])
    assert corp.account("marie2")[1]


def test_attributes_are_chosen(corp: Directory) -> None:
    """Those wanted, or all but those not wanted; id and schemas always."""
    person = corp.add("marie", title="Dr", displayName="Marie")
    path = f"/Users/{person['id']}"
    assert set(corp.body("GET", f"{path}?attributes=title")) == {"schemas", "id", "title"}
    assert "title" not in corp.body("GET", f"{path}?excludedAttributes=title")
    found = corp.body("GET", "/Users?attributes=userName")["Resources"]
    assert set(found[0]) == {"schemas", "id", "userName"}


def test_member_that_is_nobody_is_none(corp: Directory) -> None:
    """No error, as clients expect; but the answer shows who is one, and the trail that somebody was not."""
    marie = corp.add("marie")["id"]
    path = f"/Groups/{corp.group('Sales', 'nobody', marie)['id']}"
    assert [one["value"] for one in corp.body("GET", path)["members"]] == [marie]
    events = corp.store.rows("SELECT count(*) FROM plain_event WHERE name = 'scim.group-member-unknown'")
    assert events == [(1,)]


def test_all_kinds_are_searched_at_once(corp: Directory) -> None:
    """From the root; what a kind does not have is false of it, and pages go on from one kind to the next."""
    marie = corp.add("marie", displayName="A")["id"]
    corp.clock.advance(timedelta(seconds=1))
    corp.add("zoe", displayName="B")
    corp.group("A", marie)
    wanted = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}
    found = corp.body("POST", "/.search", {**wanted, "filter": 'displayName eq "a"'})
    assert [one["meta"]["resourceType"] for one in found["Resources"]] == ["User", "Group"]
    found = corp.body("POST", "/.search", {**wanted, "filter": 'not (userName eq "marie")'})
    assert [one["displayName"] for one in found["Resources"]] == ["B", "A"]
    found = corp.body(
        "POST", "/.search", {**wanted, "startIndex": 2, "count": 2, "attributes": ["displayName"]}
    )
    assert [one["displayName"] for one in found["Resources"]] == ["B", "A"]
    assert (found["totalResults"], found["itemsPerPage"]) == (3, 2)
    assert corp.ask("POST", "/.search", {**wanted, "filter": 'nonsense eq "a"'}).status == 400
    assert corp.body("GET", "/")["totalResults"] == 3


def test_bulk_runs_operations_that_refer_to_each_other(corp: Directory) -> None:
    """In whatever order; each has its own answer; errors stop it where that is asked."""
    operations = [
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": "g",
            "data": {"schemas": [GROUP], "displayName": "Sales", "members": [{"value": "bulkId:u"}]},
        },
        {"method": "POST", "path": "/Users", "bulkId": "u", "data": {"schemas": [USER], "userName": "marie"}},
        {
            "method": "PATCH",
            "path": "/Users/bulkId:u",
            "data": {"schemas": [PATCH], "Operations": [{"op": "add", "path": "title", "value": "Dr"}]},
        },
        {"method": "DELETE", "path": "/Users/none"},
        {"method": "POST", "path": "/Users", "bulkId": "v", "data": {"schemas": [USER], "userName": "paul"}},
    ]
    found = corp.body("POST", "/Bulk", {"schemas": [BULK], "failOnErrors": 1, "Operations": operations})
    assert [one["status"] for one in found["Operations"]] == ["201", "201", "200", "404"]
    assert corp.groups("marie") == {"sales_team.group_sale_salesman"}
    assert found["Operations"][3]["response"]["status"] == "404"
    circle = [
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": name,
            "data": {"schemas": [GROUP], "displayName": name, "members": [{"value": f"bulkId:{other}"}]},
        }
        for name, other in (("a", "b"), ("b", "a"))
    ]
    found = corp.body("POST", "/Bulk", {"schemas": [BULK], "Operations": circle})
    assert [one["status"] for one in found["Operations"]] == ["409", "409"]


@pytest.mark.slow
def test_bulk_of_the_most_operations_is_run_whole(corp: Directory) -> None:
    """So many as are allowed, each before the one it refers to; one more is refused."""
    count = BULK_LIMIT // 2
    people = [
        {
            "method": "POST",
            "path": "/Users",
            "bulkId": f"p{number}",
            "data": {"schemas": [USER], "userName": f"bulk{number}"},
        }
        for number in range(count)
    ]
    groups = [
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": f"g{number}",
            "data": {
                "schemas": [GROUP],
                "displayName": f"Bulk {number}",
                "members": [{"value": f"bulkId:p{(number + more) % count}"} for more in range(3)],
            },
        }
        for number in range(count)
    ]
    operations = [*groups, *reversed(people)]
    payload = {"schemas": [BULK], "Operations": operations}
    found = corp.body("POST", "/Bulk", payload)["Operations"]
    assert [one["status"] for one in found] == ["201"] * BULK_LIMIT
    assert [one["bulkId"] for one in found] == [one["bulkId"] for one in operations]
    rows = corp.store.rows("SELECT count(*), count(DISTINCT group_id) FROM vallum.scim_member")
    assert rows == [(3 * count, count)]
    operations.append(people[0])
    assert corp.ask("POST", "/Bulk", payload).status == 413


class _Read(str):
    """A text that counts how often it was looked into."""

    __slots__ = ()
    times = 0

    def startswith(self, *given: Any) -> bool:
        type(self).times += 1
        return super().startswith(*given)


class _Quick:
    """Answers that something was made, and notes in which order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def handle(self, request: Request) -> Response:
        self.seen.append(request.path)
        return Response(201, {"id": f"id-{request.path.rpartition('/')[2]}", "meta": {}})


@pytest.mark.parametrize("chained", [True, False])
def test_bulk_looks_at_each_reference_a_fixed_number_of_times(chained: bool) -> None:
    """However many operations there are, and in whichever order they come."""

    def reads(count: int) -> int:
        _Read.times = 0
        quick = _Quick()
        operations = [
            {
                "method": "POST",
                "path": f"/Users/{number}",
                "bulkId": str(number),
                # Each refers to the next one, or all to the last.
                "data": [_Read(f"bulkId:{number + 1 if chained else count - 1}")] * (number + 1 < count),
            }
            for number in range(count)
        ]
        answer = run_bulk(cast(ScimHttp, quick), {"schemas": [BULK], "Operations": operations})
        found = (answer.body or {})["Operations"]
        assert [one["status"] for one in found] == ["201"] * count
        if chained:
            assert quick.seen == [f"/Users/{number}" for number in reversed(range(count))]
        return _Read.times

    assert reads(BULK_LIMIT) <= 6 * BULK_LIMIT
    assert reads(BULK_LIMIT // 10) <= 6 * BULK_LIMIT // 10


def test_bulk_that_refers_in_a_circle_or_to_nobody_is_refused_in_part(corp: Directory) -> None:
    """What can be done is done; the rest says why, each once; what is nested too deeply is no request."""

    def person(name: str, manager: str | None = None) -> dict[str, Any]:
        more = {ENTERPRISE: {"manager": {"value": manager}}} if manager else {}
        data = {"schemas": [USER], "userName": name, **more}
        return {"method": "POST", "path": "/Users", "bulkId": name, "data": data}

    operations = [
        person("one", "bulkId:two"),
        person("two", "bulkId:one"),
        person("three", "bulkId:nobody"),
        person("four"),
        person("five", "bulkId:four"),
    ]
    found = corp.body("POST", "/Bulk", {"schemas": [BULK], "Operations": operations})["Operations"]
    assert [one["status"] for one in found] == ["409", "409", "409", "201", "201"]
    stopped = {"schemas": [BULK], "Operations": operations[:3], "failOnErrors": 2}
    assert len(corp.body("POST", "/Bulk", stopped)["Operations"]) == 2
    deep: Any = "x"
    for _ in range(3000):
        deep = [deep]
    quick = _Quick()
    operations = [person("six"), {**person("seven"), "data": deep}]
    with pytest.raises(InvalidSyntaxException):
        run_bulk(cast(ScimHttp, quick), {"schemas": [BULK], "Operations": operations})
    assert quick.seen == []


@pytest.mark.parametrize(
    "payload",
    [
        {"schemas": [BULK]},
        {"schemas": ["x"], "Operations": []},
        {"schemas": [BULK], "Operations": ["x"]},
        {"schemas": [BULK], "Operations": [{"method": "POST", "path": "/Users"}]},
        {"schemas": [BULK], "Operations": [{"method": "GET", "path": "/Users"}]},
        {"schemas": [BULK], "Operations": [{"method": "POST", "path": "/Bulk", "bulkId": "x"}]},
        {"schemas": [BULK], "failOnErrors": -1, "Operations": []},
        {"schemas": [BULK], "Operations": [{"method": "DELETE", "path": "/Users/x"}] * 1001},
    ],
)
def test_bulk_that_is_none_is_refused(corp: Directory, payload: Any) -> None:
    """Before any operation runs."""
    assert corp.ask("POST", "/Bulk", payload).status in (400, 413)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/Users", b"{", 400),
        ("POST", "/Users", b"[]", 400),
        ("POST", "/Users", b'{"userName": NaN}', 400),
        ("POST", "/Users", b"[" * 100_000, 400),
        ("POST", "/Users", b" " * (1 << 20) + b"{}", 413),
        ("POST", "/Users", {"schemas": [USER]}, 400),
        ("POST", "/Users", {"schemas": [GROUP], "userName": "x"}, 400),
        ("POST", "/Users", {"schemas": [USER], "userName": "x", "active": "maybe"}, 400),
        ("POST", "/Groups", {"schemas": [GROUP], "displayName": "x", "members": [{"type": "Group"}]}, 400),
        ("PATCH", "/Users/x", {"schemas": [PATCH], "Operations": []}, 400),
        ("PATCH", "/Users/x", {"schemas": [PATCH], "Operations": [{"op": "destroy"}]}, 400),
        ("GET", "/Users/'; DROP TABLE x", None, 404),
        ("GET", "/Nonsense", None, 404),
        ("GET", "/Me", None, 501),
        ("POST", "/Schemas", {}, 405),
        ("DELETE", "/Users", None, 405),
        ("GET", "/Schemas?filter=x", None, 403),
    ],
)
def test_request_that_is_wrong_has_an_answer(
    corp: Directory, method: str, path: str, body: Any, status: int
) -> None:
    """With the status the standard has for it, and an error in its form."""
    answer = corp.ask(method, path, body)
    assert answer.status == status
    assert (answer.body or {})["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]


def test_body_of_another_type_is_refused(corp: Directory) -> None:
    """Forms and XML are none of SCIM."""
    assert corp.ask("POST", "/Users", b"userName=x", content_type="text/plain").status == 415


def test_directory_that_is_switched_off_changes_nothing(corp: Directory, world: Any) -> None:
    """Its token still says who it is; that is all."""
    person = corp.add("marie")
    world.provider(kind="scim", id="corp", label="Corp", enabled=False)
    assert corp.patch(f"/Users/{person['id']}", *LEAVING["okta"]).status == 403
    assert corp.account("marie")[1]


def test_removing_the_provider_ends_its_tokens_and_orphans_nobody(corp: Directory, world: Any) -> None:
    """Nothing it said is left, also for a namesake; another one takes the accounts over once told to."""
    person = corp.add("marie", externalId="e-1")
    corp.group("Sales", person["id"])
    account = open_session(corp, "marie")
    with corp.store.transaction() as tx:
        token = make(tx, "corp", corp.clock.now(), days=10)
        assert corp.accounts.groups(tx, account, "corp")
    with corp.store.transaction() as tx:
        forget_provider(tx, corp.accounts, "corp")
    assert authenticate(corp.store, token, corp.clock.now()) is None
    assert corp.ask("GET", f"/Users/{person['id']}").status == 403
    with corp.store.transaction() as tx:
        assert not corp.accounts.groups(tx, account, "corp")
    for table in ("token", "user", "group", "member", "external"):
        assert corp.store.rows(f"SELECT count(*) FROM vallum.scim_{table}") == [(0,)]
    world.provider(kind="scim", id="corp", label="Corp")
    assert authenticate(corp.store, token, corp.clock.now()) is None
    said = {"schemas": [USER], "userName": "marie", "externalId": "e-1"}
    assert corp.ask("POST", "/Users", said).status == 409
    world.provider(kind="scim", id="next", label="Next", adopt="login")
    following = Directory(world.store, world.accounts, world.clock, "next")
    again = following.add("marie", externalId="other-7")
    assert following.account("marie") == (account, True)
    following.patch(f"/Users/{again['id']}", *LEAVING["okta"])
    assert following.account("marie") == (account, False)


def test_upgrade_drops_what_removed_providers_have_left(pg_dsn: str) -> None:
    """A token of one that is gone is nobody's, also for a provider of the same id made later."""
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        migrations._run(connection, "sso", "0006")
        connection.execute(
            b"INSERT INTO vallum.scim_token (provider_id, prefix, digest, created, expires)"
            b" VALUES ('gone', 'vscim_0', sha256('a'), %s, %s)",
            (now, now + timedelta(days=1)),
        )
        connection.execute(b"INSERT INTO vallum.scim_external VALUES ('gone', 'e-1', 1)")
        migrations.migrate(connection, "sso")
        assert tokens(connection) == []
        assert connection.execute(b"SELECT FROM vallum.scim_external").fetchall() == []
        migrations.unmigrate(connection, "sso")


def test_service_describes_itself(corp: Directory) -> None:
    """What it can do, which kinds there are, and their schemas."""
    config = corp.body("GET", "/ServiceProviderConfig")
    for feature in ("patch", "bulk", "filter", "sort", "etag"):
        assert config[feature]["supported"] is True
    kinds = {one["name"]: one for one in corp.body("GET", "/ResourceTypes")["Resources"]}
    assert set(kinds) == {"User", "Group"}
    schemas = {one["id"] for one in corp.body("GET", "/Schemas")["Resources"]}
    assert schemas == {USER, GROUP, ENTERPRISE}
    for id_ in schemas:
        assert corp.body("GET", f"/Schemas/{id_}")["id"] == id_


def test_domain_that_is_not_the_directorys_is_refused(corp: Directory, world: Any) -> None:
    """A provider speaks for its mail domains only."""
    world.provider(kind="scim", id="corp", label="Corp", domains=["example.com"])
    corp.add("marie@example.com")
    answer = corp.ask("POST", "/Users", {"schemas": [USER], "userName": "eve@evil.example"})
    assert scim_type(answer) == (400, "invalidValue")
    sound = [{"value": "eve@example.com", "primary": True}]
    answer = corp.ask("POST", "/Users", {"schemas": [USER], "userName": "eve@evil.example", "emails": sound})
    assert scim_type(answer) == (400, "invalidValue")


def test_token_is_shown_once_and_ends(corp: Directory) -> None:
    """It is kept as a digest, found by its prefix, and worth nothing after its end or revocation."""
    with corp.store.transaction() as tx:
        token = make(tx, "corp", corp.clock.now(), days=10)
        second = make(tx, "corp", corp.clock.now(), days=365)
        assert [one.prefix for one in tokens(tx)] == [token[:14], second[:14]]
        with pytest.raises(TokenRefused):
            make(tx, "corp", corp.clock.now(), days=366)
        with pytest.raises(NoSuchProvider):
            make(tx, "none", corp.clock.now())
    assert token not in str(corp.store.rows("SELECT * FROM vallum.scim_token"))
    assert authenticate(corp.store, token, corp.clock.now()) == "corp"
    for wrong in (token[:-1], token + "x", token.upper(), "", "vscim_", second[:14] + token[14:]):
        assert authenticate(corp.store, wrong, corp.clock.now()) is None
    corp.clock.advance(timedelta(days=10))
    assert authenticate(corp.store, token, corp.clock.now()) is None
    assert authenticate(corp.store, second, corp.clock.now()) == "corp"
    with corp.store.transaction() as tx:
        revoke(tx, second)
        with pytest.raises(TokenRefused):
            revoke(tx, second)
    assert authenticate(corp.store, second, corp.clock.now()) is None
