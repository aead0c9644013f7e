"""As of when a standby is complete, from positions alone; and when users have written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest

from vallum.kernel import SettingsError
from vallum.server.replicas import Marks, check_replicas
from vallum.server.replicas.freshness import NEVER, Freshness
from vallum.server.replicas.standby import BOUND, Look, Standby


def _known(replayed: int = 0) -> Freshness:
    found = Freshness(1.0)
    found.as_of(replayed)
    return found


def test_standby_is_complete_as_of_the_last_end_it_has_replayed() -> None:
    """Neither earlier, nor of a moment whose commits it lacks."""
    freshness = _known()
    for moment, end in ((10.0, 100), (10.2, 200), (10.4, 300)):
        assert freshness.ended(moment, end)
    assert freshness.as_of(299) == 10.2
    assert freshness.as_of(300) == 10.4
    assert freshness.as_of(99) == NEVER


def test_standby_that_goes_back_is_no_longer_complete() -> None:
    """What it had replayed before a restart does not count."""
    freshness = _known()
    freshness.ended(10.0, 100)
    freshness.ended(10.2, 200)
    assert freshness.as_of(200) == 10.2
    assert freshness.as_of(150) == 10.0


def test_standby_ahead_of_its_primary_has_another_history() -> None:
    """As after a failover to one that had lagged."""
    freshness = _known(500)
    assert not freshness.ended(10.0, 400)
    assert freshness.as_of(500) == NEVER


def test_first_look_says_nothing() -> None:
    """Whose history it is can be told from two only."""
    freshness = Freshness(1.0)
    assert not freshness.ended(10.0, 100)
    assert freshness.as_of(100) == NEVER


def test_end_of_long_ago_is_forgotten() -> None:
    """Nobody asks for what is older than the span."""
    freshness = _known()
    freshness.ended(10.0, 100)
    freshness.ended(11.5, 200)
    assert freshness.as_of(150) == NEVER


def test_mark_is_seen_by_whoever_shares_the_file(tmp_path: Path) -> None:
    """Workers are processes; two maps of one file stand for them."""
    one, other = Marks(tmp_path / "marks"), Marks(tmp_path / "marks")
    assert other.last(7) == 0.0
    before = monotonic()
    one.wrote(7)
    assert before <= other.last(7) <= monotonic()
    assert other.last(8) == 0.0
    one.close()
    other.close()


def test_mark_never_goes_back(tmp_path: Path) -> None:
    """However many write at once, the last one's time stays."""
    marks = Marks(tmp_path / "marks")

    def write(_: int) -> bool:
        before = monotonic()
        marks.wrote(7)
        return marks.last(7) >= before

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, range(400)))
    marks.close()


@pytest.mark.parametrize("dsn", ["host=a,b dbname=odoo", "postgresql://a,b/odoo"])
def test_replica_that_is_several_servers_is_refused(dsn: str) -> None:
    """What one shows, another may not."""
    with pytest.raises(SettingsError, match="one server"):
        check_replicas([dsn])


def test_replica_that_cannot_be_read_is_refused_without_its_text() -> None:
    """It may hold a password."""
    with pytest.raises(SettingsError) as error:
        check_replicas(["postgresql://u:s3cret@[/odoo"])
    assert "s3cret" not in f"{error.value} {error.value.fix}"


def test_look_that_is_too_old_is_not_enough() -> None:
    """As where the primary no longer tells where it is: nobody knows how far behind the standby is."""
    standby = Standby(1, "dbname=none", "dbname=none", 1.0)
    assert standby.fresh(0.0) is None
    now = monotonic()
    standby.look = Look(now - BOUND - 0.1, now)
    assert standby.fresh(0.0) is None
    standby.look = Look(now, now)
    assert standby.fresh(now - 1) is standby.look
    assert standby.fresh(now + 1) is None
