"""psycopg's two pools, used directly as in the studies, and what they report about themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg_pool import AsyncConnectionPool, ConnectionPool

from services.api.db.pool_state import PoolState
from services.api.meter import Meter
from services.api.settings import Settings

# The library's default, made explicit: a request that waits longer for a connection fails.
POOL_TIMEOUT_S = 30.0


class StudyPools:
    """One blocking and one awaiting pool per worker, both of ``pool_size``, as in the studies: the path
    decides which of the two is used; that one grows from nothing to what the load needs.
    """

    def __init__(self, settings: Settings, meter: Meter) -> None:
        arguments: dict[str, Any] = {
            "conninfo": settings.database_url,
            "kwargs": {"application_name": settings.application_name},
            "min_size": 0,
            "max_size": settings.number("pool_size"),
            "timeout": POOL_TIMEOUT_S,
            "open": False,
        }
        self.blocking = ConnectionPool(**arguments)
        self.awaiting = AsyncConnectionPool(**arguments)
        self._meter = meter

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.blocking.open()
        try:
            await self.awaiting.open()
            yield
        finally:
            await self.awaiting.close()
            self.blocking.close()

    def proofs(self) -> dict[str, Any]:
        """``pool_size`` of both live pools; a list of two if they differ."""
        sizes = [self.blocking.max_size, self.awaiting.max_size]
        return {"pool_size": sizes[0] if sizes[0] == sizes[1] else sizes}

    def state(self) -> PoolState:
        """Both pools as one: only one of them is used in a run."""
        both = [self.blocking.get_stats(), self.awaiting.get_stats()]
        self._meter.pool_waiting = sum(stats.get("requests_waiting", 0) for stats in both)
        return PoolState(
            pool="ConnectionPool + AsyncConnectionPool",
            size=self.blocking.max_size,
            overflow=None,
            checked_out=sum(stats["pool_size"] - stats["pool_available"] for stats in both),
            driver="psycopg",
            database="postgresql",
        )
