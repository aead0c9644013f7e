"""SCIM over HTTP, without a web server: a request in, an answer out.

The routes of RFC 7644, section 3.2. Whoever carries the requests has checked the token already.
Invariant: a body is bounded, and read before anything is looked up; an error says what the client did wrong
and nothing of the inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from pydantic import ValidationError
from scim2_models import Context, Error, ListResponse, ResourceType, Schema, SCIMException

from vallum.identity.scim.models import KINDS, PAYLOAD_LIMIT, PROVIDER
from vallum.identity.scim.service import Given, ScimService
from vallum.kernel import VallumError

__all__ = ["MEDIA_TYPE", "Request", "Response", "ScimHttp"]

MEDIA_TYPE: Final = "application/scim+json"
# What accounts say of a name or an address, and that a directory was switched off.
_ANSWERS: Final[dict[str, tuple[int, str | None]]] = {
    "account-taken": (409, "uniqueness"),
    "settings": (400, "invalidValue"),
    "no-such-provider": (403, None),
}
_PARAMETERS: Final = ("attributes", "excludedAttributes")
_QUERY: Final = (*_PARAMETERS, "filter", "sortBy", "sortOrder", "startIndex", "count")
_DISCOVERY: Final = ("ServiceProviderConfig", "ResourceTypes", "Schemas")


@dataclass(frozen=True, slots=True)
class Request:
    """A request. `path`: below the base, `/Users/…`; names of headers in lower case."""

    method: str
    path: str
    query: Iterable[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `body` None: none at all."""

    status: int
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The body as it is sent."""
        return msgspec.json.encode(self.body) if self.body is not None else b""


class ScimHttp:
    """The endpoints of one directory."""

    def __init__(self, service: ScimService, base: str) -> None:
        self._service = service
        self._base = base.rstrip("/")

    def handle(self, request: Request) -> Response:
        """The answer. Raises: what is nobody's fault but ours, or the database's."""
        try:
            return self._route(request)
        except SCIMException as error:
            return failed(error.to_error())
        except ValidationError as error:
            return failed(Error.from_validation_error(error.errors()[0]))
        except VallumError as error:
            found = _ANSWERS.get(error.code)
            if found is None:
                raise
            return failed(Error(status=found[0], scim_type=found[1], detail=error.what))

    def _route(self, request: Request) -> Response:
        name, _, rest = request.path.strip("/").partition("/")
        if name in _DISCOVERY:
            return self._discovery(request, name, rest)
        if name == "Bulk" and not rest:
            from vallum.identity.scim.bulk import run_bulk

            return _only(request, POST=lambda: run_bulk(self, _json(request)))
        if name in ("", ".search") and not rest:
            return self._collection(request, None, posted=name == ".search")
        if name == "Me":
            return failed(Error(status=501, detail="directories have no resource of their own"))
        if name not in KINDS or "/" in rest:
            return failed(Error(status=404, detail="there is no such endpoint"))
        if rest in ("", ".search"):
            return self._collection(request, name, posted=rest == ".search")
        return self._resource(request, name, rest)

    def _collection(self, request: Request, name: str | None, *, posted: bool) -> Response:
        """All of a kind, or (None) of every kind."""
        service = self._service
        if posted:
            return _only(
                request, POST=lambda: Response(200, service.search(name, _json(request), posted=True))
            )
        query = _query(request)
        wanted: dict[str, Any] = {key: query[key] for key in _QUERY if key in query}
        methods = {"GET": lambda: Response(200, service.search(name, wanted))}
        if name is not None:
            methods["POST"] = lambda: self._create(request, name)
        return _only(request, **methods)

    def _create(self, request: Request, name: str) -> Response:
        made = self._service.create(name, _json(request), _given(request))
        headers = {"Location": made["meta"]["location"]} if "meta" in made else {}
        return _tagged(Response(201, made, headers))

    def _resource(self, request: Request, name: str, id_: str) -> Response:
        service, given = self._service, _given(request)

        def read() -> Response:
            found = _tagged(Response(200, service.read(name, id_, given)))
            wanted = request.headers.get("if-none-match")
            tag = found.headers.get("ETag")
            if wanted is not None and tag in [part.strip() for part in wanted.split(",")]:
                return Response(304, None, found.headers)
            return found

        def delete() -> Response:
            service.delete(name, id_, given)
            return Response(204)

        return _only(
            request,
            GET=read,
            PUT=lambda: _tagged(Response(200, service.replace(name, id_, _json(request), given))),
            PATCH=lambda: _tagged(Response(200, service.patch(name, id_, _json(request), given))),
            DELETE=delete,
        )

    def _discovery(self, request: Request, name: str, rest: str) -> Response:
        if "filter" in _query(request):
            return failed(Error(status=403, detail="what the service offers is not searched"))
        if name == "ServiceProviderConfig":
            config: Any = PROVIDER.config
            shown = {**config.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE), **self._meta(name, name)}
            return _only(request, GET=lambda: Response(200, shown)) if not rest else _nothing()
        described: Iterable[Any] = PROVIDER.schemas if name == "Schemas" else PROVIDER.resource_types
        kind = "Schema" if name == "Schemas" else "ResourceType"
        found = []
        for one in described:
            dumped = one.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
            id_ = str(dumped.get("id") or dumped["name"])
            found.append({**dumped, "id": id_, **self._meta(kind, f"{name}/{id_}")})
        if rest:
            match = next((one for one in found if one["id"] == rest), None)
            return _only(request, GET=lambda: Response(200, match)) if match else _nothing()
        listed: Any = ListResponse[Schema if name == "Schemas" else ResourceType]  # type: ignore[misc]
        envelope = listed(
            total_results=len(found), start_index=1, items_per_page=len(found), resources=[]
        ).model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
        return _only(request, GET=lambda: Response(200, {**envelope, "Resources": found}))

    def _meta(self, kind: str, path: str) -> dict[str, Any]:
        return {"meta": {"resourceType": kind, "location": f"{self._base}/{path}"}}


def failed(error: Error) -> Response:
    """An error as SCIM has it."""
    return Response(error.status or 500, error.model_dump(scim_ctx=Context.DEFAULT))


def _nothing() -> Response:
    return failed(Error(status=404, detail="there is no such resource"))


def _only(request: Request, **methods: Callable[[], Response]) -> Response:
    work = methods.get(request.method)
    if work is None:
        allowed = ", ".join(sorted(methods))
        answer = failed(Error(status=405, detail=f"{request.method[:20]} is not for this endpoint"))
        return Response(answer.status, answer.body, {"Allow": allowed})
    return work()


def _tagged(response: Response) -> Response:
    version = (response.body or {}).get("meta", {}).get("version")
    return Response(
        response.status, response.body, {**response.headers, **({"ETag": version} if version else {})}
    )


def _query(request: Request) -> dict[str, str]:
    # Names of parameters are not told apart by case by every client.
    known = {name.lower(): name for name in _QUERY}
    return {known.get(name.lower(), name): value for name, value in request.query}


def _given(request: Request) -> Given:
    query = _query(request)
    return Given(
        request.headers.get("if-match"), {name: query[name] for name in _PARAMETERS if name in query}
    )


def _json(request: Request) -> Any:
    kind = request.headers.get("content-type", MEDIA_TYPE).partition(";")[0].strip().lower()
    if kind not in (MEDIA_TYPE, "application/json"):
        raise SCIMException.from_error(Error(status=415, detail=f"send {MEDIA_TYPE}"))
    if len(request.body) > PAYLOAD_LIMIT:
        raise SCIMException.from_error(Error(status=413, detail=f"more than {PAYLOAD_LIMIT} bytes"))
    try:
        found = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise SCIMException.from_error(
            Error(status=400, scim_type="invalidSyntax", detail="the body is no JSON")
        ) from None
    if not isinstance(found, dict):
        raise SCIMException.from_error(
            Error(status=400, scim_type="invalidSyntax", detail="the body is no JSON object")
        )
    return found
