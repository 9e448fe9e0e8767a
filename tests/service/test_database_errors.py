"""What a client is told when the database fails, and how it is counted, whichever library raises it."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import httpx
import psycopg
import psycopg_pool
import pytest
import sqlalchemy.exc
from fastapi import FastAPI

from services.api.errors import add_error_handlers
from services.api.meter import Meter

TOO_MANY = "FATAL:  sorry, too many clients already"


def wrapped(cause: Exception | None, *, invalidated: bool = False) -> sqlalchemy.exc.DBAPIError:
    """As SQLAlchemy passes on asyncpg's errors: its own class around a translation of the error."""
    translation = Exception(str(cause))
    translation.__cause__ = cause
    return sqlalchemy.exc.DBAPIError("SELECT 1", None, translation, connection_invalidated=invalidated)


FAILURES: dict[str, tuple[Exception, int, str | None]] = {
    "psycopg, full": (psycopg.OperationalError(TOO_MANY), 503, "too_many_clients"),
    "SQLAlchemy over psycopg, full": (
        sqlalchemy.exc.OperationalError("SELECT 1", None, psycopg.OperationalError(TOO_MANY)),
        503,
        "too_many_clients",
    ),
    "asyncpg, full": (asyncpg.TooManyConnectionsError(TOO_MANY), 503, "too_many_clients"),
    "SQLAlchemy over asyncpg, full": (
        wrapped(asyncpg.TooManyConnectionsError(TOO_MANY)),
        503,
        "too_many_clients",
    ),
    "a role's own limit": (
        psycopg.OperationalError('FATAL:  too many connections for role "shop"'),
        503,
        "too_many_clients",
    ),
    "psycopg_pool, none free": (psycopg_pool.PoolTimeout("30 s"), 503, "pool_timeouts"),
    "SQLAlchemy, none free": (sqlalchemy.exc.TimeoutError("30 s"), 503, "pool_timeouts"),
    "asyncpg, none free": (TimeoutError(), 503, "pool_timeouts"),
    "psycopg, gone": (psycopg.OperationalError("server closed"), 503, "database_unavailable"),
    "asyncpg, gone": (asyncpg.ConnectionDoesNotExistError("closed"), 503, "database_unavailable"),
    "asyncpg, starting": (asyncpg.CannotConnectNowError("starting up"), 503, "database_unavailable"),
    "nobody listens": (ConnectionRefusedError("refused"), 503, "database_unavailable"),
    "SQLAlchemy over asyncpg, gone": (wrapped(None, invalidated=True), 503, "database_unavailable"),
    "SQLAlchemy over asyncpg, starting": (
        wrapped(asyncpg.CannotConnectNowError("starting up")),
        503,
        "database_unavailable",
    ),
    "a bug in a statement": (wrapped(asyncpg.UndefinedColumnError("no such column")), 500, None),
}


@pytest.mark.parametrize(("failure", "status", "counted"), FAILURES.values(), ids=FAILURES.keys())
def test_a_failure_of_the_database_is_told_and_counted(
    failure: Exception, status: int, counted: str | None
) -> None:
    meter, app = Meter(), FastAPI()
    add_error_handlers(app, meter)

    @app.get("/")
    async def fail() -> None:
        raise failure

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.get("/")

    answer = asyncio.run(ask())
    assert answer.status_code == status
    causes: dict[str, Any] = {
        name: getattr(meter, name) for name in ("too_many_clients", "pool_timeouts", "database_unavailable")
    }
    assert {name for name, count in causes.items() if count} == ({counted} if counted else set())
    assert sum(causes.values()) == (1 if counted else 0)
