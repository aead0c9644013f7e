"""From what a directory says about somebody to groups of the policy.

Pure. A rule names an attribute, a value and the groups that follow. Values are compared whole and exactly:
no patterns, so that nobody joins a group by naming another one cleverly.
Invariant: what no rule names gives nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from msgspec import Meta, Struct

__all__ = ["GroupRule", "groups_of"]

Name = Annotated[str, Meta(min_length=1, max_length=1024)]


class GroupRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whoever has this value in this attribute is in these groups (xml ids).

    `value` None: whoever the provider vouches for. Names of directory groups in LDAP are compared without
    regard to case, as LDAP does; there `value` is a distinguished name.
    """

    attribute: Name = "groups"
    value: Name | None = None
    groups: Annotated[tuple[Name, ...], Meta(min_length=1)]


def groups_of(rules: Iterable[GroupRule], attributes: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The groups that follow.

    >>> rule = GroupRule(value="sales", groups=("sales_team.group_sale_salesman",))
    >>> groups_of([rule], {"groups": ["sales", "other"]})
    frozenset({'sales_team.group_sale_salesman'})
    """
    found: set[str] = set()
    for rule in rules:
        if rule.value is None or rule.value in attributes.get(rule.attribute, ()):
            found.update(rule.groups)
    return frozenset(found)
