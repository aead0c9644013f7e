"""TLS, headers, hosts, bodies, health and metrics of a running server; and what its log does not hold."""

from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import time
from datetime import UTC, datetime, timedelta
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.server.conftest import Odoo
from tests.support.command import run
from tests.support.debian import program
from vallum.kernel import FixedClock, SettingsError
from vallum.server.addresses import Addresses, normal
from vallum.server.metrics import exporter
from vallum.server.tls import certificate

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_certificate_is_made_kept_and_renewed(tmp_path: Path) -> None:
    """The same as long as it serves; another for another name, and a month before its end; the CA stays."""
    clock = FixedClock(START)
    folder = tmp_path / "tls"
    made = certificate(folder, ["localhost", "127.0.0.1"], clock)
    first, authority = made.cert.read_bytes(), (folder / "ca.pem").read_bytes()
    for key in (made.key, folder / "ca.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert certificate(folder, ["localhost"], clock).cert.read_bytes() == first
    assert certificate(folder, ["localhost", "erp.example.com"], clock).cert.read_bytes() != first
    second = made.cert.read_bytes()
    clock.advance(timedelta(days=368))
    assert certificate(folder, ["localhost"], clock).cert.read_bytes() != second
    assert (folder / "ca.pem").read_bytes() == authority
    cert = x509.load_pem_x509_certificate(made.cert.read_bytes())
    assert cert.not_valid_after_utc > clock.now() + timedelta(days=300)


def test_folder_of_keys_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    """Whoever may write there could be the server."""
    folder = tmp_path / "tls"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SettingsError, match="others may write"):
        certificate(folder, ["localhost"], FixedClock(START))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1%eth0", "2001:db8::1"),
        ("192.0.2.1, x", ""),
        ("0300.0.2.1", ""),
    ],
)
def test_address_has_one_form(text: str, found: str) -> None:
    """However it is written; what is none is nothing."""
    assert normal(text) == found


@pytest.mark.parametrize(
    "line", ["", "user", "user marie", "all", "everyone 10.0.0.0/8", "user marie 10.0.0.1/8"]
)
def test_address_list_that_says_nothing_is_refused(line: str) -> None:
    """An entry that is misread could let anyone in."""
    with pytest.raises(SettingsError):
        Addresses.parse([line])


