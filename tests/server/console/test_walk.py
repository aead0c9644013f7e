"""The first five minutes of somebody new: `make run`, the printed link, and three questions answered."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import SCREENSHOTS, Watched
from tests.support.serving import free_port

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Demo:
    """A demonstration that runs: where it is, and the link it printed."""

    address: str
    link: str


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """`vallum demo --serve`, as `make run` starts it, in a folder of its own."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="vallum-walk-"))
    folder.chmod(0o711)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("VALLUM_", "PG"))}
    environ |= {"VALLUM_DATA_DIR": str(folder), "COLUMNS": "400", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "vallum.cli", "demo", "--rows", "2000", "--serve", "--port", str(port)]
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 180
        while not (found := re.search(r"http://localhost:\d+/account/invitation#\S+", log.read_text())):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.2)
        while not _answers(port):
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.2)
        yield Demo(f"http://localhost:{port}", found[0])
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        subprocess.run(
            [sys.executable, "-m", "vallum.cli", "demo", "--stop"],
            cwd=ROOT,
            env=environ,
            check=False,
            timeout=60,
        )


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_newcomer_answers_three_questions(browser: Browser, demo: Demo) -> None:
    """Who can see the salaries, why can Marie see this lead, and what changed on this order."""
    context = browser.new_context(base_url=demo.address, viewport={"width": 1180, "height": 760})
    try:
        seen = Watched(context)
        page = seen.page
        page.goto(demo.link)
        for box in page.locator("input[type=password]").all():
            box.fill("correct horse battery staple 7!")
        page.get_by_role("button", name="Choose it").click()
        page.wait_for_load_state()
        page.goto("/")
        if "/account/sign-in" in page.url:
            page.get_by_label("Login").fill("admin")
            page.get_by_label("Password").fill("correct horse battery staple 7!")
            page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.locator("main h1")).to_have_text("Home")
        while page.get_by_text("being looked up").count():
            page.wait_for_timeout(200)
            page.reload()
        _shoot(seen, "console-home")

        page.keyboard.press("/")
        page.keyboard.type("salary")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Who can read? salary").click()
        expect(page.locator(".answer")).to_contain_text("people can read Salary of Employee")
        expect(page.locator("tbody")).to_contain_text("Hélène Brun")
        _shoot(seen, "console-who-can")

        page.goto("/access?q=marie")
        page.get_by_title(re.compile(r"marie · crm\.lead:")).click()
        expect(page.locator("#drawer .answer")).to_contain_text("Marie Laurent may read")
        _shoot(seen, "console-explorer")
        page.goto("/access/explain?user=marie&model=crm.lead&record=7")
        expect(page.locator("ol.list")).to_contain_text("Leads: own and unassigned")
        _shoot(seen, "console-explain")

        page.goto("/audit?model=sale.order")
        page.locator(".timeline a[href^='/data/sale.order/']").first.click()
        page.get_by_role("link", name="History").click()
        history = page.locator(".timeline > li").first
        expect(history).to_contain_text("sofia")
        expect(history).to_contain_text("sent")
        _shoot(seen, "console-history")
        assert seen.complaints == []
    finally:
        context.close()


def _shoot(seen: Watched, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    seen.page.screenshot(path=SCREENSHOTS / f"{name}.png")
