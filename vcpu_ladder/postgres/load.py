"""Fill one empty database: tables, rows, indexes, keys, foreign keys, sequences, statistics."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from psycopg import sql

from vcpu_ladder.postgres.connect import Connection
from vcpu_ladder.postgres.plan import SCHEMA, SeedPlan
from vcpu_ladder.postgres.rows import Table, tables
from vcpu_ladder.postgres.steps import OnProgress, Step
from vcpu_ladder.records.events import Preparing

TABLES_FIRST = ("order_items", "products", "users", "orders")
"""Largest first: it keeps one session busy for as long as the other three keep the second one busy."""


def statements(path: Path) -> list[str]:
    """The file's statements without comments. Our files have no semicolon or ``--`` inside literals."""
    text = re.sub(r"--[^\n]*", "", path.read_text())
    return [" ".join(part.split()) for part in text.split(";") if part.strip()]


def create_tables(connection: Connection) -> None:
    for statement in statements(SCHEMA / "tables.sql"):
        connection.execute(statement.encode())


def load_steps(plan: SeedPlan) -> list[Step]:
    """Everything after ``create_tables``; of the steps that may start, the first in the list goes first."""
    made = {table.name: table for table in tables(plan)}
    loads = [_load(made[name]) for name in TABLES_FIRST]
    indexes = [_index(statement) for statement in statements(SCHEMA / "indexes.sql")]
    keys = [_keys(name, indexes) for name in TABLES_FIRST]
    foreign = _foreign_keys()
    analyze = [_analyze(name, foreign) for name in TABLES_FIRST]
    return [*loads, *keys, *foreign, *indexes, *analyze]


def _load(table: Table) -> Step:
    def work(connection: Connection, on_progress: OnProgress) -> None:
        name = sql.Identifier(table.name)
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        copy_rows = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT binary, FREEZE)").format(name, columns)
        with connection.transaction(), connection.cursor() as cursor:
            # A table truncated in the same transaction needs no WAL under wal_level=minimal (its files are
            # flushed at commit instead), and its rows can be written frozen, so there is nothing to vacuum.
            cursor.execute(sql.SQL("TRUNCATE {}").format(name))
            with cursor.copy(copy_rows) as copy:
                for done, block in table.blocks():
                    copy.write(block)
                    on_progress(Preparing(step=f"rows {table.name}", done=done, total=table.rows))
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", (table.name, table.rows))

    return Step(f"rows {table.name}", work)


def _index(statement: str) -> Step:
    match = re.fullmatch(r"CREATE (?:UNIQUE )?INDEX (\w+) ON (\w+) \(.*\)", statement)
    assert match, statement
    return Step(f"index {match[1]}", _executes(statement), frozenset({f"rows {match[2]}"}))


def _keys(table: str, indexes: list[Step]) -> Step:
    """Attaching a key locks the table, so it waits for all of the table's indexes."""
    own = [s for s in statements(SCHEMA / "keys.sql") if s.startswith(f"ALTER TABLE {table} ")]
    needs = frozenset(step.name for step in indexes if step.needs == {f"rows {table}"})
    return Step(f"keys {table}", _executes(*own), needs)


def _foreign_keys() -> list[Step]:
    steps: list[Step] = []
    last: dict[str, str] = {}
    for statement in statements(SCHEMA / "foreign_keys.sql"):
        match = re.fullmatch(r"ALTER TABLE (\w+) ADD CONSTRAINT (\w+) .* REFERENCES (\w+) .*", statement)
        assert match, statement
        table, name, referenced = match.groups()
        needs = {f"keys {table}", f"keys {referenced}"}
        if table in last:
            # Both lock the table: one after the other, so that the other session does not wait for the lock.
            needs.add(last[table])
        last[table] = f"foreign key {name}"
        steps.append(Step(last[table], _executes(statement), frozenset(needs)))
    return steps


def _analyze(table: str, foreign: list[Step]) -> Step:
    needs = {f"keys {table}", *(f.name for f in foreign if f"keys {table}" in f.needs)}
    return Step(f"analyze {table}", _executes(f"ANALYZE {table}"), frozenset(needs))


def _executes(*commands: str) -> Callable[[Connection, OnProgress], None]:
    def work(connection: Connection, _: OnProgress) -> None:
        for command in commands:
            connection.execute(command.encode())

    return work
