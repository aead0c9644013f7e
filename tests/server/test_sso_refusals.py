"""What strangers are told of sign-ins elsewhere that failed, and what the trail is."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from tests.identity.conftest import new_world as new_world
from tests.identity.conftest import world as world
from tests.identity.world import World, client
from tests.support.command import program
from tests.support.sign_on import Federation, Visitor
from vallum.identity.sso.errors import SignInRefused
from vallum.server.sso.refusals import MOST, Refusals


@pytest.mark.asvs("16.3.1")
def test_more_than_a_minute_may_hold_are_told_by_their_number(world: World) -> None:
    """Whatever comes, the trail gets so many events, and one that says what the others were."""
    refusals = Refusals(world.identity.base)

    def refused(reason: str, times: int, kind: str = "answer") -> None:
        for _ in range(times):
            error = SignInRefused("no", reason=reason, said="their text")
            refusals.tell(error, client(), "corp", kind=kind)

    refused("state", MOST + 3)
    refused("mix-up", 4)
    told = [event.facts for event in world.events if event.kind == "sso.refused"]
    assert told == [{"reason": "state", "said": "their text"}] * MOST
    # Passwords are not hidden by noise of another kind.
    refused("wrong", 1, "password")
    assert world.events[-1].facts["reason"] == "wrong"
    world.events.clear()
    refusals.flush()
    assert world.events == []
    world.go_on(seconds=61)
    refusals.flush()
    assert [event.facts for event in world.events] == [
        {"reason": "many", "count": 7, "reasons": "mix-up: 4, state: 3"}
    ]
    refused("state", 1)
    assert world.events[-1].facts == {"reason": "state", "said": "their text"}
    refusals.flush(end=True)
    assert len(world.events) == 2


def test_minute_that_follows_tells_of_the_one_before(world: World) -> None:
    """Also where nobody has looked in between; and a clock that is set back loses none."""
    refusals = Refusals(world.identity.base)
    for step in (timedelta(minutes=2), timedelta(minutes=-5)):
        for _ in range(MOST + 2):
            refusals.tell(SignInRefused("no", reason="state"), client(), "corp")
        world.events.clear()
        world.clock.advance(step)
        refusals.tell(SignInRefused("no", reason="form"), client(), "corp")
        assert [event.facts["reason"] for event in world.events] == ["many", "form"]
        assert world.events[0].facts["count"] == 2
        world.clock.advance(timedelta(hours=1))


@pytest.mark.slow
@pytest.mark.asvs("16.5.1")
def test_providers_text_is_for_administrators_alone(federation: Federation, visitor: Visitor) -> None:
    """A stranger reads our words and a reference; the command has theirs, cleaned and bounded."""
    federation.openid()
    start = visitor.here.get("/sso/one/start").headers["location"]
    state = re.findall(r"[?&]state=([^&]+)", start)[0]
    sent = {
        "state": state,
        "iss": federation.oidc.said["issuer"],
        "error": "server_error",
        "error_description": "call \x1b[31m555\u202e <b>now</b> " + "x" * 5000,
    }
    refused = visitor.here.get("/sso/one/callback", params=sent)
    assert refused.status_code == 403
    assert "cannot sign anybody in just now" in refused.text
    assert "555" not in refused.text
    assert f"<code>{refused.headers['x-request-id']}</code>" in refused.text

    def told(*arguments: str) -> Any:
        return program("sso", *arguments, "--json", folder=federation.folder, environ=federation.environ).json

    shown = told("list")
    (state_of_it,) = [one["state"] for one in shown if one["id"] == "one"]
    said = "server_error: call [31m555 <b>now</b> "
    assert state_of_it["said"].startswith(said)
    assert len(state_of_it["said"]) == 300
    assert state_of_it["cause"] == "the provider cannot sign anybody in just now"
    checked = told("check", "one")
    assert said in next(one["found"] for one in checked if one["what"] == "last failure")
