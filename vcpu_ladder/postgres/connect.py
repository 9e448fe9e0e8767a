"""Sessions: how one is opened, and what a failure means to the caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

from vcpu_ladder.errors import EnvironmentNotReady, UsageError

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_TIMEOUT_S = 10


def with_database(url: str, database: str) -> str:
    """The same server's URL for another database. Raises UsageError if ``url`` is not a PostgreSQL URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.netloc:
        raise UsageError(
            "DATABASE_URL is not a PostgreSQL URL",
            "the scheme has to be postgresql, without a driver's name, followed by a host",
            "export DATABASE_URL=postgresql://user:password@host:5432/postgres",
        )
    return urlunsplit(parts._replace(path="/" + quote(database, safe="")))


def without_password(url: str) -> str:
    """The URL without secrets, to be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit(parts._replace(netloc=user + host))


def connect(url: str) -> Connection:
    """A session in autocommit that the server ends soon after this process dies, even in mid-statement.

    Raises EnvironmentNotReady with the server's own message.
    """
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.OperationalError as error:
        shown = without_password(url)
        if "password authentication failed" in str(error):
            raise EnvironmentNotReady(
                f"{shown}: the server refuses this password",
                str(error).strip(),
                "check DATABASE_URL, or the password file of the native server",
            ) from error
        raise EnvironmentNotReady(
            f"{shown}: no connection",
            str(error).strip(),
            "check that the server runs and DATABASE_URL names it",
        ) from error
    # Otherwise a killed seed's CREATE INDEX would run on for minutes and keep its locks.
    connection.execute("SET client_connection_check_interval = '1s'")
    return connection


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """``connect``, closed at the end."""
    connection = connect(url)
    try:
        yield connection
    finally:
        connection.close()


def one(connection: Connection, query: str, parameters: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """The only row of a query."""
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None, query
    return row
