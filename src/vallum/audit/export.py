"""Events for other systems: CSV, JSON Lines, CEF, OCSF; with a signature over the whole file.

Pure: events in, lines out. What was erased stays erased; values are shown as the reader of the log may see
them.
Source: ArcSight CEF 26, OCSF 1.3 (Entity Management 3004, Authentication 3002, API Activity 6003)
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from vallum.audit.errors import MalformedNote
from vallum.audit.notes import Note, Signer, Verifier
from vallum.audit.search import Event

__all__ = ["FORMATS", "check_export", "lines", "sign_export"]

_COLUMNS: Final = (
    *("index", "at", "operation", "table", "key", "actor", "verified", "login", "ip", "role", "tx"),
    *("old", "new", "detail"),
)
# What a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def lines(events: Iterable[Event], form: str) -> Iterator[str]:
    """The lines of a file, each with its end. `form`: one of `FORMATS`."""
    if form == "csv":
        yield ",".join(_COLUMNS) + "\r\n"
    write = FORMATS[form]
    for event in events:
        yield write(event)


def _actor(event: Event) -> str:
    who = event.content["actor"]
    return str(who["id"]) if "id" in who else str(who.get("role", "sequencer"))


def _json(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _csv(event: Event) -> str:
    content, who = event.content, event.content["actor"]
    row = (
        event.index,
        content["at"],
        event.operation,
        content.get("table", ""),
        _json(content.get("key")),
        _actor(event),
        str(bool(who.get("verified"))).lower(),
        who.get("login", ""),
        who.get("ip", ""),
        content.get("db", {}).get("role", ""),
        content.get("tx", ""),
        _json(content.get("old")),
        _json(content.get("new")),
        _json(content.get("detail")),
    )
    out = io.StringIO()
    csv.writer(out).writerow([_harmless(str(value)) for value in row])
    return out.getvalue()


def _harmless(text: str) -> str:
    return "'" + text if text.startswith(_FORMULA) else text


def _jsonl(event: Event) -> str:
    return json.dumps(event.as_dict(), ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


def _cef(event: Event) -> str:
    content, who = event.content, event.content["actor"]
    fields = {
        "rt": _millis(content["at"]),
        "act": event.operation,
        "externalId": event.index,
        "suid": _actor(event),
        "suser": who.get("login"),
        "src": who.get("ip"),
        "requestContext": who.get("request"),
        "fname": content.get("table"),
        "fileId": _json(content.get("key")) or None,
        "duser": content.get("db", {}).get("role"),
        "cs1Label": "old",
        "cs1": _json(content.get("old")) or None,
        "cs2Label": "new",
        "cs2": _json(content.get("new")) or None,
        "cs3Label": "verified",
        "cs3": str(bool(who.get("verified"))).lower(),
        "msg": _json(content.get("detail")) or None,
    }
    extension = " ".join(
        f"{name}={_cef_value(str(at))}" for name, at in fields.items() if at not in (None, "")
    )
    head = "|".join(_cef_head(str(at)) for at in ("Vallum", "Vallum", "1", content["kind"], event.operation))
    return f"CEF:0|{head}|{_severity(event)}|{extension}\n"


def _cef_head(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("\r", " ")


def _cef_value(text: str) -> str:
    return text.replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n").replace("\r", "\\r")


def _severity(event: Event) -> int:
    if event.content["kind"] in ("alarm", "succession") or event.altered:
        return 9
    if event.content["kind"] in ("refusal", "sign-in-failed", "permission-change", "policy-change"):
        return 6
    return 3


def _millis(at: str) -> int:
    moment = datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


_ENTITY: Final[Mapping[str, int]] = MappingProxyType(
    {"create": 1, "baseline": 2, "write": 3, "unlink": 4, "truncate": 4}
)


def _ocsf(event: Event) -> str:
    content, who = event.content, event.content["actor"]
    kind, activity = content["kind"], _ENTITY.get(event.operation, 99)
    uid, category = 3004, 3
    if kind.startswith("sign-"):
        uid, activity = 3002, 2 if kind == "sign-out" else 1
    elif kind != "row":
        uid, category = 6003, 6
    found: dict[str, Any] = {
        "activity_id": activity,
        "activity_name": event.operation,
        "category_uid": category,
        "class_uid": uid,
        "type_uid": uid * 100 + activity,
        "time": _millis(content["at"]),
        "severity_id": {3: 1, 6: 3, 9: 5}[_severity(event)],
        "status_id": 2 if kind in ("sign-in-failed", "refusal") else 1,
        "metadata": {
            "version": "1.3.0",
            "uid": str(event.index),
            "product": {"name": "Vallum", "vendor_name": "Vallum"},
        },
        "actor": {"user": {"uid": _actor(event), "name": who.get("login")}},
        "src_endpoint": {"ip": who.get("ip") or content.get("db", {}).get("address")},
        "unmapped": {
            name: content.get(name) for name in ("db", "detail", "n", "of", "tx") if name in content
        },
    }
    if kind == "row":
        entity = {"name": content["table"], "uid": _json(content.get("key")), "type": "table"}
        found["entity"] = {**entity, "data": content.get("old")}
        found["entity_result"] = {**entity, "data": content.get("new")}
    elif uid == 3002:
        found["user"] = found["actor"]["user"]
    else:
        found["api"] = {"operation": kind}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n"


FORMATS: Final[Mapping[str, Callable[[Event], str]]] = MappingProxyType(
    {"csv": _csv, "jsonl": _jsonl, "cef": _cef, "ocsf": _ocsf}
)
_HEAD: Final = "vallum export v1"


def sign_export(signer: Signer, digest: str, events: int) -> Note:
    """The signature of a file: over its SHA-256 and its number of events."""
    text = f"{_HEAD}\n{signer.name}\nsha256 {digest}\nevents {events}\n"
    return Note(text, (signer.sign(text),))


def check_export(note: Note, key: Verifier, digest: str) -> int:
    """How many events the file has, where it is the one that was signed. Raises: MalformedNote."""
    lines_ = note.text.split("\n")
    if not note.verified_by([key]) or len(lines_) != 5 or lines_[:2] != [_HEAD, key.name]:
        raise MalformedNote("this is not the signature of an export by that key")
    if lines_[2] != f"sha256 {digest}":
        raise MalformedNote("the file is not the one that was signed")
    return int(lines_[3].removeprefix("events "))
