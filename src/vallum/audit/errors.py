"""The errors of the audit trail.

Pure. None of them holds a value that was audited, or a key.
"""

from __future__ import annotations

from vallum.kernel import VallumError

__all__ = [
    "AnchorFailed",
    "AuditRefused",
    "Fenced",
    "KeyRefused",
    "LogForked",
    "MalformedNote",
    "ProofFailed",
    "SequencedElsewhere",
]


class AuditRefused(VallumError):
    """The audit trail cannot do this, or PostgreSQL does not let it."""

    code = "audit-refused"


class SequencedElsewhere(AuditRefused):
    """Another sequencer is at work on this log."""

    code = "audit-elsewhere"


class KeyRefused(VallumError):
    """A key file that is missing, cannot be read, or can be read by others."""

    code = "audit-key"


class LogForked(VallumError):
    """The log is not the one that was signed before: shorter, changed or earlier. Nothing is signed."""

    code = "audit-log-forked"


class Fenced(VallumError):
    """Another sequencer has taken over."""

    code = "audit-fenced"


class MalformedNote(VallumError):
    """A signed note, checkpoint or key that cannot be read, or whose signature does not hold."""

    code = "audit-note"


class ProofFailed(VallumError):
    """A proof that does not hold."""

    code = "audit-proof"


class AnchorFailed(VallumError):
    """A place outside of the database that did not take a checkpoint."""

    code = "audit-anchor"
