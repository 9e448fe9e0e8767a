"""One SQL text for every driver: ``:name`` parameters in each driver's own style."""

from __future__ import annotations

import re
from functools import cache

_NAME = re.compile(r"(?<!:):([a-z_]+)")


@cache
def pyformat(sql: str) -> str:
    """``:name`` as psycopg's ``%(name)s``."""
    return _NAME.sub(r"%(\1)s", sql)


@cache
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """``:name`` as asyncpg's ``$1``, and the names in numeric order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return _NAME.sub(number, sql), tuple(names)
