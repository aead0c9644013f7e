"""A snapshot is whole, of one instant, the same bytes for the same access, and can be resumed."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.analysis.world import GROUPS, POLICY, RIGHTS, RULES, Open, crowd, rule
from vallum.analysis import Snapshot, read_snapshot, take_snapshot, write_snapshot
from vallum.analysis.format import IdSet
from vallum.enforce import Application
from vallum.kernel import Operation, UnknownUser, VallumError
from vallum.policy import Policy
from vallum.postgres import connect


class Interrupted(Exception):
    """Somebody pulled the plug."""


@dataclass
class Plug:
    """Progress that is pulled after some users."""

    after: int
    seen: int = 0

    def start(self, total: int | None, label: str) -> None:
        pass

    def advance(self, n: int = 1) -> None:
        self.seen += n
        if self.seen >= self.after:
            raise Interrupted

    def done(self) -> None:
        pass


def ids(snapshot: Snapshot, login: str, model: str, operation: Operation, entry: int = 0) -> list[int] | None:
    """What rules leave a user; None where none restricts."""
    user = next(u.id for u in snapshot.users if u.login == login)
    sets = [v for v in snapshot.visible if v.user == user][entry].rules.get(model)
    index = None if sets is None else sets.of(operation)
    return None if index is None else list(snapshot.idsets[index])


def test_snapshot_holds_everybodys_access(app: Application) -> None:
    """Rights, fields, menus and records of every user, inactive ones included."""
    found = take_snapshot(app)
    assert [u.login for u in found.users] == ["__system__", "ada", "bob", "eve", "old"]
    assert {a.user: a.models for a in found.access}[3] == {
        "asset": "r",
        "lead": "rwcu",
        "note": "r",
        "report": "r",
    }
    assert {f.user: f.denied for f in found.fields}[3] == {"lead": ("margin",)}
    assert {m.user: m.menu_ids for m in found.menus}[3] == (1, 2)
    assert ids(found, "bob", "lead", Operation.READ) == [1, 2]
    assert ids(found, "ada", "lead", Operation.READ) == [1, 2, 3]
    assert ids(found, "ada", "lead", Operation.READ, 1) == [1, 2, 3, 4]
    assert ids(found, "eve", "note", Operation.READ) is None
    assert found.errors == ()


def test_superuser_has_no_rules(app: Application) -> None:
    """Nothing restricts it."""
    assert take_snapshot(app, users=[1]).visible[0].rules == {}


def test_models_with_rules_list_all_their_records(app: Application) -> None:
    """Their own rules, or those of a parent they delegate to; abstract models are left out."""
    found = take_snapshot(app)
    assert {n: m.all is not None for n, m in found.models.items()} == {
        "asset": True,
        "lead": True,
        "note": False,
        "res.users": False,
    }
    index = found.models["lead"].all
    assert index is not None
    assert list(found.idsets[index]) == [1, 2, 3, 4, 5, 6]


def test_chosen_users_only(app: Application) -> None:
    """A snapshot of some users, by login or id, in the order of their ids."""
    assert [u.login for u in take_snapshot(app, users=["eve", 3]).users] == ["bob", "eve"]
    with pytest.raises(UnknownUser):
        take_snapshot(app, users=["nobody"])


@pytest.mark.parametrize("name", ["s.json", "s.json.gz"])
def test_file_gives_back_what_was_written(app: Application, tmp_path: Path, name: str) -> None:
    """Nothing is lost, and no other file is left behind."""
    found = take_snapshot(app)
    write_snapshot(found, tmp_path / name)
    assert read_snapshot(tmp_path / name) == found
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_equal_snapshots_are_equal_bytes(again: Open, tmp_path: Path) -> None:
    """Whenever and however often they are taken."""
    for name in ("a.json.gz", "b.json.gz"):
        write_snapshot(take_snapshot(again()), tmp_path / name)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_failed_write_leaves_the_old_file(
    app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is always a whole file."""
    found = take_snapshot(app)
    write_snapshot(found, tmp_path / "s.json")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_snapshot(take_snapshot(app, users=[3]), tmp_path / "s.json")
    assert read_snapshot(tmp_path / "s.json") == found
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"", "no snapshot"),
        (b"{", "no snapshot"),
        (b'{"odoo": "18.0"}', "no snapshot"),
        (b"\xff\xfe", "no snapshot"),
    ],
)
def test_file_that_is_no_snapshot_is_refused(tmp_path: Path, wrong: bytes, message: str) -> None:
    """Read strictly or not at all."""
    (tmp_path / "s.json").write_bytes(wrong)
    with pytest.raises(VallumError, match=message):
        read_snapshot(tmp_path / "s.json")


