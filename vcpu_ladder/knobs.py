"""The registry of knobs: every setting a stage may change, written down once.

The ladder loader validates with it, the service reads its ``API_*`` settings through it, the runner
derives from it what the running service must prove, and ``vcpu-ladder knobs`` and the README's table
print it. Adding a knob is one entry here and the code that acts on it in ``services/``.

Standard library only: the service's image carries this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from services.api.sqlite_profiles import SQLITE_PROFILES, reported_pragmas
from services.mock.profiles import PROFILES as UPSTREAM_PROFILES

Value = str | int
Knobs = Mapping[str, Value]
Where = Literal["worker", "fleet", "upstream"]


@dataclass(frozen=True)
class Proof:
    """What must be read from the live service for a knob to count as in force.

    ``where``: ``worker`` is a key of every worker's ``GET /effective``; ``fleet`` is what the runner
    sees of all workers together; ``upstream`` is a key of the mock's ``GET /stats``.
    ``expected`` maps the resolved knobs to the value that must be found there.
    """

    key: str
    expected: Callable[[Knobs], object]
    where: Where = "worker"


@dataclass(frozen=True)
class Knob:
    """One setting. ``allowed`` is a tuple of words, or an inclusive (low, high) range of integers.

    ``idle_because`` answers why a change of this knob cannot act on a stage with these knobs, and
    ``clash`` why no stage can have these knobs at all; None where all is well.
    """

    name: str
    default: Value
    allowed: tuple[str, ...] | tuple[int, int]
    unit: str
    help: str
    proof: Proof
    idle_because: Callable[[Knobs], str | None] = lambda knobs: None
    clash: Callable[[Knobs], str | None] = lambda knobs: None

    @property
    def variable(self) -> str:
        """The environment variable through which the service reads this knob."""
        return f"API_{self.name.upper()}"

    @property
    def numeric(self) -> bool:
        return isinstance(self.default, int)

    def describe_allowed(self) -> str:
        if self.numeric:
            return f"{self.allowed[0]} to {self.allowed[1]}"
        return " | ".join(str(word) for word in self.allowed)

    def parse(self, value: object, extra: tuple[str, ...] = ()) -> Value:
        """The value in its own type. ``extra`` are further allowed words (a ladder's own profiles).

        Raises ValueError with what is allowed.
        """
        if self.numeric:
            return self._parse_number(value)
        if isinstance(value, str) and value in (*self.allowed, *extra):
            return value
        words = " | ".join(str(word) for word in (*self.allowed, *extra))
        raise ValueError(f"{self.name} = {value!r} is not allowed: {words}")

    def _parse_number(self, value: object) -> int:
        low, high = (int(bound) for bound in self.allowed)
        try:
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise ValueError
            number = int(value)
        except ValueError:
            number = None
        if number is None or not low <= number <= high:
            raise ValueError(
                f"{self.name} = {value!r} is not allowed: {self.describe_allowed()} {self.unit}".rstrip()
            )
        return number


def _needs(knob: str, values: tuple[str, ...], reason: str) -> Callable[[Knobs], str | None]:
    return lambda knobs: None if knobs[knob] in values else reason.format(value=knobs[knob])


_DIALECT = {"sqlite": "sqlite", "postgres": "postgresql"}
_BARE = {"asyncpg": 10, "psycopg": 4}
"""Drivers used without SQLAlchemy, and how many connections their own pools have by default."""


def _driver(knobs: Knobs) -> str:
    awaiting = knobs["handlers"] == "async"
    if knobs["driver"] in _BARE:
        return str(knobs["driver"])
    if knobs["database"] == "sqlite":
        return "sqlalchemy+aiosqlite" if awaiting else "sqlalchemy+pysqlite"
    if knobs["driver"] == "sqlalchemy-asyncpg":
        return "sqlalchemy+asyncpg"
    return "sqlalchemy+psycopg"


def _driver_clash(knobs: Knobs) -> str | None:
    if knobs["driver"] != "sqlalchemy" and knobs["database"] == "sqlite":
        return "this driver speaks PostgreSQL only: it needs database = postgres"
    if "asyncpg" in str(knobs["driver"]) and knobs["handlers"] != "async":
        return "asyncpg only awaits: it needs handlers = async"
    if knobs["driver"] == "asyncpg" and knobs["pool"] == "null":
        return "asyncpg's own pool cannot be switched off: it needs another pool"
    return None


def _pool_class(knobs: Knobs) -> str:
    awaiting = "Async" if knobs["handlers"] == "async" else ""
    if knobs["driver"] == "asyncpg":
        return "asyncpg.Pool"
    if knobs["driver"] == "psycopg":
        return f"{awaiting}{'Null' if knobs['pool'] == 'null' else ''}ConnectionPool"
    if knobs["pool"] == "null":
        return "NullPool"
    return "AsyncAdaptedQueuePool" if knobs["handlers"] == "async" else "QueuePool"


def _pool_shape(knob: str, library_default: int) -> Callable[[Knobs], object]:
    def expected(knobs: Knobs) -> object:
        if knobs["driver"] in _BARE:
            # Their pools have one bound, and it shows as the size.
            if knob == "pool_overflow" or knobs["pool"] == "null":
                return None
            if knobs["pool"] == "default":
                return _BARE[str(knobs["driver"])]
            return int(knobs["pool_size"]) + int(knobs["pool_overflow"])
        if knobs["pool"] == "null":
            return None
        return library_default if knobs["pool"] == "default" else knobs[knob]

    return expected


def _client_class(knobs: Knobs) -> str:
    if knobs["http_client"] == "aiohttp":
        return "aiohttp.client.ClientSession"
    return "httpx.AsyncClient" if knobs["handlers"] == "async" else "httpx.Client"


_POOL_IDLE = "pool = {value} has no size to set here; use pool = queue"

KNOBS: dict[str, Knob] = {
    knob.name: knob
    for knob in (
        Knob(
            "handlers",
            "async",
            ("sync", "async", "blocking"),
            "",
            "sync: def, run on threads; async: async def, awaiting every wait; "
            "blocking: async def around the blocking calls of sync",
            Proof("handlers", lambda knobs: knobs["handlers"]),
        ),
        Knob(
            "threads",
            40,
            (1, 1000),
            "threads a worker",
            "tokens of AnyIO's default limiter, on which def handlers run; 40 is FastAPI's own",
            Proof("threads", lambda knobs: knobs["threads"]),
            _needs("handlers", ("sync",), "handlers = {value} runs no handler on threads"),
        ),
        Knob(
            "server",
            "uvicorn",
            ("uvicorn", "gunicorn"),
            "",
            "what starts the workers: uvicorn's own supervisor, or gunicorn with uvicorn-worker",
            Proof("server", lambda knobs: knobs["server"]),
        ),
        Knob(
            "workers",
            1,
            (1, 32),
            "processes",
            "worker processes sharing the listening socket",
            Proof("workers", lambda knobs: knobs["workers"], "fleet"),
        ),
        Knob(
            "database",
            "sqlite",
            ("sqlite", "postgres"),
            "",
            "where the shop is: a SQLite file, or a PostgreSQL server",
            Proof("database", lambda knobs: _DIALECT[str(knobs["database"])]),
        ),
        Knob(
            "driver",
            "sqlalchemy",
            ("sqlalchemy", "sqlalchemy-asyncpg", "asyncpg", "psycopg"),
            "",
            "sqlalchemy: over sqlite3 or aiosqlite, on PostgreSQL over psycopg; the others: SQLAlchemy over "
            "asyncpg, bare asyncpg, bare psycopg with psycopg_pool",
            Proof("driver", _driver),
            clash=_driver_clash,
        ),
        Knob(
            "prepared",
            "on",
            ("on", "off"),
            "",
            "whether the PostgreSQL driver keeps prepared statements, as each does by default",
            Proof(
                "prepared", lambda knobs: None if knobs["database"] == "sqlite" else knobs["prepared"] == "on"
            ),
            _needs("database", ("postgres",), "database = {value} has no prepared statements to switch off"),
        ),
        Knob(
            "sqlite",
            "default",
            tuple(SQLITE_PROFILES),
            "",
            "PRAGMAs set on each new connection; tuned: "
            + ", ".join(f"{name}={value}" for name, value in SQLITE_PROFILES["tuned"].items()),
            Proof(
                "sqlite",
                lambda knobs: reported_pragmas(str(knobs["sqlite"])) if knobs["database"] == "sqlite" else {},
            ),
            _needs("database", ("sqlite",), "database = {value} has no PRAGMAs"),
        ),
        Knob(
            "pool",
            "default",
            ("default", "null", "queue"),
            "",
            "default: what SQLAlchemy picks for the driver; null: a connection a session; "
            "queue: a queue pool of pool_size + pool_overflow",
            Proof("pool", _pool_class),
        ),
        Knob(
            "pool_size",
            5,
            (1, 500),
            "connections a worker",
            "connections kept by pool = queue",
            Proof("pool_size", _pool_shape("pool_size", 5)),
            _needs("pool", ("queue",), _POOL_IDLE),
        ),
        Knob(
            "pool_overflow",
            10,
            (0, 500),
            "connections a worker",
            "connections pool = queue may open beyond pool_size; a bare driver's pool "
            "has one bound, the sum of both",
            Proof("pool_overflow", _pool_shape("pool_overflow", 10)),
            _needs("pool", ("queue",), _POOL_IDLE),
        ),
        Knob(
            "hold",
            "request",
            ("request", "statements"),
            "",
            "how long a session keeps its connection: the whole request, upstream call included, "
            "or one group of statements",
            Proof("hold", lambda knobs: knobs["hold"]),
        ),
        Knob(
            "http_client",
            "httpx",
            ("httpx", "aiohttp"),
            "",
            "client of the upstream, one a worker, connections unlimited; httpx blocks under sync handlers",
            Proof("http_client", _client_class),
            clash=lambda knobs: (
                "aiohttp only awaits: it needs handlers = async"
                if knobs["http_client"] == "aiohttp" and knobs["handlers"] != "async"
                else None
            ),
        ),
        Knob(
            "upstream_timeout_s",
            120,
            (1, 600),
            "s",
            "how long the service waits for the upstream before it answers 504",
            Proof("upstream_timeout_s", lambda knobs: float(knobs["upstream_timeout_s"])),
        ),
        Knob(
            "upstream",
            "fast",
            tuple(UPSTREAM_PROFILES),
            "",
            "delay of the upstream, lognormal: "
            + ", ".join(
                f"{name} P50 {p.p50_ms:g} ms P99 {p.p99_ms:g} ms" for name, p in UPSTREAM_PROFILES.items()
            ),
            # The runner replaces the name by the profile's figures: a ladder may bring its own profiles.
            Proof("profile", lambda knobs: knobs["upstream"], "upstream"),
        ),
        Knob(
            "instrumentation",
            "instrumentator",
            ("none", "middleware", "instrumentator"),
            "",
            "per-request latency histograms: none, an own ASGI middleware, "
            "or prometheus-fastapi-instrumentator",
            Proof("instrumentation", lambda knobs: knobs["instrumentation"]),
        ),
        Knob(
            "cpus",
            1,
            (1, 64),
            "CPUs",
            "CPUs the service may use",
            Proof("cpus", lambda knobs: knobs["cpus"]),
        ),
        Knob(
            "pinning",
            "cpuset",
            ("cpuset", "quota"),
            "",
            "what holds the service to its CPUs: cpuset: CPUs of its own (native: affinity, compose: beside "
            "its quota); quota: CPU time alone, on any CPU (compose only)",
            Proof("pinning", lambda knobs: knobs["pinning"]),
        ),
    )
}

DEFAULTS: Knobs = {name: knob.default for name, knob in KNOBS.items()}
