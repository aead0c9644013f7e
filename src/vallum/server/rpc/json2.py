"""JSON-2: `POST /json/2/<model>/<method>` with a bearer key, arguments by name, the bare answer.

Beside it the documents that clients read: the methods of a model (`/doc-bearer/<model>.json`) and
the whole API as OpenAPI (`/json/2/openapi.json`), both as far as the key's user may see.
Source: Odoo 19's controllers.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from vallum.identity import Verdict
from vallum.server.http import Request, Response, json_response
from vallum.server.rpc.bounded import decode
from vallum.server.rpc.context import Context
from vallum.server.rpc.execute import method_of, run
from vallum.server.rpc.faults import RpcError, fault_of
from vallum.server.rpc.methods import Method

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["bearer", "handle"]

_BEARER: Final = "bearer "
_PREFIX: Final = "/json/2/"
_DOC: Final = "/doc-bearer/"
_NAMES: Final = {
    "builtins.AttributeError": "werkzeug.exceptions.NotFound",
    "builtins.TypeError": "werkzeug.exceptions.UnprocessableEntity",
    "odoo.exceptions.AccessDenied": "werkzeug.exceptions.Unauthorized",
}


def handle(service: Service, request: Request) -> Response:
    """A call, or one of the documents."""
    note: dict[str, Any] = {}
    try:
        return _handled(service, request, note)
    except Exception as error:
        service.noticed(error)
        fault = fault_of(error)
        name = _NAMES.get(fault.name, fault.name)
        if fault.status == HTTPStatus.NOT_FOUND and fault.name == "odoo.exceptions.UserError":
            name = "werkzeug.exceptions.NotFound"
        headers = dict(fault.headers)
        if fault.status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        return json_response(
            {**fault.data, "name": name},
            status=fault.status,
            headers=headers,
            note={**note, "error": name},
        )


def _handled(service: Service, request: Request, note: dict[str, Any]) -> Response:
    verdict = _verdict(service, request)
    service.limit(verdict, request.client)
    if request.path == f"{_PREFIX}openapi.json" or request.path.startswith(_DOC):
        return _document(service, request, verdict)
    model, _, name = request.path.removeprefix(_PREFIX).partition("/")
    note.update(service.named(model, name))
    if request.method != "POST":
        raise RpcError(
            "a call is a POST",
            name="werkzeug.exceptions.MethodNotAllowed",
            status=HTTPStatus.METHOD_NOT_ALLOWED,
        )
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise RpcError(
            "the body must be `application/json`",
            name="werkzeug.exceptions.UnsupportedMediaType",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    given = decode(request.body) if request.body else {}
    if not isinstance(given, dict):
        raise RpcError(
            "the body is an object of arguments", name="werkzeug.exceptions.BadRequest", status=400
        )
    method = method_of(service, model, name)
    context = Context.parse(given.pop("context", None))
    args = _ids(model, method, given)
    key = request.headers.get("idempotency-key")
    answer = run(service, verdict, model, method, args, given, context, idempotency_key=key)
    return json_response(answer, note=note)


def bearer(request: Request) -> str | None:
    """The key that a request shows; None where it shows none."""
    given = request.headers.get("authorization", "")
    return given[len(_BEARER) :].strip() if given[: len(_BEARER)].lower() == _BEARER else None


def _verdict(service: Service, request: Request) -> Verdict:
    key = bearer(request)
    if key is None:
        raise RpcError(
            "nobody is signed in",
            name="werkzeug.exceptions.Unauthorized",
            status=HTTPStatus.UNAUTHORIZED,
            fix="send an API key as `Authorization: Bearer …`",
        )
    database = request.headers.get("x-odoo-database")
    if database is not None:
        service.check_database(database)
    verdict = service.signin.key(key, request.client)
    service.active_user(verdict)
    return verdict


def _ids(model: str, method: Method, given: dict[str, Any]) -> list[Any]:
    """The ids of a method on records; a method of the model takes none."""
    if method.on_records:
        return [given.pop("ids", [])]
    if "ids" in given:
        raise RpcError(
            f"`{model}.{method.name}` takes no `ids`", name="werkzeug.exceptions.UnprocessableEntity"
        )
    return []


def _document(service: Service, request: Request, verdict: Verdict) -> Response:
    from vallum.server.openapi import describe_model, openapi

    if request.method not in ("GET", "HEAD"):
        raise RpcError(
            "a document is read by GET",
            name="werkzeug.exceptions.MethodNotAllowed",
            status=HTTPStatus.METHOD_NOT_ALLOWED,
        )
    session = service.session(verdict, Context())
    if request.path.startswith(_DOC):
        return json_response(
            describe_model(service, session, request.path.removeprefix(_DOC).removesuffix(".json"))
        )
    return json_response(openapi(service, session))
