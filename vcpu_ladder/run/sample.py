"""Samples once a second while the load runs: what the service, the generator and the upstream do.

A probe that does not answer in time leaves its columns empty: a service too busy to be asked is a
finding, and waiting for it would skew the others.
"""

from __future__ import annotations

import csv
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vcpu_ladder.environments.base import Activity, Stack, Usage
from vcpu_ladder.environments.loopback import get_json
from vcpu_ladder.run.counters import worker_totals

_EVERY_S = 1.0
_TIMEOUT_S = 0.9

COLUMNS = (
    "at_s",
    "phase",
    "rps",
    "service_cpu_ratio",
    "service_rss_bytes",
    "service_os_threads",
    "service_throttled_ratio",
    "foreign_cpu_ratio",
    "stolen_cpu_ratio",
    "generator_cpu_ratio",
    "generator_rss_bytes",
    "upstream_cpu_ratio",
    "database_cpu_ratio",
    "database_connections",
    "database_active",
    "database_idle",
    "database_idle_in_transaction",
    "database_waiting_for_locks",
    "database_interruptions",
    "others_busy_ratio",
    "in_flight",
    "upstream_in_flight",
    "threads_total",
    "threads_borrowed",
    "threads_waiting",
    "threads_alive",
    "threads_created",
    "pool_capacity",
    "pool_checked_out",
    "pool_waiting",
    "loop_lag_ms",
    "mock_in_flight",
    "mock_timer_error_p99_ms",
)
_DATABASE_COLUMNS = COLUMNS[COLUMNS.index("database_connections") : COLUMNS.index("others_busy_ratio")]
_WORKER_COLUMNS = COLUMNS[COLUMNS.index("in_flight") : COLUMNS.index("loop_lag_ms")]
Sample = dict[str, float | str | None]


class Sampler:
    """Runs beside the load on the generator's CPUs. ``samples`` may be read at any time."""

    def __init__(self, stack: Stack, generator_url: str, phase: Callable[[], str]) -> None:
        self._stack = stack
        self._generator_url = generator_url
        self._phase = phase
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._probes = ThreadPoolExecutor(4, thread_name_prefix="probe")
        self.samples: list[Sample] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)
        self._probes.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        started = time.monotonic()
        before = self._read()
        tick = 1
        while not self._stopping.wait(max(0.0, started + tick * _EVERY_S - time.monotonic())):
            now = self._read()
            self.samples.append(self._difference(before, now, started))
            before = now
            tick = max(tick + 1, int((time.monotonic() - started) / _EVERY_S) + 1)

    def _read(self) -> dict[str, Any]:
        asked: dict[str, Future[Any]] = {
            "requests": self._probes.submit(self._counter, "ladder_requests"),
            "worker": self._probes.submit(worker_totals, self._stack.service_url, _TIMEOUT_S),
            "mock": self._probes.submit(get_json, f"{self._stack.upstream_url}/stats", _TIMEOUT_S),
            "database": self._probes.submit(self._stack.activity),
        }
        reading: dict[str, Any] = {"at": time.monotonic(), "usage": self._stack.usage()}
        for name, future in asked.items():
            try:
                reading[name] = future.result(timeout=_TIMEOUT_S)
            except Exception:  # whatever a busy or dying service answers: the column stays empty
                reading[name] = None
        return reading

    def _counter(self, name: str) -> float:
        metric = get_json(f"{self._generator_url}/v1/metrics/{name}", _TIMEOUT_S)
        return float(metric["data"]["attributes"]["sample"]["count"])

    def _difference(self, before: dict[str, Any], now: dict[str, Any], started: float) -> Sample:
        elapsed: float = now["at"] - before["at"]
        old: Usage = before["usage"]
        new: Usage = now["usage"]

        def share(later: float | None, earlier: float | None, cpus: int = 1) -> float | None:
            if later is None or earlier is None:
                return None
            return max(0.0, float(later - earlier) / elapsed / cpus)

        worker = now["worker"] or {}
        mock = now["mock"] or {}
        error = (mock.get("timer_error_ms") or {}).get("p99")
        return {
            "at_s": now["at"] - started,
            "phase": self._phase(),
            "rps": share(now["requests"], before["requests"]),
            "service_cpu_ratio": share(new.service_cpu_s, old.service_cpu_s, self._stack.service_cpus),
            "service_rss_bytes": new.service_rss_bytes,
            "service_os_threads": new.service_threads,
            "service_throttled_ratio": share(new.throttled_s, old.throttled_s),
            "foreign_cpu_ratio": share(new.foreign_cpu_s, old.foreign_cpu_s, self._stack.service_cpus),
            "stolen_cpu_ratio": share(new.stolen_cpu_s, old.stolen_cpu_s, self._stack.service_cpus),
            "generator_cpu_ratio": share(
                new.generator_cpu_s, old.generator_cpu_s, self._stack.generator_cpus
            ),
            "generator_rss_bytes": new.generator_rss_bytes,
            "upstream_cpu_ratio": share(new.upstream_cpu_s, old.upstream_cpu_s, self._stack.generator_cpus),
            "database_cpu_ratio": share(new.database_cpu_s, old.database_cpu_s, self._stack.generator_cpus),
            "others_busy_ratio": share(new.others_busy_s, old.others_busy_s, self._stack.generator_cpus),
            **_connections(now["database"]),
            **{name: worker.get(name) for name in _WORKER_COLUMNS},
            "loop_lag_ms": 1000 * worker["loop_lag_seconds"] if "loop_lag_seconds" in worker else None,
            "mock_in_flight": mock.get("in_flight"),
            "mock_timer_error_p99_ms": error,
        }


def _connections(seen: Activity | None) -> Sample:
    if seen is None:
        return dict.fromkeys(_DATABASE_COLUMNS)
    values = (
        sum(seen.by_pid.values()),
        seen.active,
        seen.idle,
        seen.idle_in_transaction,
        seen.waiting_for_locks,
        seen.interruptions,
    )
    return dict(zip(_DATABASE_COLUMNS, values, strict=True))


def write_samples(path: Path, samples: list[Sample]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for sample in samples:
            writer.writerow(
                {
                    name: f"{value:.4g}" if isinstance(value, float) else value
                    for name, value in sample.items()
                }
            )


def medians(samples: list[Sample], phase: str = "measure") -> dict[str, float | None]:
    """{column: median over the phase}; None where no sample has a value."""
    summary: dict[str, float | None] = {}
    for column in COLUMNS[2:]:
        values = [
            float(value)
            for sample in samples
            if sample["phase"] == phase and (value := sample[column]) is not None
        ]
        summary[column] = statistics.median(values) if values else None
    summary["samples"] = float(sum(sample["phase"] == phase for sample in samples))
    summary["samples_unanswered"] = float(
        sum(sample["phase"] == phase and sample["in_flight"] is None for sample in samples)
    )
    return summary
