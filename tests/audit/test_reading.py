"""Reading the trail: searches, histories, exports, forwarding; erasing, retaining, putting back."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.audit.test_anchors import answering
from tests.support.audit import ORIGIN, Trail
from vallum.audit import AnchorFailed, AuditRefused, Who, record, stamp
from vallum.audit.check_proof import check
from vallum.audit.export import check_export
from vallum.audit.forward import Syslog, Webhook, forward, target_of
from vallum.audit.notes import Note
from vallum.audit.proofs import log_key, prove
from vallum.kernel import SettingsError


@pytest.fixture
def told(log: Trail) -> Trail:
    """Marie changes a customer, somebody else another; she signs in and fails to."""
    log.execute("INSERT INTO customer VALUES (1, 'first', 1), (2, '=second', 2)")
    with log.connection.transaction():
        stamp(log.connection, log.key, Who(7, "marie", "192.0.2.7", "req-1"))
        log.execute("UPDATE customer SET name = 'renamed', amount = 5 WHERE id = 1")
    record(log.connection, "sign-in", {"method": "totp"}, key=log.key, who=Who(7, "marie"))
    record(log.connection, "sign-in-failed", {"login": "mallory"})
    log.sequence()
    return log


def _found(log: Trail, *arguments: str) -> list[dict[str, Any]]:
    done = log.command("search", *arguments, "--json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = done.json
    return found


def test_search_finds_by_record_actor_field_time_operation_and_kind(told: Trail) -> None:
    """Each alone, and together."""
    assert [e["op"] for e in _found(told, "--record", "customer,1")] == ["write", "create"]
    assert [e["kind"] for e in _found(told, "--actor", "7")] == ["sign-in", "row"]
    assert [e["key"]["id"] for e in _found(told, "--field", "amount", "--operation", "write")] == [1]
    assert [e["key"]["id"] for e in _found(told, "--operation", "create", "--table", "customer")] == [2, 1]
    assert [e["detail"] for e in _found(told, "--kind", "sign-in-failed")] == [{"login": "mallory"}]
    assert _found(told, "--until", "2001-01-01") == []
    assert len(_found(told, "--since", "2001-01-01", "--limit", "2")) == 2
    assert told.command("search", "--operation", "explode").code == 2
    assert told.command("search", "--since", "yesterday").code == 2


def test_kind_is_the_events_own(told: Trail) -> None:
    """Neither a pattern, nor something that a detail holds."""
    record(told.connection, "export", {"kind": "sign-out"})
    told.sequence()
    assert _found(told, "--kind", "sign-out") == []
    assert _found(told, "--kind", "%") == []
    assert _found(told, "--kind", "sign_in") == []
    assert [e["detail"] for e in _found(told, "--kind", "export")] == [{"kind": "sign-out"}]


def test_show_tells_a_record_field_by_field(told: Trail) -> None:
    """Who, when, from what to what."""
    shown = told.command("show", "customer,1").out
    assert "first" in shown
    assert "renamed" in shown
    assert "marie (7)" in shown
    assert [e["op"] for e in told.command("show", "customer,1", "--json").json] == ["create", "write"]


@pytest.mark.tampering("values that give orders")
def test_value_gives_no_orders_to_the_terminal(log: Trail) -> None:
    """Whoever may write a name does not thereby hide lines of the trail from who looks at it."""
    evil = "x\x1b[1A\x1b[2K\x9b2J\x07\u202ey"
    log.execute(f"INSERT INTO customer VALUES (1, '{evil}')")
    log.sequence()
    for arguments in (("search",), ("show", "customer,1"), ("tail", "--once")):
        shown = log.command(*arguments).out
        assert not set(shown) & set("\x1b\x9b\x07\u202e")
        assert "x[1A" in shown
    assert _found(log, "--record", "customer,1")[0]["new"]["name"] == evil
    assert "\x1b" not in log.command("show", f"{evil},1").err


def test_event_of_an_application_is_part_of_the_transaction_or_none(log: Trail) -> None:
    """Rolled back with it; outside of one it stands alone; a stamp that was there stays."""
    with log.connection.transaction(force_rollback=True):
        record(log.connection, "export", {"rows": 5})
    with log.connection.transaction():
        stamp(log.connection, log.key, Who(1))
        record(log.connection, "export", {"rows": 6}, key=log.key, who=Who(2))
        log.execute("INSERT INTO customer VALUES (1, 'x')")
    record(log.connection, "refusal", {}, model="public.customer", record_id=1)
    log.sequence()
    exported, created, refused = log.entries()[-3:]
    assert (exported["detail"], exported["actor"]["id"], created["actor"]["id"]) == ({"rows": 6}, 2, 1)
    assert (refused["table"], refused["key"], refused["actor"]["verified"]) == (
        "public.customer",
        {"id": 1},
        False,
    )


@pytest.mark.parametrize("kind", ["alarm", "row", "retention", "audit-enabled", "Bad Kind", ""])
def test_reserved_and_malformed_kinds_of_events_are_refused(log: Trail, kind: str) -> None:
    """Nobody writes the sequencer's own words."""
    with pytest.raises(AuditRefused):
        record(log.connection, kind, {})


