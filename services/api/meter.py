"""One worker's plain counters, cheap enough for every request; ``metrics.py`` publishes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# The harness's own requests are not part of the workload.
OWN_PATHS = frozenset({"/healthz", "/effective", "/metrics"})


@dataclass
class Meter:
    """``+=`` from several threads may lose a count under load; checks that need exact counts run alone."""

    requests: int = 0
    in_flight: int = 0
    statements: int = 0
    upstream_calls: int = 0
    upstream_in_flight: int = 0
    pool_waiting: int = 0
    too_many_clients: int = 0
    pool_timeouts: int = 0
    database_unavailable: int = 0


class CountRequests:
    """ASGI middleware that counts requests begun and in flight, except those to the harness's own paths."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self.app = app
        self.meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OWN_PATHS:
            await self.app(scope, receive, send)
            return
        self.meter.requests += 1
        self.meter.in_flight += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.meter.in_flight -= 1
