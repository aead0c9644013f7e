"""The audit trail: who did what, when, from where, with old and new values; nobody can change it unseen.

Triggers capture, a sequencer appends to a Merkle tree and signs, anchors keep the signatures elsewhere.
For applications: `stamp` a writing transaction with its actor, `record` what is no change of a row.
"""

from vallum.audit.actors import KINDS, Who, record, stamp
from vallum.audit.errors import (
    AnchorFailed,
    AuditRefused,
    Fenced,
    KeyRefused,
    LogForked,
    MalformedNote,
    ProofFailed,
    SequencedElsewhere,
)
from vallum.audit.keys import actor_key
from vallum.audit.recorder import Recorder
from vallum.audit.sequencer import Sequencer
from vallum.audit.state import Alarm, Home

__all__ = [
    "KINDS",
    "Alarm",
    "AnchorFailed",
    "AuditRefused",
    "Fenced",
    "Home",
    "KeyRefused",
    "LogForked",
    "MalformedNote",
    "ProofFailed",
    "Recorder",
    "SequencedElsewhere",
    "Sequencer",
    "Who",
    "actor_key",
    "record",
    "stamp",
]
