"""Engine arguments from knobs: the SQLite profile and the pool."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, TextClause, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool, QueuePool

from services.api.db.pool_state import PoolState
from services.api.db.postgres import prepare_threshold, statement_cache_size
from services.api.settings import Settings
from services.contract.sqlite_profiles import SQLITE_PROFILES


@cache
def clause(sql: str) -> TextClause:
    """The statement as SQLAlchemy wants it, parsed once and not for each request."""
    return text(sql)


def engine_url(settings: Settings, sqlite_driver: str) -> URL:
    """Where the engine connects, and with which driver."""
    if settings.word("database") == "sqlite":
        return URL.create(f"sqlite+{sqlite_driver}", database=str(settings.sqlite_path))
    driver = "asyncpg" if settings.word("driver") == "sqlalchemy-asyncpg" else "psycopg"
    return make_url(settings.database_url).set(drivername=f"postgresql+{driver}")


def engine_arguments(settings: Settings) -> dict[str, Any]:
    """All arguments of ``create_engine``: the pool's, and the driver's own for prepared statements."""
    arguments = pool_arguments(settings)
    if settings.word("database") == "sqlite":
        return arguments
    if settings.word("driver") == "sqlalchemy-asyncpg":
        size = statement_cache_size(settings)
        # SQLAlchemy has its own cache of prepared statements on top of asyncpg's.
        connect: dict[str, Any] = {"statement_cache_size": size, "prepared_statement_cache_size": size}
        connect["server_settings"] = {"application_name": settings.application_name}
    else:
        connect = {
            "prepare_threshold": prepare_threshold(settings),
            "application_name": settings.application_name,
        }
    return {**arguments, "connect_args": connect}


def pool_state(engine: Engine) -> PoolState:
    """Read from the live engine and its pool."""
    pool = engine.pool
    sized = pool if isinstance(pool, QueuePool) else None
    return PoolState(
        pool=type(pool).__name__,
        size=sized.size() if sized else None,
        overflow=sized._max_overflow if sized else None,
        checked_out=sized.checkedout() if sized else 0,
        driver=f"sqlalchemy+{engine.dialect.driver}",
        database=engine.dialect.name,
    )


def prepares(connection: Connection | AsyncConnection) -> bool | None:
    """Whether the driver under a connection prepares statements; None for SQLite."""
    plain = connection if isinstance(connection, Connection) else connection.sync_connection
    driver: Any = plain.connection.driver_connection if plain else None
    if hasattr(driver, "prepare_threshold"):
        return driver.prepare_threshold is not None
    if hasattr(driver, "_stmt_cache"):
        return bool(driver._stmt_cache.get_max_size())
    return None


def pool_arguments(settings: Settings) -> dict[str, Any]:
    """``create_engine`` arguments for the pool knobs; none if the library is to choose."""
    match settings.word("pool"):
        case "null":
            return {"poolclass": NullPool}
        case "queue":
            return {
                "pool_size": settings.number("pool_size"),
                "max_overflow": settings.number("pool_overflow"),
            }
        case _:
            return {}


def apply_sqlite_profile(engine: Engine, settings: Settings) -> None:
    """Set the profile's PRAGMAs on every connection the engine opens."""
    pragmas = SQLITE_PROFILES[settings.word("sqlite")]
    if not pragmas or settings.word("database") != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()
