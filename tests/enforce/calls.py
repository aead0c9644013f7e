"""Odoo's recorded calls as calls of a `Query`, and its answers as ours are spelled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from tests.support.odoo import OdooReference
from vallum.enforce import Application, Query
from vallum.kernel import AccessDenied, VallumError
from vallum.postgres import Database

__all__ = ["WRITING", "Call", "calls", "ours", "repeat", "theirs"]

SERVED: Final = frozenset(
    {"search", "search_count", "read", "search_read", "fields_get", "name_search", "read_group"}
    | {"formatted_read_group", "web_search_read", "check_access_rights"}
)
WRITING: Final = frozenset({"create", "write", "unlink", "copy"})
REFUSED: Final = "refused"
MALFORMED: Final = "malformed"


@dataclass(frozen=True, slots=True)
class Call:
    """A method called on a model by a user. `number` is its place in the file."""

    number: int
    login: str
    model: str
    method: str
    args: list[Any]
    kwargs: dict[str, Any]
    response: Any

    def __str__(self) -> str:
        return f"{self.number}: {self.model}.{self.method}{self.args}{self.kwargs} as {self.login}"

    def argument(self, place: int, name: str, default: Any) -> Any:
        """An argument given by place or by name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)


def calls(reference: OdooReference) -> Iterator[Call]:
    """The calls of methods that `Query` serves, and those that write, in Odoo's order."""
    for number, call in enumerate(reference.answers("rpc")["calls"]):
        path, response = call["path"], call.get("response")
        request = call.get("request") or call.get("body") or {}
        params = request.get("params", request) if isinstance(request, dict) else {}
        found = _called(path, params)
        if found is None:
            continue
        login, model, method, args, kwargs = found
        if method in SERVED | WRITING and call["status"] in (200, 403, 500):
            yield Call(number, login, model, method, args, kwargs, response)


def _called(path: str, params: Any) -> tuple[str, str, str, list[Any], dict[str, Any]] | None:
    if path.startswith("/json/2/"):
        model, method = path.split("/")[3:5]
        kwargs = dict(params)
        return "demo", model, method, [kwargs.pop("ids")] if "ids" in kwargs else [], kwargs
    if params.get("service") == "object":
        database, _, login, model, method, *rest = params["args"]
        if login == "wrong" or database == "nodb":
            return None
        if params["method"] == "execute":
            return login, model, method, rest, {}
        return login, model, method, rest[0] if rest else [], rest[1] if len(rest) > 1 else {}
    if path.startswith("/web/dataset/call_kw"):
        return "demo", params["model"], params["method"], params["args"], params["kwargs"]
    return None


# Odoo's side


def theirs(call: Call) -> Any:
    """Odoo's answer: a value, or `refused`, or `malformed`."""
    response = call.response
    error = response.get("error", {}).get("data") if isinstance(response, dict) else None
    if error is None and isinstance(response, dict) and str(response.get("name", "")).count("."):
        error = response
    if error is not None:
        return REFUSED if "Access" in error["name"] else MALFORMED
    answer: Any = response.get("result") if isinstance(response, dict) and "jsonrpc" in response else response
    if call.method == "read_group":
        return _groups(call, answer)
    if call.method == "formatted_read_group":
        return [{k: v for k, v in group.items() if k != "__extra_domain"} for group in answer]
    if isinstance(answer, dict) and answer.get("_too_long"):
        return _beginning(response["_head"])
    return answer


