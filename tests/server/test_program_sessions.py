"""Sessions of clients of RPC on the pages of accounts, over a real server: seen and ended like any other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.identity.world import GOOD
from tests.support.forms import post, sign_in
from tests.support.installation import Installation

SECURITY = "/account/security"


@contextmanager
def _program(installation: Installation, login: str, name: str) -> Iterator[httpx.Client]:
    """A client of RPC that is signed in."""
    with installation.server.client(headers={"user-agent": name}) as client:
        given = {"db": installation.server.database, "login": login, "password": GOOD}
        done = client.post("/web/session/authenticate", json={"params": given}).json()
        assert done["result"]["uid"], done
        yield client


@contextmanager
def _browser(installation: Installation, login: str) -> Iterator[httpx.Client]:
    with installation.server.client(follow_redirects=False) as browser:
        assert sign_in(browser, login).status_code == 303
        yield browser


def _open(client: httpx.Client) -> bool:
    """Whether the session still answers: one request."""
    answer = client.post("/web/session/get_session_info", json={"params": {}}).json()
    assert ("result" in answer) or answer["error"]["data"]["name"] == "odoo.http.SessionExpiredException"
    return "result" in answer


def _known(browser: httpx.Client) -> dict[str, dict[str, Any]]:
    """The own sessions of programs, by what they call themselves."""
    told = browser.get(f"{SECURITY}?format=json").json()["sessions"]
    return {one["user_agent"]: one for one in told if one["kind"] == "program"}


@pytest.mark.asvs("7.5.2")
def test_own_session_of_a_program_is_shown_and_ended_alone(installation: Installation) -> None:
    """Refused at the very next request; the other program and the browser go on; the log tells."""
    installation.person("rpc-one", user_id=10)
    with ExitStack() as stack:
        first = stack.enter_context(_program(installation, "rpc-one", "nightly/1"))
        second = stack.enter_context(_program(installation, "rpc-one", "hourly/1"))
        browser = stack.enter_context(_browser(installation, "rpc-one"))
        page = browser.get(SECURITY).text
        assert re.search(r"<bdi>nightly/1</bdi></th><td>program</td><td[^>]*>127\.0\.0\.1<", page)
        known = _known(browser)
        assert sorted(known) == ["hourly/1", "nightly/1"]
        assert _open(first)
        at = f"/account/sessions/{known['nightly/1']['id']}/end"
        assert post(browser, at, {"kind": "program"}, at=SECURITY).status_code == 303
        assert not _open(first)
        assert _open(second)
        assert sorted(_known(browser)) == ["hourly/1"]
        assert post(browser, "/account/sessions/end", {}, at=SECURITY).status_code == 303
        assert not _open(second)
        assert browser.get(SECURITY).status_code == 200


@pytest.mark.asvs("7.4.5")
def test_administrator_sees_and_ends_sessions_of_programs(installation: Installation) -> None:
    """One alone, and all, on the page of the account."""
    account = installation.person("rpc-two", user_id=11)
    installation.person("rpc-admin", group="base.group_system")
    here = f"/account/users/{account.id}"
    with ExitStack() as stack:
        first = stack.enter_context(_program(installation, "rpc-two", "nightly/2"))
        second = stack.enter_context(_program(installation, "rpc-two", "hourly/2"))
        browser = stack.enter_context(_browser(installation, "rpc-admin"))
        assert "nightly/2" in browser.get(here).text
        ids = {one.user_agent: one.id for one in installation.identity.base.signed_in(account.id)}
        ended = {"act": "end-session", "kind": "program", "session": str(ids["nightly/2"])}
        assert "The session has ended." in post(browser, here, ended, at=here).text
        assert "It had ended already." in post(browser, here, ended, at=here).text
        assert (_open(first), _open(second)) == (False, True)
        assert "Sessions ended: 1." in post(browser, here, {"act": "end-sessions"}, at=here).text
        assert not _open(second)


def test_session_of_somebody_elses_program_is_neither_seen_nor_ended(installation: Installation) -> None:
    """By its number, under either kind, on one's own page or an administrator's."""
    account = installation.person("rpc-three", user_id=12)
    installation.person("rpc-thief", user_id=13)
    with ExitStack() as stack:
        program = stack.enter_context(_program(installation, "rpc-three", "nightly/3"))
        thief = stack.enter_context(_browser(installation, "rpc-thief"))
        owner = stack.enter_context(_browser(installation, "rpc-three"))
        [browsers, one] = installation.identity.base.signed_in(account.id)
        assert (browsers.kind, one.kind) == ("browser", "program")
        assert "nightly/3" not in thief.get(SECURITY).text
        assert _known(thief) == {}
        # Each kind has numbers of its own: that of a program may be that of the thief's own browser.
        for kind, number in (("browser", browsers.id), ("program", one.id), ("", one.id), ("other", one.id)):
            post(thief, f"/account/sessions/{number}/end", {"kind": kind}, at=SECURITY)
        post(thief, "/account/sessions/end", {}, at=SECURITY)
        act = {"act": "end-session", "kind": "program", "session": str(one.id)}
        assert post(thief, f"/account/users/{account.id}", act, at=SECURITY).status_code == 403
        assert owner.get(SECURITY).status_code == 200
        assert _open(program)
