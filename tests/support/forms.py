"""Forms of the pages of accounts, as a browser without scripts fills them in."""

from __future__ import annotations

import re

import httpx

from tests.identity.world import GOOD

__all__ = ["post", "sign_in", "tag"]


def tag(page: httpx.Response) -> str:
    """What the forms of a page carry."""
    found = re.search(r'name="form" content="([0-9a-f]{64})"', page.text)
    assert found, page.text
    return found[1]


def post(
    browser: httpx.Client, path: str, fields: dict[str, str], *, at: str | None = None
) -> httpx.Response:
    """Fill in a form of the page `at`."""
    own = tag(browser.get(at or "/account/sign-in"))
    return browser.post(path, data={"form": own, **fields}, headers={"sec-fetch-site": "same-origin"})


def sign_in(browser: httpx.Client, login: str, password: str = GOOD, **more: str) -> httpx.Response:
    """Sign in with a password."""
    return post(browser, "/account/sign-in", {"login": login, "password": password, **more})