def _groups(call: Call, answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `read_group` says of each group, without the domains it hands to clients."""
    lazy = call.kwargs.get("lazy", True)
    groupby = call.argument(2, "groupby", [])
    count = f"{groupby[0]}_count" if lazy else "__count"
    kept = {*groupby, count, *(f.partition(":")[0] for f in call.argument(1, "fields", []))}
    return [{k: v for k, v in group.items() if k in kept} for group in answer]


def _beginning(head: str) -> dict[str, Any]:
    """The complete entries of an answer that was cut off."""
    text = head[head.index('"result": ') + len('"result": ') :]
    decoder, found, at = json.JSONDecoder(), {}, 1
    while match := re.compile(r'(?:, )?"(\w+)": ').match(text, at):
        try:
            found[match[1]], at = decoder.raw_decode(text, match.end())
        except json.JSONDecodeError:
            break
    return found


def repeat(database: Database, call: Call) -> None:
    """Do to the leads what Odoo did when it was asked to write."""
    done = theirs(call)
    if done in (REFUSED, MALFORMED):
        return
    if call.method == "unlink":
        database.rows("DELETE FROM crm_lead WHERE id = ANY(%s)", (call.args[0],))
    if call.method in ("create", "copy"):
        for lead in done if isinstance(done, list) else [done]:
            database.rows(
                "INSERT INTO crm_lead (id, name, type, user_id, stage_id, priority, active)"
                " SELECT %s, 'new', 'opportunity', id, 1, '0', true FROM res_users WHERE login = %s",
                (lead, call.login),
            )


# Vallum's side


def ours(application: Application, call: Call) -> Any:
    """Vallum's answer to the same call, spelled as Odoo's."""
    user = application.directory.find(call.login)
    assert user.company_id is not None
    query = Query(application, application.actor(user.id, [user.company_id, *user.company_ids]))
    try:
        return plain(_METHODS[call.method](query, call))
    except AccessDenied:
        return REFUSED
    except VallumError:
        return MALFORMED


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S")
        case date():
            return value.isoformat()
    return value


def _options(call: Call) -> dict[str, Any]:
    return {k: v for k, v in call.kwargs.items() if k in ("limit", "order", "offset")}


def _search(query: Query, call: Call) -> Any:
    return query.search(call.model, call.argument(0, "domain", []), **_options(call))


def _count(query: Query, call: Call) -> Any:
    return query.search_count(call.model, call.argument(0, "domain", []))


def _read(query: Query, call: Call) -> Any:
    return query.read(call.model, call.args[0], call.kwargs["fields"], names="always")


def _search_read(query: Query, call: Call) -> Any:
    domain, fields = call.argument(0, "domain", []), call.argument(1, "fields", None)
    return query.search_read(call.model, domain, fields, names="always", **_options(call))


def _web_search_read(query: Query, call: Call) -> Any:
    domain, specification = call.argument(0, "domain", []), call.kwargs["specification"]
    records = query.search_read(call.model, domain, specification, names="always", **_options(call))
    for record in records:
        for name, inner in specification.items():
            if "fields" in inner and record[name]:
                record[name] = {"id": record[name][0], "display_name": record[name][1]}
    return {"length": query.search_count(call.model, domain), "records": records}


def _fields_get(query: Query, call: Call) -> Any:
    found = query.fields_get(call.model, call.argument(0, "allfields", None))
    return {n: {k: v for k, v in f.items() if k in call.kwargs["attributes"]} for n, f in found.items()}


def _name_search(query: Query, call: Call) -> Any:
    name, operator = call.argument(0, "name", ""), call.kwargs.get("operator", "ilike")
    return query.name_search(call.model, name, operator=operator, limit=call.kwargs["limit"])


def _read_group(query: Query, call: Call) -> Any:
    groupby, fields = call.argument(2, "groupby", []), call.argument(1, "fields", [])
    sums = {f.partition(":")[0]: f if ":" in f else f"{f}:sum" for f in fields}
    specs = ["__count", *sums.values()]
    lazy = call.kwargs.get("lazy", True)
    found = []
    for group in query.read_group(call.model, call.args[0], groupby, specs, names="always"):
        shown = {spec: _label(spec, group[spec]) for spec in groupby}
        shown[f"{groupby[0]}_count" if lazy else "__count"] = group["__count"]
        found.append({**shown, **{name: group[spec] for name, spec in sums.items()}})
    return found


def _label(spec: str, value: Any) -> Any:
    return value.strftime("%B %Y") if spec.endswith(":month") and value else value


def _formatted_read_group(query: Query, call: Call) -> Any:
    domain, groupby = call.kwargs["domain"], call.kwargs["groupby"]
    return query.read_group(call.model, domain, groupby, call.kwargs["aggregates"], names="always")


def _check_access_rights(query: Query, call: Call) -> Any:
    if call.kwargs.get("raise_exception", True):
        query.check(call.model, [], call.args[0])
        return None
    try:
        query.check(call.model, [], call.args[0])
    except AccessDenied:
        return False
    return True


_METHODS: Final[dict[str, Callable[[Query, Call], Any]]] = {
    "search": _search,
    "search_count": _count,
    "read": _read,
    "search_read": _search_read,
    "web_search_read": _web_search_read,
    "fields_get": _fields_get,
    "name_search": _name_search,
    "read_group": _read_group,
    "formatted_read_group": _formatted_read_group,
    "check_access_rights": _check_access_rights,
}