@pytest.mark.parametrize(
    "arguments",
    [("--plain-http", "--listen", "0.0.0.0:8069"), ("--listen", "nowhere"), ("--workers", "0")],
)
def test_unsafe_settings_are_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Before anything is started."""
    outcome = run("serve", "--dsn", "postgresql:///nowhere", *arguments)
    assert outcome.code == 2
    assert outcome.err


# A running server


@pytest.mark.asvs("3.4.1")
def test_every_answer_has_the_headers(serve18: Odoo) -> None:
    """Pages, refusals and calls alike."""
    with serve18.server.client() as client:
        for response in (
            client.get("/healthz"),
            client.get("/nothing"),
            client.post("/jsonrpc", content=b"x"),
        ):
            headers = response.headers
            assert headers["strict-transport-security"].startswith("max-age=63072000")
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "camera=()" in headers["permissions-policy"]
            assert headers["cache-control"] == "no-store"
            assert headers["x-request-id"]
        assert client.get("/nothing").status_code == 404
        assert client.get("/jsonrpc").status_code == 405


@pytest.mark.attacks("web: foreign hosts")
def test_foreign_host_is_refused(serve18: Odoo) -> None:
    """Whatever it looks like."""
    with serve18.server.client() as client:
        for host in (
            "evil.example",
            "localhost.evil.example",
            "localhost@evil.example",
            "127.0.0.1.evil",
            "",
        ):
            assert client.get("/healthz", headers={"Host": host}).status_code in (400, 421), host
        assert client.get("/healthz", headers={"Host": "LOCALHOST"}).status_code == 200


@pytest.mark.asvs("12.1.1")
def test_http2_is_spoken_and_old_tls_is_not(serve18: Odoo) -> None:
    """HTTP/2 is agreed upon; TLS 1.1 is not answered."""
    context = ssl.create_default_context(cafile=str(serve18.server.ca))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", serve18.server.port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"
        assert secure.version() == "TLSv1.3"


@pytest.mark.slow
@pytest.mark.asvs("12.1.2")
def test_sslscan_finds_nothing_old(serve18: Odoo) -> None:
    """Nothing below TLS 1.2, no CBC, no renegotiation; forward secrecy and authenticated encryption only."""
    scan = program("sslscan")
    found = subprocess.run(
        [scan, "--no-colour", f"localhost:{serve18.server.port}"], capture_output=True, text=True, check=True
    ).stdout
    ciphers = [line.split() for line in found.splitlines() if line.startswith(("Preferred", "Accepted"))]
    assert ciphers
    for words in ciphers:
        assert words[1] in ("TLSv1.2", "TLSv1.3")
        assert "GCM" in words[4] or "POLY1305" in words[4]
    for old in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert any(line.split() == [old, "disabled"] for line in found.splitlines())


@pytest.mark.parametrize("length", ["9" * 21, "0" * 5_000, "1" * 5_000])
def test_length_of_thousands_of_digits_is_refused(serve18: Odoo, length: str) -> None:
    """Without an error of ours."""
    context = ssl.create_default_context(cafile=str(serve18.server.ca))
    with (
        socket.create_connection(("127.0.0.1", serve18.server.port), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        secure.sendall(f"{_HEAD}Content-Length: {length}\r\n\r\n".encode())
        answer = HTTPResponse(secure)
        answer.begin()
        assert 400 <= answer.status < 500


@pytest.mark.attacks("rpc: huge JSON", "rpc: huge XML")
def test_body_is_limited(serve18: Odoo) -> None:
    """By what it says it is, and by what it is; before anybody is asked for a key."""
    with serve18.server.client() as client:
        assert client.post("/jsonrpc", content=b"x" * (9 * 2**20)).status_code == 413

        def parts() -> object:
            for _ in range(10):
                yield b"x" * 2**20

        assert client.post("/jsonrpc", content=parts()).status_code == 413  # type: ignore[arg-type]


_HEAD = "POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_CALL = b'{"jsonrpc":"2.0","method":"call","params":{"service":"common","method":"version","args":[]},"id":1}'


@pytest.mark.parametrize(
    ("framed", "pieces"),
    [
        (f"Content-Length: {len(_CALL)}", [_CALL]),
        (f"Content-Length: {len(_CALL)}", [_CALL[:9], _CALL[9:]]),
        ("Transfer-Encoding: chunked", [b"%x\r\n%b\r\n" % (len(_CALL), _CALL), b"0\r\n\r\n"]),
        (
            "Transfer-Encoding: chunked",
            [b"9\r\n" + _CALL[:9], b"\r\n%x\r\n" % (len(_CALL) - 9), _CALL[9:] + b"\r\n0\r\n\r\n"],
        ),
    ],
)
def test_body_is_whole_however_it_is_sent(serve18: Odoo, framed: str, pieces: list[bytes]) -> None:
    """At once or in pieces, with a length or in chunks; and so is the next one on the connection."""
    context = ssl.create_default_context(cafile=str(serve18.server.ca))
    with (
        socket.create_connection(("127.0.0.1", serve18.server.port), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        for _ in range(2):
            secure.sendall(f"{_HEAD}{framed}\r\n\r\n".encode())
            for piece in pieces:
                time.sleep(0.05)
                secure.sendall(piece)
            answer = HTTPResponse(secure)
            answer.begin()
            assert (answer.status, b"protocol_version" in answer.read()) == (200, True)


@pytest.mark.parametrize("announced", [True, False])
def test_body_over_http2_is_whole(serve18: Odoo, announced: bool) -> None:
    """There the end of the stream tells, where no length is announced."""
    curl = program("curl")
    headers = ["-H", "Content-Type: application/json"]
    if not announced:
        headers += ["-H", "Transfer-Encoding: chunked"]
    url = f"{serve18.server.url}/jsonrpc"
    command = [
        curl,
        "-sS",
        "--http2",
        "--cacert",
        str(serve18.server.ca),
        *headers,
        "--data-binary",
        "@-",
        url,
    ]
    found = subprocess.run(command, input=_CALL, capture_output=True, check=True, timeout=60).stdout
    assert b"protocol_version" in found


def test_health_and_metrics(serve18: Odoo) -> None:
    """Alive, ready, and counted on a port of its own."""
    server = serve18.server
    with server.client() as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.get("/metrics").status_code == 404
    text = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics", trust_env=False).text
    assert 'vallum_requests_total{route="/healthz",status="200"}' in text
    assert "vallum_request_seconds_bucket" in text


@pytest.mark.slow
@pytest.mark.attacks("web: slow requests")
def test_slow_request_costs_no_thread(serve18: Odoo) -> None:
    """Fifty clients that never finish their bodies; another is answered meanwhile."""
    server = serve18.server
    context = ssl.create_default_context(cafile=str(server.ca))
    open_ones = []
    try:
        for _ in range(50):
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            secure = context.wrap_socket(raw, server_hostname="localhost")
            secure.sendall(b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
            open_ones.append(secure)
        with server.client() as client:
            answer = server.rpc(client, "common", "version")
        assert answer["result"]["protocol_version"] == 1
    finally:
        for secure in open_ones:
            secure.close()


def test_log_holds_no_secret(serve18: Odoo) -> None:
    """Passwords, keys and cookies, wherever they were put: in no line of the log."""
    server = serve18.server
    canaries = [
        "canary-password-1",
        "canary-key-2",
        "canary-cookie-3",
        "canary-path-4",
        "canary-place-5",
        "canary-query-6",
    ]
    with server.client() as client:
        server.rpc(client, "common", "authenticate", server.database, "demo", canaries[0], {})
        server.rpc(
            client, "object", "execute_kw", server.database, 6, canaries[0], "crm.lead", "search", [[]]
        )
        server.rpc(
            client,
            "object",
            "execute_kw",
            canaries[4],
            server.database,
            6,
            canaries[4],
            canaries[4],
            canaries[4],
        )
        server.rpc(client, canaries[4], canaries[4], canaries[4])
        client.post("/json/2/crm.lead/search", json={}, headers={"Authorization": f"Bearer {canaries[1]}"})
        client.post(
            "/web/dataset/call_kw", json={"params": {}}, headers={"Cookie": f"session_id={canaries[2]}"}
        )
        client.get(f"/{canaries[3]}?password={canaries[5]}")
        client.post(
            f"/json/2/{canaries[3]}/{canaries[3]}",
            json={},
            headers={"Authorization": f"Bearer {serve18.key}"},
        )
        client.post("/xmlrpc/2/common", content=f"<x>{canaries[0]}</x>", headers={"Content-Type": "text/xml"})
        sign_in = {"params": {"db": server.database, "login": "demo", "password": "demo"}}
        assert client.post("/web/session/authenticate", json=sign_in).json()["result"]["uid"] == 6
        cookie = next(iter(client.cookies.jar)).value or ""
    time.sleep(0.2)
    text = server.log.read_text()
    assert '"event":"sign-in refused"' in text
    for secret in (*canaries, serve18.key, cookie):
        assert secret not in text
    assert all(line["request_id"] for line in server.lines() if line["event"] == "request")


def test_session_ends_with_sign_out(serve18: Odoo) -> None:
    """The cookie is for this host and this server alone, and worth nothing afterwards."""
    server = serve18.server
    with server.client() as client:
        sign_in = {"params": {"db": server.database, "login": "demo", "password": "demo"}}
        answer = client.post("/web/session/authenticate", json=sign_in)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-")
        for word in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
            assert word in cookie
        kept = {"Cookie": cookie.partition(";")[0]}
        info = "/web/session/get_session_info"
        assert client.post(info, json={"params": {}}).json()["result"]["uid"] == 6
        client.post("/web/session/destroy", json={"params": {}})
        client.cookies.clear()
        assert "error" in client.post(info, json={"params": {}}, headers=kept).json()


def test_metrics_that_cannot_listen_are_an_error() -> None:
    """Whoever asked for them is told at once, and nothing is served without them."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SettingsError, match="metrics"), exporter(taken.getsockname()):
            pass
