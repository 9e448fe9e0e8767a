"""What can go wrong while serving, and the answer a client gets: a status and a one-line reason."""

from __future__ import annotations

import logging

import asyncpg
import psycopg
import psycopg_pool
import sqlalchemy.exc
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

log = logging.getLogger("vcpu_ladder.api")


class NotFoundError(Exception):
    """A row the request names does not exist: 404."""


class UpstreamFailedError(Exception):
    """The upstream is down or answered what no upstream should: 502."""


class UpstreamTimeoutError(UpstreamFailedError):
    """The upstream did not answer within upstream_timeout_s: 504."""


def _answer(status: int, reason: str) -> JSONResponse:
    headers = {"Retry-After": "1"} if status == 503 else None
    return JSONResponse({"detail": reason}, status, headers)


async def _not_found(_: Request, error: Exception) -> JSONResponse:
    return _answer(404, str(error))


async def _upstream(_: Request, error: Exception) -> JSONResponse:
    return _answer(504 if isinstance(error, UpstreamTimeoutError) else 502, str(error))


# A database that is gone, full of clients, or slower to hand out a connection than the pool waits.
_UNAVAILABLE = (
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
_EXHAUSTED = (sqlalchemy.exc.TimeoutError, psycopg_pool.PoolTimeout, TimeoutError)


async def _pool_exhausted(_: Request, error: Exception) -> JSONResponse:
    return _answer(503, "no database connection became free: " + _first_line(error))


async def _database(_: Request, error: Exception) -> JSONResponse:
    return _answer(503, "database unavailable: " + _first_line(error))


async def _bug(request: Request, error: Exception) -> JSONResponse:
    log.error("unhandled error in %s", request.url.path, exc_info=error)
    return _answer(500, "internal error; the service's log has it")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(NotFoundError, _not_found)
    app.add_exception_handler(UpstreamFailedError, _upstream)
    for unavailable in _UNAVAILABLE:
        app.add_exception_handler(unavailable, _database)
    for exhausted in _EXHAUSTED:
        app.add_exception_handler(exhausted, _pool_exhausted)
    app.add_exception_handler(Exception, _bug)
