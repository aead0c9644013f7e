"""A witness: another administrator's machine, which signs only what continues what it has signed before.

Source: c2sp.org/tlog-witness
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import httpx

from vallum.audit.errors import AnchorFailed, LogForked, MalformedNote
from vallum.audit.notes import COSIGNATURE, Checkpoint, Note, Signature, Verifier
from vallum.audit.tiles import TileReader
from vallum.audit.transport import checked_url, http_client
from vallum.audit.tree import consistency

__all__ = ["WitnessAnchor"]


class WitnessAnchor:
    """An anchor that asks a witness for its cosignature. `key`: the witness's, as its owner published it."""

    def __init__(
        self, url: str, key: str, *, plain_http: bool = False, client: httpx.Client | None = None
    ) -> None:
        self._url = checked_url(url, "url", plain_http=plain_http).rstrip("/") + "/add-checkpoint"
        self._key = Verifier.parse(key)
        if self._key.kind != COSIGNATURE:
            raise MalformedNote("this is a log's key, not a witness's", where=self._key.name)
        self._client = client or http_client()
        # What the witness knows, as far as we know.
        self._old = 0
        self.name = f"witness {self._key.name}"

    def publish(
        self, note: Note, checkpoint: Checkpoint, tiles: TileReader
    ) -> tuple[Sequence[Signature], bytes]:
        """Get the cosignature. Raises: AnchorFailed, LogForked (it has signed another log of this name)."""
        answer = self._ask(note, checkpoint, tiles)
        if answer.status_code == httpx.codes.CONFLICT:
            self._old = self._known(answer, checkpoint)
            answer = self._ask(note, checkpoint, tiles)
        if answer.status_code in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY):
            raise LogForked("the witness has signed another history of this log", where=self.name)
        if answer.status_code != httpx.codes.OK:
            raise AnchorFailed(f"the witness refuses: {answer.status_code}", where=self.name)
        signature = self._signature(note, answer.text)
        self._old = checkpoint.size
        return (signature,), b""

    def _ask(self, note: Note, checkpoint: Checkpoint, tiles: TileReader) -> httpx.Response:
        proof = consistency(tiles, self._old, checkpoint.size)
        lines = [f"old {self._old}", *(base64.b64encode(step).decode() for step in proof), "", str(note)]
        try:
            return self._client.post(self._url, content="\n".join(lines).encode())
        except httpx.HTTPError as error:
            raise AnchorFailed(
                f"the witness cannot be reached: {type(error).__name__}", where=self.name
            ) from None

    def _known(self, answer: httpx.Response, checkpoint: Checkpoint) -> int:
        text = answer.text.strip()
        if not text.isascii() or not text.isdecimal() or len(text) > 19:
            raise AnchorFailed("the witness does not say what it knows", where=self.name)
        if int(text) > checkpoint.size:
            raise LogForked(
                f"the witness has signed {int(text):,} events, and the log has {checkpoint.size:,}",
                where=self.name,
            )
        return int(text)

    def _signature(self, note: Note, text: str) -> Signature:
        for line in text.splitlines():
            signature = Signature.parse(line)
            if (signature.name, signature.key_id) == (self._key.name, self._key.key_id):
                try:
                    self._key.verify(note.text, signature)
                except MalformedNote as error:
                    raise AnchorFailed(str(error), where=self.name) from None
                return signature
        raise AnchorFailed("the witness signs with another key", where=self.name)
