"""Turn an error that nobody has answered into an answer that tells nothing of the code."""

from __future__ import annotations

import logging
from typing import Any, Final

from vallum.kernel import VallumError
from vallum.server.exchange import ASGI, Receive, Scope, Send, answer, refusal
from vallum.server.options import Options

__all__ = ["Failures"]

_LOG: Final = logging.getLogger("vallum.server")


class Failures:
    """Answers for the layers inside it."""

    def __init__(self, app: ASGI, options: Options) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        begun = False

        async def noting(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if not isinstance(error, VallumError):
                _LOG.error("unforeseen error", extra={"kind": type(error).__name__})
            if not begun:
                await answer(scope, send, refusal(error))
