"""How a policy is changed while it is in force: proposed, decided by somebody else, kept for good."""

from vallum.governance.changes import Changes, Told, retire
from vallum.governance.errors import ChangeConflict, ChangeRefused, UnknownChange
from vallum.governance.proposed import STATES, Person, Proposed

__all__ = [
    "STATES",
    "ChangeConflict",
    "ChangeRefused",
    "Changes",
    "Person",
    "Proposed",
    "Told",
    "UnknownChange",
    "retire",
]
