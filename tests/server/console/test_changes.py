"""Changes of a policy in the console: drafted, submitted, decided by somebody else, seen to conflict."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from litestar.testing import TestClient
from lxml import etree
from playwright.sync_api import Browser, Page, expect

import vallum
from examples.trading import generate
from tests.support.browser import accessibility, watched
from tests.support.company import METADATA, POLICY
from tests.support.console import Console, console_app, serving
from vallum.governance import Changes, Person
from vallum.policy.change import Change, item_of
from vallum.postgres import EmbeddedServer, connect
from vallum.postgres.migrations import unmigrate
from vallum.server.pages import csrf

ADMIN, OLGA = Person(2, "admin"), Person(16, "olga")


@pytest.fixture(scope="module")
def served(pg_server: EmbeddedServer) -> Iterator[Console]:
    """A console over a company of the module's own: admin and olga may decide, lars only looks."""
    name = f"console_changes_{os.getpid()}"
    dsn = pg_server.create_database(name)
    generate(dsn, rows=2_000)
    with (
        vallum.open(dsn, metadata=METADATA, policy=POLICY) as opened,
        serving(
            opened,
            administrators=("admin", "olga"),
            auditors=("lars",),
            approvers=("admin", "olga", "helene"),
        ) as running,
    ):
        yield running
    pg_server.drop_database(name)


@pytest.fixture
def changing(served: Console) -> Console:
    """The console without any change."""
    dsn = served.vallum.application.database.dsn
    with connect(dsn, readonly=False, autocommit=True) as connection:
        unmigrate(connection, "policy")
    served.events.clear()
    return served


def _rule(console: Console) -> Any:
    return next(r for r in console.vallum.policy.rules if r.model == "crm.lead" and r.groups and r.xml_id)


def _change(console: Console, **values: Any) -> Change:
    xml_id = _rule(console).xml_id
    before = item_of(console.vallum.policy, "rule", xml_id)
    assert before is not None
    return Change(kind="rule", xml_id=xml_id, before=before, after={**before, **values})


def _changes(console: Console) -> Changes:
    return Changes(console.vallum.application)


def _submitted(page: Page, console: Console, domain: str, reason: str) -> None:
    page.goto(f"/workshop/draft?id={_rule(console).id}")
    page.get_by_label("Records", exact=True).fill(domain)
    page.get_by_role("button", name="See what changes").click()
    expect(page.get_by_role("heading", name="What changes")).to_be_visible()
    form = page.get_by_role("form", name="Submit the change")
    form.get_by_label("Reason", exact=False).fill(reason)
    form.get_by_role("button", name="Submit for approval").click()


def test_draft_is_submitted_and_approved_by_somebody_else(browser: Browser, changing: Console) -> None:
    """The author may only withdraw; a second person sees whom it concerns, and puts it in force."""
    with watched(browser, changing.address, "admin") as seen:
        _submitted(seen.page, changing, "[('user_id', '=', user.id)]", "Leads are personal")
        expect(seen.page.get_by_text("Somebody else decides; send them")).to_be_visible()
        expect(seen.page.get_by_role("button", name="Withdraw it")).to_be_visible()
        expect(seen.page.get_by_role("button", name="Approve", exact=False)).to_have_count(0)
        address = seen.page.url
    with watched(browser, changing.address, "olga") as seen:
        seen.page.goto("/changes")
        seen.page.get_by_role("row").nth(1).get_by_role("link").first.click()
        expect(seen.page.locator("ins")).to_contain_text("user.id")
        expect(seen.page.locator("#changes")).to_contain_text("people gain records")
        seen.page.get_by_label("Comment").fill("Agreed")
        seen.page.get_by_role("button", name="Approve", exact=False).click()
        expect(seen.page.get_by_text("it holds now, everywhere")).to_be_visible()
    with watched(browser, changing.address, "admin") as seen:
        seen.page.goto(address)
        seen.page.get_by_role("link", name="Roll it back").click()
        expect(seen.page.get_by_role("form", name="Submit the change").get_by_label("Reason")).to_have_value(
            "Roll back change 1"
        )
    done = _changes(changing).get(1)
    assert address.partition("?")[0].endswith(f"/changes/{done.id}")
    assert (done.state, done.author.login, done.comment) == ("approved", "admin", "Agreed")
    assert [e.facts["act"] for e in changing.events] == ["change proposed", "change approved"]
    with vallum.open(changing.vallum.application.database.dsn, metadata=METADATA, policy=POLICY) as app:
        item = item_of(app.policy, "rule", done.change.xml_id)
        assert item is not None
        assert item["domain"] == "[('user_id', '=', user.id)]"


