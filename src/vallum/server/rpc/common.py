"""What the services of JSON-RPC and XML-RPC have in common: version, sign-in, calls with a password."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from vallum.identity import Verdict
from vallum.identity.accounts import login_key
from vallum.identity.keys.text import prefix_of
from vallum.policy import User
from vallum.server.http import Request
from vallum.server.rpc.execute import execute
from vallum.server.rpc.faults import RpcError
from vallum.server.signin import denied

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["authenticate", "execute_for", "info_of", "version_info"]

_GROUP_USER: Final = "base.group_user"
_GROUP_SYSTEM: Final = "base.group_system"
_GROUP_ERP: Final = "base.group_erp_manager"


def version_info(service: Service) -> dict[str, Any]:
    """The version of Odoo that is spoken, in Odoo's form."""
    version = service.version
    return {
        "server_version": f"{version}.0",
        "server_version_info": [version, 0, 0, "final", 0, ""],
        "server_serie": f"{version}.0",
        "protocol_version": 1,
    }


def authenticate(service: Service, request: Request, args: list[Any]) -> int | bool:
    """The id of the user with that login and password or key, False where there is none.

    Raises: RpcError (429), ConnectionFailed.
    """
    if len(args) not in (3, 4) or not all(isinstance(part, str) for part in args[:3]):
        raise RpcError("give a database, a login and a password", name="builtins.TypeError")
    database, login, password = args[:3]
    service.check_database(database)
    try:
        verdict = service.signin.secret(login, password, request.client, attempt=True)
        user = service.admit(verdict, request.client)
    except RpcError as error:
        if error.status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise
        return False
    # A password was held against the name; a key is its own user's, whatever name comes with it.
    return user.id if verdict.key_id is None or _is_called(service, user, login) else False


def _is_called(service: Service, user: User, login: str) -> bool:
    """Whether that is a name of a user, or of an account of theirs."""
    if user.login == login or service.people is None:
        return user.login == login
    names = service.people.identity.base.accounts.logins_of(user.id)
    return login_key(login) in {login_key(name) for name in names}


def execute_for(service: Service, request: Request, args: list[Any], *, keywords: bool) -> Any:
    """A call that brings database, user and password or key with it.

    Raises: RpcError, VallumError.
    """
    if len(args) < 5:
        raise RpcError("give a database, a user, a password, a model and a method", name="builtins.TypeError")
    database, user_id, secret, model, method, *rest = args
    service.check_database(database)
    if type(user_id) is not int or not isinstance(secret, str):
        raise denied()
    verdict = _shown(service, request, user_id, secret)
    if verdict.user_id != user_id:
        raise denied()
    service.limit(verdict, request.client)
    positional, named = _arguments(rest) if keywords else (rest, {})
    return execute(
        service,
        verdict,
        model,
        method,
        positional,
        named,
        idempotency_key=request.headers.get("idempotency-key"),
    )


def _shown(service: Service, request: Request, user_id: int, secret: str) -> Verdict:
    """The verdict on a password or key that comes with the user's id.

    The name of an account is looked up only where it counts: keys go without one, and what was accepted a
    moment ago is looked at under the name it was accepted with.
    """
    user = service.directory.get(user_id)
    login = user.login if user is not None else ""
    if user is not None and prefix_of(secret) is None:
        known = service.people.again(user_id, secret) if service.people is not None else None
        if known is not None:
            return known
        login = service.login_of(user)
    return service.signin.secret(login, secret, request.client)


def _arguments(rest: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    positional = rest[0] if rest else []
    named = rest[1] if len(rest) > 1 else {}
    if len(rest) > 2 or not isinstance(positional, list | tuple) or not isinstance(named or {}, dict):
        raise RpcError("arguments are a list and an object", name="builtins.TypeError")
    return list(positional), dict(named or {})


def info_of(service: Service, user: User) -> dict[str, Any]:
    """What a client learns of its session."""
    application = service.application
    ids, groups = application.policy.group_ids, application.actor(user.id).groups

    def member(name: str) -> bool:
        return ids.get(name) in groups

    return {
        "uid": user.id,
        "is_system": member(_GROUP_SYSTEM),
        "is_admin": member(_GROUP_ERP),
        "is_internal_user": member(_GROUP_USER),
        "is_public": False,
        "user_context": {"lang": user.lang, "tz": user.tz or False, "uid": user.id},
        "db": service.database_name,
        "server_version": version_info(service)["server_version"],
        "server_version_info": version_info(service)["server_version_info"],
        "name": user.name,
        "username": user.login,
        "partner_id": user.partner_id or False,
        "user_companies": {
            "current_company": user.company_id or False,
            "allowed_companies": {str(c): {"id": c} for c in user.company_ids},
        },
    }
