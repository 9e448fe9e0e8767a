"""What can go wrong while serving, and what the client gets: a status and a one-line reason."""

from __future__ import annotations

import logging

import asyncpg
import psycopg
import psycopg_pool
import sqlalchemy.exc
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from services.api.meter import Meter

log = logging.getLogger("vcpu_ladder.api")


class NotFoundError(Exception):
    """A row the request names does not exist: 404."""


class UpstreamFailedError(Exception):
    """The upstream is down or sent an invalid answer: 502."""


class UpstreamTimeoutError(UpstreamFailedError):
    """The upstream did not answer within upstream_timeout_s: 504."""


def _answer(status: int, reason: str) -> JSONResponse:
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"detail": reason}, status, headers)


async def _not_found(_: Request, error: Exception) -> JSONResponse:
    return _answer(404, str(error))


async def _upstream(_: Request, error: Exception) -> JSONResponse:
    return _answer(504 if isinstance(error, UpstreamTimeoutError) else 502, str(error))


# The database is down, has too many clients, or no connection became free in time.
UNAVAILABLE = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    psycopg.OperationalError,
    asyncpg.PostgresConnectionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    ConnectionError,
)
EXHAUSTED = (sqlalchemy.exc.TimeoutError, psycopg_pool.PoolTimeout, TimeoutError)


# PostgreSQL's messages when max_connections, or a limit of the role or database, is reached.
_TOO_MANY = ("too many clients already", "remaining connection slots", "too many connections for")


async def _bug(request: Request, error: Exception) -> JSONResponse:
    log.error("unhandled error in %s", request.url.path, exc_info=error)
    return _answer(500, "internal error; the service's log has it")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def add_error_handlers(app: FastAPI, meter: Meter) -> None:
    """Every failure becomes an answer; those of the database are counted by cause."""

    async def pool_exhausted(_: Request, error: Exception) -> JSONResponse:
        meter.pool_timeouts += 1
        return _answer(503, "no database connection became free: " + _first_line(error))

    async def database(_: Request, error: Exception) -> JSONResponse:
        if any(words in str(error) for words in _TOO_MANY):
            meter.too_many_clients += 1
        else:
            meter.database_unavailable += 1
        return _answer(503, "database unavailable: " + _first_line(error))

    async def database_or_bug(request: Request, error: Exception) -> JSONResponse:
        # With asyncpg, SQLAlchemy has one class for most server errors; asyncpg's own class is its cause.
        assert isinstance(error, sqlalchemy.exc.DBAPIError)
        beneath = error.orig.__cause__ if error.orig else None
        if error.connection_invalidated or isinstance(beneath, UNAVAILABLE):
            return await database(request, error)
        return await _bug(request, error)

    app.add_exception_handler(NotFoundError, _not_found)
    app.add_exception_handler(UpstreamFailedError, _upstream)
    for unavailable in UNAVAILABLE:
        app.add_exception_handler(unavailable, database)
    app.add_exception_handler(sqlalchemy.exc.DBAPIError, database_or_bug)
    for exhausted in EXHAUSTED:
        app.add_exception_handler(exhausted, pool_exhausted)
    app.add_exception_handler(Exception, _bug)
