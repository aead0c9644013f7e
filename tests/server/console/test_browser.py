"""Every page in a real browser: what it shows, how it looks, whom it can be used by."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import accessibility, watched
from tests.support.console import Console

# Every page there is, and some of its states: name of the picture, who looks, address.
PAGES: Final = (
    ("home", "admin", "/"),
    ("home-own", "marie", "/"),
    ("home-nothing", "public", "/"),
    ("explorer", "admin", "/access"),
    ("explorer-counted", "admin", "/access?q=mar&count=1"),
    ("explorer-empty", "admin", "/access?q=nobody+is+called+so"),
    ("explain-form", "lars", "/access/explain"),
    ("explain-refused", "admin", "/access/explain?user=marie&model=crm.lead&record=7"),
    ("explain-field", "admin", "/access/explain?user=paul&model=hr.employee&field=salary"),
    ("who-can-form", "admin", "/access/who-can"),
    ("who-can", "admin", "/access/who-can?model=hr.employee&field=salary"),
    ("people", "admin", "/people"),
    ("person", "admin", "/people/9"),
    ("groups", "admin", "/groups"),
    ("group", "admin", "/groups/9"),
    ("workshop", "admin", "/workshop?q=lead"),
    ("workshop-new", "admin", "/workshop/draft?model=crm.lead"),
    (
        "workshop-draft",
        "admin",
        (
            "/workshop/draft?try=1&kind=rule&id=0&model=crm.lead&name=New&groups=trading.group_sale_salesman"
            "&domain=%5B%28%27priority%27,%27%3D%27,%270%27%29%5D&ops=read&op=read"
        ),
    ),
    ("workshop-group", "admin", "/workshop/draft?try=1&kind=group&id=9&name=New+name&model=crm.lead"),
    ("workshop-wrong", "admin", "/workshop/draft?try=1&kind=rule&id=0&model=crm.lead&domain=%5B&ops=read"),
    ("roles", "admin", "/postgres?check=now"),
    ("roles-plan", "admin", "/postgres/plan"),
    ("roles-log-ins", "admin", "/postgres/log-ins"),
    ("data", "marie", "/data"),
    ("records", "paul", "/data/crm.lead"),
    ("records-conditions", "paul", "/data/crm.lead?c=probability~%3E~10&group=stage_id"),
    ("records-empty", "paul", "/data/crm.lead?q=no+such+lead"),
    ("records-wrong", "paul", "/data/crm.lead?domain=%5B%28"),
    ("record", "paul", "/data/res.partner/9"),
    ("view-as", "admin", "/data/crm.lead?as=4&marks=1"),
    ("search", "admin", "/search?q=lead"),
    ("search-nothing", "admin", "/search?q=zzzzzzzz"),
    ("me", "marie", "/me"),
    ("error-refused", "marie", "/access"),
    ("error-read-only", "paul", "/data/crm.lead/new"),
    ("error-gone", "admin", "/data/crm.lead/99999999"),
    ("error-model", "admin", "/data/no.such.model"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "login", "path"), PAGES, ids=[name for name, _, _ in PAGES])
def test_page_is_usable_by_everyone(
    browser: Browser, console: Console, axe: str, name: str, login: str, path: str
) -> None:
    """No violation of WCAG 2.2 AA in light or dark, nothing that the policy of contents refuses, no error."""
    with watched(browser, console.address, login, color_scheme="light", reduced_motion="reduce") as seen:
        seen.page.goto(path)
        for scheme in ("light", "dark"):
            seen.page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
            seen.shoot(f"{name}-{scheme}")
            assert accessibility(seen.page, axe) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "login", "path"), PAGES, ids=[name for name, _, _ in PAGES])
def test_page_fits_a_phone(
    browser: Browser, console: Console, axe: str, name: str, login: str, path: str
) -> None:
    """On a narrow screen the page does not scroll sideways, and stays accessible."""
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    with watched(browser, console.address, login, **phone) as seen:
        seen.page.goto(path)
        seen.shoot(f"{name}-phone")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
        assert accessibility(seen.page, axe) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "login", "path"), PAGES, ids=[name for name, _, _ in PAGES])
def test_page_reads_the_same_without_script(
    browser: Browser, console: Console, name: str, login: str, path: str
) -> None:
    """Whoever has no JavaScript reads all that others read."""
    texts = []
    for script in (True, False):
        with watched(browser, console.address, login, java_script_enabled=script) as seen:
            seen.page.goto(path)
            texts.append(seen.page.locator("main td, main dd, main h1, main li").all_inner_texts())
    assert [_undated(t) for t in texts[0]] == [_undated(t) for t in texts[1]]


def _undated(text: str) -> str:
    """A text without its moments: those are shown in the reader's own words where there is a script."""
    return "" if re.search(r"\d{4}-\d\d-\d\d \d\d:|\b20\d\d, ", text) else text.strip()


