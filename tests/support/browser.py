"""A real Chromium, installed from Debian where it is missing, with an authenticator that DevTools plays."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest

__all__ = ["chromium", "page_of", "virtual_authenticator"]


@cache
def chromium() -> str:
    """The path of the program; skips where there is none and it cannot be installed."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-qy", "--no-install-recommends", "chromium"],
        ):
            subprocess.run(command, env=environ, check=False, capture_output=True, timeout=600)
        found = shutil.which("chromium")
    if found is None:
        pytest.skip("no Chromium here, and none can be installed: install Debian's `chromium`")
    return found


@contextmanager
def page_of(ignore_https_errors: bool = True) -> Iterator[Any]:
    """A page of a new Chromium; ended with it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The tests run as root in containers, where Chromium's own sandbox cannot be set up.
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            context = browser.new_context(ignore_https_errors=ignore_https_errors)
            context.set_default_timeout(20_000)
            yield context.new_page()
        finally:
            browser.close()


def virtual_authenticator(page: Any, *, verifies: bool = True) -> tuple[Any, str]:
    """An authenticator within the browser: the DevTools session and its id."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    made = session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": verifies,
                "automaticPresenceSimulation": True,
            }
        },
    )
    return session, made["authenticatorId"]
