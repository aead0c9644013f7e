"""What people and attackers put into fields, forms and addresses: shown as text, refused, never lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

import pytest
from litestar.testing import TestClient
from playwright.sync_api import Browser, expect

import vallum
from tests.support.browser import watched
from tests.support.company import METADATA, POLICY
from tests.support.console import Console, console_app, serving
from vallum.postgres import EmbeddedServer, connect
from vallum.server.pages import csrf

SCRIPT: Final = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
EVIL: Final = {
    "script": SCRIPT,
    "template": "{{ 7*7 }}{% include '/etc/passwd' %}",
    "quotes": "\"'><b onmouseover=alert(1)>`",
    "long": "x" * 10_000,
    "right-to-left": "שלום \u202eevil\u202c عربى",
    "emoji": "👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 Ⅷ ﷽",
    "entities": "&lt;b&gt; &amp;amp; &#x27;",
}
_numbers = count(1)


@pytest.fixture
def writable(pg_server: EmbeddedServer, company: str) -> Iterator[Console]:
    """A console over a company of its own that may be written to."""
    from examples.trading import generate

    name = f"edited_{os.getpid()}_{next(_numbers)}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    with (
        vallum.open(dsn, metadata=METADATA, policy=POLICY, writable=True) as opened,
        serving(opened, administrators=("admin",), writable=True) as served,
    ):
        yield served
    pg_server.drop_database(name)


def _own_partner(console: Console) -> int:
    """A contact that marie may change, given evil values nobody cleaned."""
    eyes = console.vallum.as_user("marie")
    found: list[int] = eyes.search("res.partner", [("is_company", "=", False)], limit=1)
    return found[0]


def _execute(console: Console, statement: str, *values: Any) -> None:
    with connect(console.vallum.application.database.dsn, readonly=False, autocommit=True) as connection:
        connection.execute(statement, values)


@pytest.mark.parametrize("kind", EVIL)
def test_stored_text_is_shown_as_text(browser: Browser, writable: Console, kind: str) -> None:
    """Scripts, markup, template code, endless names and bidirectional text do nothing but stand there."""
    partner, value = _own_partner(writable), EVIL[kind]
    _execute(
        writable,
        "UPDATE res_partner SET name = %s, comment = %s, city = %s WHERE id = %s",
        value,
        value,
        value,
        partner,
    )
    _execute(writable, "UPDATE res_users SET login = login")
    with watched(browser, writable.address, "marie") as seen:
        for path in (
            f"/data/res.partner?domain=[('id','=',{partner})]",
            f"/data/res.partner/{partner}",
            f"/data/res.partner/{partner}/edit",
        ):
            seen.page.goto(path)
            expect(seen.page.locator("main h1")).to_be_visible()
            assert seen.page.title() != "owned"
            assert seen.page.locator("main script, main img, main b[onmouseover]").count() == 0
            width = seen.page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert width <= 0, path
        seen.page.goto(f"/data/res.partner/{partner}")
        shown = seen.page.locator("main dd bdi").all_inner_texts()
        wanted = " ".join(value.split())[:200]
        assert any(" ".join(text.split()).startswith(wanted) for text in shown)


def test_evil_address_is_an_error_page(console: Console) -> None:
    """Whatever stands in an address, the answer is a page that repeats it as text, and no failure."""
    app = console_app(console.vallum, administrators=("admin",))
    paths = [
        f"/search?q={SCRIPT}",
        f"/data/{SCRIPT.replace('/', '')}",
        "/data/res.partner?order=name;drop table res_partner",
        "/data/res.partner?order=id desc, (select 1)",
        "/data/res.partner?from=99999999999999999999",
        "/data/res.partner?c=name~DROP~x",
        "/data/res.partner?c=nosuch~=~x",
        "/data/res.partner?c=id~=~x&c=id~%3E~1e999",
        "/data/res.partner?domain=" + "[" * 5000,
        "/data/res.partner?domain=__import__('os').system('id')",
        "/data/res.partner?group=name:sum&group=x",
        "/data/res.partner?col=password,name,__class__",
        "/access?u=-1&m=abc&group=x",
        "/access/explain?user=%00&model=res.partner",
        "/access/explain?user=marie&model=res.partner&op=drop",
        "/access/explain?user=marie&model=res.partner&record=1e3",
        "/access/who-can?model=res.partner&field=%3Cb%3E",
        "/people/999999999999",
        "/groups/0",
        "/?" + "&".join(f"a{i}=1" for i in range(600)),
    ]
    with TestClient(app, cookies={"who": "admin"}) as client:
        for path in paths:
            answer = client.get(path)
            assert answer.status_code < 500, path
            assert "<script>document" not in answer.text, path
            assert 'onerror="' not in answer.text, path


def test_form_without_token_changes_nothing(writable: Console) -> None:
    """Without the session's token, with another's, from another site or as JSON a form is refused."""
    app = console_app(writable.vallum, writable=True)
    partner = _own_partner(writable)
    path = f"/data/res.partner/{partner}/edit"
    good = {"csrf": csrf.disguise("token of marie"), "v.city": "Elsewhere"}
    with TestClient(app, cookies={"who": "marie"}) as client:
        for data, headers in (
            ({"v.city": "Elsewhere"}, {}),
            ({**good, "csrf": csrf.disguise("token of paul")}, {}),
            (good, {"sec-fetch-site": "cross-site"}),
        ):
            assert client.post(path, data=data, headers=headers).status_code == 409
        assert client.post(path, json=good).status_code == 422
    assert writable.vallum.sudo().read("res.partner", [partner], ["city"])[0]["city"] != "Elsewhere"


def test_form_saves_what_was_typed(browser: Browser, writable: Console) -> None:
    """A changed field is written, the others are left as they are."""
    partner = _own_partner(writable)
    before = writable.vallum.sudo().read("res.partner", [partner], ["name", "phone"])[0]
    with watched(browser, writable.address, "marie") as seen:
        seen.page.goto(f"/data/res.partner/{partner}")
        seen.page.get_by_role("link", name="Edit").click()
        seen.page.get_by_label("City").fill("Ankh-Morpork")
        seen.page.get_by_role("button", name="Save").click()
        expect(seen.page.get_by_text("Saved.")).to_be_visible()
        expect(seen.page.locator("main")).to_contain_text("Ankh-Morpork")
    after = writable.vallum.sudo().read("res.partner", [partner], ["name", "phone", "city"])[0]
    assert (after["name"], after["phone"], after["city"]) == (before["name"], before["phone"], "Ankh-Morpork")


def test_second_editor_learns_what_changed_and_loses_nothing(browser: Browser, writable: Console) -> None:
    """Who saves second sees both versions, keeps what was typed, and may then decide."""
    partner = _own_partner(writable)
    with (
        watched(browser, writable.address, "marie") as first,
        watched(browser, writable.address, "paul") as second,
    ):
        for seen in (first, second):
            seen.page.goto(f"/data/res.partner/{partner}/edit")
        first.page.get_by_label("City").fill("Paris")
        first.page.get_by_role("button", name="Save").click()
        expect(first.page.get_by_text("Saved.")).to_be_visible()
        second.page.get_by_label("City").fill("Marseille")
        second.page.get_by_role("button", name="Save").click()
        expect(second.page.get_by_role("alert")).to_contain_text("Somebody was faster")
        expect(second.page.locator(".diff")).to_contain_text("Paris")
        expect(second.page.get_by_label("City")).to_have_value("Marseille")
        second.shoot("edit-conflict")
        second.page.get_by_role("button", name="Save").click()
        expect(second.page.get_by_text("Saved.")).to_be_visible()
    assert writable.vallum.sudo().read("res.partner", [partner], ["city"])[0]["city"] == "Marseille"


def test_record_deleted_while_open_is_said_clearly(browser: Browser, writable: Console) -> None:
    """Its page says that it is gone; a form about it comes back with what was typed."""
    made = writable.vallum.as_user("marie").create("res.partner", {"name": "Short-lived"})
    with watched(browser, writable.address, "marie") as seen:
        seen.page.goto(f"/data/res.partner/{made}/edit")
        writable.vallum.sudo().unlink("res.partner", [made])
        seen.page.get_by_label("City").fill("Nowhere")
        seen.page.get_by_role("button", name="Save").click()
        expect(seen.page.get_by_role("alert")).to_contain_text("gone")
        expect(seen.page.get_by_label("City")).to_have_value("Nowhere")
        seen.page.goto(f"/data/res.partner/{made}")
        expect(seen.page.locator("h1")).to_have_text("This record is gone")


def test_session_that_ends_in_a_form_loses_nothing(browser: Browser, writable: Console) -> None:
    """The form is refused, and after signing in again the same tab offers what was typed."""
    partner = _own_partner(writable)
    with watched(browser, writable.address, "marie") as seen:
        page, path = seen.page, f"/data/res.partner/{partner}/edit"
        page.goto(path)
        page.get_by_label("City").fill("Typed for an hour")
        page.context.clear_cookies()
        page.get_by_role("button", name="Save").click()
        expect(page.locator("h1")).to_have_text("Your session has ended")
        seen.shoot("session-ended")
        page.context.add_cookies([{"name": "who", "value": "marie", "url": writable.address}])
        page.goto(path)
        page.get_by_role("button", name="Bring it back").click()
        expect(page.get_by_label("City")).to_have_value("Typed for an hour")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved.")).to_be_visible()
        page.goto(path)
        expect(page.get_by_role("button", name="Bring it back")).to_be_hidden()


def test_wrong_value_comes_back_with_the_form(writable: Console) -> None:
    """A value that cannot be read is named, and every value typed is still in the form."""
    app = console_app(writable.vallum, writable=True)
    with TestClient(app, cookies={"who": "paul"}) as client:
        data = {
            "csrf": csrf.disguise("token of paul"),
            "v.name": "New lead",
            "v.probability": "many",
            "v.stage_id": "no such stage",
        }
        answer = client.post("/data/crm.lead/new", data=data)
        assert answer.status_code == 422
        assert "many" in answer.text
        assert "New lead" in answer.text


def test_form_sent_twice_creates_once(writable: Console) -> None:
    """A double click or a reload makes one record."""
    app = console_app(writable.vallum, writable=True)
    with TestClient(app, cookies={"who": "marie"}) as client:
        data = {"csrf": csrf.disguise("token of marie"), "key": "a1" * 16, "v.name": "Only once"}
        places = [client.post("/data/res.partner/new", data=data, follow_redirects=False) for _ in range(2)]
        assert [place.status_code for place in places] == [303, 303]
        assert places[0].headers["location"] == places[1].headers["location"]
    assert writable.vallum.sudo().search_count("res.partner", [("name", "=", "Only once")]) == 1


def test_server_that_starts_anew_takes_open_pages_along(company: str) -> None:
    """A form opened before a restart can be sent after it: its token is the session's, not the process's."""
    disguise = csrf.disguise("token of marie")
    with vallum.open(company, metadata=METADATA, policy=POLICY) as opened:
        for _ in range(2):
            with TestClient(console_app(opened, writable=False), cookies={"who": "marie"}) as client:
                answer = client.post("/data/res.partner/new", data={"csrf": disguise, "v.name": "x"})
                assert answer.status_code == 403
                assert "only reads" in answer.text