def test_stamp_outside_a_transaction_is_refused(log: Trail) -> None:
    """It would be forgotten at once."""
    with pytest.raises(AuditRefused, match="within a transaction"):
        stamp(log.connection, log.key, Who(1))


@pytest.mark.tampering("values that give orders")
def test_export_is_signed_and_a_changed_file_is_not_it(told: Trail, tmp_path: Path) -> None:
    """In each format; a spreadsheet runs no formula from it."""
    key = log_key(told.home, ORIGIN)
    for form in ("csv", "jsonl", "cef", "ocsf"):
        file = tmp_path / f"export.{form}"
        done = told.command("export", "--format", form, "--output", str(file), "--json")
        assert done.code == 0, done.err
        note = Note.parse(file.with_name(file.name + ".sig").read_text())
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert check_export(note, key, digest) == done.json["events"] == 7
        assert done.json["sha256"] == digest
    rows = list(csv.DictReader(io.StringIO((tmp_path / "export.csv").read_text())))
    assert [row["login"] for row in rows if row["actor"] == "7"] == ["marie", "marie"]
    assert not any(value.startswith(("=", "+", "@")) for row in rows for value in row.values())
    assert len((tmp_path / "export.cef").read_text().splitlines()) == 7
    classes = [json.loads(line)["class_uid"] for line in (tmp_path / "export.ocsf").read_text().splitlines()]
    assert classes == [6003, 6003, 3004, 3004, 3004, 3002, 3002]
    assert told.command("export", "--output", str(tmp_path / "export.csv")).code == 2
    assert len(told.command("export", "--format", "jsonl").out.splitlines()) == 7


@pytest.mark.tampering("values that give orders")
def test_cef_escapes_what_would_be_another_field(told: Trail) -> None:
    """Equal signs and line ends in values."""
    told.execute("INSERT INTO customer VALUES (3, E'a=b|c\\nd suser=root')")
    told.sequence()
    line = told.command("export", "--format", "cef", "--record", "customer,3").out.splitlines()
    assert len(line) == 1
    assert " suser=root" not in line[0].replace("suser\\=root", "")


@pytest.mark.tampering("subject erased")
def test_erased_values_are_gone_and_old_proofs_hold(told: Trail, tmp_path: Path) -> None:
    """Value and salt; the entry and its proof are as before."""
    at = told.index_of("key = '1' AND op = 'u'")
    before = prove(told.connection, told.home, at)
    done = told.command("erase", "--record", "customer,1", "--reason", "asked to", "--yes", "--json")
    assert done.json == {"events": 2, "values": 3, "archives": [], "unreached": []}
    assert told.one("SELECT count(*) FROM vallum.audit_leaf WHERE secret ~ 'first|renamed'") == 0
    told.sequence()
    shown = _found(told, "--record", "customer,1")
    assert shown[0]["new"] == {"name": "(erased)", "amount": "5"}
    assert shown[0]["actor"]["login"] == "marie"
    assert check(before, before["log_key"], [])["index"] == at
    assert check(prove(told.connection, told.home, at), before["log_key"], [])["index"] == at
    assert told.codes("verify", "--values") == []
    assert told.codes("coverage", "--rows") == []
    done = told.command("erase", "--actor", "7", "--reason", "left", "--yes", "--json")
    assert done.json["values"] == 3
    assert told.one("SELECT count(*) FROM vallum.audit_leaf WHERE secret ~ 'marie|192.0.2.7'") == 0
    assert told.entries()[-1]["detail"]["reason"] == "asked to"


