"""Whether a run may be ranked: one registry of checks over what was measured.

Each check judges the measurement, never its speed. ``invalid`` bars the record from ranking; ``warning`` is
printed below the table. Every text includes its figures, every failure a remedy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from services.contract.endpoints import ENDPOINTS, SHOP
from vcpu_ladder.records.record import CheckResult
from vcpu_ladder.run.evidence import Evidence

MAX_ERROR_RATIO = 0.01
MAX_GENERATOR_CPU = 0.8
MAX_OTHER_CPUS = 0.95
MAX_FOREIGN_CPU = 0.05
FATAL_FOREIGN_CPU = 0.15
SECONDS_A_SAMPLE = 3.0
MAX_STOLEN_CPU = 0.05
MAX_TIMER_ERROR_MS = 50.0
MIN_COMPLETED = 100
MAX_DRIFT = 0.25
MIN_WORKER_SHARE = 0.5
STILL_BUSY = "the service was still busy with requests the load left behind: its knobs were not read again"
_KEPT_BY_THE_SHOP = 5


@dataclass(frozen=True)
class Check:
    """``judge`` returns (ok, text with the figures)."""

    name: str
    severity: Literal["invalid", "warning"]
    judge: Callable[[Evidence], tuple[bool, str]]
    remedy: str


def _errors(run: Evidence) -> tuple[bool, str]:
    kinds = ", ".join(f"{kind} {count}" for kind, count in run.figures.failures.items() if count)
    text = f"{run.figures.failed} of {run.figures.failed + run.figures.completed} requests failed"
    causes = ", ".join(f"{cause.replace('_', ' ')} {count}" for cause, count in run.service_errors.items())
    text += f" ({kinds})" if kinds else ""
    text += f"; refused by the service since its start: {causes}" if causes else ""
    if run.stage.failures_count:
        return True, f"{text}; the stage counts failures as part of its result"
    return run.figures.error_ratio <= MAX_ERROR_RATIO, text


def _connections(run: Evidence) -> tuple[bool, str]:
    if run.stage.knobs["database"] != "postgres":
        return True, "no database server"
    seen = [
        int(value)
        for sample in run.samples
        if sample["phase"] == "measure" and (value := sample.get("database_connections")) is not None
    ]
    if not seen:
        return False, "the database server never reported its connections"
    capacity = run.median("pool_capacity")
    if capacity and run.stage.knobs["endpoint"] != SHOP:
        # In addition to a study's pool, each worker keeps the shop's connections that the proofs opened:
        # proofs are requested in bursts, and SQLAlchemy's pool keeps five connections.
        capacity += _KEPT_BY_THE_SHOP * int(run.stage.knobs["workers"])
    text = f"the server saw at most {max(seen)} connections"
    if not capacity:
        return True, f"{text}, and no pool limits them"
    return max(seen) <= capacity, f"{text} of the {capacity:.0f} that the pools may open"


def _at_most(
    column: str, bound: float, what: str, unknown_is_fine: bool = False
) -> Callable[[Evidence], tuple[bool, str]]:
    """A share of at most ``bound``. An unknown value passes only where platforms may not report it."""

    def judge(run: Evidence) -> tuple[bool, str]:
        value = run.median(column)
        if value is None:
            return unknown_is_fine, f"{what} unknown"
        return value <= bound, f"{what} {value:.1%}"

    return judge


def _timer(run: Evidence) -> tuple[bool, str]:
    endpoint = ENDPOINTS.get(str(run.stage.knobs["endpoint"]))
    if endpoint is not None and endpoint.upstream_calls == 0:
        return True, "the endpoint does not call the upstream"
    error = run.median("mock_timer_error_p99_ms")
    if error is None:
        return False, "the upstream never reported how late its timers are"
    return error <= MAX_TIMER_ERROR_MS, f"upstream timers late by {error:.1f} ms at P99"


def _sampled(run: Evidence) -> tuple[bool, str]:
    taken = run.median("samples") or 0
    needed = run.figures.measure_s / SECONDS_A_SAMPLE
    return taken >= needed, f"{taken:.0f} samples in {run.figures.measure_s:g} s"


def _steady(run: Evidence) -> tuple[bool, str]:
    rates = [float(s["rps"]) for s in run.samples if s["phase"] == "measure" and s["rps"] is not None]
    half = len(rates) // 2
    if half < 3:
        return True, "too few samples to tell"
    first, second = sum(rates[:half]) / half, sum(rates[-half:]) / half
    # With few requests the halves differ by chance: allow two Poisson standard errors on top of the bound.
    total = (first + second) * half
    noise = 2 * (4 / total) ** 0.5 if total else 1.0
    drift = abs(second - first) / max(first, second, 1e-9)
    return drift <= MAX_DRIFT + noise, f"throughput of the two halves differs by {drift:.0%}"


def _workers_kept(run: Evidence) -> tuple[bool, str]:
    text = f"worker pids {list(run.workers_before)} before, {list(run.workers_after)} after"
    # gunicorn ends a worker whose event loop a published endpoint blocks for 30 s: such a failure counts too.
    if run.stage.failures_count and len(run.workers_before) == len(run.workers_after):
        return True, f"{text}; the stage counts failures as part of its result"
    return list(run.workers_before) == list(run.workers_after), text


def _workers_even(run: Evidence) -> tuple[bool, str]:
    if len(run.worker_requests) < 2 or not sum(run.worker_requests):
        return True, "one worker"
    fair = sum(run.worker_requests) / len(run.worker_requests)
    shares = ", ".join(f"{requests / sum(run.worker_requests):.0%}" for requests in run.worker_requests)
    return min(run.worker_requests) >= MIN_WORKER_SHARE * fair, f"shares of the workers: {shares}"


def _requests_counted(run: Evidence) -> tuple[bool, str]:
    figures = run.figures
    if figures.started is None or figures.finished is None:
        return True, "k6 did not count the requests that it started"
    if not run.worker_requests:
        return True, "the workers did not say how many requests they began"
    if list(run.workers_before) != list(run.workers_after):
        return True, "a worker was replaced, and its count is lost"
    began = sum(run.worker_requests)
    # A request that k6 gave up on may or may not have reached a worker; an answered one has.
    answered = figures.finished - (figures.unanswered or 0)
    text = (
        f"the workers began {began:.0f} requests; k6 started {figures.started}, and {answered} were answered"
    )
    return answered <= began <= figures.started, text


def _memory(run: Evidence) -> tuple[bool, str]:
    kills = run.budget.get("oom_kills")
    if kills is None:
        return True, "the kernel reports no memory limit"
    limit = run.budget["memory_limit_bytes"]
    return kills == 0, f"{kills} processes killed at the memory limit of {limit or 0:,} bytes"


def _database_stayed(run: Evidence) -> tuple[bool, str]:
    # A pool may ride out a crash without one failed request, but the throughput then measures something else.
    seen = [
        int(value) for sample in run.samples if (value := sample.get("database_interruptions")) is not None
    ]
    times = max(seen, default=0)
    return (
        times == 0,
        f"the database server ended sessions {times} times" if times else "no session was ended",
    )


CHECKS: tuple[Check, ...] = (
    Check("errors", "invalid", _errors, "read logs/service.err; lower USERS, or fix what fails"),
    Check(
        "bodies",
        "invalid",
        lambda run: (run.figures.wrong_bodies == 0, f"{run.figures.wrong_bodies} wrong bodies"),
        "the service answers wrongly under load: that is a bug in it",
    ),
    Check(
        "dropped",
        "invalid",
        lambda run: (run.figures.dropped == 0, f"{run.figures.dropped} requests could not be started"),
        "raise load.max_users, or lower the rate: k6 could not offer the full load",
    ),
    Check(
        "requests counted",
        "invalid",
        _requests_counted,
        "stop whatever else calls the service; if nothing does, a counter is wrong, which is a bug",
    ),
    Check(
        "generator",
        "invalid",
        _at_most("generator_cpu_ratio", MAX_GENERATOR_CPU, "k6 used of its CPUs"),
        "give the generator more CPUs or lower the load: k6 was the bottleneck",
    ),
    Check(
        "samples",
        "invalid",
        _sampled,
        "measure for at least several seconds: MEASURE=30s",
    ),
    Check(
        "other CPUs",
        "invalid",
        _at_most("others_busy_ratio", MAX_OTHER_CPUS, "beside the service the CPUs were busy", True),
        "end other programs or give the load more CPUs: none was left for k6 and the upstream",
    ),
    Check(
        "CPU taken away",
        "invalid",
        _at_most("foreign_cpu_ratio", FATAL_FOREIGN_CPU, "others used of the service's CPU", True),
        "end other programs: the service did not have its one CPU",
    ),
    Check(
        "memory",
        "invalid",
        _memory,
        "the kernel killed a worker: raise API_MEMORY, or lower USERS",
    ),
    Check(
        "workers",
        "invalid",
        _workers_kept,
        "a worker was replaced during the run: read logs/service.err",
    ),
    Check(
        "proofs",
        "invalid",
        lambda run: (
            run.proofs_after is None or (run.proofs_after == STILL_BUSY and run.stage.failures_count),
            run.proofs_after or "every knob still in force after the load",
        ),
        "a knob changed under load",
    ),
    Check(
        "database server",
        "invalid",
        _database_stayed,
        "the server crashed or was restarted during the run: read its log",
    ),
    Check("connections", "invalid", _connections, "the pools are not what was proven: that is a bug"),
    Check(
        "completed",
        "warning",
        lambda run: (
            run.figures.completed >= MIN_COMPLETED,
            f"{run.figures.completed} requests in the window",
        ),
        "measure longer: MEASURE=2m",
    ),
    Check("upstream", "invalid", _timer, "the upstream could not keep its delays: give it more CPU"),
    Check("steady", "warning", _steady, "warm up longer: WARMUP=30s"),
    Check("even workers", "warning", _workers_even, "use more users: connections stick to workers"),
    Check(
        "foreign CPU",
        "warning",
        _at_most("foreign_cpu_ratio", MAX_FOREIGN_CPU, "others used of the service's CPU", True),
        "end other programs, or pin them elsewhere",
    ),
    Check(
        "stolen CPU",
        "warning",
        _at_most("stolen_cpu_ratio", MAX_STOLEN_CPU, "the hypervisor took of the service's CPU", True),
        "a quieter host; compare only interleaved runs",
    ),
    Check(
        "pinned",
        "warning",
        lambda run: (bool(run.environment.get("pinned")), f"budget by {run.environment.get('budget')}"),
        "this platform has no CPU affinity: run on Linux",
    ),
)


def judge(evidence: Evidence) -> list[CheckResult]:
    """Every check, in the registry's order."""
    results = []
    for check in CHECKS:
        ok, text = check.judge(evidence)
        results.append(
            CheckResult(
                name=check.name, severity=check.severity, ok=ok, text=text, remedy="" if ok else check.remedy
            )
        )
    return results
