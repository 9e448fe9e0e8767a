"""The registry of knobs: every setting a stage may change, defined once.

The ladder loader validates with it, the service reads its ``API_*`` settings through it, the runner
derives from it what the running service must prove, and ``vcpu-ladder knobs`` and the README's table
print it. Adding a knob is one entry here and the code that acts on it in ``services/``.

Standard library only: the service's image carries this module.
"""

from __future__ import annotations

from services.contract import knob_rules as rules
from services.contract.delays import PROFILES as UPSTREAM_PROFILES
from services.contract.endpoints import ENDPOINTS, SHOP
from services.contract.knob import Knob, Knobs, Proof
from services.contract.sqlite_profiles import SQLITE_PROFILES, reported_pragmas

KNOBS: dict[str, Knob] = {
    knob.name: knob
    for knob in (
        Knob(
            "endpoint",
            SHOP,
            (SHOP, *ENDPOINTS),
            "",
            "what the load calls: the shop's weighted mix, or one path of a published study",
            Proof("endpoint", rules.routes),
            conflict=rules.needs_postgres,
            scope="service",
        ),
        Knob(
            "fib",
            15,
            (0, 35),
            "n",
            "the simulation study's recursion: which Fibonacci number a request computes",
            Proof("fib", lambda knobs: knobs["fib"] if rules.endpoint_names(knobs, "fib") else None),
            scope="study",
        ),
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
            rules.needs("handlers", ("sync",), "handlers = {value} runs no handler on threads"),
        ),
        Knob(
            "server",
            "uvicorn",
            ("uvicorn", "gunicorn"),
            "",
            "what starts the workers: uvicorn's own supervisor, or gunicorn with uvicorn-worker",
            Proof("server", lambda knobs: knobs["server"]),
            scope="service",
        ),
        Knob(
            "workers",
            1,
            (1, 32),
            "processes",
            "worker processes sharing the listening socket",
            Proof("workers", lambda knobs: knobs["workers"], "fleet"),
            scope="service",
        ),
        Knob(
            "database",
            "sqlite",
            ("sqlite", "postgres"),
            "",
            "where the shop is: a SQLite file, or a PostgreSQL server",
            Proof("database", lambda knobs: rules.DIALECT[str(knobs["database"])]),
        ),
        Knob(
            "driver",
            "sqlalchemy",
            ("sqlalchemy", "sqlalchemy-asyncpg", "asyncpg", "psycopg"),
            "",
            "sqlalchemy: over sqlite3 or aiosqlite, on PostgreSQL over psycopg; the others: SQLAlchemy over "
            "asyncpg, bare asyncpg, bare psycopg with psycopg_pool",
            Proof("driver", rules.driver),
            conflict=rules.driver_conflict,
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
            rules.needs(
                "database", ("postgres",), "database = {value} has no prepared statements to switch off"
            ),
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
            rules.needs("database", ("sqlite",), "database = {value} has no PRAGMAs"),
        ),
        Knob(
            "pool",
            "default",
            ("default", "null", "queue"),
            "",
            "default: what SQLAlchemy picks for the driver; null: a connection a session; "
            "queue: a queue pool of pool_size + pool_overflow",
            Proof("pool", rules.pool_class),
        ),
        Knob(
            "pool_size",
            5,
            (1, 500),
            "connections a worker",
            "connections kept by pool = queue",
            Proof("pool_size", rules.pool_shape("pool_size", 5)),
            rules.needs("pool", ("queue",), rules.POOL_IDLE),
        ),
        Knob(
            "pool_overflow",
            10,
            (0, 500),
            "connections a worker",
            "connections pool = queue may open beyond pool_size; a bare driver's pool "
            "has one bound, the sum of both",
            Proof("pool_overflow", rules.pool_shape("pool_overflow", 10)),
            rules.needs("pool", ("queue",), rules.POOL_IDLE),
        ),
        Knob(
            "hold",
            "request",
            ("request", "statements", "dependency", "login"),
            "",
            "how long a session keeps its connection: request: from the handler's first statement to its "
            "end, upstream call included; statements: one group of statements; dependency: as request, but "
            "a dependency opens and closes the session; login: and looks the caller up before the handler "
            "starts",
            Proof("hold", lambda knobs: knobs["hold"]),
        ),
        Knob(
            "http_client",
            "httpx",
            ("httpx", "aiohttp"),
            "",
            "client of the upstream, one a worker, connections unlimited; httpx blocks under sync handlers",
            Proof("http_client", rules.client_class),
            conflict=lambda knobs: (
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
            # The runner replaces the name by the profile's figures: a ladder may define its own profiles.
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
            scope="service",
        ),
        Knob(
            "cpus",
            1,
            (1, 64),
            "CPUs",
            "CPUs the service may use",
            Proof("cpus", lambda knobs: knobs["cpus"]),
            scope="service",
        ),
        Knob(
            "task_ms",
            5000,
            (10, 60_000),
            "ms",
            "length of each of the three tasks of the tasks study",
            Proof("task_ms", rules.on("tasks", "task_ms")),
            scope="study",
        ),
        Knob(
            "upstream_client",
            "request",
            ("request", "reused"),
            "",
            "the HTTP I/O study's client of the upstream: made for each request, or once a worker",
            Proof("upstream_client", rules.on("http-io", "upstream_client")),
            scope="study",
        ),
        Knob(
            "request_log",
            "off",
            ("off", "on"),
            "",
            "the HTTP I/O study's logging middleware, which tells the threads alive and created",
            Proof("request_log", rules.on("http-io", "request_log", "off")),
            scope="study",
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


def inapplicable(name: str, knobs: Knobs) -> str | None:
    """Why changing the knob has no effect on a stage with these knobs; None if it has one."""
    knob = KNOBS[name]
    endpoint = ENDPOINTS.get(str(knobs["endpoint"]))
    if knob.scope == "service":
        return knob.inapplicable_because(knobs)
    if endpoint is None and knob.scope == "study":
        return "only published endpoints use it"
    if endpoint is None:
        return knob.inapplicable_because(knobs)
    # A knob without effect on the shop may still affect a study that names it.
    return None if name in endpoint.acting_knobs else f"endpoint = {endpoint.path} does not use it"


def on_threads(knobs: Knobs) -> bool:
    """Whether the handlers that the load calls run on AnyIO's threads."""
    endpoint = ENDPOINTS.get(str(knobs.get("endpoint", SHOP)))  # missing in records older than the knob
    return knobs["handlers"] == "sync" if endpoint is None else not endpoint.coroutine