def test_conflicting_drafts_are_shown_and_refused(browser: Browser, changing: Console) -> None:
    """Two wait for one rule: each tells of the other; when one holds, the other cannot be approved."""
    first = _changes(changing).propose(_change(changing, name="First"), "one", ADMIN)
    second = _changes(changing).propose(_change(changing, name="Second"), "two", ADMIN)
    with watched(browser, changing.address, "olga") as seen:
        page = seen.page
        page.goto(f"/changes/{second.id}")
        expect(page.get_by_text("Another change of the same waits")).to_be_visible()
        _changes(changing).approve(first.id, OLGA)
        page.get_by_label("Comment").fill("typed with care")
        page.get_by_role("button", name="Approve", exact=False).click()
        expect(page.get_by_role("alert")).to_contain_text("has changed since")
        expect(page.get_by_text("it cannot be approved. Draft it anew")).to_be_visible()
        expect(page.get_by_role("button", name="Approve", exact=False)).to_have_count(0)
    assert _changes(changing).get(second.id).state == "waiting"


def _post(client: TestClient[Any], login: str, path: str, **form: str) -> Any:
    token = csrf.disguise(f"token of {login}")
    return client.post(path, data={"csrf": token, **form}, follow_redirects=False)


@pytest.mark.parametrize(
    ("login", "act", "status"),
    [
        ("admin", "approve", 409),
        ("lars", "approve", 403),
        ("marie", "approve", 403),
        ("lars", "withdraw", 409),
    ],
)
def test_whoever_may_not_decide_does_not(changing: Console, login: str, act: str, status: int) -> None:
    """Neither the author, nor an auditor, nor a stranger, whatever form they send."""
    made = _changes(changing).propose(_change(changing, name="New"), "why", ADMIN)
    app = console_app(changing.vallum, administrators=("admin",), auditors=("lars",), approvers=("admin",))
    with TestClient(app, cookies={"who": login}) as client:
        assert _post(client, login, f"/changes/{made.id}", act=act).status_code == status
    assert _changes(changing).get(made.id).state == "waiting"


def test_approver_without_other_rights_decides(changing: Console) -> None:
    """Who is only an approver sees changes and decides, and nothing else about others."""
    made = _changes(changing).propose(_change(changing, name="New"), "why", ADMIN)
    app = console_app(changing.vallum, administrators=("admin",), approvers=("helene",))
    with TestClient(app, cookies={"who": "helene"}) as client:
        assert client.get("/changes").status_code == 200
        assert client.get("/changes?format=json").json()[0]["state"] == "waiting"
        assert client.get("/access").status_code == 403
        assert client.get("/workshop").status_code == 403
        assert _post(client, "helene", "/changes", try_="1").status_code == 403
        assert _post(client, "helene", f"/changes/{made.id}", act="refuse").status_code == 303
    assert _changes(changing).get(made.id).state == "refused"


def test_draft_begun_before_another_change_is_refused_and_kept(changing: Console) -> None:
    """What was typed comes back beside the reason why it cannot be submitted."""
    rule = _rule(changing)
    app = console_app(changing.vallum, administrators=("admin",))
    with TestClient(app, cookies={"who": "admin"}) as client:
        form = {"try": "1", "kind": "rule", "id": str(rule.id), "model": rule.model, "ops": "read"}
        typed = {"name": "Typed with care", "domain": "[(1, '=', 1)]", "reason": "A reason of mine"}
        answer = _post(client, "admin", "/changes", base="0" * 16, **form, **typed)
        assert answer.status_code == 409
        for text in ("Typed with care", "A reason of mine", "Somebody was faster"):
            assert text in answer.text
        answer = _post(client, "admin", "/changes", **form, **(typed | {"reason": " "}))
        assert answer.status_code == 422
        assert "Typed with care" in answer.text
    assert _changes(changing).some() == []