def test_program_is_not_asked_before_something_goes(told: Trail, tmp_path: Path) -> None:
    """Erasing, retaining, putting back, enabling, dropping: with --yes, or not at all."""
    for command in (
        ("erase", "--record", "customer,1", "--reason", "x"),
        ("retention", "--before", "2100-01-01", "--archive", str(tmp_path / "a")),
        ("restore-values", "customer,1", "--to-before", str(told.index_of("op = 'u'"))),
        ("disable", "--all"),
        ("enable", "--table", "customer"),
    ):
        assert told.command(*command, "--json").code == 2
    assert len(_found(told, "--record", "customer,1")) == 2


@pytest.mark.tampering("partition dropped")
def test_retention_archives_declares_and_drops_and_later_proofs_hold(log: Trail, tmp_path: Path) -> None:
    """A whole partition goes; what stays is proven as before; what goes beyond that is missed."""
    log.execute("INSERT INTO customer SELECT i, 'old' FROM generate_series(1, 600) i")
    log.sequence(partition=256)
    between = log.one("SELECT clock_timestamp()::text")
    log.execute("INSERT INTO customer VALUES (1000, 'new')")
    log.sequence(partition=256)
    archive = tmp_path / "archive.jsonl.gz"
    at = log.index_of("key = '1000'")
    before = prove(log.connection, log.home, at)
    done = log.command("retention", "--before", between, "--archive", str(archive), "--yes", "--json")
    assert done.code == 0, done.err
    assert done.json["events"] == 600
    kept = [json.loads(line) for line in gzip.decompress(archive.read_bytes()).splitlines()]
    assert len(kept) == 600
    detail = next(entry for entry in log.entries() if entry["kind"] == "retention")["detail"]
    content = gzip.decompress(archive.read_bytes())
    assert detail["archive"] == {"file": archive.name, "sha256": hashlib.sha256(content).hexdigest()}
    assert (
        log.one("SELECT count(*) FROM vallum.audit_leaf WHERE relation = 'public.customer' AND op = 'i'") == 1
    )
    assert log.one("SELECT to_regclass('vallum.audit_leaf_000000000256')") is None
    assert log.command("verify", "--json").json["retained"] == 600
    assert log.codes("verify") == []
    assert log.codes("gaps") == []
    for bundle in (before, prove(log.connection, log.home, at)):
        assert check(bundle, bundle["log_key"], [])["event"]["key"] == {"id": 1000}
    log.execute(f"DELETE FROM vallum.audit_leaf WHERE index = {at}")
    assert ("missing", at) in log.codes("verify")


def test_retention_of_one_table_leaves_the_others(log: Trail, tmp_path: Path) -> None:
    """Twice, the second on top of the first."""
    log.execute("INSERT INTO customer VALUES (1, 'a')", "INSERT INTO purchase VALUES (1, 1, 5)")
    log.sequence()
    for n, table in enumerate(("customer", "purchase")):
        now = log.one("SELECT clock_timestamp()::text")
        done = log.command(
            "retention",
            "--before",
            now,
            "--table",
            table,
            "--archive",
            str(tmp_path / str(n)),
            "--yes",
            "--json",
        )
        assert done.code == 0, done.err
        assert done.json["events"] == 1
        assert log.codes("verify") == []
        assert log.codes("gaps") == []
    assert (
        log.command("retention", "--before", "2900-01-01", "--archive", str(tmp_path / "x"), "--yes").code
        == 2
    )


def test_values_are_put_back_as_they_were_before_an_event(told: Trail) -> None:
    """All of them or some; the act is in the trail itself."""
    at = told.index_of("op = 'u'")
    told.execute("UPDATE customer SET amount = 99, active = false WHERE id = 1")
    told.sequence()
    done = told.command(
        "restore-values", "customer,1", "--to-before", str(at), "--fields", "name", "--yes", "--json"
    )
    assert done.json["restored"] == ["name"]
    assert told.connection.execute("SELECT name, amount FROM customer WHERE id = 1").fetchone() == (
        "first",
        99,
    )
    told.command("restore-values", "customer,1", "--to-before", str(at), "--yes")
    assert told.connection.execute("SELECT name, amount, active FROM customer WHERE id = 1").fetchone() == (
        "first",
        1,
        True,
    )
    told.sequence()
    assert told.rows()[-1]["new"]["amount"] == "1"
    told.execute("DELETE FROM customer WHERE id = 2")
    told.sequence()
    done = told.command(
        "restore-values", "customer,2", "--to-before", str(told.index_of("op = 'd'")), "--yes", "--json"
    )
    assert done.json["inserted"] is True
    assert told.one("SELECT name FROM customer WHERE id = 2") == "=second"


