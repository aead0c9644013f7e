"""Reads from standby servers: what may be read there, and when one is complete enough.

See docs/design/replicas.md.
"""

from vallum.server.replicas.database import ReplicatedDatabase, check_replicas
from vallum.server.replicas.marks import Marks, shared_marks

__all__ = ["Marks", "ReplicatedDatabase", "check_replicas", "shared_marks"]
