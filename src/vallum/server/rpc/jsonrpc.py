"""JSON-RPC: `/jsonrpc` with a password or key in every call, `/web/…` with a session by cookie.

Source: Odoo's `dispatch_rpc` and its web controllers. A call that fails is answered with 200 and an
error object, as Odoo does; what is no call at all, or may not be made at all, with a status of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from vallum.identity import Verdict
from vallum.server.http import Request, Response, json_response
from vallum.server.rpc.bounded import decode
from vallum.server.rpc.common import authenticate, execute_for, info_of, version_info
from vallum.server.rpc.execute import execute
from vallum.server.rpc.faults import Fault, RpcError, fault_of

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["call_service", "handle", "note_of", "session_token", "web"]

_TOLD_BY_STATUS: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)
_COOKIE: Final = "vallum_session"


def handle(service: Service, request: Request) -> Response:
    """`/jsonrpc`: a service, a method of it, its arguments."""
    return _answered(service, request, lambda params: (call_service(service, request, params), {}))


def web(service: Service, request: Request) -> Response:
    """`/web/session/…`, `/web/dataset/call_kw`, `/web/webclient/version_info`, `/web/database/list`."""
    routes: dict[str, Callable[[Any], tuple[Any, Mapping[str, str]]]] = {
        "/web/session/authenticate": lambda params: _sign_in(service, request, params),
        "/web/session/get_session_info": lambda _: (_info(service, request), {}),
        "/web/session/destroy": lambda _: _sign_out(service, request),
        "/web/webclient/version_info": lambda _: (version_info(service), {}),
    }
    if request.path.startswith("/web/dataset/call"):
        return _answered(service, request, lambda params: (_call_kw(service, request, params), {}))
    route = routes.get(request.path)
    if route is None:
        raise RpcError(
            "there is nothing here", name="werkzeug.exceptions.NotFound", status=HTTPStatus.NOT_FOUND
        )
    return _answered(service, request, route)


def _answered(
    service: Service, request: Request, call: Callable[[Any], tuple[Any, Mapping[str, str]]]
) -> Response:
    """The answer to a request, an error in it as Odoo has it."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        # A form of a foreign page can send everything but this.
        raise RpcError(
            "the body must be `application/json`",
            name="werkzeug.exceptions.UnsupportedMediaType",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    document = decode(request.body)
    if not isinstance(document, dict):
        raise RpcError("a call is an object", name="werkzeug.exceptions.BadRequest", status=400)
    number = document.get("id")
    number = number if isinstance(number, int | str | float) else None
    note = note_of(service, document.get("params"))
    try:
        result, headers = call(document.get("params") or {})
    except Exception as error:
        service.noticed(error)
        return _failed(service, fault_of(error), number, note)
    answer = {"jsonrpc": "2.0", "id": number}
    if result is not None:
        answer["result"] = result
    return json_response(answer, headers=headers, note=note)


def _failed(service: Service, fault: Fault, number: Any, note: Mapping[str, Any]) -> Response:
    status = fault.status if fault.status in _TOLD_BY_STATUS else HTTPStatus.OK
    error = {
        "code": 0 if service.version >= 19 else 200,
        "message": "Odoo Server Error",
        "data": fault.data,
    }
    answer = {"jsonrpc": "2.0", "id": number, "error": error}
    return json_response(answer, status=status, headers=fault.headers, note={**note, "error": fault.name})


def note_of(service: Service, params: Any) -> dict[str, Any]:
    """What the log says of a call: known models and methods, never what else stands in their places."""
    if not isinstance(params, dict):
        return {}
    args = params.get("args")
    if params.get("service") == "object" and isinstance(args, list | tuple) and len(args) > 4:
        return service.named(args[3], args[4])
    return service.named(params.get("model"), params.get("method"))


# `/jsonrpc`


def call_service(service: Service, request: Request, params: Any) -> Any:
    """What `common`, `object` and `db` answer, over JSON-RPC and XML-RPC alike.

    Raises: RpcError, VallumError.
    """
    if not isinstance(params, dict):
        raise RpcError("`params` is an object", name="builtins.TypeError")
    name, method, args = params.get("service"), params.get("method"), params.get("args", [])
    if not isinstance(args, list | tuple):
        raise RpcError("`args` is a list", name="builtins.TypeError")
    if name == "common":
        return _common(service, request, method, list(args))
    if name == "object":
        if method not in ("execute", "execute_kw"):
            raise _no_method(method)
        return execute_for(service, request, list(args), keywords=method == "execute_kw")
    if name == "db":
        if method == "server_version":
            return version_info(service)["server_version"]
        raise RpcError(
            "databases are not managed here",
            name="odoo.exceptions.AccessDenied",
            status=HTTPStatus.FORBIDDEN,
        )
    raise RpcError(f"there is no service `{name!s:.40}`", name="builtins.KeyError", status=404)


def _common(service: Service, request: Request, method: Any, args: list[Any]) -> Any:
    if method == "version":
        return version_info(service)
    if method in ("authenticate", "login"):
        return authenticate(service, request, args)
    if method == "about":
        return "Vallum"
    raise _no_method(method)


def _no_method(method: Any) -> RpcError:
    return RpcError(f"there is no method `{method!s:.80}`", name="builtins.AttributeError", status=404)


# `/web`


def _sign_in(service: Service, request: Request, params: Any) -> tuple[Any, Mapping[str, str]]:
    if not isinstance(params, dict):
        raise RpcError("`params` is an object", name="builtins.TypeError")
    service.check_database(params.get("db"))
    login, password = params.get("login"), params.get("password")
    if not isinstance(login, str) or not isinstance(password, str):
        raise RpcError("`login` and `password` are text", name="builtins.TypeError")
    verdict = service.signin.password(login, password, request.client)
    user = service.admit(verdict, request.client)
    token = service.sessions.open(user.id, request.client)
    return info_of(service, user), {"set-cookie": _cookie(request, token)}


def _sign_out(service: Service, request: Request) -> tuple[Any, Mapping[str, str]]:
    token = request.cookie(_cookie_name(request))
    if token:
        service.sessions.close(token)
    return None, {"set-cookie": _cookie(request, "") + "; Max-Age=0"}


def _info(service: Service, request: Request) -> Any:
    return info_of(service, service.admit(_session(service, request), request.client))


def _call_kw(service: Service, request: Request, params: Any) -> Any:
    verdict = _session(service, request)
    if not isinstance(params, dict):
        raise RpcError("`params` is an object", name="builtins.TypeError")
    args, kwargs = params.get("args", []), params.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise RpcError("`args` is a list and `kwargs` an object", name="builtins.TypeError")
    service.limit(verdict, request.client)
    args, kwargs = list(args), dict(kwargs)
    return execute(
        service,
        verdict,
        params.get("model"),
        params.get("method"),
        args,
        kwargs,
        idempotency_key=request.headers.get("idempotency-key"),
    )


def _session(service: Service, request: Request) -> Verdict:
    """Whose session the cookie is.

    Raises: RpcError.
    """
    token = session_token(request)
    user_id = service.sessions.user_of(token) if token else None
    if user_id is None:
        raise RpcError(
            "the session is over, or there was none",
            name="odoo.http.SessionExpiredException",
            status=HTTPStatus.FORBIDDEN,
            fix="sign in",
        )
    return Verdict.of(user_id)


def session_token(request: Request) -> str | None:
    """The token of the session that a request shows; None where it shows none."""
    return request.cookie(_cookie_name(request)) or None


def _cookie_name(request: Request) -> str:
    return f"__Host-{_COOKIE}" if request.secure else _COOKIE


def _cookie(request: Request, token: str) -> str:
    secure = "; Secure" if request.secure else ""
    return f"{_cookie_name(request)}={token}; Path=/; HttpOnly; SameSite=Strict{secure}"