def test_webhook_gets_each_event_at_least_once_in_order(told: Trail) -> None:
    """A refusal in between: the batch comes again; the secret signs what is sent."""
    got: list[int] = []
    answers = iter([200, 500, 200, 200, 200, 200])

    def take(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        got.extend(event["index"] for event in json.loads(body)["events"])
        return next(answers), b""

    with answering(take) as url, httpx.Client() as client:
        target = Webhook(url + "/hook?token=secret", b"shared", client=client)
        assert "secret" not in target.name
        with pytest.raises(AnchorFailed):
            forward(told.connection, target, batch=3)
        assert got == [0, 1, 2, 3, 4, 5]
        assert forward(told.connection, target, batch=3) == 4
        assert got == [0, 1, 2, 3, 4, 5, 3, 4, 5, 6]
        assert forward(told.connection, target, batch=3) == 0


def _listen(
    server: socket.socket, got: list[bytes], context: ssl.SSLContext | None = None
) -> threading.Thread:
    def take() -> None:
        connection, _ = server.accept()
        with connection if context is None else context.wrap_socket(connection, server_side=True) as stream:
            while data := stream.recv(65_536):
                got.append(data)

    thread = threading.Thread(target=take)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_syslog_gets_framed_messages_over_each_kind_of_stream(told: Trail, tmp_path: Path, kind: str) -> None:
    """RFC 5424, each with its length before it."""
    got: list[bytes] = []
    context = None
    if kind == "unix":
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(tmp_path / "s"))
        url = f"syslog+unix://{tmp_path / 's'}"
    else:
        server = socket.socket()
        server.bind(("127.0.0.1", 0))
        url = f"syslog{'+tls' if kind == 'tls' else ''}://127.0.0.1:{server.getsockname()[1]}"
    if kind == "tls":
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "key",
            "-out",
            "cert",
        ]
        command += ["-subj", "/CN=log", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with server:
        server.listen()
        thread = _listen(server, got, context)
        target = target_of(url, ca=str(tmp_path / "cert") if kind == "tls" else None)
        assert isinstance(target, Syslog)
        assert forward(told.connection, target) == 7
        target.close()
        thread.join()
    data, messages = b"".join(got), []
    while data:
        length, _, rest = data.partition(b" ")
        messages.append(rest[: int(length)].decode())
        data = rest[int(length) :]
    assert len(messages) == 7
    assert messages[-1].startswith("<108>1 ")
    assert json.loads(messages[-1].partition("\ufeff")[2])["kind"] == "sign-in-failed"


def test_place_nobody_listens_at_keeps_the_cursor(told: Trail) -> None:
    """And a URL of no known kind is an error."""
    with pytest.raises(AnchorFailed):
        forward(told.connection, target_of("syslog://127.0.0.1:9"))
    assert told.one("SELECT count(*) FROM vallum.audit_forward") == 0
    with pytest.raises(SettingsError):
        target_of("ftp://example")


def test_tail_shows_what_came_last(told: Trail) -> None:
    """As a table and as lines of JSON."""
    lines = told.command("tail", "--once", "--from", "5", "--json").out.splitlines()
    assert [json.loads(line)["index"] for line in lines] == [5, 6]
    assert "sign-in" in told.command("tail", "--once").out


def test_commands_without_a_trail_say_how_to_begin(pg_dsn: str, tmp_path: Path) -> None:
    """And change nothing."""
    from tests.support.command import run

    for command in (
        ["search"],
        ["verify"],
        ["gaps"],
        ["coverage"],
        ["sequence", "--once"],
        ["tail", "--once"],
    ):
        done = run("audit", *command, "--dsn", pg_dsn, "--folder", str(tmp_path / "none"))
        assert done.code == 2, command
    assert run("audit", "status", "--dsn", pg_dsn, "--folder", str(tmp_path / "none")).code == 1
