"""Where the policy meets the data: queries as an actor."""

from vallum.enforce.application import Application
from vallum.enforce.query import Query

__all__ = ["Application", "Query"]
