"""Which databases are ours, and the only functions that drop one.

A database is ours if its name begins with our prefix and it carries our mark. The mark is a comment, but
CREATE DATABASE cannot set one: a process killed before COMMENT ON would leave a copy that nobody may
drop. So a new database also has, from the start, a connection limit that nobody would choose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum

import psycopg
from psycopg import sql

from vcpu_ladder.errors import EnvironmentNotReady, UsageError
from vcpu_ladder.postgres.connect import Connection, one, session
from vcpu_ladder.postgres.server import Server

PREFIX = "vcpu_ladder_"
_MARK = "vcpu-ladder: "
_NEW_LIMIT = 1_986_420_773
_LOCK = 0x7663_7075  # "vcpu"
_LOCK_WAIT_S = 20


class Kind(StrEnum):
    UNFINISHED = "unfinished"
    """Being built or copied: never used, and dropped by the next seed or restore."""
    TEMPLATE = "template"
    """A verified seed, closed to connections."""
    RUN = "run"
    """A copy for one run."""


@dataclass(frozen=True)
class Mark:
    """What our comment on a database says; ``plan`` describes the data set."""

    kind: Kind
    plan: str = ""


def ours(connection: Connection) -> dict[str, Mark]:
    """Every marked database of the server, by name."""
    found = connection.execute(
        "SELECT datname, datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database"
        " WHERE starts_with(datname, %s)",
        (PREFIX,),
    ).fetchall()
    marks = {}
    for name, limit, comment in found:
        if comment and comment.startswith(_MARK):
            fields = json.loads(comment.removeprefix(_MARK))
            marks[name] = Mark(Kind(fields["kind"]), fields["plan"])
        elif limit == _NEW_LIMIT:
            marks[name] = Mark(Kind.UNFINISHED)
    return marks


def exists(connection: Connection, name: str) -> bool:
    return bool(one(connection, "SELECT count(*) FROM pg_database WHERE datname = %s", (name,))[0])


def check_may_take(connection: Connection, name: str) -> None:
    """Raises UsageError for a name without our prefix, EnvironmentNotReady if the database is not ours."""
    if not name.startswith(PREFIX) or len(name.encode()) > 63:
        raise UsageError(
            f"database {name}: the names of ours begin with {PREFIX} and have at most 63 bytes",
            "a database is dropped and created again for every run, so it must be distinguishable from yours",
            f"choose {PREFIX}run",
        )
    if exists(connection, name) and name not in ours(connection):
        raise EnvironmentNotReady(
            f"database {name} exists and is not ours: it was left as it is",
            "it does not carry the mark that every database made here carries",
            "rename or drop it yourself, if it is not needed",
        )


def create(connection: Connection, name: str, options: sql.Composable, mark: Mark) -> None:
    """CREATE DATABASE with our mark, of kind unfinished until ``set_mark`` changes it."""
    check_may_take(connection, name)
    drop(connection, name)
    command = sql.SQL("CREATE DATABASE {} WITH {} CONNECTION LIMIT {}")
    connection.execute(command.format(sql.Identifier(name), options, sql.Literal(_NEW_LIMIT)))
    set_mark(connection, name, Mark(Kind.UNFINISHED, mark.plan))


def set_mark(connection: Connection, name: str, mark: Mark) -> None:
    comment = _MARK + json.dumps(asdict(mark))
    connection.execute(
        sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(comment))
    )


def drop(connection: Connection, name: str) -> None:
    """Drop a database of ours and end its sessions; does nothing if there is none of that name."""
    check_may_take(connection, name)
    found = ours(connection)
    if name not in found:
        return
    # From here on a comment must be its mark: an interrupted drop loses the special limit.
    set_mark(connection, name, Mark(Kind.UNFINISHED, found[name].plan))
    # Only if it is a template: a database whose drop was interrupted cannot be altered, only dropped.
    if one(connection, "SELECT datistemplate FROM pg_database WHERE datname = %s", (name,))[0]:
        alter(connection, name, sql.SQL("WITH IS_TEMPLATE false"))
    connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def alter(connection: Connection, name: str, what: sql.Composable) -> None:
    connection.execute(sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(name)) + what)


def drop_unfinished(connection: Connection) -> list[str]:
    """Drop what killed seeds and restores left behind; returns the names."""
    left = [name for name, mark in ours(connection).items() if mark.kind is Kind.UNFINISHED]
    for name in left:
        drop(connection, name)
    return left


@contextmanager
def exclusive(server: Server) -> Iterator[Connection]:
    """The one session that may create and drop our databases on this server; others wait or give up.

    Raises EnvironmentNotReady if another seed or restore holds the lock for longer than a killed one can.
    """
    with session(server.url()) as connection:
        connection.execute(f"SET lock_timeout = '{_LOCK_WAIT_S}s'".encode())
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        except psycopg.errors.LockNotAvailable:
            raise EnvironmentNotReady(
                "another seed or restore is at work on this server", next_command="wait for it, or end it"
            ) from None
        connection.execute("SET lock_timeout = 0")
        yield connection