@pytest.mark.parametrize("kind", ["rule", "right", "group"])
def test_every_kind_is_drafted_and_submitted(changing: Console, kind: str) -> None:
    """New ones get a name of their own in the module that the policy is of."""
    app = console_app(changing.vallum, administrators=("admin",))
    with TestClient(app, cookies={"who": "admin"}) as client:
        form = {"kind": kind, "id": "0", "model": "crm.lead", "ops": "read", "name": "Añother <one>"}
        group = "" if kind == "group" else "trading.group_sale_salesman"
        query = "&".join(f"{k}={quote(v)}" for k, v in {**form, "groups": group, "try": "1"}.items())
        assert client.get(f"/workshop/draft?{query}").status_code == 200
        answer = _post(client, "admin", "/changes", reason="why", groups=group, **{"try": "1"}, **form)
        assert answer.status_code == 303, answer.text
    (made,) = _changes(changing).some()
    assert made.change.kind == kind
    assert made.change.xml_id == "trading.a_other__one"
    assert made.change.before is None
    _changes(changing).approve(made.id, OLGA)
    with vallum.open(changing.vallum.application.database.dsn, metadata=METADATA, policy=POLICY) as opened:
        assert item_of(opened.policy, made.change.kind, made.change.xml_id) == made.change.after


def test_odoo_has_a_file_and_no_changes(changing: Console) -> None:
    """Its policy is its own: what is there already is written to, whether or not a module shields it."""
    rule = _rule(changing)
    app = console_app(changing.vallum, administrators=("admin",), odoo=True)
    with TestClient(app, cookies={"who": "admin"}) as client:
        assert "Odoo" in client.get("/changes").text
        assert client.get("/changes/1").status_code == 404
        assert _post(client, "admin", "/changes", **{"try": "1", "id": str(rule.id)}).status_code == 404
        query = f"try=1&kind=rule&id={rule.id}&ops=read&name=N&domain=[]&reason=a--b&format=xml"
        answer = client.get(f"/workshop/draft?{query}&groups=trading.group_sale_salesman,base.group_user")
        top = etree.fromstring(answer.content)
        assert top.tag == "odoo"
        (call,) = top.findall("function")
        assert (call.get("model"), call.get("name")) == ("ir.rule", "write")
        which, values = (eval(str(v.get("eval")), {"ref": str}) for v in call.findall("value"))  # noqa: S307
        assert which == [rule.xml_id]
        assert values["groups"] == [(6, 0, ["trading.group_sale_salesman", "base.group_user"])]
        assert (values["perm_read"], values["perm_write"]) == (True, False)
        assert "depends on: base, trading" in answer.text
        new = etree.fromstring(
            client.get("/workshop/draft?try=1&kind=rule&model=crm.lead&ops=read&name=N&format=xml").content
        )
        (record,) = new.findall("record")
        assert "." not in (record.get("id") or "")
        gone = client.get(f"/workshop/draft?try=1&id={rule.id}&ops=read&remove=1&format=xml").content
        assert etree.fromstring(gone).find("delete").get("id") == rule.xml_id  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}}]
)
def test_pages_of_changes_are_usable_by_everyone(
    browser: Browser, changing: Console, axe: str, options: dict[str, Any]
) -> None:
    """Waiting, decided, conflicting, empty: no violation of WCAG 2.2 AA, and it fits a phone."""
    look = "-".join(("phone" if "viewport" in options else options.get("color_scheme", "light"), ""))[:-1]
    with watched(browser, changing.address, "olga", reduced_motion="reduce", **options) as seen:
        seen.page.goto("/changes")
        assert accessibility(seen.page, axe) == []
        seen.shoot(f"changes-empty-{look}")
        text = "👩‍👩‍👧 שלום " + "long" * 200
        made = _changes(changing).propose(_change(changing, name=text, domain="[]"), text, ADMIN)
        other = _changes(changing).propose(_change(changing, name="Other"), "other", OLGA)
        for path, name in (("/changes", "changes"), (f"/changes/{made.id}", "change")):
            seen.page.goto(path)
            assert accessibility(seen.page, axe) == []
            assert seen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            seen.shoot(f"{name}-{look}")
        _changes(changing).approve(made.id, OLGA)
        for number, name in ((made.id, "change-approved"), (other.id, "change-conflict")):
            seen.page.goto(f"/changes/{number}")
            assert accessibility(seen.page, axe) == []
            seen.shoot(f"{name}-{look}")
