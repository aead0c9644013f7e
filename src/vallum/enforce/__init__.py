"""Where the policy meets the data: queries as an actor, and what an actor writes."""

from vallum.enforce.application import Application
from vallum.enforce.query import Query
from vallum.enforce.values import Values

__all__ = ["Application", "Query", "Values"]
