"""What the layers around a request need to know: the part of the settings that is theirs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vallum.kernel import Settings
from vallum.server.exchange import Scope
from vallum.server.metrics import Metrics
from vallum.server.tls import own_names

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """`hosts`: the names the server answers to; `body_timeout`: seconds.

    `known`: whether whoever sends a request shows in its head who they are.
    """

    hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    body_limit: int
    body_limit_strangers: int
    body_timeout: float
    tls: bool
    metrics: Metrics
    known: Callable[[Scope], Awaitable[bool]]

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics, known: Callable[[Scope], Awaitable[bool]]) -> Options:
        """The options of these settings."""
        return cls(
            hosts=(*own_names(), *settings.allowed_hosts),
            trusted_proxies=settings.trusted_proxies,
            body_limit=settings.body_limit,
            body_limit_strangers=min(settings.body_limit, settings.body_limit_strangers),
            body_timeout=settings.body_timeout,
            tls=not settings.plain_http,
            metrics=metrics,
            known=known,
        )
