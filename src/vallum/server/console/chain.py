"""The picture of an explanation: person → groups → right → rules → record, the failing part in its colour.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from vallum.analysis import Explanation, GroupPath, RuleReason, ScopeReason
from vallum.policy import User
from vallum.server.console import words
from vallum.server.pages.graph import Edge, Kind, Node, draw

if TYPE_CHECKING:
    from vallum.server.console.teller import Teller

__all__ = ["picture"]

_MOST_RULES = 14


def picture(found: Explanation, user: User, teller: Teller, *, down: bool = False) -> Markup:
    """The chain as a picture; `down`: from top to bottom, where there is little room."""
    return _Chain(found, user, teller).drawn(down)


class _Chain:
    """Nodes and edges in the making; a group that several paths cross is one node."""

    def __init__(self, found: Explanation, user: User, teller: Teller) -> None:
        self._found, self._teller = found, teller
        self._nodes: dict[str, Node] = {}
        self._edges: dict[tuple[str, str], Edge] = {}
        self._add(Node("user", teller.person, user.login, "neutral", f"/people/{user.id}"))

    def drawn(self, down: bool) -> Markup:
        """The picture of all of it."""
        right = self._right()
        field = self._field(right)
        ends = self._rules(field)
        self._target(ends)
        return draw(list(self._nodes.values()), list(self._edges.values()), self._teller.answer(), down=down)

    def _add(self, node: Node) -> str:
        self._nodes.setdefault(node.id, node)
        return node.id

    def _link(self, start: str, end: str, kind: Kind = "plain") -> None:
        self._edges.setdefault((start, end), Edge(start, end, kind))

    def _path(self, path: GroupPath | None) -> str:
        """The nodes of a path of groups; the node it ends with."""
        before = "user"
        for i, group in enumerate(path.groups if path else ()):
            kind: Kind = "plain" if i == 0 else "inherited"
            name = words.group_title(group.name, group.xml_id)
            node = Node(
                f"group-{group.id}", name, "group" if i == 0 else "included", kind, f"/groups/{group.id}"
            )
            here = self._add(node)
            self._link(before, here, "inherited" if i else "plain")
            before = here
        return before

    def _right(self) -> str:
        found = self._found
        verb = words.OPERATIONS[found.operation]
        if found.right.superuser:
            here = self._add(Node("right", "Superuser", "nothing binds", "allowed"))
            self._link("user", here)
            return here
        kind: Kind = "allowed" if found.right.allowed else "refused"
        label = f"May {verb} {found.model}" if found.right.allowed else f"No right to {verb}"
        if not found.right.allowed:
            here = self._add(Node("right", label, "access right", kind))
            self._link("user", here, "refused")
            return here
        ends = [self._path(grant.path) for grant in found.grants[:4]]
        here = self._add(Node("right", label, "access right", kind))
        for end in ends:
            self._link(end, here)
        return here

    def _field(self, before: str) -> str:
        access = self._found.field_access
        if access is None:
            return before
        here = self._add(Node("field", access.field, "field", "allowed" if access.admitted else "refused"))
        self._link(before, here, "plain" if access.admitted else "refused")
        if access.by:
            self._link(self._path(access.by), here)
        return here

    def _rules(self, before: str) -> list[str]:
        scope = self._found.rules
        if scope is None or not scope.restricted or not self._found.right.allowed:
            return [before]
        return self._scope(scope, before, "own")

    def _scope(self, scope: ScopeReason, before: str, prefix: str) -> list[str]:
        """The rules of a scope; what the record comes behind."""
        current = [before]
        globals_ = scope.global_rules[:_MOST_RULES]
        if globals_:
            current = [self._rule(rule, before, f"{prefix}-{i}") for i, rule in enumerate(globals_)]
        own = scope.group_rules[:_MOST_RULES]
        passed = any(rule.status == "passed" for rule in own)
        behind = [
            self._rule(rule, c, f"{prefix}-g{i}", passed) for i, rule in enumerate(own) for c in current
        ]
        current = list(dict.fromkeys(behind)) or current
        for via, parent in scope.parents:
            if parent.restricted and (parent.global_rules or parent.group_rules):
                current = [
                    end for start in current[:1] for end in self._scope(parent, start, f"{prefix}-{via}")
                ] + current[1:]
        return current

    def _rule(self, rule: RuleReason, before: str, key: str, other_passed: bool = False) -> str:
        kind: Kind = {"passed": "allowed", "failed": "refused", "error": "refused"}.get(
            rule.status, "neutral"
        )  # type: ignore[assignment]
        if kind == "refused" and other_passed:
            kind = "neutral"
        sub = (
            "rule for everyone"
            if rule.path is None
            else f"rule · {words.group_title(rule.path.group.name, rule.path.group.xml_id)}"
        )
        here = self._add(Node(key, words.rule_title(rule), sub, kind))
        self._link(before, here, "refused" if kind == "refused" else "plain")
        return here

    def _target(self, ends: list[str]) -> None:
        found = self._found
        label = self._teller.record_name or f"Records of {found.model}"
        kind: Kind = "allowed" if found.allowed else "refused"
        if found.allowed and found.record_id is None and found.rules is not None and found.rules.restricted:
            kind = "neutral"
        sub = f"{found.model} #{found.record_id}" if found.record_id else found.model
        here = self._add(Node("target", label, sub, kind))
        for end in ends:
            node = self._nodes[end]
            self._link(
                end, here, "refused" if node.kind == "refused" else "allowed" if found.allowed else "plain"
            )
