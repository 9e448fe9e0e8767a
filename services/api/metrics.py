"""The metrics for Prometheus, aggregated over all workers through the multiprocess files.

Gauges are set from plain counters twice a second, so that a request pays almost nothing. On a scrape, the
worker that answers publishes at once, and the others within one probe interval of the loop's lag.
``PROMETHEUS_MULTIPROC_DIR`` must be set and empty before this module is imported.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_fastapi_instrumentator import Instrumentator

from services.api.gauge_files import ask, asked_at_ns, forget_the_dead
from services.api.meter import OWN_PATHS, ASGIApp, Receive, Scope, Send
from services.api.threads import THREADS
from services.contract.cgroup import Cgroup, read_cgroup
from services.contract.labels import RUN_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fastapi import FastAPI

    from services.api.db.pool_state import PoolState
    from services.api.meter import Meter

PUBLISH_EVERY_S = 0.5
LAG_PROBE_S = 0.05

# ``liveall``: one value per worker, dropped with it. ``publications`` is first in the workers' files, which
# are read from the beginning, and is written last: a reader that sees n has all that the n-th published.
_GAUGES = {
    name: Gauge(f"ladder_api_{name}", text, multiprocess_mode="liveall")
    for name, text in {
        "publications": "Times that this worker has published these gauges",
        "requests": "Requests begun by this worker",
        "in_flight": "Requests in flight in this worker",
        "statements": "SQL statements sent by this worker",
        "upstream_calls": "Upstream calls begun by this worker",
        "upstream_in_flight": "Upstream calls in flight in this worker",
        "threads_total": "Tokens of AnyIO's default thread limiter",
        "threads_borrowed": "Tokens in use",
        "threads_waiting": "Calls waiting for a token",
        "threads_alive": "Python threads of this worker, aiosqlite's connections apart",
        "threads_created": "Such threads this worker has had",
        "pool_capacity": "Connections the pool may hand out, 0 where it has no limit",
        "pool_checked_out": "Connections handed out by the pool",
        "pool_waiting": "Requests waiting for a connection",
        "too_many_clients": "Requests refused because the database server had no connection left",
        "pool_timeouts": "Requests refused because the pool had no connection in time",
        "database_unavailable": "Requests refused because the database failed in another way",
        "loop_lag_seconds": "Longest delay of the event loop since the last publication",
    }.items()
}

# Summed over all workers, dead ones too. The library's own process metrics do not exist with several workers.
_CPU = Counter("ladder_api_cpu_seconds", "CPU time of the workers")

# ``max``: one series, not one per worker.
_RUN = Gauge(
    "ladder_api_run_info", "1: the run that is served now", tuple(RUN_LABELS), multiprocess_mode="max"
)

_LATENCY = Histogram(
    "ladder_api_request_duration_seconds",
    "Time from a request's start to its response, by route (own middleware)",
    ("method", "route", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)


class ObserveLatency:
    """ASGI middleware of ``instrumentation = middleware``: one histogram observation per request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OWN_PATHS:
            await self.app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def watch(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            _LATENCY.labels(scope["method"], route, str(status)).observe(time.perf_counter() - started)


def instrument(app: FastAPI, instrumentation: str) -> None:
    """Add the per-request instrument that the knob names."""
    if instrumentation == "middleware":
        app.add_middleware(ObserveLatency)
    elif instrumentation == "instrumentator":
        Instrumentator(excluded_handlers=[f"^{path}$" for path in sorted(OWN_PATHS)]).instrument(app)


def scrape() -> bytes:
    """All workers' metrics as last published, in Prometheus' text format; the others publish soon after."""
    ask()
    forget_the_dead()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(CgroupCollector(read_cgroup()))
    return generate_latest(registry)


class CgroupCollector(Collector):
    """The one cgroup of all workers, so it is read on each scrape and shown once; nothing if it is None."""

    def __init__(self, cgroup: Cgroup | None) -> None:
        self._cgroup = cgroup

    def collect(self) -> Iterator[Metric]:
        cgroup = self._cgroup
        if cgroup is None:
            return
        gauges = {
            "quota_seconds": ("CPU time allowed in a period", cgroup.quota_s),
            "period_seconds": ("Length of a quota's period", cgroup.period_s),
            "memory_limit_bytes": ("Memory limit", cgroup.memory_limit_bytes),
        }
        counters = {
            "periods": ("Periods in which anything ran", cgroup.periods),
            "throttled_periods": ("Periods that used up their quota", cgroup.throttled_periods),
            "throttled_seconds": ("Time frozen by the quota, summed over CPUs", cgroup.throttled_s),
            "cpu_seconds": ("CPU time used, the supervisor's included", cgroup.cpu_s),
            "oom_kills": ("Processes killed at the memory limit", cgroup.oom_kills),
        }
        for family, metrics in ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters)):
            for name, (text, value) in metrics.items():
                if value is not None:
                    yield family(f"ladder_api_cgroup_{name}", f"{text} (own cgroup)", value=value)


def show_run(labels: Mapping[str, str]) -> None:
    """Publish ``ladder_api_run_info`` if the run has labels."""
    if any(labels.values()):
        _RUN.labels(**labels).set(1)


class Publisher:
    """Publishes one worker's gauges. All but the loop's lag may be published at any time."""

    def __init__(self, meter: Meter, pool_state: Callable[[], PoolState]) -> None:
        self._meter = meter
        self._pool_state = pool_state

    async def publish_for_ever(self) -> None:
        """Measure the loop's lag and publish all gauges until cancelled."""
        loop = asyncio.get_running_loop()
        lag = cpu_s = 0.0
        due = loop.time() + PUBLISH_EVERY_S
        answered_ns = 0
        while True:
            asleep = loop.time()
            await asyncio.sleep(LAG_PROBE_S)
            now = loop.time()
            lag = max(lag, now - asleep - LAG_PROBE_S)
            if now >= due:
                _GAUGES["loop_lag_seconds"].set(lag)
                self.publish()
                used_s = time.process_time()
                _CPU.inc(used_s - cpu_s)
                cpu_s = used_s
                lag, due = 0.0, now + PUBLISH_EVERY_S
            elif (asked_ns := asked_at_ns()) != answered_ns:
                answered_ns = asked_ns
                self.publish()

    def publish(self) -> None:
        """Publish the current values, so that the worker that answers ``/metrics`` shows no stale ones."""
        pool = self._pool_state()
        threads = anyio.to_thread.current_default_thread_limiter().statistics()
        for name, value in vars(self._meter).items():
            _GAUGES[name].set(value)
        _GAUGES["threads_total"].set(threads.total_tokens)
        _GAUGES["threads_borrowed"].set(threads.borrowed_tokens)
        _GAUGES["threads_waiting"].set(threads.tasks_waiting)
        THREADS.look()
        _GAUGES["threads_alive"].set(THREADS.alive)
        _GAUGES["threads_created"].set(THREADS.created)
        _GAUGES["pool_capacity"].set(pool.capacity)
        _GAUGES["pool_checked_out"].set(pool.checked_out)
        _GAUGES["publications"].inc()
