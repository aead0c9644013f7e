"""Connections to PostgreSQL, and a PostgreSQL server of one's own."""

from vallum.postgres.connection import Database, connect, redact
from vallum.postgres.embedded import EmbeddedServer, default_folder
from vallum.postgres.threads import ThreadDatabase

__all__ = ["Database", "EmbeddedServer", "ThreadDatabase", "connect", "default_folder", "redact"]
