"""Awaiting access: plain asyncpg with its own pool. It has no blocking twin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg

from services.api.db.paramstyle import numbered
from services.api.db.pool_state import PoolState
from services.api.db.postgres import POOL_TIMEOUT_S, asyncpg_sizes, statement_cache_size
from services.api.meter import Meter
from services.api.settings import Settings


class AsyncpgStatements:
    """The statements of one group, on one connection."""

    def __init__(self, connection: Any, meter: Meter) -> None:
        self._connection = connection
        self._meter = meter

    async def all(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self._meter.statements += 1
        text, names = numbered(sql)
        rows = await self._connection.fetch(text, *((parameters or {})[name] for name in names))
        return [dict(row) for row in rows]

    async def one(self, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The first row, or None."""
        rows = await self.all(sql, parameters)
        return rows[0] if rows else None

    async def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """One statement, executed once per row."""
        self._meter.statements += 1
        text, names = numbered(sql)
        await self._connection.executemany(text, [tuple(row[name] for name in names) for row in rows])

    async def prepared(self) -> bool:
        """Whether this connection keeps prepared statements: the proof of ``prepared``."""
        # asyncpg has no public name for it; the pool hands out a proxy.
        return bool(self._connection._con._stmt_cache.get_max_size())


class AsyncpgUnit:
    """What one request does with the database."""

    def __init__(self, database: AsyncpgDatabase, shared: Any | None) -> None:
        self._database = database
        self._shared = shared

    @asynccontextmanager
    async def statements(self, *, write: bool = False) -> AsyncIterator[AsyncpgStatements]:
        """A group of statements; a transaction if it writes. Reads have none, as is usual with asyncpg."""
        async with AsyncExitStack() as stack:
            connection: Any = self._shared or await stack.enter_async_context(self._database.lease())
            if write:
                await stack.enter_async_context(connection.transaction())
            yield AsyncpgStatements(connection, self._database.meter)

    def holds_connection(self) -> bool:
        """Whether this unit holds a connection now, between groups: the proof of ``hold``."""
        return self._shared is not None and not self._shared.is_closed()


class AsyncpgDatabase:
    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._hold_request = settings.word("hold") != "statements"
        self.meter = meter
        self.pool = asyncpg.create_pool(
            settings.database_url,
            statement_cache_size=statement_cache_size(settings),
            server_settings={"application_name": settings.application_name},
            **asyncpg_sizes(settings),
        )

    async def open(self) -> None:
        await self.pool

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[AsyncpgUnit]:
        if not self._hold_request:
            yield AsyncpgUnit(self, None)
            return
        async with self.lease() as connection:
            yield AsyncpgUnit(self, connection)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Any]:
        """A connection from the pool; the wait for one is counted. Raises TimeoutError if none gets free."""
        async with AsyncExitStack() as stack:
            self.meter.pool_waiting += 1
            try:
                connection = await stack.enter_async_context(self.pool.acquire(timeout=POOL_TIMEOUT_S))
            finally:
                self.meter.pool_waiting -= 1
            yield connection

    def pool_state(self) -> PoolState:
        return PoolState(
            pool=f"asyncpg.{type(self.pool).__name__}",
            size=self.pool.get_max_size(),
            overflow=None,
            checked_out=self.pool.get_size() - self.pool.get_idle_size(),
            driver="asyncpg",
            database="postgresql",
        )

    async def close(self) -> None:
        # A graceful close would wait for the connections in use, but the run is over.
        self.pool.terminate()
