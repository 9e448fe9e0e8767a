"""Engine arguments from knobs: the SQLite profile and the pool."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import URL, Engine, TextClause, event, text
from sqlalchemy.pool import NullPool

from services.api.settings import Settings
from services.api.sqlite_profiles import SQLITE_PROFILES


@cache
def clause(sql: str) -> TextClause:
    """The statement as SQLAlchemy wants it, parsed once and not at each request."""
    return text(sql)


def sqlite_url(settings: Settings, driver: str) -> URL:
    return URL.create(f"sqlite+{driver}", database=str(settings.sqlite_path))


def pool_arguments(settings: Settings) -> dict[str, Any]:
    """``create_engine`` arguments for the pool knobs; none at all where the library shall choose."""
    match settings.word("pool"):
        case "null":
            return {"poolclass": NullPool}
        case "queue":
            return {
                "pool_size": settings.number("pool_size"),
                "max_overflow": settings.number("pool_overflow"),
            }
        case _:
            return {}


def apply_sqlite_profile(engine: Engine, settings: Settings) -> None:
    """Set the profile's PRAGMAs on every connection the engine opens."""
    pragmas = SQLITE_PROFILES[settings.word("sqlite")]
    if not pragmas:
        return

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for name, value in pragmas.items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()
