"""Checkpoints in stores that speak S3: real ones, which check signatures, keep locks and refuse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.test_anchors import answering
from tests.support.audit import Trail
from tests.support.object_store import Store, moto_store, plain_store
from vallum.audit import AnchorFailed, LogForked
from vallum.audit.anchors import S3Anchor, read_anchors
from vallum.audit.notes import COSIGNATURE, Checkpoint, Note, Signer
from vallum.audit.tiles import TileReader
from vallum.kernel import SettingsError, SystemClock

WITNESS = Signer("w.example/1", Ed25519PrivateKey.generate(), COSIGNATURE)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """Closed at the end."""
    with httpx.Client(timeout=20) as made:
        yield made


@pytest.fixture(params=["kept", "refused", "ignored"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store that keeps the conditions of a request, one that refuses them, one that passes over them."""
    with moto_store(tmp_path) if request.param == "kept" else plain_store(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def locking(tmp_path: Path) -> Iterator[Store]:
    """A store with conditions and locks."""
    with moto_store(tmp_path) as made:
        yield made


def _of(store: Store, folder: Path, client: httpx.Client, *, retain_days: int = 0) -> S3Anchor:
    url = f"{store.url}/log one/"
    return S3Anchor(url, store.region, store.credentials(folder), client=client, retain_days=retain_days)


def _newest(log: Trail) -> tuple[Note, Checkpoint, TileReader]:
    note = Note.parse(log.home.checkpoint.read_text())
    checkpoint = Checkpoint.parse(note.text)
    return note, checkpoint, TileReader(log.home.folder, checkpoint.size)


@pytest.mark.slow
def test_store_keeps_each_checkpoint_and_takes_the_same_one_twice(
    log: Trail, store: Store, tmp_path: Path, client: httpx.Client
) -> None:
    """Signed as AWS has it, also where a path holds what is written otherwise; a turn cut off asks again."""
    anchor = _of(store, tmp_path, client)
    log.sequence(anchors=[anchor])
    log.execute("INSERT INTO customer VALUES (1, 'x')")
    log.sequence(anchors=[anchor])
    assert log.alarms == []
    note, checkpoint, tiles = _newest(log)
    anchor.publish(note, checkpoint, tiles)
    kept = anchor._ask("GET", f"{anchor._url}/{checkpoint.size:020}", {}, b"")
    assert kept.text == str(note)
    (tmp_path / "kept").write_text(kept.text)
    assert log.codes("verify", "--against", str(tmp_path / "kept")) == []


@pytest.mark.tampering("checkpoint overwritten in an object store")
@pytest.mark.slow
def test_another_checkpoint_of_a_size_is_not_put_and_tells_of_a_fork(
    log: Trail, store: Store, tmp_path: Path, client: httpx.Client
) -> None:
    """What the store holds stays, and the log is known to be another one."""
    anchor = _of(store, tmp_path, client)
    log.sequence(anchors=[anchor])
    note, checkpoint, tiles = _newest(log)
    other = Note(note.text.replace(str(checkpoint.size), str(checkpoint.size), 1) + "more\n", note.signatures)
    with pytest.raises(LogForked, match="something else"):
        anchor.publish(other, checkpoint, tiles)
    with pytest.raises(LogForked):
        _of(store, tmp_path, client).publish(other, checkpoint, tiles)
    assert anchor._ask("GET", f"{anchor._url}/{checkpoint.size:020}", {}, b"").text == str(note)


@pytest.mark.tampering("witness or store that is down or refuses")
@pytest.mark.slow
def test_store_refuses_another_secret_and_the_alarm_says_why_without_it(
    log: Trail, store: Store, tmp_path: Path, client: httpx.Client
) -> None:
    """The store's own code stands in the alarm; neither secret does. With the right one it goes on."""
    anchor = _of(store, tmp_path, client)
    store.credentials(tmp_path, "wrong-secret")
    with log.sequencer(anchors=[anchor]).running() as worker:
        worker.step()
        assert [alarm.code for alarm in log.alarms] == ["audit-anchor"]
        assert "SignatureDoesNotMatch" in log.alarms[0].what
        assert "wrong-secret" not in str(log.alarms)
        # Read anew, as credentials are exchanged.
        store.credentials(tmp_path)
        log.execute("INSERT INTO customer VALUES (1, 'x')")
        assert worker.step().alarms == ()


@pytest.mark.tampering("checkpoint overwritten in an object store")
@pytest.mark.slow
def test_lock_keeps_an_object_from_who_holds_the_credentials(
    log: Trail, locking: Store, tmp_path: Path, client: httpx.Client
) -> None:
    """The version that was put can be neither deleted nor have its time shortened."""
    anchor = _of(locking, tmp_path, client, retain_days=30)
    log.sequence(anchors=[anchor])
    assert log.alarms == []
    note, checkpoint, _ = _newest(log)
    url = f"{anchor._url}/{checkpoint.size:020}"
    kept = anchor._ask("GET", url, {}, b"")
    assert kept.headers["x-amz-object-lock-mode"] == "COMPLIANCE"
    soon = SystemClock().now() + timedelta(days=29)
    assert kept.headers["x-amz-object-lock-retain-until-date"] > f"{soon:%Y-%m-%dT%H:%M:%SZ}"
    version = f"{url}?versionId={kept.headers['x-amz-version-id']}"
    assert anchor._ask("DELETE", version, {}, b"").status_code == 403
    assert anchor._ask("GET", version, {}, b"").text == str(note)


@pytest.mark.tampering("witness or store that is down or refuses")
def test_store_that_is_down_or_says_nothing_of_use_is_an_alarm(
    log: Trail, tmp_path: Path, client: httpx.Client
) -> None:
    """The log goes on; what the store sends is not shown but for its code."""
    store = Store("http://127.0.0.1:9/audit", "r", "k", "s")
    log.sequence()
    with pytest.raises(AnchorFailed, match="cannot be reached"):
        _of(store, tmp_path, client).publish(*_newest(log))
    said = b"<Error><Code>SlowDown</Code><Message>\x1b[2J</Message></Error>"
    credentials = store.credentials(tmp_path)
    with (
        answering(lambda *_: (503, said)) as url,
        pytest.raises(AnchorFailed, match=r"503 \(SlowDown\)") as caught,
    ):
        S3Anchor(url, "r", credentials, client=client).publish(*_newest(log))
    assert "\x1b" not in str(caught.value)


def test_every_puts_one_checkpoint_in_so_many(log: Trail, tmp_path: Path, client: httpx.Client) -> None:
    """The first, which is put twice to see that nothing is overwritten, and then each third."""
    log.sequence()
    put: list[str] = []

    def keep(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "GET":
            return 404, b""
        put.append(path)
        return 412 if path in put[:-1] else 200, b""

    with answering(keep) as url:
        credentials = Store(url, "r", "k", "s").credentials(tmp_path)
        anchor = S3Anchor(url, "r", credentials, every=3, client=client)
        for n in range(4):
            log.execute(f"INSERT INTO customer VALUES ({n}, 'x')")
            log.sequence()
            anchor.publish(*_newest(log))
    assert [int(path[1:]) for path in put] == [3, 3, 6]


@pytest.mark.parametrize(
    ("content", "mode"),
    [("[default]\naws_access_key_id = k\n", 0o600), ("s3cret-value", 0o600), ("[default]\n", 0o644)],
)
def test_credentials_that_are_damaged_or_open_to_others_are_refused(
    log: Trail, tmp_path: Path, client: httpx.Client, content: str, mode: int
) -> None:
    """Without a word of what the file holds, and without asking the store."""
    log.sequence()
    path = tmp_path / "credentials"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(AnchorFailed) as caught:
        S3Anchor("https://127.0.0.1:9/a", "r", path, client=client).publish(*_newest(log))
    assert "s3cret" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        'url = "https://store.example/audit?acl"',
        'url = "https://key:secret@store.example/audit"',
        'url = "https://store.example/audit"\nlock = "none"',
        'url = "https://store.example/audit"\nretain_days = -1',
        'url = "https://store.example/audit"\nretain_days = "10"',
    ],
)
def test_store_that_is_set_wrongly_is_refused(log: Trail, line: str) -> None:
    """Where it stands, without a secret."""
    rest = 'region = "r"\ncredentials = "c"'
    (log.home.folder / "anchors.toml").write_text(f'[[anchor]]\ntype = "s3"\n{rest}\n{line}\n')
    with pytest.raises(SettingsError, match="anchor 1") as caught:
        read_anchors(log.home)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize(
    "anchor",
    [
        'type = "http"',
        'type = "s3"\nregion = "r"\ncredentials = "c"',
        'type = "timestamp"\nroots = "r.pem"',
        f'type = "witness"\nkey = "{WITNESS.verifier.text}"',
    ],
    ids=["http", "s3", "timestamp", "witness"],
)
def test_plain_http_elsewhere_is_refused_unless_it_is_said_by_name(log: Trail, anchor: str) -> None:
    """To this machine it may go; to another one only with `plain_http = true`."""
    path = log.home.folder / "anchors.toml"

    def read(url: str, more: str = "") -> int:
        path.write_text(f'[[anchor]]\n{anchor}\nurl = "{url}"\n{more}\n')
        return len(read_anchors(log.home))

    for url in ("http://store.example/a", "http://127.0.0.1.example/a", "http://10.0.0.1/a"):
        with pytest.raises(SettingsError, match="plain HTTP"):
            read(url)
        assert read(url, "plain_http = true") == 1
    for url in ("ftp://store.example/a", "store.example", "http://", "http://[::1"):
        with pytest.raises(SettingsError, match="no address"):
            read(url, "plain_http = true")
    for url in ("http://127.0.0.1:9000/a", "http://[::1]:9000/a", "http://localhost/a", "https://s.example"):
        assert read(url) == 1


def test_webhook_of_plain_http_elsewhere_is_refused_unless_it_is_said_by_name(log: Trail) -> None:
    """By the command line, before anything is sent."""
    done = log.command("tail", "--once", "--to", "http://siem.example/hook?token=s3cret")
    assert done.code == 2
    assert "--plain-http" in done.err
    assert "s3cret" not in done.err
    log.sequence()
    assert "cannot be reached" in log.command("tail", "--once", "--to", "http://127.0.0.1:9/hook").err
    done = log.command("tail", "--once", "--to", "http://nowhere.invalid/hook", "--plain-http")
    assert "cannot be reached" in done.err
