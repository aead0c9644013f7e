"""`vallum user`, `group` and `key`, as people and programs run them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Outcome, program, run
from vallum.cli.failure import ERROR, OK, REFUSED


@pytest.fixture
def vallum(pg_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation of its own: a store, a secret, cheap hashes."""
    monkeypatch.setenv("VALLUM_STORE", pg_dsn)
    monkeypatch.setenv("VALLUM_SECRET_FILE", str(tmp_path / "identity.secret"))
    monkeypatch.setenv(
        "VALLUM_IDENTITY", 'hashing = {memory = 7168, time = 1}\nurl = "https://vallum.example"'
    )


def _ok(*arguments: str) -> Outcome:
    done = run(*arguments)
    assert done.code == OK, done.err
    return done


@pytest.mark.usefixtures("vallum")
def test_account_is_made_shown_changed_and_shut() -> None:
    """The whole life, in JSON and in tables."""
    made = _ok("user", "create", "marie", "--email", "marie@example.com", "--user-id", "3", "--json").json
    assert (made["login"], made["user_id"], made["active"], made["has_password"]) == ("marie", 3, True, False)
    assert [item["login"] for item in _ok("user", "list", "MAR", "--json").json] == ["marie"]
    assert "marie@example.com" in _ok("user", "show", "marie").out
    assert _ok("user", "change", "marie", "--email", "", "--json").json["email"] is None
    assert _ok("user", "deactivate", "marie", "--yes", "--json").json["sessions_ended"] == 0
    assert _ok("user", "show", str(made["id"]), "--json").json["active"] is False
    assert _ok("user", "activate", "marie", "--json").json["active"] is True
    assert "marie" in _ok("user", "list").out


@pytest.mark.usefixtures("vallum")
def test_sessions_of_programs_are_shown_and_ended(pg_dsn: str) -> None:
    """In the same table as those of browsers, and in JSON."""
    from vallum.identity import Client
    from vallum.kernel import SystemClock
    from vallum.postgres import Database, connect
    from vallum.postgres.migrations import migrate
    from vallum.server.sessions import Sessions

    _ok("user", "create", "marie", "--user-id", "3")
    assert _ok("user", "show", "marie", "--json").json["sessions"] == []
    with connect(pg_dsn, readonly=False, autocommit=True) as connection:
        migrate(connection, "server")
    with Database(pg_dsn, readonly=False) as store:
        sessions = Sessions(store, SystemClock(), lambda _: b"as it was")
        token = sessions.open(3, Client(address="192.0.2.7", user_agent="nightly"))
        [one] = _ok("user", "show", "marie", "--json").json["sessions"]
        assert (one["kind"], one["address"], one["user_agent"]) == ("program", "192.0.2.7", "nightly")
        assert "program" in _ok("user", "show", "marie").out
        assert _ok("user", "end-sessions", "marie", "--json").json == {"sessions_ended": 1}
        assert sessions.user_of(token) is None


@pytest.mark.usefixtures("vallum")
def test_link_is_printed_once_for_whoever_runs_the_server() -> None:
    """Where there is no mail, it is handed over in person."""
    _ok("user", "create", "marie")
    assert run("user", "reset", "marie").code == ERROR
    assert _ok("user", "link", "marie").out.startswith("https://vallum.example/account/invitation#")


