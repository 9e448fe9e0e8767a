"""Which implementation a worker uses, by the ``driver`` knob."""

from __future__ import annotations

from services.api.db.async_asyncpg import AsyncpgDatabase, AsyncpgStatements, AsyncpgUnit
from services.api.db.async_database import AsyncDatabase, AsyncStatements, AsyncUnit
from services.api.db.async_psycopg import AsyncPsycopgDatabase, AsyncPsycopgStatements, AsyncPsycopgUnit
from services.api.db.sync_database import SyncDatabase, SyncStatements, SyncUnit
from services.api.db.sync_psycopg import SyncPsycopgDatabase, SyncPsycopgStatements, SyncPsycopgUnit
from services.api.meter import Meter
from services.api.settings import Settings

AnySyncDatabase = SyncDatabase | SyncPsycopgDatabase
AnyAsyncDatabase = AsyncDatabase | AsyncPsycopgDatabase | AsyncpgDatabase
AnySyncUnit = SyncUnit | SyncPsycopgUnit
AnyAsyncUnit = AsyncUnit | AsyncPsycopgUnit | AsyncpgUnit
AnySyncStatements = SyncStatements | SyncPsycopgStatements
AnyAsyncStatements = AsyncStatements | AsyncPsycopgStatements | AsyncpgStatements


def sync_database(settings: Settings, meter: Meter) -> AnySyncDatabase:
    if settings.word("driver") == "psycopg":
        return SyncPsycopgDatabase(settings, meter)
    return SyncDatabase(settings, meter)


def async_database(settings: Settings, meter: Meter) -> AnyAsyncDatabase:
    """Must be called inside a running event loop."""
    match settings.word("driver"):
        case "asyncpg":
            return AsyncpgDatabase(settings, meter)
        case "psycopg":
            return AsyncPsycopgDatabase(settings, meter)
        case _:
            return AsyncDatabase(settings, meter)
