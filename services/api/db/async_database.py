"""Awaiting access: SQLAlchemy over aiosqlite. Twin of ``sync_database``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from services.api.db.engines import (
    apply_sqlite_profile,
    clause,
    engine_arguments,
    engine_url,
    pool_state,
    prepares,
)
from services.api.db.pool_state import PoolState
from services.api.meter import Meter
from services.api.settings import Settings


class AsyncStatements:
    """The statements of one group, on one connection."""

    def __init__(self, session: AsyncSession, meter: Meter) -> None:
        self._session = session
        self._meter = meter

    async def all(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self._meter.statements += 1
        result = await self._session.execute(clause(sql), parameters)
        return [dict(row) for row in result.mappings()]

    async def one(self, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The first row, or None."""
        rows = await self.all(sql, parameters)
        return rows[0] if rows else None

    async def prepared(self) -> bool | None:
        """Whether this connection prepares statements: the proof of ``prepared``."""
        return prepares(await self._session.connection())

    async def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """One statement, executed once per row."""
        self._meter.statements += 1
        await self._session.execute(clause(sql), rows)


class AsyncUnit:
    """What one request does with the database."""

    def __init__(self, database: AsyncDatabase, shared: AsyncSession | None) -> None:
        self._database = database
        self._shared = shared

    @asynccontextmanager
    async def statements(self, *, write: bool = False) -> AsyncIterator[AsyncStatements]:
        """A group of statements; committed at its end if it writes, rolled back on an error."""
        if self._shared is not None:
            yield await self._database.connected(self._shared)
            if write:
                await self._shared.commit()
            return
        async with self._database.sessions() as session:
            yield await self._database.connected(session)
            if write:
                await session.commit()

    def holds_connection(self) -> bool:
        """Whether this unit holds a connection now, between groups: the proof of ``hold``."""
        return self._shared is not None and self._shared.in_transaction()


class AsyncDatabase:
    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._hold_request = settings.word("hold") != "statements"
        self._meter = meter
        self.engine = create_async_engine(engine_url(settings, "aiosqlite"), **engine_arguments(settings))
        self.sync_engine = self.engine.sync_engine
        apply_sqlite_profile(self.sync_engine, settings)
        self.sessions = async_sessionmaker(self.engine)

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[AsyncUnit]:
        if not self._hold_request:
            yield AsyncUnit(self, None)
            return
        async with self.sessions() as session:
            yield AsyncUnit(self, session)

    async def connected(self, session: AsyncSession) -> AsyncStatements:
        """Make the session take its connection now, so that the wait for one can be counted."""
        self._meter.pool_waiting += 1
        try:
            await session.connection()
        finally:
            self._meter.pool_waiting -= 1
        return AsyncStatements(session, self._meter)

    async def open(self) -> None:
        """Does nothing: SQLAlchemy connects on demand."""

    def pool_state(self) -> PoolState:
        return pool_state(self.sync_engine)

    async def close(self) -> None:
        await self.engine.dispose()
