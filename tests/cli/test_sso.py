"""`vallum sso` and `vallum scim`, as people and programs run them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import self_signed
from tests.support.command import Outcome, run
from vallum.cli.failure import ERROR, OK, REFUSED


@pytest.fixture(autouse=True)
def _installation(pg_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALLUM_STORE", pg_dsn)
    monkeypatch.setenv("VALLUM_SECRET_FILE", str(tmp_path / "identity.secret"))
    monkeypatch.setenv(
        "VALLUM_IDENTITY", 'hashing = {memory = 7168, time = 1}\nurl = "https://vallum.example"'
    )


def ok(*arguments: str) -> Any:
    """What a command that works answers, in JSON."""
    done: Outcome = run(*arguments, "--json")
    assert done.code == OK, done.err
    return done.json


def failure(*arguments: str) -> dict[str, Any]:
    """The error of a command that does not."""
    done = run(*arguments, "--json")
    assert done.code == ERROR
    return dict(done.error)


def metadata(folder: Path, *, days: int = 90) -> Path:
    """Those of a SAML provider."""
    pem = self_signed(end=datetime.now(UTC) + timedelta(days=days)).pem
    body = "".join(line for line in pem.splitlines() if "-----" not in line)
    path = folder / "idp.xml"
    path.write_text(
        f"""<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.example">
        <IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
        <KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data>
        <X509Certificate>{body}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>
        <SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
            Location="https://idp.example/sign-in"/></IDPSSODescriptor></EntityDescriptor>"""
    )
    return path


TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
ENTRA = (
    *("sso", "oidc", "entra", "--preset", "entra", "--tenant", TENANT, "--client-id", "c"),
    *("--secret", "env:ENTRA_SECRET"),
)


def test_provider_is_written_down_changed_and_removed() -> None:
    """With rules, domains and whatever else; what is not said keeps its default."""
    assert ok(*ENTRA, "--rule", "Sales=a.b,c.d", "--rule", "*=base.group_user", "--create") == {
        "saved": "entra"
    }
    (found,) = ok("sso", "list")
    assert (found["issuer"], found["create"], found["match_claim"]) == (
        f"https://login.microsoftonline.com/{TENANT}/v2.0",
        True,
        "oid",
    )
    assert found["rules"][0] == {"attribute": "groups", "value": "Sales", "groups": ["a.b", "c.d"]}
    assert found["rules"][1]["value"] is None
    ok("sso", "update", "entra", "--set", "skew=30", "--set", 'tenants=["x"]', "--set", "label=Work")
    (found,) = ok("sso", "list")
    assert (found["skew"], found["tenants"], found["label"], found["create"]) == (30, ["x"], "Work", True)
    assert "entra" in run("sso", "list").out
    assert failure("sso", "remove", "entra")["fix"] == "add --yes"
    ok("sso", "remove", "entra", "--yes")
    assert ok("sso", "list") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("sso", "oidc", "x", "--issuer", "http://id.example", "--client-id", "c", "--secret", "env:A"),
        ("sso", "oidc", "x", "--issuer", "https://id.example", "--client-id", "c", "--secret", "canary-4711"),
        ("sso", "oidc", "x", "--issuer", "https://id.example", "--client-id", "c"),
        ("sso", "oidc", "x", "--preset", "google", "--client-id", "c", "--secret", "env:A"),
        ("sso", "oidc", "x", "--preset", "nonsense", "--client-id", "c"),
        ("sso", "ldap", "x", "--url", "http://dc", "--base", "dc=x"),
        ("sso", "ldap", "x", "--url", "ldaps://dc", "--base", "dc=x", "--set", "nonsense=1"),
        ("sso", "ldap", "x", "--url", "ldaps://dc", "--base", "dc=x", "--rule", "nonsense"),
        ("sso", "ldap", "x", "--url", "ldaps://dc", "--base", "dc=x", "--set", "page"),
        ("sso", "saml", "x", "--idp-metadata", "none.xml"),
        ("sso", "update", "x", "--set", "skew=1"),
        ("sso", "remove", "x", "--yes"),
        ("sso", "check", "x"),
        ("sso", "sync", "x"),
        ("sso", "sync", "x", "--every", "60", "--force"),
        ("scim", "token", "x"),
        ("scim", "revoke", "vscim_0"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(arguments: tuple[str, ...]) -> None:
    """What, where and fix; a secret given by mistake is not repeated."""
    error = failure(*arguments)
    assert error["what"]
    assert "canary" not in str(error)


def test_saml_provider_is_taken_from_its_metadata(tmp_path: Path) -> None:
    """And is given ours; an end of its certificate is told a month before."""
    ok("sso", "saml", "corp", "--idp-metadata", str(metadata(tmp_path)))
    (found,) = ok("sso", "list")
    assert (found["entity_id"], found["sign_in_url"]) == (
        "https://idp.example",
        "https://idp.example/sign-in",
    )
    assert "https://vallum.example/sso/corp/acs" in run("sso", "metadata", "corp").out
    assert run("sso", "check", "corp").code == OK
    ok("sso", "update", "corp", "--idp-metadata", str(metadata(tmp_path, days=10)))
    assert run("sso", "check", "corp").code == REFUSED


def test_check_says_what_a_sign_in_would_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that is not there, a provider or directory that does not answer: findings, not failures."""
    ok("sso", "oidc", "one", "--issuer", "https://localhost:1", "--client-id", "c", "--secret", "env:ONE")
    done = run("sso", "check", "one", "--json")
    assert (done.code, done.json[-1]["well"]) == (REFUSED, False)
    monkeypatch.setenv("ONE", "s3cret-canary")
    done = run("sso", "check", "one", "--json")
    assert [one["well"] for one in done.json] == [True, False]
    assert "cannot be reached" in done.json[-1]["found"]
    assert "canary" not in done.out + done.err


