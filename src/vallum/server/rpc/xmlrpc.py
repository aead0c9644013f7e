"""XML-RPC: `/xmlrpc/2/common`, `/xmlrpc/2/object`, `/xmlrpc/2/db`, and `/xmlrpc/…` with codes of old.

Read by lxml without document types, entities or network, within the bounds of JSON; written by the
standard library. Not read by the standard library: it expands entities and recurses without end.
Source: http://xmlrpc.com/spec.md, Odoo's marshaller (None is nil, a datetime text).
"""

from __future__ import annotations

import base64
import binascii
import re
import xmlrpc.client
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from lxml import etree

from vallum.server.http import Request, Response
from vallum.server.rpc.bounded import MAX_DEPTH
from vallum.server.rpc.faults import Fault, RpcError, fault_of
from vallum.server.rpc.jsonrpc import call_service, note_of

if TYPE_CHECKING:
    from vallum.server.service import Service

__all__ = ["dumped", "handle", "parse"]

_OLD, _PREFIX = "/xmlrpc/", "/xmlrpc/2/"
_MOST_VALUES: Final = 500_000
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_XML: Final = "text/xml; charset=utf-8"
_MOMENT: Final = "%Y%m%dT%H:%M:%S"
# Characters that XML has none for.
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def handle(service: Service, request: Request) -> Response:
    """A call of one of the services."""
    if not request.headers.get("content-type", "").startswith(("text/xml", "application/xml")):
        raise RpcError(
            "the body must be `text/xml`",
            name="werkzeug.exceptions.UnsupportedMediaType",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        )
    method, args = parse(request.body)
    params = {
        "service": request.path.removeprefix(_PREFIX).removeprefix(_OLD),
        "method": method,
        "args": args,
    }
    note = note_of(service, params)
    try:
        answer = call_service(service, request, params)
        return Response(body=dumped((answer,)), content_type=_XML, note=note)
    except Exception as error:
        service.noticed(error)
        fault = fault_of(error)
        told = fault.status in (
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
            HTTPStatus.INTERNAL_SERVER_ERROR,
        )
        return Response(
            fault.status if told else HTTPStatus.OK,
            dumped(_fault(fault, old=not request.path.startswith(_PREFIX))),
            _XML,
            fault.headers,
            {**note, "error": fault.name},
        )


def _fault(fault: Fault, *, old: bool) -> xmlrpc.client.Fault:
    """A fault; of old its code was text: the kind of the error, and what it says."""
    if not old:
        return xmlrpc.client.Fault(fault.xml_code, fault.message)
    code: Any = f"warning -- {fault.name.rpartition('.')[2]}\n\n{_CONTROL.sub('', fault.message)}"
    return xmlrpc.client.Fault(code, "")


def dumped(content: Any) -> bytes:
    """An answer as XML; what XML has no characters for is left out, as in Odoo.

    Raises: RpcError (an integer that XML-RPC cannot carry).
    """
    cleaned = content if isinstance(content, xmlrpc.client.Fault) else (_clean(content[0]),)
    if isinstance(cleaned, xmlrpc.client.Fault):
        cleaned.faultString = _CONTROL.sub("", cleaned.faultString)
    text = xmlrpc.client.dumps(cleaned, methodresponse=True, allow_none=True)
    return text.encode("utf-8", "replace")


def _clean(value: Any) -> Any:
    """A value that XML can carry: text without control characters, big integers as floats that are equal.

    Raises: RpcError (an integer that no float is equal to).
    """
    if isinstance(value, str):
        return _CONTROL.sub("", value) if _CONTROL.search(value) else value
    if isinstance(value, dict):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**31) <= value < 2**31:
        if abs(value) > 2**53:
            raise _refused("the answer holds an integer too large for XML-RPC: ask by JSON-RPC")
        return float(value)
    return value


# Parsing


def parse(body: bytes) -> tuple[str, list[Any]]:
    """The method and the arguments of a call.

    Raises: RpcError (400).
    """
    root = _root(body)
    if root.tag != "methodCall":
        raise _refused("a call is a `methodCall`")
    method = root.findtext("methodName") or ""
    params = root.find("params")
    budget = [_MOST_VALUES]
    args = [] if params is None else [_value(_only(param, "value"), budget, 1) for param in params]
    return method.strip(), args


def _root(body: bytes) -> Any:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body or b"\0" in body:
        raise _refused("document types and entities are not read")
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise _refused("the body is no XML, or too deep") from None
    if root.getroottree().docinfo.doctype:
        raise _refused("document types and entities are not read")
    return root


def _only(element: Any, tag: str) -> Any:
    found = list(element)
    if len(found) != 1 or found[0].tag != tag:
        raise _refused(f"a `{element.tag!s:.40}` holds one `{tag}`")
    return found[0]


def _value(element: Any, budget: list[int], depth: int) -> Any:
    budget[0] -= 1
    if depth > MAX_DEPTH or budget[0] < 0:
        raise _refused(f"the XML is more than {MAX_DEPTH} levels deep, or has too many values")
    children = list(element)
    if not children:
        return element.text or ""
    if len(children) != 1:
        raise _refused("a `value` holds one value")
    kind = children[0]
    if kind.tag == "array":
        return [_value(item, budget, depth + 1) for item in _only(kind, "data")]
    if kind.tag == "struct":
        return dict(_member(member, budget, depth) for member in kind)
    return _scalar(kind)


def _member(member: Any, budget: list[int], depth: int) -> tuple[str, Any]:
    name, value = member.find("name"), member.find("value")
    if member.tag != "member" or name is None or value is None:
        raise _refused("a `struct` holds members with a name and a value")
    return name.text or "", _value(value, budget, depth + 1)


def _scalar(kind: Any) -> Any:
    text = (kind.text or "") if len(kind) == 0 else None
    if text is None:
        raise _refused("a value of a simple type holds text")
    tag = kind.tag
    if tag == "string":
        return text
    if tag in ("int", "i4", "i8") and _INTEGER.fullmatch(text.strip()):
        value = int(text)
        if -(2**63) <= value < 2**63:
            return value
    if tag == "boolean" and text.strip() in ("0", "1"):
        return text.strip() == "1"
    if tag == "double":
        return _double(text)
    if tag == "nil":
        return None
    if tag == "base64":
        return _base64(text)
    if tag == "dateTime.iso8601":
        return _moment(text)
    raise _refused(f"`{tag!s:.40}` holds no value that can be read")


def _double(text: str) -> float:
    try:
        value = float(text) if len(text) < 400 and "_" not in text else None
    except ValueError:
        value = None
    if value is None or value != value or value in (float("inf"), float("-inf")):
        raise _refused("a `double` is a finite number")
    return value


def _base64(text: str) -> str:
    """Content of a binary field is text in base64, whichever way it came."""
    try:
        return base64.b64encode(base64.b64decode("".join(text.split()), validate=True)).decode()
    except (binascii.Error, ValueError):
        raise _refused("`base64` holds no base64") from None


def _moment(text: str) -> str:
    try:
        return datetime.strptime(text.strip(), _MOMENT).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
    except ValueError:
        raise _refused("a `dateTime.iso8601` is `20261125T20:53:00`") from None


def _refused(what: str) -> RpcError:
    return RpcError(what, name="werkzeug.exceptions.BadRequest", status=HTTPStatus.BAD_REQUEST)
