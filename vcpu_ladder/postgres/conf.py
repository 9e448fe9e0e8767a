"""Settings for seeding: what a session can set is set, and the rest is compared and reported."""

from __future__ import annotations

import re
from pathlib import Path

from psycopg import sql

from vcpu_ladder.postgres.connect import Connection, one

_LINE = re.compile(r"(\w+)\s*=\s*('(?:[^']*)'|[^#\s]+)\s*(?:#.*)?")


def read_settings(path: Path) -> dict[str, str]:
    """{name: value} of one of our configuration files. Raises ValueError for a line that is not a setting."""
    settings = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"{path.name}: not a setting: {line}")
        settings[match[1]] = match[2].strip("'")
    return settings


def set_for_session(connection: Connection, wanted: dict[str, str]) -> dict[str, str]:
    """Set what this session may; returns {name: value in force} of settings that stay different.

    Values are compared as the server shows them, so the files write them that way (``8GB``, ``on``).
    """
    different = {}
    for name, value in wanted.items():
        context = one(connection, "SELECT min(context) FROM pg_settings WHERE name = %s", (name,))[0]
        if context is None:
            different[name] = "unknown to this server"
            continue
        if context == "user":
            connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
        in_force = one(connection, "SELECT current_setting(%s)", (name,))[0]
        if in_force != value:
            different[name] = in_force
    return different
