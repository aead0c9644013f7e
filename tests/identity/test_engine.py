"""Hashes that are computed in processes apart: the same hashes, whatever becomes of a helper."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.identity.world import CHEAP, GOOD
from tests.support.accounts import hashed
from vallum.identity.keyring import Keyring
from vallum.identity.passwords import Hasher
from vallum.identity.passwords.engine import Apart, HashingFailed
from vallum.identity.settings import HashSettings

KEYRING = Keyring.new()


@pytest.fixture
def apart() -> Iterator[Hasher]:
    """A hasher whose hashes are computed apart."""
    made = Hasher(KEYRING, HashSettings(**CHEAP), Apart())
    yield made
    made.close()


def _helpers() -> list[psutil.Process]:
    """Processes of this one that hash."""
    own = psutil.Process().children()
    return [child for child in own if any(part.endswith("helper.py") for part in child.cmdline())]


def test_hash_of_a_helper_is_one_of_this_process_and_the_other_way_round(apart: Hasher) -> None:
    """Right passwords match, wrong ones do not; those imported from an Odoo as well."""
    here = Hasher(KEYRING, HashSettings(**CHEAP))
    try:
        for one, other in ((apart, here), (here, apart)):
            kept = one.hash(GOOD)
            assert other.verify(kept, GOOD).right
            assert not other.verify(kept, GOOD + "x").right
            assert other.any_of([one.hash("another"), kept], GOOD)
        imported = hashed(GOOD)
        assert apart.verify(imported, GOOD).right
        assert not apart.verify(imported, "x").right
        assert not apart.verify(None, GOOD).right
        assert not apart.verify("vallum:of-a-key-that-is-gone:$argon2id$x", GOOD).right
        assert not apart.verify("no hash at all", GOOD).right
    finally:
        here.close()


@pytest.mark.parametrize("password", ["", "ü" * 256, "a\nb\0c", "\ud800", '"}\n{"act":"hash"'])
def test_any_text_is_hashed_as_it_was_typed(apart: Hasher, password: str) -> None:
    """Line ends, quotes and what is no text at all included: nothing of it is a request of its own."""
    kept = apart.hash(password)
    assert apart.verify(kept, password).right
    assert not apart.verify(kept, password + " ").right


def test_helper_that_dies_is_replaced(apart: Hasher) -> None:
    """Between two hashes; whoever signs in notices nothing."""
    kept = apart.hash(GOOD)
    for helper in _helpers():
        os.kill(helper.pid, signal.SIGKILL)
        psutil.wait_procs([helper], timeout=30)
    assert apart.verify(kept, GOOD).right


def test_nobody_is_let_in_where_no_helper_can_be_started(
    apart: Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error, and no answer of yes or no."""
    kept = apart.hash(GOOD)
    monkeypatch.setattr("vallum.identity.passwords.engine._SCRIPT", Path("/nonexistent/helper.py"))
    for helper in _helpers():
        os.kill(helper.pid, signal.SIGKILL)
        psutil.wait_procs([helper], timeout=30)
    with pytest.raises(HashingFailed):
        apart.verify(kept, GOOD)


@pytest.mark.parametrize("said", ["true", "[0, true]", '{"n": 1}', "no JSON"])
def test_answer_to_another_question_is_none(
    apart: Hasher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    """A line that was not asked for now lets nobody in: every answer names the request it is of."""
    kept = apart.hash(GOOD)
    script = tmp_path / "helper.py"
    script.write_text(f"import sys\nfor line in sys.stdin: print({said!r}, flush=True)\n")
    monkeypatch.setattr("vallum.identity.passwords.engine._SCRIPT", script)
    for helper in _helpers():
        os.kill(helper.pid, signal.SIGKILL)
        psutil.wait_procs([helper], timeout=30)
    with pytest.raises(HashingFailed):
        apart.verify(kept, "wrong")
    monkeypatch.undo()
    assert apart.verify(kept, GOOD).right


@pytest.mark.slow
def test_helper_that_is_stuck_is_replaced(apart: Hasher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for it gets an answer from another one, and the right one."""
    kept = apart.hash(GOOD)
    stuck = _helpers()
    for helper in stuck:
        helper.suspend()
    monkeypatch.setattr("vallum.identity.passwords.engine._LONGEST", 8.0)
    assert not apart.verify(kept, "wrong").right
    assert apart.verify(kept, GOOD).right
    assert any(not helper.is_running() for helper in stuck)


def test_machine_that_starts_no_process_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said as a failure to hash, which pages answer with 503."""

    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr("vallum.identity.passwords.engine.subprocess.Popen", refused)
    engine = Apart()
    with pytest.raises(HashingFailed):
        engine.perform({"act": "hash", "secret": "", "cost": {}})
    engine.close()


def test_helpers_know_no_secret_step_back_and_end_with_their_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor the arguments of a helper hold anything of the installation."""
    monkeypatch.setenv("VALLUM_SECRET", "a-canary-of-the-environment")
    hasher = Hasher(KEYRING, HashSettings(**CHEAP), Apart())
    before = {helper.pid for helper in _helpers()}
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(hasher.hash, [GOOD] * 8))
    helpers = _helpers()
    assert before <= {helper.pid for helper in helpers}
    assert 1 <= len(helpers) <= 2
    for helper in helpers:
        assert "VALLUM_SECRET" not in helper.environ()
        assert not any(GOOD in part for part in helper.cmdline())
        assert helper.nice() >= 10
    hasher.close()
    assert not psutil.wait_procs(helpers, timeout=30)[1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares its cores by sessions")
def test_helper_steps_back_for_other_sessions_and_yields_while_it_hashes() -> None:
    """Its session is its own and of low priority; a hash interrupted a hundred times is the same hash."""
    hasher = Hasher(KEYRING, HashSettings(time=10, parallel=1), Apart())
    try:
        kept = hasher.hash(GOOD)
        assert hasher.verify(kept, GOOD).right
        assert not hasher.verify(kept, GOOD + "x").right
        [helper] = _helpers()
        proc = Path("/proc", str(helper.pid))
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        assert int(status["SigCgt"], 16) >> (signal.SIGALRM - 1) & 1
        assert os.getsid(helper.pid) == helper.pid
        if (proc / "autogroup").exists():
            # Refused within a tenth of a second of someone else's, and then done before a later hash.
            for _ in range(20):
                if "nice 10" in (proc / "autogroup").read_text():
                    break
                assert hasher.verify(kept, GOOD).right
            assert "nice 10" in (proc / "autogroup").read_text()
    finally:
        hasher.close()
