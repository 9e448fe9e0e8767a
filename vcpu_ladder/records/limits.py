"""What limited a run: one registry of limits, each computed from the samples.

A limit says how full its resource was (1 is full) and, by Little's law or plain division, the
throughput that the resource allows at this load: the ceiling. The first full one, in this order, is
named; adding a limit is one entry. Limits are computed when a record is read, so that old runs are
judged by today's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.contract.endpoints import ENDPOINTS, Endpoint
from services.contract.knobs import on_threads
from vcpu_ladder.records.load import ClosedRecorded
from vcpu_ladder.records.record import Figures, LimitResult, RunRecord

FULL = 0.9


@dataclass(frozen=True)
class Observed:
    """A run as the limits see it. ``medians`` are over the measured samples; ``users`` is None in the open
    model; ``upstream_share`` is calls per request; ``upstream_delay_s`` the mean delay of those calls.
    """

    knobs: Mapping[str, str | int]
    users: int | None
    figures: Figures
    medians: Mapping[str, float | None]
    upstream_share: float
    upstream_delay_s: float

    @classmethod
    def of(cls, record: RunRecord) -> Observed | None:
        """From a record; None without figures."""
        figures = record.figures
        if figures is None:
            return None
        calls = sum(
            latency.n
            for name, latency in figures.latency_by_endpoint.items()
            if latency is not None and name.startswith("upstream_")
        )
        delay_ms = (record.upstream.get("intended_ms") or {}).get("mean") or 0.0
        return cls(
            knobs=record.knobs,
            users=record.load.users if isinstance(record.load, ClosedRecorded) else None,
            figures=figures,
            medians=record.samples,
            upstream_share=calls / figures.completed if figures.completed else 0.0,
            upstream_delay_s=delay_ms / 1000,
        )

    def value(self, column: str) -> float:
        return self.medians.get(column) or 0.0

    @property
    def study(self) -> Endpoint | None:
        """The published endpoint that the load calls; None for the shop, and in records without the knob."""
        return ENDPOINTS.get(str(self.knobs.get("endpoint")))

    @property
    def cpu_s_per_request(self) -> float:
        busy = self.value("service_cpu_ratio") * int(self.knobs["cpus"])
        rate = self.value("rps") or self.figures.rps
        return busy / rate if rate else 0.0

    @property
    def waiting_s_per_request(self) -> float:
        """Mean time that a request waits: for the upstream, or for what its study makes it wait for."""
        if self.study is not None:
            return self.study.least_s(self.knobs)
        return self.upstream_share * self.upstream_delay_s


@dataclass(frozen=True)
class Limit:
    name: str
    saturation: Callable[[Observed], float]
    evidence: Callable[[Observed], str]
    ceiling_rps: Callable[[Observed], float | None]


def _cpu(run: Observed) -> float:
    # CPU that others took was not available to the service either.
    return run.value("service_cpu_ratio") + run.value("foreign_cpu_ratio") + run.value("stolen_cpu_ratio")


def _cpu_evidence(run: Observed) -> str:
    text = f"the service used {run.value('service_cpu_ratio'):.0%} of its CPU"
    taken = run.value("foreign_cpu_ratio") + run.value("stolen_cpu_ratio")
    return f"{text}, others {taken:.0%}" if taken >= 0.01 else text


def _threads(run: Observed) -> float:
    total = run.value("threads_total")
    if not on_threads(run.knobs) or not total or run.value("threads_waiting") < 1:
        return 0.0
    return run.value("threads_borrowed") / total


def _loop(run: Observed) -> float:
    # Blocked, not busy: the loop answers late while the CPU has time left.
    samples = run.value("samples")
    may_block = run.study.coroutine if run.study else run.knobs["handlers"] == "blocking"
    if not may_block or not samples:
        return 0.0
    unanswered = run.value("samples_unanswered") / samples
    return max(unanswered, min(1.0, run.value("loop_lag_ms") / 100))


def _pool(run: Observed) -> float:
    capacity = run.value("pool_capacity")
    return run.value("pool_checked_out") / capacity if capacity and run.value("pool_waiting") >= 1 else 0.0


def _parked_column(run: Observed) -> str:
    # A study's requests wait inside the service and are in flight there. This limit is the last in the
    # registry, so every other full resource is named before it.
    return "in_flight" if run.study and run.study.least_s(run.knobs) else "mock_in_flight"


def _other_cpus(run: Observed) -> float:
    # Database, upstream and load generator share these CPUs: when full, they are the bottleneck.
    return sum(run.value(f"{part}_cpu_ratio") for part in ("database", "upstream", "generator"))


def _parked(run: Observed) -> float:
    return run.value(_parked_column(run)) / run.users if run.users else 0.0


def _per(capacity: float, seconds: float) -> float | None:
    return capacity / seconds if seconds > 0 else None


def _pool_ceiling(run: Observed) -> float | None:
    # A connection held for statements only, as in the studies: how long cannot be seen from outside.
    if run.knobs["hold"] == "statements" or run.study is not None:
        return None
    return _per(run.value("pool_capacity"), run.waiting_s_per_request + run.cpu_s_per_request)


def _loop_ceiling(run: Observed) -> float | None:
    blocked_s = run.waiting_s_per_request
    if run.study is not None:
        blocked_s = run.study.blocks_s
        if blocked_s == 0:
            return (
                None  # how long the rest of a study's request occupies the loop cannot be seen from outside
            )
    return _per(float(run.knobs["workers"]), blocked_s + run.cpu_s_per_request)


LIMITS: tuple[Limit, ...] = (
    Limit(
        "cpu",
        _cpu,
        _cpu_evidence,
        lambda run: _per(float(run.knobs["cpus"]), run.cpu_s_per_request),
    ),
    # Before the threads: a thread may wait for a connection, never the other way round.
    Limit(
        "pool",
        _pool,
        lambda run: (
            f"{run.value('pool_checked_out'):.0f} of {run.value('pool_capacity'):.0f} connections out, "
            f"{run.value('pool_waiting'):.0f} requests waiting for one"
        ),
        _pool_ceiling,
    ),
    Limit(
        "threads",
        _threads,
        lambda run: (
            f"{run.value('threads_borrowed'):.0f} of {run.value('threads_total'):.0f} threads taken, "
            f"{run.value('threads_waiting'):.0f} requests waiting for one"
        ),
        lambda run: _per(
            float(run.knobs["threads"]) * float(run.knobs["workers"]),
            run.waiting_s_per_request + run.cpu_s_per_request,
        ),
    ),
    Limit(
        "event loop",
        _loop,
        lambda run: (
            f"the loop was blocked: {run.value('samples_unanswered'):.0f} of {run.value('samples'):.0f} "
            "samples got no answer"
            + (f", and it woke {lag:.0f} ms late" if (lag := run.value("loop_lag_ms")) >= 1 else "")
        ),
        _loop_ceiling,
    ),
    Limit(
        "other CPUs",
        _other_cpus,
        lambda run: (
            f"of the CPUs beside the service the database used {run.value('database_cpu_ratio'):.0%}, "
            f"k6 {run.value('generator_cpu_ratio'):.0%}, the upstream {run.value('upstream_cpu_ratio'):.0%}"
        ),
        lambda run: None,
    ),
    Limit(
        "parked requests",
        _parked,
        lambda run: (
            f"{run.value(_parked_column(run)):.0f} of {run.users} users parked "
            f"{'in the service' if run.study else 'at the upstream'}, "
            f"CPU at {run.value('service_cpu_ratio'):.0%}"
        ),
        lambda run: _per(float(run.users or 0), run.waiting_s_per_request + run.cpu_s_per_request),
    ),
)


def wave(record: RunRecord) -> int:
    """How many requests may have ended together: 1, or, where a study has all of them wait equally long, as
    many as wait at a time. A window cut just before a wave, or just after, has one more or less.
    """
    run = Observed.of(record)
    if run is None or run.study is None or not run.study.least_s(run.knobs):
        return 1
    if record.limit is not None and record.limit.name == "cpu":
        return 1  # queueing for the CPU spreads the waves
    workers = int(run.knobs["workers"])
    slots = run.users or 1
    if on_threads(run.knobs):
        slots = min(slots, workers * int(run.knobs["threads"]))
    elif run.study.blocks_s:
        slots = min(slots, workers)
    return slots


def limit_of(record: RunRecord) -> LimitResult | None:
    """What limited the run, by today's limits: the only source of a record's limit."""
    observed = Observed.of(record)
    return find_limit(observed) if observed else None


def find_limit(run: Observed) -> LimitResult | None:
    """The first full limit; else the fullest, with '?' after its name, because nothing was clearly full."""
    results = [
        LimitResult(
            name=limit.name,
            saturation_ratio=round(limit.saturation(run), 3),
            evidence=limit.evidence(run),
            ceiling_rps=limit.ceiling_rps(run),
        )
        for limit in LIMITS
    ]
    for result in results:
        if result.saturation_ratio >= FULL:
            return result
    fullest = max(results, key=lambda result: result.saturation_ratio)
    return fullest.model_copy(update={"name": fullest.name + "?"}) if fullest.saturation_ratio > 0 else None
