"""Pages of the groups that Vallum gives, and of how far second factors reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any, Final

from vallum.identity.coverage import Coverage, coverage
from vallum.identity.errors import NotPermitted
from vallum.identity.factors.rules import is_required
from vallum.identity.people import PRESETS, matches
from vallum.identity.settings import FactorSettings
from vallum.kernel import VallumError
from vallum.server.account.naming import LENGTHS, among, end_of, group_id, group_names, typed_in
from vallum.server.account.web import Page
from vallum.server.http import Response
from vallum.server.pages import Download, twin

__all__ = ["PAGES"]

_SHOWN: Final = 500
_MOST: Final = 100_000
# More groups than this are no picture any more.
_BARS: Final = 40
_RULES: Final = {
    "optional": "Nobody has to have one.",
    "groups": "Members of the groups marked below have to have one.",
    "all": "Everybody has to have one.",
}


def groups(
    page: Page, _: int, *, error: VallumError | None = None, form: Mapping[str, str] | None = None
) -> Response:
    """Which groups are given, or who has one of them; and a form to give one."""
    page.require_administrator()
    group = (form or {}).get("group", "") if error else page.query.get("group", "")[:200]
    as_file = bool(page.query.get("format"))
    rows = _holders(page, group, _MOST if as_file else _SHOWN + 1) if group else _given(page)
    if isinstance(made := twin(page.visit, "groups-given", rows), Download):
        return page.file(made)
    return page.show(
        "given.html",
        status=400 if error else 200,
        error=error,
        group=group,
        group_id=group_id(page, group),
        rows=rows[:_SHOWN],
        cut=len(rows) > _SHOWN,
        known=group_names(page),
        lengths=LENGTHS,
        typed=typed_in(form),
    )


def _given(page: Page) -> list[dict[str, Any]]:
    return [asdict(one) for one in page.identity.base.memberships.groups(page.now)]


def _holders(page: Page, group: str, limit: int) -> list[dict[str, Any]]:
    base = page.identity.base
    found = base.memberships.members(group, page.now, limit=limit)
    logins = base.accounts.logins(one.account_id for one in found)
    return [{"login": logins.get(one.account_id, ""), **asdict(one)} for one in found]


def act(page: Page, _: int) -> Response:
    """Give a group, or take it."""
    form, by = page.form(), page.require_administrator()
    page.require_fresh()
    identity, group = page.identity, form.get("group", "").strip()[:200]
    try:
        account = identity.base.accounts.find(form.get("login", "")[:254])
        if form.get("act") == "take":
            identity.take_group(account, group, by=by)
        else:
            identity.give_group(account, group, by=by, expires=end_of(form.get("for", ""), page.now))
    except NotPermitted:
        raise
    except VallumError as error:
        return groups(page, 0, error=error, form=form)
    return page.go(f"/account/groups?group={page.quoted(group)}")


def factors(page: Page, _: int) -> Response:
    """Who has which second factor, by group."""
    page.require_administrator()
    settings = page.identity.base.settings.factors
    names = _groups_that_matter(page, settings)
    rows = coverage(page.identity.base.store, among(page, names), page.now)
    required = {name: _required(page, settings, name) for name in names}
    told = [
        {**row.as_dict(), "required": required.get(row.group or "", settings.required == "all")}
        for row in rows
    ]
    if isinstance(made := twin(page.visit, "second-factors", told), Download):
        return page.file(made)
    everybody = rows[0] if rows and rows[0].group is None else None
    return page.show(
        "factor_coverage.html",
        rows=[_bar(row, one["required"]) for row, one in zip(rows, told, strict=True)],
        exposed=everybody.none if everybody else 0,
        total=everybody.people if everybody else 0,
        rule=_RULES[settings.required],
    )


def _groups_that_matter(page: Page, settings: FactorSettings) -> list[str]:
    """Those that need a factor by name or pattern, and those whose accounts matter most anyway."""
    chosen = (*settings.groups, *PRESETS, *page.identity.base.settings.keys.managers)
    patterns = [name for one in chosen for name in PRESETS.get(one, (one,))]
    known = set(group_names(page)) | {one.group for one in page.identity.base.memberships.groups(page.now)}
    return sorted(name for name in known if any(fnmatchcase(name, one) for one in patterns))[:_BARS]


def _required(page: Page, settings: FactorSettings, name: str) -> bool:
    keys = page.identity.base.settings.keys.managers or page.identity.base.settings.administrators
    return is_required(settings, [name], key_holder=matches([name], keys))


def _bar(row: Coverage, required: bool) -> dict[str, Any]:
    """A line of the chart: its parts as kind, beginning and width, of a hundred."""
    left = row.none - (row.grace if required else 0)
    shares = (
        ("passkey", row.passkey),
        ("app", row.app),
        ("grace", row.grace if required else 0),
        ("missing" if required else "open", left),
    )
    parts, at = [], 0.0
    for kind, count in shares:
        width = 100 * count / row.people if row.people else 0.0
        parts.append((kind, round(at, 3), round(width, 3)))
        at += width
    return {
        **row.as_dict(),
        "next_deadline": row.next_deadline,
        "required": required,
        "covered": row.covered,
        "parts": parts,
        "said": f"{row.passkey + row.app} of {row.people} have a second factor",
    }


PAGES: Final[dict[tuple[str, str], Callable[[Page, int], Response]]] = {
    ("GET", "/account/groups"): groups,
    ("POST", "/account/groups"): act,
    ("GET", "/account/coverage"): factors,
}
