"""What the dashboards show: one entry per panel. ``python -m grafana.build`` turns them into JSON.

The queries read the recording rules in prometheus/rules, so that a panel needs only a name and a legend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# What a query needs to have data: a limited container, a PostgreSQL stage, failed requests.
Needs = Literal["", "cgroup", "postgres", "failures"]

_SELECTED = 'ladder=~"$ladder", stage=~"$stage", run=~"$run"'


@dataclass(frozen=True)
class Query:
    """A PromQL expression with its legend."""

    expr: str
    legend: str
    needs: Needs = ""


@dataclass(frozen=True)
class Panel:
    """``unit`` is Grafana's name for it. ``over`` is ``time``, or ``stages`` for one bar per stage."""

    title: str
    unit: str
    help: str
    queries: tuple[Query, ...]
    over: Literal["time", "stages"] = "time"


def _now(rule: str, legend: str, needs: Needs = "", where: str = "") -> Query:
    """The rule's series for the runs selected in the dashboard; ``where`` holds further matchers."""
    return Query(f"ladder:{rule}{{{_SELECTED}{where}}}", legend, needs)


def _quantiles(rule: str, who: str = "") -> tuple[Query, ...]:
    return (_now(rule, f"{who}p{{{{quantile}}}}"),)


def _by_stage(expr: str, needs: Needs = "") -> tuple[Query, ...]:
    """The mean over a stage's runs of the median over their measured windows."""
    measured = f"{expr}{{{_SELECTED}}} and on (run) ladder:completed_rps"
    return (
        Query(f"avg by (stage) (quantile_over_time(0.5, ({measured})[$__range:1s]))", "{{stage}}", needs),
    )


def _latency_by_stage(quantile: str) -> Panel:
    window = f"increase(k6_ladder_latency_all_seconds{{{_SELECTED}}}[$__range])"
    return Panel(
        f"P{100 * float(quantile):g} by stage",
        "s",
        "Of the successful requests of the measured windows. The figure that counts is the record's.",
        (Query(f"histogram_quantile({quantile}, sum by (stage) ({window}))", "{{stage}}"),),
        over="stages",
    )


LIVE = (
    Panel(
        "Throughput",
        "reqps",
        "Offered: what k6 sent, and what it had to drop in the open model. Served: answered with success.",
        (_now("offered_rps", "offered"), _now("served_rps", "served")),
    ),
    Panel(
        "Errors",
        "reqps",
        "Requests a second that failed or timed out; by status where there are any (0: no answer).",
        (_now("failed_rps", "all"), _now("failed_by_status_rps", "{{status}}", "failures")),
    ),
    Panel("Latency by k6", "s", "As a user sees it.", _quantiles("latency_seconds")),
    Panel(
        "Latency by the server",
        "s",
        "From the service's own histogram, none with instrumentation = none. What k6 sees beyond it is time "
        "before the service took the request.",
        _quantiles("server_latency_seconds"),
    ),
    Panel(
        "CPU of the one vCPU",
        "none",
        "CPUs in use: by the workers, and by all of the container. The quota is what it may use.",
        (
            _now("service_cpus", "workers"),
            _now("cgroup_cpus", "container", "cgroup"),
            _now("cgroup_quota_cpus", "quota", "cgroup"),
        ),
    ),
    Panel(
        "CPU throttling",
        "percentunit",
        "Share of the quota's periods that ended frozen; and seconds frozen a second, summed over CPUs.",
        (
            _now("throttled_periods_ratio", "periods throttled", "cgroup"),
            _now("throttled_ratio", "time throttled", "cgroup"),
        ),
    ),
    Panel(
        "In flight",
        "none",
        "Requests inside the service, and those of them that wait for the upstream.",
        (_now("in_flight", "requests"), _now("upstream_in_flight", "upstream calls")),
    ),
    Panel(
        "Threads",
        "none",
        "AnyIO's tokens, on which def handlers run.",
        (
            _now("threads_total", "limit"),
            _now("threads_borrowed", "in use"),
            _now("threads_waiting", "waiting"),
        ),
    ),
    Panel(
        "Connection pool",
        "none",
        "Limit 0: a pool without one.",
        (
            _now("pool_capacity", "limit"),
            _now("pool_checked_out", "in use"),
            _now("pool_waiting", "waiting"),
        ),
    ),
    Panel(
        "Event loop lag",
        "s",
        "The longest delay of the worst worker's loop in half a second.",
        (_now("loop_lag_seconds", "lag"),),
    ),
    Panel(
        "Upstream delay",
        "s",
        "What the mock meant to wait and what it waited: they must lie on one another.",
        (_now("upstream_delay_seconds", "{{delay}} p{{quantile}}"),),
    ),
    Panel(
        "Postgres connections",
        "none",
        "Of the run's database, by state.",
        (_now("postgres_connections", "{{state}}", "postgres"),),
    ),
    Panel(
        "Postgres locks",
        "none",
        "Of the run's database, by mode.",
        (_now("postgres_locks", "{{mode}}", "postgres"),),
    ),
)

COMPARE = (
    Panel("Served", "reqps", "Over time, a line a run.", (_now("served_rps", "{{stage}} {{run}}"),)),
    Panel(
        "P95 by k6",
        "s",
        "Over time, a line a run.",
        (_now("latency_seconds", "{{stage}} {{run}}", where=', quantile="0.95"'),),
    ),
    Panel(
        "Completed by stage",
        "reqps",
        "Median over the measured windows, mean over runs. Verdicts come from records: make summary.",
        _by_stage("ladder:completed_rps"),
        over="stages",
    ),
    *(_latency_by_stage(quantile) for quantile in ("0.5", "0.95", "0.99")),
    Panel("Failed by stage", "reqps", "In the windows.", _by_stage("ladder:failed_rps"), over="stages"),
    Panel(
        "CPUs by stage", "none", "The workers', in the windows.", _by_stage("ladder:service_cpus"), "stages"
    ),
    Panel(
        "Throttled by stage",
        "percentunit",
        "Periods that ended frozen, in the windows.",
        _by_stage("ladder:throttled_periods_ratio", "cgroup"),
        over="stages",
    ),
    Panel("In flight by stage", "none", "In the windows.", _by_stage("ladder:in_flight"), over="stages"),
)

# uid: (title, panels).
DASHBOARDS: Mapping[str, tuple[str, tuple[Panel, ...]]] = {
    "ladder-live": ("Ladder live", LIVE),
    "ladder-compare": ("Ladder compare", COMPARE),
}
