"""The rail: each page has one line and one letter."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path

from vallum.server.account.entries import ENTRIES
from vallum.server.console import console_pages


def test_letters_lead_to_one_page_each() -> None:
    """`g` and a letter; among the pages of the console and those of accounts."""
    pages = console_pages(audit=True, providers=True)
    pages.add(ENTRIES)
    entries = pages.frame(sign_in="/").navigation.entries
    assert len(entries) > 15
    assert [key for key, times in Counter(e.key for e in entries if e.key).items() if times > 1] == []
    assert [path for path, times in Counter(e.path for e in entries).items() if times > 1] == []


def test_templates_have_names_of_their_own() -> None:
    """One environment loads those of the console, of accounts and of the kit: the first found would win."""
    folder = files("vallum") / "server"
    names = [path.name for path in Path(str(folder)).rglob("*.html")]
    assert len(names) > 50
    assert [name for name, times in Counter(names).items() if times > 1] == []