def test_file_with_anything_unknown_or_out_of_range_is_refused(app: Application, tmp_path: Path) -> None:
    """Unknown keys, indexes of no set, sets that hold no numbers, cut files."""
    path = tmp_path / "s.json"
    write_snapshot(take_snapshot(app), path)
    whole = msgspec.json.decode(path.read_bytes())
    changes: tuple[dict[str, object], ...] = (
        {"more": 1},
        {"idsets": []},
        {"idsets": [["x"]]},
        {"idsets": [[True]]},
        {"users": []},
        {"odoo": 18},
    )
    for change in changes:
        path.write_bytes(msgspec.json.encode({**whole, **change}))
        with pytest.raises(VallumError):
            read_snapshot(path)
    (tmp_path / "s.json.gz").write_bytes(gzip.compress(b"{}")[:-4])
    with pytest.raises(VallumError):
        read_snapshot(tmp_path / "s.json.gz")


@pytest.mark.parametrize("after", [1, 3, 5])
@pytest.mark.parametrize("every", [1, 100])
def test_interrupted_snapshot_goes_on_to_the_same_bytes(
    again: Open, tmp_path: Path, after: int, every: int
) -> None:
    """Whatever the point of interruption; the journal is gone in the end."""
    journal = tmp_path / "s.journal"
    write_snapshot(take_snapshot(again()), tmp_path / "whole.json")
    with pytest.raises(Interrupted):
        take_snapshot(again(), resume=journal, checkpoint_every=every, progress=Plug(after))
    assert journal.exists()
    write_snapshot(take_snapshot(again(), resume=journal), tmp_path / "resumed.json")
    assert (tmp_path / "whole.json").read_bytes() == (tmp_path / "resumed.json").read_bytes()
    assert not journal.exists()


def test_resumed_snapshot_does_not_ask_again(again: Open, tmp_path: Path, statements: list[str]) -> None:
    """What is done is done."""
    journal = tmp_path / "s.journal"
    with pytest.raises(Interrupted):
        take_snapshot(again(), resume=journal, progress=Plug(5))
    statements.clear()
    take_snapshot(again(), resume=journal)
    assert statements
    assert not any("string_agg" in s for s in statements)


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_journal_that_was_cut_goes_on_where_it_is_whole(again: Open, tmp_path: Path, cut: int) -> None:
    """A line half written is written anew."""
    journal = tmp_path / "s.journal"
    whole = take_snapshot(again())
    with pytest.raises(Interrupted):
        take_snapshot(again(), resume=journal, progress=Plug(4))
    journal.write_bytes(journal.read_bytes()[:-cut])
    assert take_snapshot(again(), resume=journal) == whole


def test_journal_of_another_policy_starts_again(again: Open, tmp_path: Path) -> None:
    """Answers of two policies are never mixed, and whoever resumes is told."""
    journal = tmp_path / "s.journal"
    with pytest.raises(Interrupted):
        take_snapshot(again(), resume=journal, progress=Plug(3))
    other = again(Policy.of(GROUPS, RIGHTS, RULES[1:]))
    told: list[str] = []
    found = take_snapshot(other, resume=journal, notify=told.append)
    assert told == ["the interrupted snapshot was of another policy: started again"]
    assert found == take_snapshot(other)


