"""A real browser for tests of pages: Debian's Chromium, and axe-core to hold pages against WCAG."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.support.debian import program
from tests.support.node import node_modules

__all__ = ["SCREENSHOTS", "Watched", "accessibility", "axe_source", "chromium", "launched", "watched"]

ROOT: Final = Path(__file__).parents[2]
SCREENSHOTS: Final = ROOT / ".cache" / "screenshots"
ARGUMENTS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Told to the console, so that whoever watches it learns of everything the policy of contents refuses.
_WATCH: Final = """
addEventListener("securitypolicyviolation", (e) =>
  console.error(`CSP ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));
"""


def chromium() -> str:
    """Where Chromium is, with fonts for what pages show."""
    return program("chromium", "chromium", "fonts-dejavu-core", "fonts-noto-color-emoji")


def axe_source() -> str:
    """The text of axe-core, installed from npm as the lock file says; else the test is skipped."""
    return (node_modules() / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@contextmanager
def launched() -> Iterator[Browser]:
    """A running browser with an empty profile."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, and everything it complained about."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _said(self, message: ConsoleMessage) -> None:
        # An answer of 4xx is told as an error as well; what it says is looked at by the test itself.
        if message.type in ("error", "warning") and "the server responded with a status" not in message.text:
            self.complaints.append(message.text)

    def shoot(self, name: str) -> None:
        """Keep a picture of the page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@contextmanager
def watched(browser: Browser, address: str, login: str, **options: Any) -> Iterator[Watched]:
    """A page of somebody who is signed in; no complaint may be left at the end."""
    context = browser.new_context(base_url=address, **{"viewport": {"width": 1280, "height": 800}, **options})
    try:
        context.add_cookies([{"name": "who", "value": login, "url": address}])
        if options.get("java_script_enabled", True):
            context.add_init_script(_WATCH)
        found = Watched(context)
        yield found
        assert found.complaints == []
    finally:
        context.close()


def accessibility(page: Page, source: str) -> list[str]:
    """What axe finds against WCAG 2.2 AA and good practice, one line each."""
    page.evaluate(source)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("(tags) => axe.run(document, {runOnly: tags})", tags)
    return [
        f"{violation['id']}: {node['html'][:160]} · {node.get('failureSummary', '')[:200]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
