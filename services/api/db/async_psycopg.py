"""Awaiting access: plain psycopg with psycopg_pool. Twin of ``sync_psycopg``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, AsyncNullConnectionPool

from services.api.db.paramstyle import pyformat
from services.api.db.pool_state import PoolState
from services.api.db.postgres import POOL_TIMEOUT_S, prepare_threshold, psycopg_sizes
from services.api.meter import Meter
from services.api.settings import Settings


class AsyncPsycopgStatements:
    """The statements of one group, on one connection."""

    def __init__(self, connection: AsyncConnection[DictRow], meter: Meter) -> None:
        self._connection = connection
        self._meter = meter

    async def all(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self._meter.statements += 1
        cursor = await self._connection.execute(pyformat(sql), parameters)
        return await cursor.fetchall()

    async def one(self, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The first row, or None."""
        rows = await self.all(sql, parameters)
        return rows[0] if rows else None

    async def prepared(self) -> bool:
        """Whether this connection prepares statements: the proof of ``prepared``."""
        return self._connection.prepare_threshold is not None

    async def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """One statement, executed once per row."""
        self._meter.statements += 1
        async with self._connection.cursor() as cursor:
            await cursor.executemany(pyformat(sql), rows)


class AsyncPsycopgUnit:
    """What one request does with the database."""

    def __init__(self, database: AsyncPsycopgDatabase, shared: AsyncConnection[DictRow] | None) -> None:
        self._database = database
        self._shared = shared

    @asynccontextmanager
    async def statements(self, *, write: bool = False) -> AsyncIterator[AsyncPsycopgStatements]:
        """A group of statements in a transaction; committed at its end, rolled back on an error.

        A shared connection stays in its transaction between groups, as a session does.
        """
        if self._shared is not None:
            yield AsyncPsycopgStatements(self._shared, self._database.meter)
            if write:
                await self._shared.commit()
            return
        async with self._database.lease() as connection:
            yield AsyncPsycopgStatements(connection, self._database.meter)

    def holds_connection(self) -> bool:
        """Whether this unit holds a connection now, between groups: the proof of ``hold``."""
        return self._shared is not None and not self._shared.closed


class AsyncPsycopgDatabase:
    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._hold_request = settings.word("hold") != "statements"
        self.meter = meter
        pool = AsyncNullConnectionPool if settings.word("pool") == "null" else AsyncConnectionPool
        self.pool = pool(
            settings.database_url,
            connection_class=AsyncConnection[DictRow],
            kwargs={
                "row_factory": dict_row,
                "prepare_threshold": prepare_threshold(settings),
                "application_name": settings.application_name,
            },
            timeout=POOL_TIMEOUT_S,
            open=False,
            **psycopg_sizes(settings),
        )

    async def open(self) -> None:
        await self.pool.open(wait=True)

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[AsyncPsycopgUnit]:
        if not self._hold_request:
            yield AsyncPsycopgUnit(self, None)
            return
        async with self.lease() as connection:
            yield AsyncPsycopgUnit(self, connection)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """A connection from the pool, in a transaction that ends with it; the wait for one is counted.

        Raises PoolTimeout when none becomes free in time.
        """
        async with AsyncExitStack() as stack:
            self.meter.pool_waiting += 1
            try:
                connection = await stack.enter_async_context(self.pool.connection())
            finally:
                self.meter.pool_waiting -= 1
            yield connection

    def pool_state(self) -> PoolState:
        stats = self.pool.get_stats()
        return PoolState(
            pool=type(self.pool).__name__,
            size=self.pool.max_size or None,
            overflow=None,
            checked_out=stats.get("pool_size", 0) - stats.get("pool_available", 0),
            driver="psycopg",
            database="postgresql",
        )

    async def close(self) -> None:
        await self.pool.close()
