"""Engines of SQLAlchemy's asynchronous kind over the tests' databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

__all__ = ["async_engine"]


@asynccontextmanager
async def async_engine(dsn: str) -> AsyncIterator[AsyncEngine]:
    """A team's engine, for the loop that runs."""
    engine = create_async_engine(
        "postgresql+psycopg://", async_creator=lambda: psycopg.AsyncConnection.connect(dsn)
    )
    try:
        yield engine
    finally:
        await engine.dispose()
