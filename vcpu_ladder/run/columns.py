"""The columns of a sample: one registry. Adding a column is one entry; the CSV, the medians, the events and
the record follow.

A column is computed from two readings, about a second apart. A reading that does not arrive in time leaves
its columns empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vcpu_ladder.environments.base import Activity, Usage
from vcpu_ladder.run.counters import Counters

Merge = Callable[[Sequence[float]], float]


@dataclass(frozen=True)
class Reading:
    """Everything read at one moment. ``at`` is monotonic, in seconds; a source that did not answer is None.

    ``workers`` are every worker's counters; ``mock`` is the upstream's ``/stats``; ``sent`` the
    requests that the load generator has counted since its start.
    """

    at: float
    usage: Usage
    sent: float | None
    workers: Counters | None
    mock: Mapping[str, Any] | None
    database: Activity | None


@dataclass(frozen=True)
class Tick:
    """Two readings, and the number of CPUs that the shares relate to."""

    before: Reading
    now: Reading
    service_cpus: int
    generator_cpus: int

    def share(self, later: float | None, earlier: float | None, cpus: int = 1) -> float | None:
        """Growth per second and CPU; never negative, even if processes ended between the two readings."""
        if later is None or earlier is None:
            return None
        return max(0.0, float(later - earlier) / (self.now.at - self.before.at) / cpus)

    def used(self, field: str, cpus: int = 1) -> float | None:
        """Growth of a field of ``Usage`` per second and CPU."""
        return self.share(getattr(self.now.usage, field), getattr(self.before.usage, field), cpus)


@dataclass(frozen=True)
class Column:
    """One value of each sample.

    ``unit``: ratio (1 is all of it), bytes, ms, 1/s, or what is counted. ``per`` says whether it belongs to
    the whole or to each worker; a worker's column has ``merge``, which combines the workers' values.
    """

    name: str
    unit: str
    read: Callable[[Tick], float | None]
    per: Literal["whole", "worker"] = "whole"
    merge: Merge | None = None


def _usage(name: str, unit: str) -> Column:
    return Column(name, unit, lambda tick: getattr(tick.now.usage, name))


def _service(name: str, field: str) -> Column:
    return Column(name, "ratio", lambda tick: tick.used(field, tick.service_cpus))


def _beside(name: str, field: str) -> Column:
    return Column(name, "ratio", lambda tick: tick.used(field, tick.generator_cpus))


def _database(name: str, unit: str, read: Callable[[Activity], float]) -> Column:
    return Column(name, unit, lambda tick: read(tick.now.database) if tick.now.database else None)


def _worker(name: str, unit: str, gauge: str, merge: Merge = sum, scale: float = 1.0) -> Column:
    def read(tick: Tick) -> float | None:
        workers = tick.now.workers
        values = workers.values(gauge) if workers else []
        return scale * merge(values) if values else None

    return Column(name, unit, read, "worker", merge)


def _mock(name: str, unit: str, read: Callable[[Mapping[str, Any]], float | None]) -> Column:
    return Column(name, unit, lambda tick: read(tick.now.mock) if tick.now.mock else None)


COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("rps", "1/s", lambda tick: tick.share(tick.now.sent, tick.before.sent)),
        _service("service_cpu_ratio", "service_cpu_s"),
        _usage("service_rss_bytes", "bytes"),
        Column("service_os_threads", "threads", lambda tick: tick.now.usage.service_threads),
        Column("service_throttled_ratio", "ratio", lambda tick: tick.used("throttled_s")),
        _service("foreign_cpu_ratio", "foreign_cpu_s"),
        _service("stolen_cpu_ratio", "stolen_cpu_s"),
        _beside("generator_cpu_ratio", "generator_cpu_s"),
        _usage("generator_rss_bytes", "bytes"),
        _beside("upstream_cpu_ratio", "upstream_cpu_s"),
        _beside("database_cpu_ratio", "database_cpu_s"),
        _database("database_connections", "connections", lambda seen: sum(seen.by_pid.values())),
        _database("database_active", "connections", lambda seen: seen.active),
        _database("database_idle", "connections", lambda seen: seen.idle),
        _database("database_idle_in_transaction", "connections", lambda seen: seen.idle_in_transaction),
        _database("database_waiting_for_locks", "connections", lambda seen: seen.waiting_for_locks),
        _database("database_interruptions", "sessions", lambda seen: seen.interruptions),
        _beside("others_busy_ratio", "others_busy_s"),
        _worker("in_flight", "requests", "in_flight"),
        _worker("upstream_in_flight", "calls", "upstream_in_flight"),
        _worker("threads_total", "threads", "threads_total"),
        _worker("threads_borrowed", "threads", "threads_borrowed"),
        _worker("threads_waiting", "requests", "threads_waiting"),
        _worker("threads_alive", "threads", "threads_alive"),
        _worker("threads_created", "threads", "threads_created"),
        _worker("pool_capacity", "connections", "pool_capacity"),
        _worker("pool_checked_out", "connections", "pool_checked_out"),
        _worker("pool_waiting", "requests", "pool_waiting"),
        # The worst worker's: summed over sixteen punctual loops, small lags would look like one late loop.
        _worker("loop_lag_ms", "ms", "loop_lag_seconds", max, 1000.0),
        _mock("mock_in_flight", "calls", lambda stats: stats.get("in_flight")),
        _mock("mock_timer_error_p99_ms", "ms", lambda stats: (stats.get("timer_error_ms") or {}).get("p99")),
    )
}
