"""Checkpoints as objects of a store that is spoken to by HTTP PUT, one object a size, never overwritten.

Object stores with a lock on versions keep what was put, whoever asks later. A bearer token is read from a
file. A store that wants requests signed, as S3 does, has an anchor of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx

from vallum.audit.errors import AnchorFailed, KeyRefused
from vallum.audit.keys import read_secret
from vallum.audit.notes import Checkpoint, Note, Signature
from vallum.audit.tiles import TileReader
from vallum.audit.transport import checked_url, http_client

__all__ = ["HttpAnchor"]


class HttpAnchor:
    """An anchor that puts `<url>/<size>`."""

    def __init__(
        self,
        url: str,
        token_file: Path | None = None,
        *,
        plain_http: bool = False,
        client: httpx.Client | None = None,
    ) -> None:
        self._url = checked_url(url, "url", plain_http=plain_http).rstrip("/")
        self._token_file = token_file
        self._client = client or http_client()
        self.name = f"object store {httpx.URL(self._url).host}"

    def publish(
        self, note: Note, checkpoint: Checkpoint, tiles: TileReader
    ) -> tuple[Sequence[Signature], bytes]:
        """Put the checkpoint, where none of its size is. Raises: AnchorFailed."""
        del tiles
        headers = {"Content-Type": "text/plain; charset=utf-8", "If-None-Match": "*"}
        try:
            if self._token_file is not None:
                headers["Authorization"] = "Bearer " + read_secret(self._token_file).decode("ascii").strip()
            name = f"{self._url}/{checkpoint.size:020}"
            answer = self._client.put(name, content=str(note).encode(), headers=headers)
        except (httpx.HTTPError, KeyRefused, UnicodeDecodeError) as error:
            raise AnchorFailed(
                f"the store cannot be reached: {type(error).__name__}", where=self.name
            ) from None
        # 412: it is there; a turn that was cut off had put it.
        if not answer.is_success and answer.status_code != httpx.codes.PRECONDITION_FAILED:
            raise AnchorFailed(f"the store answers {answer.status_code}", where=self.name)
        return (), b""
