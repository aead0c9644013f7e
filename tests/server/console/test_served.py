"""The console as `vallum serve` serves it: real sessions, real sign-in, the whole stack around it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.server.conftest import Company
from tests.support.browser import Watched


def _signed_in(page: Page, company: Company, login: str, path: str = "/") -> None:
    page.goto(company.server.url + path)
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(company.people.passwords[login])
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_stranger_is_sent_to_sign_in_and_back(browser: Browser, serve_company: Company) -> None:
    """A page that somebody was sent opens after signing in, filters and all."""
    context = browser.new_context()
    try:
        seen = Watched(context)
        _signed_in(seen.page, serve_company, "admin", "/people?q=marie&risk=")
        expect(seen.page.locator("main h1")).to_have_text("People")
        expect(seen.page.locator("tbody tr")).to_have_count(1)
        assert seen.page.url.endswith("/people?q=marie&risk=")
        seen.page.goto(serve_company.server.url + "/access/who-can?model=crm.lead")
        seen.page.get_by_role("button", name="Count their records").click()
        expect(seen.page.get_by_role("columnheader", name="Records")).to_be_visible(timeout=20_000)
        seen.page.goto(serve_company.server.url + "/")
        expect(seen.page.locator("main")).to_contain_text("of people have a second factor")
        links = seen.page.locator("main a").evaluate_all("all => all.map(a => a.href)")
        assert any("/account/coverage" in link for link in links)
        for link in sorted(set(links)):
            assert seen.page.request.get(link).status == 200, link
        assert seen.complaints == []
    finally:
        context.close()


def test_session_decides_what_is_shown(browser: Browser, serve_company: Company) -> None:
    """A seller has data and her own access, and none of the pages about others."""
    context = browser.new_context()
    try:
        seen = Watched(context)
        _signed_in(seen.page, serve_company, "marie", "/data/crm.lead")
        expect(seen.page.locator("tbody tr").first).to_be_visible()
        expect(seen.page.get_by_role("link", name="Access explorer")).to_have_count(0)
        answer = seen.page.goto(serve_company.server.url + "/access")
        assert answer is not None
        assert answer.status == 403
        seen.page.goto(serve_company.server.url + "/data/res.partner/new")
        seen.page.get_by_label("Name", exact=False).first.fill("Made through the server")
        seen.page.get_by_role("button", name="Save").click()
        expect(seen.page.get_by_text("Saved.")).to_be_visible()
        assert [c for c in seen.complaints if "403" not in c] == []
    finally:
        context.close()


@pytest.mark.parametrize("path", ["/", "/access", "/data", "/people/7", "/me", "/postgres", "/nothing"])
def test_nothing_is_shown_without_a_session(serve_company: Company, path: str) -> None:
    """Whoever is not signed in sees no page, and learns of none."""
    with serve_company.server.client() as client:
        answer = client.get(path, headers={"cookie": "__Host-vallum=" + "A" * 43})
        assert answer.status_code in (303, 404)
        assert "Marie" not in answer.text
        if answer.status_code == 303:
            assert answer.headers["location"].startswith("/account/sign-in?next=")
            assert answer.headers["cache-control"] == "no-store"
