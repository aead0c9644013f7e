"""The policy in a team's own SQLAlchemy sessions: what is read is filtered, what is written is checked."""

from vallum.enforce.session.guard import Guard

__all__ = ["Guard"]
