"""Execute a call of a method: whoever asks is known, what is asked is bound, the answer is a value.

The one way from every protocol to the records.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from vallum.identity import Verdict
from vallum.kernel import Operation, UnknownModel
from vallum.server.rpc import export, grouping, reading, rights, writing
from vallum.server.rpc.context import Context
from vallum.server.rpc.faults import ACCESS_ERROR, RpcError
from vallum.server.rpc.methods import Call, Method, bind, find

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["execute", "method_of", "run"]

# The modules that put methods into the table.
MODULES: Final = (export, grouping, reading, rights, writing)
# What a method that writes does; all others of them change records.
_OPERATIONS: Final = {"create": Operation.CREATE, "copy": Operation.CREATE, "unlink": Operation.UNLINK}
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
    if not isinstance(model, str) or not _MODEL.fullmatch(model) or model not in service.schema:
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
    _check_key(verdict, model, method)
    values = bind(method, args, kwargs)
    session = service.session(verdict, context)
    service.before(method)
    return method.run(Call(service, session, model, context, idempotency_key), *values)


def _check_key(verdict: Verdict, model: str, method: Method) -> None:
    """What the key that was shown is restricted to."""
    operation = _OPERATIONS.get(method.name, Operation.WRITE) if method.writes else Operation.READ
    if not verdict.covers(model, operation):
        raise RpcError(
            f"the key is not for `{model}` to {operation}", name=ACCESS_ERROR, status=HTTPStatus.FORBIDDEN
        )
