"""Every validity check and every limit can say yes and can say no."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.factory import POSTGRES, figures, stage
from vcpu_ladder import paths
from vcpu_ladder.ladder.load import ClosedLoad
from vcpu_ladder.records.limits import LIMITS, Observed, find_limit
from vcpu_ladder.run.evidence import Evidence
from vcpu_ladder.run.validity import CHECKS, STILL_BUSY, judge

SOUND: dict[str, Any] = {
    "generator_cpu_ratio": 0.3,
    "foreign_cpu_ratio": 0.01,
    "stolen_cpu_ratio": 0.0,
    "mock_timer_error_p99_ms": 2.0,
    "others_busy_ratio": 0.5,
    "samples": 30.0,
}
STEADY = [{"phase": "measure", "rps": 300.0} for _ in range(30)]
FALLING = [{"phase": "measure", "rps": 400.0 - 12 * second} for second in range(30)]


def evidence(**changes: Any) -> Evidence:
    medians = {**SOUND, **changes.pop("medians", {})}
    return Evidence(
        **{
            "stage": stage("v3"),
            "figures": figures(),
            "samples": STEADY,
            "medians": medians,
            "workers_before": [1, 2],
            "workers_after": [1, 2],
            "proofs_after": None,
            "worker_requests": [4000.0, 5000.0],
            "environment": {"pinned": True, "budget": "affinity"},
            "budget": {"oom_kills": 0, "memory_limit_bytes": 2_000_000},
            "service_errors": {},
            **changes,
        }
    )


def test_a_sound_run_passes_every_check() -> None:
    assert [check.name for check in judge(evidence()) if not check.ok] == []


UNSOUND: dict[str, dict[str, Any]] = {
    "errors": {"figures": figures(300, failed=200)},
    "bodies": {"figures": figures(300, wrong_bodies=1)},
    "dropped": {"figures": figures(300, dropped=1)},
    "requests counted": {"figures": figures(300, started=9200, finished=9100, unanswered=50)},
    "generator": {"medians": {"generator_cpu_ratio": 0.95}},
    "workers": {"workers_after": [1, 3]},
    "proofs": {"proofs_after": "threads: expected 40, the worker shows 1"},
    "completed": {"figures": figures(300, n=50)},
    "database server": {
        "stage": stage("pool-5", POSTGRES),
        "samples": [
            {**sample, "database_connections": 10, "database_interruptions": int(at > 20)}
            for at, sample in enumerate(STEADY)
        ],
        "medians": {"pool_capacity": 10.0},
    },
    "connections": {
        "stage": stage("pool-5", POSTGRES),
        "samples": [{**sample, "database_connections": 11} for sample in STEADY],
        "medians": {"pool_capacity": 10.0},
    },
    "upstream": {"medians": {"mock_timer_error_p99_ms": 80.0}},
    "steady": {"samples": FALLING},
    "even workers": {"worker_requests": [100.0, 9000.0]},
    "samples": {"medians": {"samples": 2.0}},
    "other CPUs": {"medians": {"others_busy_ratio": 0.99}},
    "CPU taken away": {"medians": {"foreign_cpu_ratio": 0.2}},
    "foreign CPU": {"medians": {"foreign_cpu_ratio": 0.1}},
    "stolen CPU": {"medians": {"stolen_cpu_ratio": 0.2}},
    "pinned": {"environment": {"pinned": False, "budget": "unpinned"}},
    "memory": {"budget": {"oom_kills": 1, "memory_limit_bytes": 2_000_000}},
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_each_check_fails_alone_on_its_own_fault_and_names_a_remedy(check: Any) -> None:
    failed = [result for result in judge(evidence(**UNSOUND[check.name])) if not result.ok]
    if check.name == "CPU taken away":  # its warning fails too
        failed = [result for result in failed if result.name != "foreign CPU"]
    assert [result.name for result in failed] == [check.name]
    assert failed[0].remedy
    assert failed[0].severity == check.severity


@pytest.mark.parametrize("column", ["generator_cpu_ratio", "mock_timer_error_p99_ms", "samples"])
def test_what_was_never_measured_does_not_pass(column: str) -> None:
    failed = [result for result in judge(evidence(medians={column: None})) if not result.ok]
    assert len(failed) == 1
    assert failed[0].severity == "invalid"


@pytest.mark.parametrize(
    ("began", "counted", "ok"),
    [
        (9000, (9000, 9000, 0), True),
        (8999, (9000, 9000, 0), False),
        (9001, (9000, 9000, 0), False),
        (9000, (9200, 9000, 0), True),  # k6 gave up on 200: they may or may not have reached a worker
        (9200, (9200, 9000, 0), True),
        (8999, (9200, 9000, 0), False),
        (9201, (9200, 9000, 0), False),
        (8990, (9000, 9000, 10), True),  # ten refused connections
        (8989, (9000, 9000, 10), False),
        (1, (None, None, None), True),  # a record from before they were counted
    ],
)
def test_the_workers_began_as_many_requests_as_k6_sent(
    began: float, counted: tuple[int | None, ...], ok: bool
) -> None:
    started, finished, unanswered = counted
    told = figures(started=started, finished=finished, unanswered=unanswered)
    run = evidence(figures=told, worker_requests=[began // 2, began - began // 2])
    (found,) = (result for result in judge(run) if result.name == "requests counted")
    assert found.ok is ok
    # A replaced worker's count is lost; another check already reports the replacement.
    for other in (replace(run, workers_after=[1, 3]), replace(run, worker_requests=[])):
        (found,) = (result for result in judge(other) if result.name == "requests counted")
        assert found.ok


SLEEP = paths.LADDERS / "sleep.toml"


def test_failures_that_a_stage_counts_stand_in_its_result() -> None:
    one = stage("v2")
    counted = replace(one, failures_count=True)
    for resolved, ok in ((one, False), (counted, True)):
        (errors,) = (
            result
            for result in judge(evidence(stage=resolved, figures=figures(300, failed=9000)))
            if result.name == "errors"
        )
        assert errors.ok is ok
        replaced = evidence(stage=resolved, workers_before=[11, 12], workers_after=[11, 13])
        (workers,) = (result for result in judge(replaced) if result.name == "workers")
        assert workers.ok is ok
        for told, fine in ((STILL_BUSY, ok), ("threads: expected 40", False)):
            busy = evidence(stage=resolved, proofs_after=told)
            assert [result.ok for result in judge(busy) if result.name == "proofs"] == [fine]
        gone = evidence(stage=resolved, workers_before=[11, 12], workers_after=[11])
        assert [result.ok for result in judge(gone) if result.name == "workers"] == [False]
        assert "9000 of 18000 requests failed" in errors.text


@pytest.mark.parametrize(("connections", "ok"), [(15, True), (16, False)])
def test_on_a_study_each_worker_may_keep_the_connections_that_proved_the_shops_pool(
    connections: int, ok: bool
) -> None:
    samples = [{"phase": "measure", "rps": 300.0, "database_connections": connections}] * 30
    resolved = stage("async-w1-fib15", paths.LADDERS / "simulation.toml")
    run = evidence(stage=resolved, samples=samples, medians={"pool_capacity": 10.0})
    (found,) = (result for result in judge(run) if result.name == "connections")
    assert found.ok is ok


def test_an_endpoint_without_upstream_needs_none_of_its_timers() -> None:
    silent = evidence(stage=stage("async-w1", SLEEP), medians={"mock_timer_error_p99_ms": None})
    assert [result.name for result in judge(silent) if not result.ok] == []


def test_a_studys_threads_and_parked_users_are_its_limits() -> None:
    def seen(name: str, rps: float, **medians: float) -> Observed:
        resolved = stage(name, SLEEP)
        return Observed(resolved.knobs, 100, figures(rps), {"rps": rps, **medians}, 0.0, 0.0)

    threads = find_limit(seen("sync-w1", 40, threads_total=40, threads_borrowed=40, threads_waiting=60))
    assert threads is not None
    assert (threads.name, threads.ceiling_rps) == ("threads", 40)
    parked = find_limit(seen("async-w1", 100, in_flight=100))
    assert parked is not None
    assert (parked.name, parked.ceiling_rps) == ("parked requests", 100)


def test_a_database_server_that_never_told_of_its_connections_does_not_pass() -> None:
    failed = [result for result in judge(evidence(stage=stage("pg", POSTGRES))) if not result.ok]
    assert [result.name for result in failed] == ["connections"]


def test_the_causes_that_the_service_counted_are_told_with_the_errors() -> None:
    causes = {"too_many_clients": 180, "pool_timeouts": 20}
    (failed,) = [
        r for r in judge(evidence(figures=figures(300, failed=200), service_errors=causes)) if not r.ok
    ]
    assert failed.text.endswith(
        "refused by the service since its start: too many clients 180, pool timeouts 20"
    )


def observed(name: str, rps: float, delay_s: float, **medians: float) -> Observed:
    resolved = stage(name)
    assert isinstance(resolved.load, ClosedLoad)
    return Observed(
        resolved.knobs,
        resolved.load.users,
        figures(rps),
        {"rps": rps, "samples": 30.0, **medians},
        0.35,
        delay_s,
    )


BOUND = {
    "cpu": observed("v2", 330, 0.25, service_cpu_ratio=0.97),
    "threads": observed(
        "v1", 10.8, 0.25, service_cpu_ratio=0.1, threads_total=1, threads_borrowed=1, threads_waiting=199
    ),
    "event loop": observed("v1-blocking", 10, 0.25, service_cpu_ratio=0.1, samples_unanswered=30),
    "pool": observed(
        "v2-held", 156, 0.25, service_cpu_ratio=0.5, pool_capacity=15, pool_checked_out=15, pool_waiting=150
    ),
    "other CPUs": observed(
        "v2", 330, 0.25, service_cpu_ratio=0.5, database_cpu_ratio=0.7, generator_cpu_ratio=0.25
    ),
    "parked requests": observed("v6", 106, 5.2, service_cpu_ratio=0.33, mock_in_flight=199),
}


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_each_limit_is_found_where_its_resource_is_full(limit: Any) -> None:
    found = find_limit(BOUND[limit.name])
    assert found is not None
    assert found.name == limit.name
    assert found.evidence


def test_threads_that_wait_for_connections_are_the_pools_doing() -> None:
    found = find_limit(
        observed(
            "v1-threads-held",
            156,
            0.25,
            service_cpu_ratio=0.3,
            threads_total=40,
            threads_borrowed=40,
            threads_waiting=160,
            pool_capacity=15,
            pool_checked_out=15,
            pool_waiting=25,
        )
    )
    assert found is not None
    assert found.name == "pool"


def test_a_ceiling_is_littles_law() -> None:
    found = find_limit(BOUND["parked requests"])
    assert found is not None
    # 200 users, each parked 0.35 x 5.2 s per request, plus 0.33 CPU s / 106 requests.
    assert found.ceiling_rps == pytest.approx(200 / (0.35 * 5.2 + 0.33 / 106))


def test_a_resource_that_is_nearly_full_is_named_with_doubt() -> None:
    found = find_limit(observed("v2", 330, 0.25, service_cpu_ratio=0.7))
    assert found is not None
    assert found.name == "cpu?"


def test_an_idle_service_has_no_limit() -> None:
    assert find_limit(observed("v2", 1, 0.0)) is None


def test_foreign_cpu_counts_as_gone() -> None:
    found = find_limit(observed("v2", 280, 0.25, service_cpu_ratio=0.84, foreign_cpu_ratio=0.12))
    assert found is not None
    assert found.name == "cpu"