def test_matrix_explains_a_cell_in_the_drawer(browser: Browser, console: Console) -> None:
    """A cell opens its explanation beside the matrix; closing it gives the focus back."""
    with watched(browser, console.address, "admin") as seen:
        seen.page.goto("/access?q=marie")
        seen.page.locator("a[data-cell]").nth(1).click()
        drawer = seen.page.locator("#drawer")
        expect(drawer.get_by_role("heading", name="Why?")).to_be_visible()
        expect(drawer.locator("svg .node").first).to_be_visible()
        expect(drawer).to_contain_text("Access right")
        seen.shoot("explorer-drawer")
        drawer.get_by_role("link", name="Close").click()
        expect(drawer).to_be_empty()
        expect(seen.page.locator("a[data-cell]").nth(1)).to_be_focused()


def test_keyboard_reaches_everything(browser: Browser, console: Console) -> None:
    """`/` searches, `g` and a letter go somewhere, arrows move, Enter explains, Escape closes."""
    with watched(browser, console.address, "admin") as seen:
        page, keyboard = seen.page, seen.page.keyboard
        page.goto("/")
        keyboard.press("/")
        expect(page.locator("#search")).to_be_focused()
        keyboard.press("Escape")
        keyboard.press("g")
        keyboard.press("a")
        page.wait_for_url("**/access")
        page.locator("a[data-cell][tabindex='0']").focus()
        keyboard.press("ArrowRight")
        keyboard.press("ArrowDown")
        focused = page.evaluate(
            "(() => { const cell = document.activeElement.closest('td');"
            " return [cell.cellIndex, cell.parentElement.rowIndex]; })()"
        )
        assert focused == [2, 2]
        keyboard.press("Enter")
        expect(page.locator("#drawer h2")).to_be_focused()
        keyboard.press("Escape")
        expect(page.locator("#drawer")).to_be_empty()
        keyboard.press("?")
        expect(page.locator("dialog#help")).to_be_visible()
        keyboard.press("Escape")
        expect(page.locator("dialog#help")).to_be_hidden()


def test_focus_follows_the_page_and_is_visible(browser: Browser, console: Console) -> None:
    """The first key leads to the content; every stop of the focus is seen, in the order of the page."""
    with watched(browser, console.address, "admin") as seen:
        seen.page.goto("/people")
        seen.page.keyboard.press("Tab")
        expect(seen.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        tops = []
        for _ in range(25):
            seen.page.keyboard.press("Tab")
            shown = seen.page.evaluate(
                "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " return [s.outlineStyle, parseFloat(s.outlineWidth), !!e.closest('nav.rail')]; })()"
            )
            assert shown[0] != "none"
            assert shown[1] >= 2
            tops.append(shown[2])
        assert tops == sorted(tops, reverse=True), "the rail comes first, then the page"


def test_nothing_moves_once_it_is_drawn(browser: Browser, console: Console) -> None:
    """Pages do not jump while they load."""
    with watched(browser, console.address, "admin") as seen:
        for path in ("/", "/access", "/people", "/data/crm.lead"):
            seen.page.goto(path)
            shift = seen.page.evaluate(
                "new Promise((done) => { let sum = 0; new PerformanceObserver((list) => { for (const e of"
                " list.getEntries()) sum += e.value; }).observe({type: 'layout-shift', buffered: true});"
                " setTimeout(() => done(sum), 300); })"
            )
            assert shift < 0.01, path


def test_first_load_is_small(browser: Browser, console: Console) -> None:
    """All that a browser fetches for its first page is below 200 KB, compressed."""
    with watched(browser, console.address, "admin") as seen:
        seen.page.goto("/access", wait_until="networkidle")
        sizes = seen.page.evaluate(
            "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
            ".map((e) => e.encodedBodySize)"
        )
        assert 20_000 < sum(sizes) < 200_000


def test_counting_tells_its_progress_and_ends_in_the_table(browser: Browser, console: Console) -> None:
    """Long work is told as it goes; its result takes the place of the table."""
    with watched(browser, console.address, "admin") as seen:
        seen.page.goto("/access/who-can?model=crm.lead")
        seen.page.get_by_role("button", name="Count their records").click()
        expect(seen.page.get_by_role("columnheader", name="Records")).to_be_visible(timeout=20_000)
        expect(seen.page.locator("#holders")).to_have_count(1)


def test_chosen_columns_are_kept(browser: Browser, console: Console) -> None:
    """Columns that somebody chose are there the next time."""
    with watched(browser, console.address, "paul") as seen:
        page = seen.page
        page.goto("/data/crm.lead")
        page.get_by_text("Columns", exact=True).click()
        checked = page.locator("form[data-columns] input[type=checkbox]:checked")
        while checked.count():
            checked.first.uncheck()
        page.locator("form[data-columns]").get_by_label("Probability").check()
        page.get_by_role("button", name="Show these").click()
        page.goto("/data/crm.lead")
        headers = page.locator("thead th").all_inner_texts()
        assert [h.strip() for h in headers] == ["Record", "Probability"]
