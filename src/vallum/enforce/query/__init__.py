"""Queries as an actor: rights, rules and field groups hold in every part of them."""

from vallum.enforce.query.facade import Query
from vallum.enforce.query.page import Page

__all__ = ["Page", "Query"]
