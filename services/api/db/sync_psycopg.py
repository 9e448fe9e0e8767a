"""Blocking access: plain psycopg with psycopg_pool. Twin of ``async_psycopg``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, NullConnectionPool

from services.api.db.paramstyle import pyformat
from services.api.db.pool_state import PoolState
from services.api.db.postgres import POOL_TIMEOUT_S, prepare_threshold, psycopg_sizes
from services.api.meter import Meter
from services.api.settings import Settings


class SyncPsycopgStatements:
    """The statements of one group, on one connection."""

    def __init__(self, connection: Connection[DictRow], meter: Meter) -> None:
        self._connection = connection
        self._meter = meter

    def all(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self._meter.statements += 1
        cursor = self._connection.execute(pyformat(sql), parameters)
        return cursor.fetchall()

    def one(self, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The first row, or None."""
        rows = self.all(sql, parameters)
        return rows[0] if rows else None

    def prepared(self) -> bool:
        """Whether this connection prepares statements: the proof of ``prepared``."""
        return self._connection.prepare_threshold is not None

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """One statement, executed once per row."""
        self._meter.statements += 1
        with self._connection.cursor() as cursor:
            cursor.executemany(pyformat(sql), rows)


class SyncPsycopgUnit:
    """What one request does with the database."""

    def __init__(self, database: SyncPsycopgDatabase, shared: Connection[DictRow] | None) -> None:
        self._database = database
        self._shared = shared

    @contextmanager
    def statements(self, *, write: bool = False) -> Iterator[SyncPsycopgStatements]:
        """A group of statements in a transaction; committed at its end, rolled back on an error.

        A shared connection stays in its transaction between groups, as a session does.
        """
        if self._shared is not None:
            yield SyncPsycopgStatements(self._shared, self._database.meter)
            if write:
                self._shared.commit()
            return
        with self._database.lease() as connection:
            yield SyncPsycopgStatements(connection, self._database.meter)

    def holds_connection(self) -> bool:
        """Whether this unit holds a connection now, between groups: the proof of ``hold``."""
        return self._shared is not None and not self._shared.closed


class SyncPsycopgDatabase:
    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._hold_request = settings.word("hold") != "statements"
        self.meter = meter
        pool = NullConnectionPool if settings.word("pool") == "null" else ConnectionPool
        self.pool = pool(
            settings.database_url,
            connection_class=Connection[DictRow],
            kwargs={
                "row_factory": dict_row,
                "prepare_threshold": prepare_threshold(settings),
                "application_name": settings.application_name,
            },
            timeout=POOL_TIMEOUT_S,
            open=False,
            **psycopg_sizes(settings),
        )

    def open(self) -> None:
        self.pool.open(wait=True)

    @contextmanager
    def unit(self) -> Iterator[SyncPsycopgUnit]:
        if not self._hold_request:
            yield SyncPsycopgUnit(self, None)
            return
        with self.lease() as connection:
            yield SyncPsycopgUnit(self, connection)

    @contextmanager
    def lease(self) -> Iterator[Connection[DictRow]]:
        """A connection from the pool, in a transaction that ends with it; the wait for one is counted.

        Raises PoolTimeout when none becomes free in time.
        """
        with ExitStack() as stack:
            self.meter.pool_waiting += 1
            try:
                connection = stack.enter_context(self.pool.connection())
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

    def close(self) -> None:
        self.pool.close()
