"""Menus: which entries an actor sees.

Pure. An entry is visible where its groups meet the actor's and the model its action
opens is readable; a folder is visible where an entry below it is.
Source: Odoo 18 and 19, which differ in which ancestors become visible.
"""

from __future__ import annotations

from vallum.kernel import Operation
from vallum.policy.decide import decide
from vallum.policy.groups import NO_ONE
from vallum.policy.model import Actor, Menu, Policy

__all__ = ["menus"]

_WITH_MODEL = frozenset({"ir.actions.act_window", "ir.actions.report", "ir.actions.server"})


def menus(policy: Policy, actor: Actor, *, version: int = 18, debug: bool = False) -> frozenset[int]:
    """The ids of the menu entries the actor sees. `version`: Odoo's major version."""
    groups = actor.groups
    if not debug:
        groups = groups - {policy.group_ids.get(NO_ONE, -1)}
    admitted = {
        m.id: m for m in policy.menus if m.active and (not m.groups or not m.groups.isdisjoint(groups))
    }
    visible: set[int] = set()
    for menu in admitted.values():
        if menu.action is None or not _opens(policy, actor, menu):
            continue
        visible.add(menu.id)
        parent = menu.parent
        while parent is not None and parent not in visible and parent in admitted:
            if version < 19 and admitted[parent].action is not None:
                break
            visible.add(parent)
            parent = admitted[parent].parent
    return frozenset(visible)


def _opens(policy: Policy, actor: Actor, menu: Menu) -> bool:
    action = menu.action
    if action is None or action.type not in _WITH_MODEL or not action.model:
        return True
    return decide(policy, actor, Operation.READ, action.model).allowed
