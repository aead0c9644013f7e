"""Execute a call of a method: whoever asks is known, what is asked is bound, the answer is a value.

The one way from every protocol to the records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from vallum.identity import Verdict
from vallum.kernel import Operation, UnknownModel, VallumError
from vallum.server.rpc import export, grouping, models, reading, rights, trees, writing
from vallum.server.rpc.context import Context
from vallum.server.rpc.faults import ACCESS_ERROR, RpcError, fault_of
from vallum.server.rpc.methods import Call, Method, bind, find
from vallum.server.rpc.reach import reached

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["execute", "method_of", "run"]

# The modules that put methods into the table.
MODULES: Final = (export, grouping, models, reading, rights, trees, writing)
# What is served of models as records, where the application has no `ir.model`.
_LISTED: Final = frozenset({"search", "search_count", "search_read", "read", "fields_get"})
# Of the ids in a refused call, so many are recorded.
_MOST_IDS: Final = 100
_MODEL: Final = re.compile(r"[a-z0-9_.]{1,128}")


def execute(
    service: Service,
    verdict: Verdict,
    model: Any,
    name: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    idempotency_key: str | None = None,
) -> Any:
    """The answer to a call with arguments by place and by name, the context among the latter.

    Raises: RpcError, VallumError.
    """
    method = method_of(service, model, name)
    given = dict(kwargs)
    context = Context.parse(given.pop("context", None))
    return run(service, verdict, model, method, args, given, context, idempotency_key=idempotency_key)


def method_of(service: Service, model: Any, name: Any) -> Method:
    """The method of a model of the application.

    Raises: UnknownModel, RpcError.
    """
    known = isinstance(model, str) and (model in service.schema or model == models.IR_MODEL)
    if not known or not _MODEL.fullmatch(model):
        raise UnknownModel(f"there is no model `{model!s:.80}`")
    return find(model, name, service.version)


def run(
    service: Service,
    verdict: Verdict,
    model: str,
    method: Method,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    context: Context,
    *,
    idempotency_key: str | None = None,
) -> Any:
    """The answer of a method that was found.

    Raises: RpcError, VallumError.
    """
    try:
        return _run(service, verdict, model, method, args, kwargs, context, idempotency_key)
    except VallumError as error:
        if service.trail is not None and fault_of(error).status == HTTPStatus.FORBIDDEN:
            detail = {"method": method.name, **_ids(method, args, kwargs)}
            service.trail.refused(error, detail, service.who(verdict), model)
        raise


def _run(
    service: Service,
    verdict: Verdict,
    model: str,
    method: Method,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    context: Context,
    idempotency_key: str | None,
) -> Any:
    _check_key(verdict, model, method.operation)
    values = bind(method, args, kwargs)
    if verdict.key_models is not None:
        given = dict(zip(method.names, values, strict=True))
        for other, operation in reached(
            service.schema, service.application.storage, model, given, context.defaults
        ):
            _check_key(verdict, other, operation)
    session = service.session(verdict, context)
    call = Call(service, session, model, context, idempotency_key)
    if model == models.IR_MODEL and model not in service.schema and method.name in _LISTED:
        return models.listed(call, method.name, dict(zip(method.names, values, strict=True)))
    with service.application.database.limited(service.call_timeout):
        if method.writes or service.replicas is None or verdict.user_id is None:
            return method.run(call, *values)
        with service.replicas.reading(verdict.user_id):
            return method.run(call, *values)


def _ids(method: Method, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, list[int]]:
    """The ids that a call names, as far as they are any."""
    given = (args[0] if args else kwargs.get("ids")) if method.on_records else None
    found = [given] if isinstance(given, int) else given if isinstance(given, list) else []
    listed = [i for i in found[:_MOST_IDS] if type(i) is int and abs(i) < 2**53]
    return {"ids": listed} if listed else {}


def _check_key(verdict: Verdict, model: str, operation: Operation) -> None:
    """What the key that was shown is restricted to."""
    if not verdict.covers(model, operation):
        raise RpcError(
            f"the key is not for this: {operation} `{model}`",
            name=ACCESS_ERROR,
            status=HTTPStatus.FORBIDDEN,
        )
