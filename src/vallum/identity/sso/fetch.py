"""Ask a provider over HTTPS: certificates checked, no redirects, short waits, small answers.

The only I/O of single sign-on beside the database and LDAP.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx
import msgspec

from vallum.identity.sso.errors import ProviderMisconfigured, ProviderUnavailable, cleaned

__all__ = ["Answer", "Fetch"]

_LIMIT: Final = 1 << 20
_TIMEOUT: Final = httpx.Timeout(10, connect=5)


class Answer(msgspec.Struct, frozen=True):
    """What came back: the status, and the JSON object."""

    status: int
    body: dict[str, Any]


class Fetch:
    """A client for one provider. `ca_file`: the certificates to trust, beside none of the system's."""

    def __init__(self, ca_file: str | None = None) -> None:
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise ProviderMisconfigured("the file of certificates cannot be read", where=ca_file) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context = context

    def get(self, url: str) -> Answer:
        """Raises: ProviderUnavailable, ProviderMisconfigured."""
        answer = self._send("GET", url, None, {"accept": "application/json"})
        if answer.status != 200:
            raise ProviderUnavailable(f"the provider answered {answer.status}", where=_shown(url))
        return answer

    def post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        """A form; whatever status came back. Raises: ProviderUnavailable, ProviderMisconfigured."""
        return self._send("POST", url, body.encode(), headers)

    def _send(self, method: str, url: str, content: bytes | None, headers: Mapping[str, str]) -> Answer:
        where = _shown(url)
        if not url.startswith("https://"):
            raise ProviderMisconfigured("a provider is asked over https only", where=where)
        # A connection for each question: they are rare, and none is left open behind a provider's restart.
        options: dict[str, Any] = {"trust_env": False, "follow_redirects": False, "timeout": _TIMEOUT}
        try:
            with (
                httpx.Client(verify=self._context, **options) as client,
                client.stream(method, url, content=content, headers=dict(headers)) as response,
            ):
                answer, status = _read(response, where), response.status_code
        except httpx.HTTPError as error:
            # Its text names the host and the failure of TLS, nothing of the request's body.
            raise ProviderUnavailable(
                "the provider cannot be reached",
                where=where,
                fix="try again; an administrator sees more with `vallum sso check`",
                said=cleaned(str(error)),
            ) from error
        try:
            return Answer(status, msgspec.json.decode(answer, type=dict[str, Any]))
        except (msgspec.DecodeError, RecursionError):
            raise ProviderUnavailable(f"the provider answered {status} without JSON", where=where) from None


def _read(response: httpx.Response, where: str) -> bytes:
    content = bytearray()
    for part in response.iter_bytes():
        content += part
        if len(content) > _LIMIT:
            raise ProviderUnavailable("the provider's answer is too long", where=where)
    return bytes(content)


def _shown(url: str) -> str:
    """Without the query, which may hold what is secret."""
    return url.partition("?")[0]
