"""Vallum: the security layer for business data in PostgreSQL."""
