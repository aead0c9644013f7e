"""Our keys of SAML: made, replaced, kept to ourselves."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.certificates import self_signed
from vallum.identity.saml.keys import KeyFile
from vallum.kernel import SettingsError

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    """One that is not there yet."""
    return KeyFile(tmp_path / "keys" / "saml.key")


def test_key_is_made_once_and_is_its_owners_alone(file: KeyFile) -> None:
    """No key is no error: not every provider asks for one."""
    assert file() == ()
    (made,) = file.make(NOW)
    assert file.make(NOW) == (made,)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert made.rsa.key_size == 3072
    assert made.known.public_key() == made.rsa.public_key()
    assert "PRIVATE" not in repr(made)
    assert list(file.path.parent.iterdir()) == [file.path]


def test_key_is_replaced_in_three_steps(file: KeyFile) -> None:
    """Added, it decrypts; switched to, it signs; then the old one goes."""
    (old,) = file.make(NOW)
    first, new = file.add(NOW)
    assert first == old
    assert file.switch() == (new, old)
    assert KeyFile(file.path)() == (new, old)
    assert file.drop() == (new,)
    assert file() == (new,)
    with pytest.raises(SettingsError, match="no other key"):
        file.switch()
    file.add(NOW)
    file.add(NOW)
    with pytest.raises(SettingsError, match="3 keys already"):
        file.add(NOW)


def test_file_that_was_changed_is_read_again(file: KeyFile) -> None:
    """By a command, while the server runs."""
    other = KeyFile(file.path)
    (made,) = other.make(NOW)
    assert file() == (made,)
    assert len(other.add(NOW)) == 2
    assert file() == other()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_file_that_others_can_reach_is_refused(file: KeyFile, mode: int) -> None:
    """With what to do about it."""
    file.make(NOW)
    file.path.chmod(mode)
    with pytest.raises(SettingsError, match="others than its owner") as caught:
        file()
    assert f"chmod 600 {file.path}" in str(caught.value.fix)


def test_file_that_holds_something_else_is_refused(file: KeyFile) -> None:
    """Nothing, half of a pair, a certificate of another key, the wrong order."""
    one, other = self_signed(), self_signed()
    file.make(NOW)
    for text in (
        "",
        "no key",
        one.key_pem,
        one.pem + one.key_pem,
        one.key_pem + other.pem,
        one.key_pem + one.pem + one.key_pem,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + one.pem,
    ):
        file.path.write_text(text)
        with pytest.raises(SettingsError) as caught:
            file()
        assert "PRIVATE" not in str(caught.value)
    file.path.write_text(one.key_pem + one.pem)
    assert file()[0].rsa.public_key() == one.key.public_key()
