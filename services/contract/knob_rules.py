"""What the registry's entries need from one another: expected proofs, conflicts, and why one has no effect.

Standard library only: the service's image carries this module.
"""

from __future__ import annotations

from collections.abc import Callable

from services.contract.endpoints import ENDPOINTS, study_kinds
from services.contract.knob import Knobs, Value


def needs(knob: str, values: tuple[str, ...], reason: str) -> Callable[[Knobs], str | None]:
    """An ``inapplicable_because``: None if the knob has one of the values, else the reason."""
    return lambda knobs: None if knobs[knob] in values else reason.format(value=knobs[knob])


DIALECT = {"sqlite": "sqlite", "postgres": "postgresql"}
BARE = {"asyncpg": 10, "psycopg": 4}
"""Drivers used without SQLAlchemy, and how many connections their own pools have by default."""


def driver(knobs: Knobs) -> str:
    """The driver that the live pool must report."""
    awaiting = knobs["handlers"] == "async"
    if knobs["driver"] in BARE:
        return str(knobs["driver"])
    if knobs["database"] == "sqlite":
        return "sqlalchemy+aiosqlite" if awaiting else "sqlalchemy+pysqlite"
    if knobs["driver"] == "sqlalchemy-asyncpg":
        return "sqlalchemy+asyncpg"
    return "sqlalchemy+psycopg"


def driver_conflict(knobs: Knobs) -> str | None:
    if knobs["driver"] != "sqlalchemy" and knobs["database"] == "sqlite":
        return "this driver speaks PostgreSQL only: it needs database = postgres"
    if "asyncpg" in str(knobs["driver"]) and knobs["handlers"] != "async":
        return "asyncpg only awaits: it needs handlers = async"
    if knobs["driver"] == "asyncpg" and knobs["pool"] == "null":
        return "asyncpg's own pool cannot be switched off: it needs another pool"
    return None


def pool_class(knobs: Knobs) -> str:
    """The class of the shop's live pool."""
    awaiting = "Async" if knobs["handlers"] == "async" else ""
    if knobs["driver"] == "asyncpg":
        return "asyncpg.Pool"
    if knobs["driver"] == "psycopg":
        return f"{awaiting}{'Null' if knobs['pool'] == 'null' else ''}ConnectionPool"
    if knobs["pool"] == "null":
        return "NullPool"
    return "AsyncAdaptedQueuePool" if knobs["handlers"] == "async" else "QueuePool"


def pool_shape(knob: str, library_default: int) -> Callable[[Knobs], object]:
    """What a live pool must report for ``pool_size`` or ``pool_overflow``; None if it has no such bound."""

    def expected(knobs: Knobs) -> object:
        if endpoint_names(knobs, knob):  # the study's own pools
            return knobs[knob]
        if knobs["driver"] in BARE:
            # Their pools have one bound, which is reported as the size.
            if knob == "pool_overflow" or knobs["pool"] == "null":
                return None
            if knobs["pool"] == "default":
                return BARE[str(knobs["driver"])]
            return int(knobs["pool_size"]) + int(knobs["pool_overflow"])
        if knobs["pool"] == "null":
            return None
        return library_default if knobs["pool"] == "default" else knobs[knob]

    return expected


def client_class(knobs: Knobs) -> str:
    """The class of the live upstream client."""
    if knobs["http_client"] == "aiohttp":
        return "aiohttp.client.ClientSession"
    return "httpx.AsyncClient" if knobs["handlers"] == "async" else "httpx.Client"


def routes(knobs: Knobs) -> dict[str, str]:
    """{path: kind of function} that must be mounted besides the shop."""
    endpoint = ENDPOINTS.get(str(knobs["endpoint"]))
    return study_kinds(endpoint.study) if endpoint else {}


def on(study: str, knob: str, otherwise: Value | None = None) -> Callable[[Knobs], object]:
    """What a study's knob must report on that study, and elsewhere."""

    def expected(knobs: Knobs) -> object:
        endpoint = ENDPOINTS.get(str(knobs["endpoint"]))
        return knobs[knob] if endpoint is not None and endpoint.study == study else otherwise

    return expected


def endpoint_names(knobs: Knobs, knob: str) -> bool:
    """Whether the load calls a published path that lists the knob as its own."""
    endpoint = ENDPOINTS.get(str(knobs["endpoint"]))
    return endpoint is not None and knob in endpoint.knobs


def needs_postgres(knobs: Knobs) -> str | None:
    if endpoint_names(knobs, "database") and knobs["database"] != "postgres":
        return "this study's statements are PostgreSQL's: it needs database = postgres"
    return None


POOL_IDLE = "pool = {value} has no size to set here; use pool = queue"
