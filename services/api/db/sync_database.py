"""Blocking access: SQLAlchemy over the standard library's sqlite3. Twin of ``async_database``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

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


class SyncStatements:
    """The statements of one group, on one connection."""

    def __init__(self, session: Session, meter: Meter) -> None:
        self._session = session
        self._meter = meter

    def all(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        self._meter.statements += 1
        result = self._session.execute(clause(sql), parameters)
        return [dict(row) for row in result.mappings()]

    def one(self, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """The first row, or None."""
        rows = self.all(sql, parameters)
        return rows[0] if rows else None

    def prepared(self) -> bool | None:
        """Whether this connection prepares statements: the proof of ``prepared``."""
        return prepares(self._session.connection())

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """One statement, executed once per row."""
        self._meter.statements += 1
        self._session.execute(clause(sql), rows)


class SyncUnit:
    """What one request does with the database."""

    def __init__(self, database: SyncDatabase, shared: Session | None) -> None:
        self._database = database
        self._shared = shared

    @contextmanager
    def statements(self, *, write: bool = False) -> Iterator[SyncStatements]:
        """A group of statements; committed at its end if it writes, rolled back on an error."""
        if self._shared is not None:
            yield self._database.connected(self._shared)
            if write:
                self._shared.commit()
            return
        with self._database.sessions() as session:
            yield self._database.connected(session)
            if write:
                session.commit()

    def holds_connection(self) -> bool:
        """Whether this unit holds a connection now, between groups: the proof of ``hold``."""
        return self._shared is not None and self._shared.in_transaction()


class SyncDatabase:
    def __init__(self, settings: Settings, meter: Meter) -> None:
        self._hold_request = settings.word("hold") != "statements"
        self._meter = meter
        self.engine = create_engine(engine_url(settings, "pysqlite"), **engine_arguments(settings))
        self.sync_engine = self.engine
        apply_sqlite_profile(self.sync_engine, settings)
        self.sessions = sessionmaker(self.engine)

    @contextmanager
    def unit(self) -> Iterator[SyncUnit]:
        if not self._hold_request:
            yield SyncUnit(self, None)
            return
        with self.sessions() as session:
            yield SyncUnit(self, session)

    def connected(self, session: Session) -> SyncStatements:
        """Make the session take its connection now, so that the wait for one can be counted."""
        self._meter.pool_waiting += 1
        try:
            session.connection()
        finally:
            self._meter.pool_waiting -= 1
        return SyncStatements(session, self._meter)

    def open(self) -> None:
        """Does nothing: SQLAlchemy connects on demand."""

    def pool_state(self) -> PoolState:
        return pool_state(self.sync_engine)

    def close(self) -> None:
        self.engine.dispose()
