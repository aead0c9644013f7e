"""What the layers around a request need to know: the part of the settings that is theirs."""

from __future__ import annotations

from dataclasses import dataclass

from vallum.kernel import Settings
from vallum.server.metrics import Metrics
from vallum.server.tls import own_names

__all__ = ["Options"]


@dataclass(frozen=True, slots=True)
class Options:
    """`hosts`: the names the server answers to; `body_timeout`: seconds."""

    hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    body_limit: int
    body_timeout: float
    tls: bool
    metrics: Metrics

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> Options:
        """The options of these settings."""
        return cls(
            hosts=(*own_names(), *settings.allowed_hosts),
            trusted_proxies=settings.trusted_proxies,
            body_limit=settings.body_limit,
            body_timeout=settings.body_timeout,
            tls=not settings.plain_http,
            metrics=metrics,
        )
