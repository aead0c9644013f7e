"""Bad input and attacks that are replayed over HTTP: `make attacks` writes docs/reference/attacks.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.support.proofs import Catalogue

__all__ = ["ATTACKS"]

_ATTACKS: Final[Mapping[str, str]] = {
    "rpc: huge JSON": "a body beyond the limit is refused by its length, or where it gets too long",
    "rpc: huge XML": "likewise",
    "rpc: large bodies of strangers": "without a key or session a body ends at a smaller limit",
    "rpc: deep JSON": "refused beyond 64 levels, however deep",
    "rpc: deep XML": "likewise",
    "rpc: entities": "no entity is expanded, no file read, in any encoding",
    "rpc: NaN": "refused, as are infinities and numbers beyond floats",
    "rpc: 5,000-digit integers": "refused before they are numbers",
    "rpc: giant base64": "bounded as any body; what is no base64 is refused",
    "rpc: private methods": "cannot be called, by any protocol",
    "rpc: method names with dots": "lead to no attribute of anything",
    "rpc: methods of the session": "what is not in the table of methods does not exist",
    "rpc: ids of other types": "text, floats, booleans, objects and numbers beyond the column are no ids",
    "rpc: context abuse": "another's company, languages and keys of wrong types are refused",
    "rpc: sudo-like context keys": "have no effect",
    "rpc: unknown databases": "are refused; none is listed, made or dropped",
    "rpc: secrets of other types": "are refused, and tell nothing",
    "rpc: batches": "are no calls",
    "rpc: growing answers": "trees and exports that repeat records are counted as they are sent",
    "fields: a denied field, bit by bit": "no domain tells of it: compared, negated, behind a path, in `any`",
    "fields: order by a denied field": "refused, alone and behind others",
    "fields: group by a denied field": "refused, and so are its aggregates",
    "keys: reaching beyond their models": "relations, names, orders, groups, exports are held to it",
    "injection: SQL": "identifiers come from the schema, values are bound",
    "injection: LDAP filter": "what is typed is looked for as it is",
    "injection: LDAP DN": "a name is no pattern and leads to no foreign group",
    "injection: SCIM filter": "values are bound, the rest is from the schema",
    "injection: SCIM PATCH of privileged attributes": "groups, ids and versions are not written",
    "web: Host of a reset link": "a link has the address that is set, whatever host was asked",
    "web: foreign hosts": "are answered by nothing",
    "web: open redirect": "`//`, `\\`, `@`, schemes and control characters lead nowhere else",
    "web: CSRF": "a form from elsewhere changes nothing",
    "web: login CSRF": "nor does it sign anybody in",
    "web: slow requests": "cost no thread, and end",
    "addresses: IPv4-mapped IPv6": "is the IPv4 address: in lists, in networks of keys, in counters",
    "addresses: chains of proxies": "are believed as far as they are trusted",
}

ATTACKS: Final = Catalogue(
    mark="attacks",
    title="Bad input and attacks: what is replayed, and by which test",
    intro=(
        "Made by `make attacks`, which runs every test that names an attack, most of them against a real",
        "server. Those on sign-in, tokens and providers: [design of identity](../design/identity.md).",
    ),
    head=("attack", "what comes of it"),
    items=_ATTACKS,
)
