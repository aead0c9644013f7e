"""Groups, access rights, record rules, field groups, menus: who may do what."""

from vallum.policy.access import ActorAccess, refused
from vallum.policy.decide import admitted, decide, fields, may_read_field, scope
from vallum.policy.decision import AppliedRule, Decision, Scope
from vallum.policy.groups import admits
from vallum.policy.menus import menus
from vallum.policy.model import AccessRight, Action, Actor, Group, Menu, Policy, RecordRule
from vallum.policy.users import SUPERUSER_ID, Directory, User, actor_of

__all__ = [
    "SUPERUSER_ID",
    "AccessRight",
    "Action",
    "Actor",
    "ActorAccess",
    "AppliedRule",
    "Decision",
    "Directory",
    "Group",
    "Menu",
    "Policy",
    "RecordRule",
    "Scope",
    "User",
    "actor_of",
    "admits",
    "admitted",
    "decide",
    "fields",
    "may_read_field",
    "menus",
    "refused",
    "scope",
]
