"""The secret: kept to its owner, apart by purpose, replaceable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.identity.keyring import Keyring
from vallum.identity.network import address_of, network_of
from vallum.identity.settings import IdentitySettings
from vallum.kernel import SettingsError


def test_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """Eight that start together have one secret."""
    path = tmp_path / "deep" / "identity.secret"
    with ThreadPoolExecutor(8) as pool:
        found = {ring.secrets for ring in pool.map(lambda _: Keyring.load(path), range(8))}
    assert len(found) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["identity.secret"]


@pytest.mark.parametrize("text", ["", "s3cr3t-n0t-base64!", "YWJj", "YWJj " * 2])
def test_odd_secrets_are_refused_and_not_shown(text: str) -> None:
    """The message says how to make one, and never what was given."""
    with pytest.raises(SettingsError) as caught:
        Keyring.parse(text)
    assert "openssl rand" in (caught.value.fix or "")
    assert not text.strip() or text.split()[0] not in str(caught.value)


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=8))
def test_sealed_value_opens_for_its_purpose_alone(plain: bytes, change: bytes) -> None:
    """Not for another one, not with another secret, not changed."""
    ring = Keyring.new()
    sealed = ring.seal("a", plain)
    assert ring.open("a", sealed) == plain
    assert Keyring((Keyring.new().secrets[0], *ring.secrets)).open("a", sealed) == plain
    for purpose, keyring, box in (
        ("b", ring, sealed),
        ("a", Keyring.new(), sealed),
        ("a", ring, sealed[: -len(change)]),
        ("a", ring, sealed[:-1] + bytes([sealed[-1] ^ 1])),
        ("a", ring, b""),
    ):
        with pytest.raises(SettingsError):
            keyring.open(purpose, box)


def test_secret_stays_out_of_representations() -> None:
    """Of the keyring and of the settings."""
    assert "secrets" not in repr(Keyring.new())


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_addresses_are_counted_by_network(text: str, network: str) -> None:
    """A /24 of IPv4, a /64 of IPv6."""
    found = address_of(text)
    assert found is not None
    assert str(network_of(found)) == network


@pytest.mark.parametrize("text", ["", "unknown", "1.2.3", "1.2.3.4.5", "192.0.2.7:80", "x" * 10_000])
def test_what_is_no_address_is_none(text: str) -> None:
    """It is counted as a place of its own."""
    assert address_of(text) is None


@pytest.mark.parametrize(
    "raw",
    [
        {"url": "http://vallum.example"},
        {"url": "vallum.example"},
        {"url": "https://user@vallum.example"},
        {"url": "https://vallum.example/?x"},
        {"url": "ftp://vallum.example"},
        {"passwords": {"policy": "weak"}},
        {"passwords": {"max_length": 20}},
        {"lockout": {"account": {"failures": 0}}},
        {"sessions": {"hours": 100_000}},
        {"keys": {"max_days": 91}},
        {"hashing": {"memory": 8}},
        {"factors": {"required": "never"}},
        {"unknown": 1},
        {"passwords": {"unknown": 1}},
    ],
)
def test_settings_out_of_range_are_refused(raw: dict[str, object]) -> None:
    """The error names the place."""
    with pytest.raises(SettingsError) as caught:
        IdentitySettings.parse(raw)
    assert "identity" in (caught.value.where or "")


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("https://Vallum.example/", "https://vallum.example", "vallum.example"),
        ("https://vallum.example:443", "https://vallum.example", "vallum.example"),
        ("https://vallum.example:8443/x", "https://vallum.example:8443", "vallum.example"),
        ("http://localhost:8080", "http://localhost:8080", "localhost"),
    ],
)
def test_origin_is_written_as_browsers_write_it(url: str, origin: str, host: str) -> None:
    """Passkeys are bound to it."""
    settings = IdentitySettings.parse({"url": url})
    assert (settings.origin, settings.host) == (origin, host)
