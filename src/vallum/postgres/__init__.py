"""Connections to PostgreSQL, and a PostgreSQL server of one's own."""

from vallum.postgres.connection import Database, connect, redact
from vallum.postgres.embedded import EmbeddedServer, default_folder
from vallum.postgres.threads import OnePerThread, ThreadDatabase

__all__ = [
    "Database",
    "EmbeddedServer",
    "OnePerThread",
    "ThreadDatabase",
    "connect",
    "default_folder",
    "redact",
]
