"""Large bodies: of callers whose key or session stands in the head, and of a few others at a time.

Clients of JSON-RPC and XML-RPC send their password within the body, and a provider its assertion: who they
are is known when it was read. Theirs may be large, but only so many at once, from the first byte to the
answer: strangers cannot fill the memory of a worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from vallum.server.exchange import Scope
from vallum.server.options import Options
from vallum.server.rpc.faults import UNAVAILABLE_NAME, RpcError

__all__ = ["Large", "LargeBodies", "too_long"]

AT_ONCE: Final = 4
# Where the proof of who it is stands within the body.
_WITHIN: Final = ("/jsonrpc", "/xmlrpc/", "/sso/")


class LargeBodies:
    """Lets large bodies be read. Of one event loop."""

    def __init__(self, options: Options) -> None:
        self.limit = options.body_limit_strangers
        self.known = options.known
        self.strangers = 0

    @contextmanager
    def asked(self, scope: Scope) -> Iterator[Large]:
        """A request, until it is answered."""
        large = Large(self, scope)
        try:
            yield large
        finally:
            self.strangers -= large.is_strangers


@dataclass(slots=True)
class Large:
    """What is known of one request whose body may be large."""

    among: LargeBodies
    scope: Scope
    admitted: bool = False
    is_strangers: bool = False

    async def reaches(self, size: int) -> None:
        """Let so much of the body be there.

        Raises: RpcError (401, 413, 503), ConnectionFailed.
        """
        if size <= self.among.limit or self.admitted:
            return
        if self.scope["path"].startswith(_WITHIN):
            if self.among.strangers >= AT_ONCE:
                raise _busy()
            self.among.strangers += 1
            self.is_strangers = True
        elif not await self.among.known(self.scope):
            raise too_long(self.among.limit, fix="show in the head who you are: by a key, or a session")
        self.admitted = True


def _busy() -> RpcError:
    return RpcError(
        "too many large requests of callers who say only in the body who they are",
        name=UNAVAILABLE_NAME,
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        fix="try again, or send a key with JSON-2",
        retry_after=1,
    )


def too_long(limit: int, fix: str | None = None) -> RpcError:
    """The refusal of a body."""
    return RpcError(
        f"the body is longer than {limit} bytes",
        name="werkzeug.exceptions.RequestEntityTooLarge",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        fix=fix,
    )
