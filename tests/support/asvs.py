"""The requirements of OWASP ASVS 5.0 that are proven here, and the table of what proves them.

A test names a requirement by `@pytest.mark.asvs("6.2.1")`. `make asvs` runs the tests that name one and
writes docs/reference/asvs.md; a test holds the table's names against the marks.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

__all__ = ["DEVIATIONS", "REQUIREMENTS", "Results", "marked", "table"]

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reference" / "asvs.md"

# In our own words; the standard's text is at https://github.com/OWASP/ASVS/tree/v5.0.0
REQUIREMENTS: Final[Mapping[str, str]] = {
    "3.3.1": "cookies are Secure and bound to the host by their name",
    "3.3.2": "cookies are not sent across sites",
    "3.3.3": "cookies have the `__Host-` prefix",
    "3.3.4": "scripts cannot read the session's cookie",
    "3.4.1": "HSTS on every answer",
    "3.4.2": "no permissive CORS",
    "3.4.3": "a content security policy that shuts everything else out",
    "3.4.4": "no guessing of content types",
    "3.4.5": "no referrer to others",
    "3.4.6": "no framing by others",
    "3.5.1": "a request that changes something cannot be forged by another site",
    "3.5.2": "nor by a request that needs no preflight",
    "3.5.3": "nothing is changed by GET",
    "3.7.2": "redirects lead nowhere else",
    "4.1.3": "headers of proxies are believed from proxies alone",
    "6.2.1": "passwords of 8 characters at least, 15 recommended",
    "6.2.2": "users change their password",
    "6.2.3": "which takes the current one",
    "6.2.4": "not one of the 3,000 most common that the policy allows",
    "6.2.5": "any composition",
    "6.2.8": "verified exactly as typed",
    "6.2.9": "64 characters and more",
    "6.2.10": "no expiry",
    "6.2.11": "no words of the context",
    "6.2.12": "not one known from breaches",
    "6.3.1": "guessing and stuffing are held off, as documented",
    "6.3.2": "a second factor",
    "6.3.4": "users are told of suspicious attempts",
    "6.3.5": "mail is no factor",
    "6.3.7": "a factor that resists phishing",
    "6.3.8": "failures tell nothing of whether an account exists",
    "6.4.1": "first secrets are random, short-lived and good once",
    "6.4.3": "a reset does not get around the second factor",
    "6.4.6": "administrators start a reset and choose nothing",
    "6.5.1": "codes are good once",
    "6.5.2": "recovery codes are kept as digests",
    "6.5.3": "secrets of factors come from the system's generator",
    "6.5.4": "recovery codes cannot be guessed",
    "6.5.5": "codes have a lifetime",
    "6.5.6": "a factor can be revoked",
    "6.5.8": "the time of codes is the server's",
    "6.8.1": "the same name at two providers is two people",
    "6.8.2": "assertions' signatures are checked",
    "6.8.3": "a SAML assertion is good once",
    "6.8.4": "what a provider says of the strength of a sign-in is checked",
    "7.2.3": "session tokens cannot be guessed",
    "7.2.4": "a new token at every sign-in",
    "7.3.1": "an unused session ends",
    "7.3.2": "every session ends",
    "7.4.1": "signing out ends it",
    "7.4.2": "a shut account's sessions end",
    "7.4.3": "other sessions can be ended after a change of factors",
    "7.4.4": "signing out is in reach on every page",
    "7.4.5": "administrators end sessions",
    "7.5.1": "credentials once more before they are changed",
    "7.5.2": "users see and end their sessions",
    "7.5.3": "credentials once more before sensitive acts",
    "7.6.2": "no session without somebody's own act",
    "8.2.1": "functions are for those with the right",
    "8.2.2": "records too",
    "8.2.3": "fields too",
    "8.3.1": "enforced on the server",
    "8.3.2": "changes of rights hold at once",
    "8.4.1": "companies are kept apart",
    "9.1.1": "tokens' signatures are checked",
    "9.1.2": "by allowed algorithms alone",
    "9.1.3": "with keys from where they are expected",
    "9.2.1": "within their time",
    "9.2.2": "of the right kind",
    "9.2.3": "meant for us",
    "10.1.2": "an answer belongs to a request of this browser",
    "10.2.1": "codes cannot be slipped in",
    "10.2.2": "providers cannot be mixed up",
    "10.5.1": "an ID token is not played again",
    "10.5.2": "people are known by what cannot be given to others",
    "10.5.3": "the issuer is the one that was asked",
    "10.5.4": "the audience is us",
    "10.5.5": "logout tokens are checked",
    "12.1.1": "TLS 1.2 and 1.3 alone",
    "12.1.2": "strong ciphers alone",
    "16.2.5": "no secret in a log",
    "16.3.1": "sign-ins are recorded, failed ones too",
    "16.5.1": "errors tell nothing of the code",
    "16.5.2": "what others depend on may fail",
    "16.5.3": "an error denies",
}

DEVIATIONS: Final[Mapping[str, str]] = {
    "6.2.5": "The policy `guide` asks for four classes, as hardening guides do. The default does not.",
    "6.2.10": "The policy `guide` lets a password expire after 90 days, as they do. The default does not.",
    "6.3.4": "Told by mail, where the account has an address and a mail server is set.",
    "6.5.5": "A code is taken one step (30 seconds) before and after its own as well, since clocks of phones"
    " differ; `totp_drift = 0` takes its own alone.",
}


def marked() -> dict[str, list[str]]:
    """The tests that name a requirement, by requirement: `tests/…/test_x.py::test_y`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for number in _numbers(node):
                found[number].append(f"{path.relative_to(ROOT)}::{node.name}")
    return dict(found)


def _numbers(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [
        argument.value
        for mark in node.decorator_list
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "asvs"
        for argument in mark.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]


def table(results: Mapping[str, str]) -> str:
    """The page. `results`: what became of each test, by name."""
    lines = [
        "# OWASP ASVS 5.0: what is proven, and by which test",
        "",
        "Made by `make asvs`, which runs every test that names a requirement. What each says is in our own",
        "words, the standard's are at <https://github.com/OWASP/ASVS/tree/v5.0.0>.",
        "",
        "| id | what | tests | result |",
        "|---|---|---|---|",
    ]
    tests = marked()
    for number in sorted(REQUIREMENTS, key=_order):
        names = tests.get(number, [])
        said = {results.get(name, "not run") for name in names}
        result = "no test names it" if not names else ", ".join(sorted(said))
        shown = "<br>".join(f"`{name.removeprefix('tests/')}`" for name in names)
        lines.append(f"| {number} | {REQUIREMENTS[number]} | {shown} | {result} |")
    lines += ["", "## Deviations", "", "| id | what is different, and why |", "|---|---|"]
    lines += [f"| {number} | {DEVIATIONS[number]} |" for number in sorted(DEVIATIONS, key=_order)]
    return "\n".join(lines) + "\n"


def _order(number: str) -> tuple[int, ...]:
    return tuple(map(int, number.split(".")))


class Results:
    """A plugin that keeps what became of each test, and writes the page at the end."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test; the worst of all counts."""
        name = report.nodeid.partition("[")[0]
        worst = {"passed": 0, "skipped": 1, "failed": 2}
        if report.when == "call" or report.outcome != "passed":
            known = self._found.get(name, "passed")
            self._found[name] = max(known, report.outcome, key=lambda outcome: worst[outcome])

    def pytest_sessionfinish(self) -> None:
        """Write it."""
        PAGE.write_text(table(self._found), encoding="utf-8")
