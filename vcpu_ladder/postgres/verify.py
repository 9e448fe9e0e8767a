"""What a seeded database holds: checked against the plan, or reduced to a checksum."""

from __future__ import annotations

import re

from psycopg import sql

from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres.connect import Connection, one
from vcpu_ladder.postgres.load import statements
from vcpu_ladder.postgres.plan import SCHEMA, SeedPlan

TABLES = ("users", "products", "orders", "order_items")
_CHECKS = {"order_items_quantity_check"}


def verify_rows(connection: Connection, plan: SeedPlan) -> dict[str, int]:
    """Count {table: rows}. Raises EnvironmentNotReady naming the table whose rows or next id differ."""
    counts = {}
    for table in TABLES:
        query = sql.SQL(
            "SELECT (SELECT count(*) FROM {0}), (SELECT max(id) FROM {0}), last_value, is_called FROM {1}"
        )
        names = sql.Identifier(table), sql.Identifier(f"{table}_id_seq")
        found = connection.execute(query.format(*names)).fetchone()
        rows = plan.rows[table]
        if found != (rows, rows, rows, True):
            raise _differs(plan, f"table {table}", f"(rows, last id, sequence, used) {found}", f"{rows} rows")
        counts[table] = rows
    return counts


def verify_structure(connection: Connection, plan: SeedPlan) -> None:
    """Check that every key, index, check and foreign key of the schema exists and is valid.

    Raises EnvironmentNotReady naming those that do not.
    """
    valid_indexes = _names(
        connection,
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid"
        " WHERE relnamespace = 'public'::regnamespace AND indisvalid AND indisready",
    )
    valid_constraints = _names(
        connection,
        "SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND convalidated"
        " AND contype <> 'n'",
    )
    for what, wanted, found in (
        ("indexes", _named(r"INDEX (\w+) ON", "indexes"), valid_indexes),
        ("constraints", _named(r"CONSTRAINT (\w+)", "keys", "foreign_keys") | _CHECKS, valid_constraints),
    ):
        if found != wanted:
            raise _differs(plan, what, f"valid: {sorted(found)}", f"{sorted(wanted)}")


def checksums(connection: Connection) -> dict[str, str]:
    """{table: "rows:sum of row hashes"}: equal for equal rows in any physical order, at one major version.

    Reads every row of every table: tens of seconds at full scale.
    """
    query = sql.SQL("SELECT count(*), coalesce(sum(hash_record_extended(t, 0)), 0) FROM {} AS t")
    sums = {}
    for table in TABLES:
        found = connection.execute(query.format(sql.Identifier(table))).fetchone()
        assert found is not None
        sums[table] = f"{found[0]}:{found[1]}"
    return sums


def database_bytes(connection: Connection, name: str) -> int:
    return int(one(connection, "SELECT pg_database_size(%s)", (name,))[0])


def _names(connection: Connection, query: str) -> set[str]:
    return {row[0] for row in connection.execute(query.encode()).fetchall()}


def _named(pattern: str, *parts: str) -> set[str]:
    """The names in our own schema files: a key added there is required here without a second list."""
    return {
        match[1]
        for part in parts
        for statement in statements(SCHEMA / f"{part}.sql")
        if (match := re.search(pattern, statement))
    }


def _differs(plan: SeedPlan, what: str, found: str, wanted: str) -> EnvironmentNotReady:
    return EnvironmentNotReady(
        f"the data ({plan}) is not as seeded: {what}",
        f"found {found}\nexpected {wanted}",
        f"python -m vcpu_ladder.postgres seed --anew {plan.arguments}",
    )
