"""Checkpoints in an object store that speaks S3, each request signed (Signature Version 4).

One object a size, put on the condition that none is there; a store that knows no conditions is asked first
what it has. A lock on the object, where the bucket has them, keeps it from who holds the credentials too.
Limit: without a lock, whoever holds the credentials can delete what is there.
Source: AWS's reference of PutObject; MinIO, Ceph and others follow it.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from vallum.audit.errors import AnchorFailed, KeyRefused, LogForked, MalformedNote
from vallum.audit.keys import read_secret
from vallum.audit.notes import Checkpoint, Note, Signature
from vallum.audit.tiles import TileReader
from vallum.audit.transport import checked_url, http_client
from vallum.kernel import Clock, SettingsError, SystemClock

__all__ = ["S3Anchor"]

_MODES: Final = ("compliance", "governance")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")


class S3Anchor:
    """An anchor that puts `<url>/<size>`. `url`: of the bucket, with a path below it where one is wanted.

    `credentials`: a file as AWS's tools have it. `retain_days`: how long the store is to keep each object,
    whoever asks to delete it (`lock`: by compliance, or governance). `every`: one checkpoint in so many.
    """

    def __init__(
        self,
        url: str,
        region: str,
        credentials: Path,
        *,
        profile: str = "default",
        retain_days: int = 0,
        lock: str = "compliance",
        every: int = 1,
        plain_http: bool = False,
        client: httpx.Client | None = None,
        clock: Clock | None = None,
    ) -> None:
        # As it is sent: what is signed is the same text.
        self._url = str(httpx.URL(checked_url(url, "url", plain_http=plain_http))).rstrip("/")
        if "?" in self._url or "#" in self._url or "@" in self._url:
            raise SettingsError("the address of a bucket is a host and a path", where="url")
        if lock not in _MODES:
            raise SettingsError(f"no lock is called `{lock}`", where="lock", fix="use " + ", ".join(_MODES))
        if retain_days < 0:
            raise SettingsError("objects are kept for days to come", where="retain_days")
        self._region, self._credentials, self._profile = region, credentials, profile
        self._retain, self._lock, self._every = timedelta(days=retain_days), lock, max(1, every)
        self._client, self._clock = client or http_client(), clock or SystemClock()
        self._turn = 0
        # Whether the store keeps the condition that nothing is overwritten; None: not seen yet.
        self._conditional: bool | None = None
        self.name = f"object store {self._url.partition('://')[2]}"
        # So that a signer which is not installed is known at the start, not at the first checkpoint.
        _signer()

    def publish(
        self, note: Note, checkpoint: Checkpoint, tiles: TileReader
    ) -> tuple[Sequence[Signature], bytes]:
        """Put the checkpoint, where none of its size is. Raises: AnchorFailed, LogForked."""
        del tiles
        self._turn += 1
        if (self._turn - 1) % self._every:
            return (), b""
        try:
            self._put(f"{self._url}/{checkpoint.size:020}", note)
        except (AnchorFailed, LogForked):
            self._turn = 0
            raise
        return (), b""

    def _put(self, url: str, note: Note) -> None:
        body = str(note).encode()
        headers = {"Content-Type": "text/plain; charset=utf-8", **self._locked(body)}
        if not self._conditional and self._is_there(url, note):
            return
        if self._conditional is not False:
            answer = self._ask("PUT", url, {**headers, "If-None-Match": "*"}, body)
            if answer.status_code == httpx.codes.PRECONDITION_FAILED:
                # A turn that was cut off had put it. Or somebody else has.
                self._is_there(url, note)
                return
            if answer.status_code != httpx.codes.NOT_IMPLEMENTED:
                self._taken(answer)
                if self._conditional is None:
                    # Stores are about that know no conditions, and pass over them.
                    again = self._ask("PUT", url, {**headers, "If-None-Match": "*"}, body)
                    self._conditional = again.status_code == httpx.codes.PRECONDITION_FAILED
                return
            self._conditional = False
        self._taken(self._ask("PUT", url, headers, body))

    def _taken(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            raise AnchorFailed(f"the store answers {_said(answer)}", where=self.name)

    def _is_there(self, url: str, note: Note) -> bool:
        """Whether this checkpoint is. Raises: LogForked (another one is)."""
        answer = self._ask("GET", url, {}, b"")
        # Who may not list a bucket is not told that an object is missing. Then the condition has to do.
        hidden = answer.status_code == httpx.codes.FORBIDDEN and self._conditional is None
        if hidden or answer.status_code == httpx.codes.NOT_FOUND:
            return False
        self._taken(answer)
        try:
            same = Note.parse(answer.text).text == note.text
        except MalformedNote:
            same = False
        if not same:
            raise LogForked("the store holds something else for a log of this size", where=url)
        return True

    def _locked(self, body: bytes) -> dict[str, str]:
        if not self._retain:
            return {}
        until = self._clock.now() + self._retain
        return {
            "x-amz-object-lock-mode": self._lock.upper(),
            "x-amz-object-lock-retain-until-date": f"{until:%Y-%m-%dT%H:%M:%SZ}",
            # Stores want it where there is a lock; what protects the body is the signed SHA-256.
            "Content-MD5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
        }

    def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        try:
            signed = self._signed(method, url, headers, body)
            return self._client.request(method, url, headers=signed, content=body or None)
        except httpx.HTTPError as error:
            raise AnchorFailed(
                f"the store cannot be reached: {type(error).__name__}", where=self.name
            ) from None
        except KeyRefused as error:
            raise AnchorFailed(str(error), where=self.name) from None

    def _signed(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        sign, request_of, credentials_of = _signer()
        request = request_of(method=method, url=url, headers=dict(headers), data=body)
        sign(credentials_of(*self._secret()), "s3", self._region).add_auth(request)
        return dict(request.headers.items())

    def _secret(self) -> tuple[str, str, str | None]:
        """Key, secret and session token; read each time, as they are exchanged. Raises: KeyRefused."""
        where = str(self._credentials)
        content = configparser.ConfigParser(interpolation=None)
        try:
            content.read_string(read_secret(self._credentials).decode("utf-8"))
            given = content[self._profile]
            return (
                given["aws_access_key_id"],
                given["aws_secret_access_key"],
                given.get("aws_session_token"),
            )
        except (configparser.Error, KeyError, UnicodeDecodeError):
            # Not what the parser says: it quotes the line.
            raise KeyRefused(
                f"the file holds no credentials of `{self._profile}`",
                where=where,
                fix="write [default], aws_access_key_id = … and aws_secret_access_key = …",
            ) from None


def _signer() -> tuple[Any, Any, Any]:
    """AWS's own signer, and what it signs. Only where a store is spoken to: twelve megabytes.

    Raises: SettingsError.
    """
    try:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
    except ImportError:
        raise SettingsError(
            "requests for S3 cannot be signed: botocore is not installed",
            where="type = s3",
            fix="pip install 'vallum[s3]'",
        ) from None
    return S3SigV4Auth, AWSRequest, Credentials


def _said(answer: httpx.Response) -> str:
    """The status, and the store's own code for it."""
    code = _CODE.search(answer.text[:2_000])
    return f"{answer.status_code}{f' ({code[1]})' if code else ''}"
