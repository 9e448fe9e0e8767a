"""The SQLite profiles: what the ``sqlite`` knob stands for. Data only, so that the runner can read it.

A profile is applied as PRAGMAs on every new connection, in this order, as applications commonly do.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SQLITE_PROFILES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        # SQLite as Python opens it: rollback journal, full synchronisation, 5 s busy timeout.
        "default": MappingProxyType({}),
        "tuned": MappingProxyType(
            {
                "journal_mode": "wal",
                "synchronous": "normal",
                "cache_size": "-65536",  # KiB
                "mmap_size": "268435456",  # bytes
                "temp_store": "memory",
                "busy_timeout": "5000",  # ms
            }
        ),
    }
)

# What ``PRAGMA name`` returns where SQLite reports a number for a word.
_REPORTED = {
    "synchronous": {"off": "0", "normal": "1", "full": "2"},
    "temp_store": {"default": "0", "file": "1", "memory": "2"},
}
# What the default profile must report: read from SQLite's and Python's documentation.
_UNTUNED = {
    "journal_mode": "delete",
    "synchronous": "2",
    "cache_size": "-2000",
    "mmap_size": "0",
    "temp_store": "0",
    "busy_timeout": "5000",
}


def reported_pragmas(profile: str) -> dict[str, str]:
    """What a live connection must report for ``profile``: {pragma: value as text}."""
    wanted = SQLITE_PROFILES[profile]
    return {
        name: _REPORTED.get(name, {}).get(wanted[name], wanted[name]) if name in wanted else untouched
        for name, untouched in _UNTUNED.items()
    }