def test_accounts_are_linked_by_hand() -> None:
    """One subject is one account; unlinking ends what the link has opened."""
    ok(*ENTRA)
    ok("user", "create", "marie")
    ok("user", "create", "paul")
    ok("sso", "link", "marie", "entra", "subject-1")
    assert "linked to this subject" in failure("sso", "link", "paul", "entra", "subject-1")["what"]
    (found,) = ok("sso", "links", "marie")
    assert (found["provider"], found["subject"]) == ("entra", "subject-1")
    assert ok("sso", "links", "paul") == []
    assert ok("sso", "unlink", "marie", "entra") == {"unlinked": 1}
    assert ok("sso", "links") == []


def test_directory_gets_a_token_shown_once() -> None:
    """Its list tells the prefix and the end; a leaked one is revoked by pasting it."""
    ok("scim", "directory", "corp", "--rule", "Sales=sales_team.group_sale_salesman")
    token = ok("scim", "token", "corp", "--days", "10")["token"]
    listed = run("scim", "tokens", "--json")
    assert token not in listed.out
    assert listed.json[0]["prefix"] == token[:14]
    assert "vscim_" in run("scim", "tokens").out
    ok("scim", "revoke", token)
    assert ok("scim", "tokens") == []
    assert run("scim", "token", "corp").out.startswith("vscim_")
    ok("sso", "remove", "corp", "--yes")
    assert ok("scim", "tokens") == []


def test_keys_of_saml_are_made_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And are in our metadata from the moment they are added; the first signs."""
    monkeypatch.setenv("VALLUM_SAML_KEY", str(tmp_path / "saml.key"))
    ok("sso", "saml", "corp", "--idp-metadata", str(metadata(tmp_path)), "--set", "encrypt=true")
    assert "KeyDescriptor" not in ok("sso", "metadata", "corp")["metadata"]
    first = ok("sso", "key")
    assert (first["file"], len(first["keys"])) == (str(tmp_path / "saml.key"), 1)
    assert ok("sso", "key") == first
    assert failure("sso", "key", "--switch")["fix"] == "add one"
    two = ok("sso", "key", "--add")["keys"]
    assert [one["use"] for one in two] == ["signs, decrypts", "decrypts"]
    text = ok("sso", "metadata", "corp")["metadata"]
    assert (text.count('use="signing"'), text.count('use="encryption"')) == (2, 1)
    assert "SingleLogoutService" in text
    assert ok("sso", "key", "--switch")["keys"][0]["sha256"] == two[1]["sha256"]
    assert [one["sha256"] for one in ok("sso", "key", "--drop")["keys"]] == [two[1]["sha256"]]
    assert "one thing at a time" in failure("sso", "key", "--add", "--drop")["what"]
    assert "signs" in run("sso", "key").out
    assert "PRIVATE" not in run("sso", "key").out
