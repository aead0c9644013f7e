"""A time stamp (RFC 3161) over each checkpoint: that it was there at a time, said by somebody with a clock.

The authority's certificates are pinned: a token that does not lead to them is not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx
from cryptography import x509

from vallum.audit.errors import AnchorFailed
from vallum.audit.notes import Checkpoint, Note, Signature
from vallum.audit.tiles import TileReader
from vallum.audit.transport import checked_url, http_client

__all__ = ["TimestampAnchor", "check_token"]


class TimestampAnchor:
    """An anchor that asks a time stamping authority. `roots`: its certificates, in PEM.

    `every`: a stamp for one checkpoint in so many; an authority is not asked each second.
    """

    def __init__(
        self,
        url: str,
        roots: Path,
        every: int = 60,
        *,
        plain_http: bool = False,
        client: httpx.Client | None = None,
    ) -> None:
        self._url = checked_url(url, "url", plain_http=plain_http)
        self._roots, self._every = roots, max(1, every)
        self._client = client or http_client()
        self._turn = 0
        self.name = f"time stamps of {httpx.URL(url).host}"

    def publish(
        self, note: Note, checkpoint: Checkpoint, tiles: TileReader
    ) -> tuple[Sequence[Signature], bytes]:
        """Get a token over the checkpoint's text. Raises: AnchorFailed."""
        del checkpoint, tiles
        self._turn += 1
        if (self._turn - 1) % self._every:
            return (), b""
        from rfc3161_client import TimestampRequestBuilder, decode_timestamp_response

        request = (
            TimestampRequestBuilder()
            .data(note.text.encode())
            .nonce(nonce=True)
            .cert_request(cert_request=True)
            .build()
        )
        try:
            answer = self._client.post(
                self._url, content=request.as_bytes(), headers={"Content-Type": "application/timestamp-query"}
            )
            answer.raise_for_status()
            response = decode_timestamp_response(answer.content)
        except (httpx.HTTPError, ValueError) as error:
            self._turn = 0
            raise AnchorFailed(
                f"the authority gives no stamp: {type(error).__name__}", where=self.name
            ) from None
        if response.tst_info.nonce != request.nonce:
            raise AnchorFailed("the authority answers another request", where=self.name)
        check_token(answer.content, note.text.encode(), self._roots)
        return (), answer.content


def check_token(token: bytes, message: bytes, roots: Path) -> str:
    """When a token says that the message was there. Raises: AnchorFailed."""
    from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response

    try:
        certificates = x509.load_pem_x509_certificates(roots.read_bytes())
        builder = VerifierBuilder()
        for certificate in certificates:
            builder = builder.add_root_certificate(certificate)
        response = decode_timestamp_response(token)
        builder.build().verify_message(response, message)
    except (OSError, ValueError) as error:
        raise AnchorFailed(f"the authority's certificates or its token cannot be read: {error}") from None
    except VerificationError as error:
        raise AnchorFailed(f"the time stamp does not hold: {error}") from None
    return response.tst_info.gen_time.isoformat()