@pytest.mark.usefixtures("vallum")
@pytest.mark.parametrize("host", ["", "mail.example.com"])
def test_link_that_cannot_be_sent_is_not_said_to_be_on_its_way(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Without a mail server it waits, and the way to hand it over is told."""
    settings = f'url = "https://vallum.example"\nmail = {{host = "{host}"}}'
    monkeypatch.setenv("VALLUM_IDENTITY", settings)
    told = [_ok("user", "create", "marie", "--email", "m@example.com"), _ok("user", "reset", "marie")]
    for one in told:
        words = " ".join(one.out.split())
        assert ("is on its way to m@example.com" in words) is bool(host)
        assert ("vallum user link marie" in words) is not bool(host)
    assert "way" not in _ok("user", "create", "glass", "--break-glass").out


@pytest.mark.usefixtures("vallum")
def test_key_is_made_listed_rotated_and_revoked() -> None:
    """Its text on standard output, once; never in the list."""
    _ok("user", "create", "sync", "--service", "--user-id", "31")
    made = _ok("key", "create", "sync", "--name", "orders", "--models", "sale.order,stock.*", "--json").json
    text = made["key"]
    assert text.startswith("vlm_")
    listed = _ok("key", "list", "--json")
    assert text not in listed.out
    assert listed.json[0]["models"] == ["sale.order", "stock.*"]
    rotated = _ok("key", "rotate", str(made["id"]), "--json").json
    assert rotated["key"] != text
    assert _ok("key", "revoke", str(made["id"]), "--yes", "--json").json == {"revoked": True}
    assert run("key", "revoke", str(made["id"]), "--yes").code == REFUSED
    assert "orders" in _ok("key", "list").out


@pytest.mark.usefixtures("vallum")
@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "create", "sync", "--name", "x", "--models", "*"),
        ("key", "create", "sync", "--name", "x", "--models", ","),
        ("key", "create", "sync", "--name", "x", "--models", "a.b", "--operations", "sudo"),
        ("key", "create", "sync", "--name", "x", "--models", "a.b", "--from", "nowhere"),
        ("key", "create", "marie", "--name", "x", "--models", "a.b"),
        ("key", "create", "nobody", "--name", "x", "--models", "a.b"),
        ("user", "create", "sync"),
        ("user", "end-sessions"),
        ("user", "deactivate", "marie", "--json"),
        ("group", "request", "marie", "a.b", "--reason", "", "--minutes", "5"),
    ],
)
def test_wrong_use_says_what_is_wrong(arguments: tuple[str, ...]) -> None:
    """An error with a code, and nothing half done."""
    _ok("user", "create", "sync", "--service")
    _ok("user", "create", "marie")
    done = run(*arguments)
    assert done.code == ERROR
    assert "error" in done.err
    assert _ok("key", "list", "--json").json == []


@pytest.mark.usefixtures("vallum")
def test_leaked_key_is_revoked_from_standard_input(pg_dsn: str, tmp_path: Path) -> None:
    """Never from an argument, which a shell would keep."""
    _ok("user", "create", "sync", "--service", "--user-id", "31")
    text = _ok("key", "create", "sync", "--name", "orders", "--models", "a.b", "--json").json["key"]
    found = program(
        "key", "revoke-leaked", "--json",
        folder=tmp_path,
        environ={"VALLUM_STORE": pg_dsn, "VALLUM_SECRET_FILE": str(tmp_path / "identity.secret")},
        stdin=f"{text}\n",
    )  # fmt: skip
    assert found.json["known"] is True
    assert _ok("key", "list", "--json").json[0]["revoked_why"] == "leaked"


@pytest.mark.usefixtures("vallum")
def test_groups_are_given_requested_and_decided() -> None:
    """By hand, for a while, and on request."""
    for login in ("marie", "olga"):
        _ok("user", "create", login)
    _ok("group", "give", "olga", "base.group_system")
    assert _ok("group", "give", "marie", "a.group", "--minutes", "5", "--json").json[0]["expires"]
    asked = _ok("group", "request", "marie", "base.group_system", "--reason", "backup", "--json").json
    assert "backup" in _ok("group", "requests").out
    assert run("group", "decide", str(asked["id"]), "--as", "marie").code == ERROR
    assert _ok("group", "decide", str(asked["id"]), "--as", "olga", "--json").json["state"] == "approved"
    members = _ok("group", "members", "base.group_system", "--json").json
    assert {member["login"] for member in members} == {"marie", "olga"}
    assert _ok("group", "end", str(asked["id"]), "--json").json["state"] == "ended"
    assert _ok("group", "take", "olga", "base.group_system").code == OK
    assert run("group", "take", "olga", "base.group_system").code == REFUSED


@pytest.mark.usefixtures("vallum")
def test_people_are_taken_over_from_a_file(tmp_path: Path) -> None:
    """Each line that cannot be is told, the others are made."""
    file = tmp_path / "users.csv"
    file.write_text(
        "id,login,name,email,password\n3,marie,Marie,marie@example.com,\n4,marie,Again,,\nx,paul,,,\n5,eve,,,plain\n"
    )
    done = _ok("user", "import-odoo", str(file), "--json").json
    assert done["made"] == 1
    assert [item["line"] for item in done["refused"]] == ["3", "4", "5"]


@pytest.mark.usefixtures("vallum")
def test_mail_without_a_server_says_what_to_set() -> None:
    """It waits meanwhile."""
    done = run("user", "deliver-mail", "--json")
    assert done.code == ERROR
    assert "host" in (done.error["fix"] or "")


def test_without_a_store_the_error_says_where_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is guessed."""
    monkeypatch.chdir(tmp_path)
    done = run("user", "list", "--json")
    assert done.code == ERROR
    assert "VALLUM_STORE" in done.error["fix"]


@pytest.mark.usefixtures("vallum")
def test_secret_others_can_read_is_refused(tmp_path: Path) -> None:
    """The error names the file and what to do."""
    _ok("user", "list")
    (tmp_path / "identity.secret").chmod(0o644)
    done = run("user", "list", "--json")
    assert done.code == ERROR
    assert "chmod 600" in done.error["fix"]
