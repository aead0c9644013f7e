"""Whether whoever sends a request shows who they are before its body is read: by a key, a token, a session.

Asked about large bodies only (see `middleware.large`). Who it is, and what they may, is looked at anew by
whatever answers. A key that is none is refused here, and counted, as it would be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vallum.server.http import Request
from vallum.server.rpc import json2, jsonrpc

if TYPE_CHECKING:
    from vallum.server.people import People
    from vallum.server.service import Service

__all__ = ["known"]


def known(service: Service, request: Request) -> bool:
    """Whether the head of a request is somebody's.

    Raises: RpcError (401, 429: a key that is none), ConnectionFailed.
    """
    if request.path.startswith(("/json/", "/doc-bearer/")):
        key = json2.bearer(request)
        return key is not None and service.signin.key(key, request.client).accepted
    if request.path.startswith("/web/"):
        token = jsonrpc.session_token(request)
        return token is not None and service.sessions.user_of(token) is not None
    if service.people is None:
        return False
    return (_directory if request.path.startswith("/scim/") else _person)(service.people, request)


def _directory(people: People, request: Request) -> bool:
    from vallum.identity.scim.tokens import authenticate

    token, on = json2.bearer(request), people.sign_on
    return token is not None and authenticate(on.store, token, on.clock.now()) is not None


def _person(people: People, request: Request) -> bool:
    from vallum.identity.cookies import read

    token, base = read(request.headers.get("cookie", "")).session, people.identity.base
    return token is not None and base.sessions.check(token, base.now()) is not None
