"""Checkpoints as objects of a store that is spoken to by HTTP PUT, one object a size, never overwritten.

Object stores with a lock on versions keep what was put, whoever asks later. A store that wants requests
signed (S3 itself) is reached by a gateway or a pre-signed prefix; a bearer token is read from a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx

from vallum.audit.errors import AnchorFailed, KeyRefused
from vallum.audit.keys import read_secret
from vallum.audit.notes import Checkpoint, Note, Signature
from vallum.audit.tiles import TileReader

__all__ = ["HttpAnchor"]

TIMEOUT: Final = 10.0


class HttpAnchor:
    """An anchor that puts `<url>/<size>`."""

    def __init__(
        self, url: str, token_file: Path | None = None, *, client: httpx.Client | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._token_file = token_file
        self._client = client or httpx.Client(timeout=TIMEOUT)
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
