"""Queries as an actor: rights, rules and field groups hold in every part of them."""

from vallum.enforce.query.search import Query

__all__ = ["Query"]
