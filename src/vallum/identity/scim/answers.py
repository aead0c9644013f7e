"""What is answered of a resource: its data, with members or groups, its version, and where it is.

Invariant: only what was asked for is shown, and of groups and members what the tables of membership say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scim2_models import Context, Resource, ResponseParameters

from vallum.identity.accounts_port import Transaction
from vallum.identity.scim import store
from vallum.identity.scim.models import POLICY, Group, Kind
from vallum.identity.scim.store import Stored

__all__ = ["Answers", "Given", "etag"]


@dataclass(frozen=True, slots=True)
class Given:
    """What came with a request, beside its body: ETags, and which attributes are wanted."""

    if_match: str | None = None
    parameters: dict[str, str] | None = None


def etag(version: int) -> str:
    """The version as HTTP writes it."""
    return f'W/"{version}"'


class Answers:
    """The resources of one directory, as they are answered. `base`: where its endpoints are."""

    def __init__(self, base: str) -> None:
        self._base = base

    def shown(
        self,
        tx: Transaction,
        kind: Kind,
        rows: list[Stored],
        wanted: Given | ResponseParameters[Any],
        context: Context,
    ) -> list[dict[str, Any]]:
        if isinstance(wanted, Given):
            wanted = ResponseParameters[kind].model_validate(wanted.parameters or {})  # type: ignore[valid-type]
        found = self.resources(tx, kind, rows)
        return [one.model_dump(scim_ctx=context, response_parameters=wanted) for one in found]

    def resources(self, tx: Transaction, kind: Kind, rows: list[Stored]) -> list[Resource[Any]]:
        ids = [row.id for row in rows]
        members = store.members_of(tx, ids) if kind is Group else {}
        groups = store.groups_of(tx, ids) if kind is not Group else {}
        found = []
        for row in rows:
            name = "Groups" if kind is Group else "Users"
            data = {**row.data, "id": row.id, "meta": self._meta(name, row)}
            if kind is Group and members[row.id]:
                data["members"] = [
                    {"value": id_, "type": "User", "$ref": f"{self._base}/Users/{id_}"}
                    for id_ in members[row.id]
                ]
            elif kind is not Group and groups[row.id]:
                data["groups"] = [
                    {
                        "value": id_,
                        "type": "direct",
                        "display": group["displayName"],
                        "$ref": f"{self._base}/Groups/{id_}",
                    }
                    for id_, group in groups[row.id]
                ]
            found.append(kind.model_validate(data, scim_policy=POLICY))
        return found

    def _meta(self, name: str, row: Stored) -> dict[str, Any]:
        return {
            "resourceType": name.removesuffix("s"),
            "created": row.created.isoformat(),
            "lastModified": row.modified.isoformat(),
            "version": etag(row.version),
            "location": f"{self._base}/{name}/{row.id}",
        }
