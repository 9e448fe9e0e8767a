"""What the PostgreSQL drivers share: how knobs become their pools' arguments."""

from __future__ import annotations

from typing import Any

from services.api.settings import Settings

# SQLAlchemy's pool and psycopg_pool wait 30 s by default; asyncpg would wait forever.
POOL_TIMEOUT_S = 30.0

# The libraries' own defaults.
_PSYCOPG_PREPARES_AFTER = 5
_PSYCOPG_DEFAULT_SIZE = 4
_ASYNCPG_DEFAULT_SIZE = 10
_ASYNCPG_STATEMENT_CACHE = 100


def prepare_threshold(settings: Settings) -> int | None:
    """psycopg prepares a statement when it is sent for the 6th time on a connection; None: never."""
    return _PSYCOPG_PREPARES_AFTER if settings.word("prepared") == "on" else None


def statement_cache_size(settings: Settings) -> int:
    """asyncpg prepares every statement and keeps this many; 0 keeps none."""
    return _ASYNCPG_STATEMENT_CACHE if settings.word("prepared") == "on" else 0


def psycopg_sizes(settings: Settings) -> dict[str, Any]:
    """``min_size`` and ``max_size``. A pool grows on demand from one connection, as SQLAlchemy's does from
    none; it has one bound, set to the most connections that SQLAlchemy's pool could open.
    """
    match settings.word("pool"):
        case "queue":
            return {"min_size": 1, "max_size": _bound(settings)}
        case "null":
            return {"min_size": 0, "max_size": 0}
        case _:
            return {"min_size": _PSYCOPG_DEFAULT_SIZE}


def _bound(settings: Settings) -> int:
    return settings.number("pool_size") + settings.number("pool_overflow")


def asyncpg_sizes(settings: Settings) -> dict[str, Any]:
    if settings.word("pool") == "queue":
        return {"min_size": 1, "max_size": _bound(settings)}
    return {"min_size": _ASYNCPG_DEFAULT_SIZE, "max_size": _ASYNCPG_DEFAULT_SIZE}