def test_journal_of_other_users_starts_again(again: Open, tmp_path: Path) -> None:
    """Whoever was given a group meanwhile is looked at again; without a listener it is a warning."""
    journal = tmp_path / "s.journal"
    with pytest.raises(Interrupted):
        take_snapshot(again(), resume=journal, progress=Plug(3))
    with pytest.warns(UserWarning, match="another users"):
        take_snapshot(again(users=crowd(2)), resume=journal)


def test_file_that_is_no_journal_is_left_alone(app: Application, tmp_path: Path) -> None:
    """A mistaken name costs nobody a file."""
    (tmp_path / "thesis.txt").write_text("All of Gaul is divided into three parts.\n")
    with pytest.raises(VallumError, match="no journal"):
        take_snapshot(app, resume=tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text().startswith("All of Gaul")


def test_scope_that_fails_is_recorded_and_empty(again: Open) -> None:
    """One rule in error: no access there, a note of it, everything else as ever."""
    rules = (*RULES, rule(9, "lead", "[('nothing', '=', 1)]", 2, operations=frozenset({Operation.WRITE})))
    found = take_snapshot(again(Policy.of(GROUPS, RIGHTS, rules)))
    assert ids(found, "bob", "lead", Operation.WRITE) == []
    assert ids(found, "bob", "lead", Operation.READ) == [1, 2]
    assert {(e.user, e.model, e.operation, e.code) for e in found.errors} == {
        (3, "lead", Operation.WRITE, "unknown-field"),
        (5, "lead", Operation.WRITE, "unknown-field"),
    }
    # A manager's rule lets every lead through: the broken one does not matter then.
    assert ids(found, "ada", "lead", Operation.WRITE) == [1, 2, 3]


def test_statement_that_postgres_refuses_does_not_end_the_snapshot(again: Open) -> None:
    """The transaction goes on."""
    broken = again(Policy.of(GROUPS, RIGHTS, (*RULES, rule(9, "lead", "[('name', '=', 'x')]", 3))))
    with connect(broken.database.dsn, readonly=False) as connection:
        connection.execute("ALTER TABLE lead DROP COLUMN name")
    found = take_snapshot(broken, search_methods="user")
    assert ids(found, "ada", "lead", Operation.READ) == [1, 2, 3]
    found = take_snapshot(again(Policy.of(GROUPS, RIGHTS, (rule(9, "lead", "[('name', '=', 'x')]"),))))
    assert {e.user for e in found.errors} == {2, 3, 4, 5}
    assert ids(found, "eve", "lead", Operation.READ) == []


def test_records_are_of_one_instant(again: Open) -> None:
    """What is committed meanwhile is not seen, neither by the first nor by the last user."""
    app = again()

    class Writer(Plug):
        def advance(self, n: int = 1) -> None:
            with connect(app.database.dsn, readonly=False) as other:
                other.execute("DELETE FROM lead WHERE id = (SELECT min(id) FROM lead)")

    before = take_snapshot(again())
    assert take_snapshot(app, progress=Writer(0)) == before
    assert take_snapshot(again()) != before


def test_statements_grow_with_rules_not_with_users(again: Open, statements: list[str]) -> None:
    """Users who see the same are asked about once."""
    policy = Policy.of(GROUPS, RIGHTS, (RULES[0], RULES[3]))
    take_snapshot(again(policy))
    few = len(statements)
    take_snapshot(again(policy, users=crowd(200)))
    assert len(statements) - few == few


def test_set_of_ids_is_compact_and_equal_by_content() -> None:
    """Eight bytes an id."""
    assert IdSet([1, 2**40]) == IdSet([1, 2**40])
    assert IdSet([1]) != IdSet([2])
    assert hash(IdSet([1])) == hash(IdSet([1]))
    assert (len(IdSet([3, 4])), IdSet([3, 4])[1], repr(IdSet([3]))) == (2, 4, "IdSet([3])")


def test_policy_is_unchanged_by_being_looked_at(app: Application) -> None:
    """A snapshot decides nothing."""
    take_snapshot(app)
    assert app.policy.version == Policy.of(GROUPS, RIGHTS, RULES, POLICY.menus).version
