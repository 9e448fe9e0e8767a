"""Samples once a second while the load runs: what the service, the generator and the upstream do.

A probe that does not answer in time leaves its columns empty: a service too busy to answer is a
finding, and waiting for it would distort the other columns.
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

from vcpu_ladder.environments.base import Stack
from vcpu_ladder.environments.loopback import get_json
from vcpu_ladder.run.columns import COLUMNS, Reading, Tick
from vcpu_ladder.run.counters import read_counters

_EVERY_S = 1.0
_TIMEOUT_S = 0.9

Sample = dict[str, float | str | None]


class Sampler:
    """Runs during the load on the load generator's CPUs. ``samples`` may be read at any time."""

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
            cpus = self._stack.service_cpus, self._stack.generator_cpus
            self.samples.append(sample_of(Tick(before, now, *cpus), now.at - started, self._phase()))
            before = now
            tick = max(tick + 1, int((time.monotonic() - started) / _EVERY_S) + 1)

    def _read(self) -> Reading:
        stack = self._stack
        asked: dict[str, Future[Any]] = {
            "sent": self._probes.submit(self._counter, "ladder_requests"),
            "workers": self._probes.submit(read_counters, stack.service_url, _TIMEOUT_S),
            "mock": self._probes.submit(get_json, f"{stack.upstream_url}/stats", _TIMEOUT_S),
            "database": self._probes.submit(stack.activity),
        }
        at, usage = time.monotonic(), stack.usage()
        answers: dict[str, Any] = {}
        for name, future in asked.items():
            try:
                answers[name] = future.result(timeout=_TIMEOUT_S)
            except Exception:  # whatever goes wrong with a busy or dying service, the column stays empty
                answers[name] = None
        return Reading(at=at, usage=usage, **answers)

    def _counter(self, name: str) -> float:
        metric = get_json(f"{self._generator_url}/v1/metrics/{name}", _TIMEOUT_S)
        return float(metric["data"]["attributes"]["sample"]["count"])


def sample_of(tick: Tick, at_s: float, phase: str) -> Sample:
    """One value per column. ``at_s`` is seconds since the load began."""
    return {"at_s": at_s, "phase": phase, **{name: column.read(tick) for name, column in COLUMNS.items()}}


def write_samples(path: Path, samples: list[Sample]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["at_s", "phase", *COLUMNS])
        writer.writeheader()
        for sample in samples:
            writer.writerow(
                {
                    name: f"{value:.4g}" if isinstance(value, float) else value
                    for name, value in sample.items()
                }
            )


def medians(samples: list[Sample], phase: str = "measure") -> dict[str, float | None]:
    """{column: median over the phase}; None if no sample has a value."""
    summary: dict[str, float | None] = {}
    for column in COLUMNS:
        values = [
            float(value)
            for sample in samples
            if sample["phase"] == phase and (value := sample.get(column)) is not None
        ]
        summary[column] = statistics.median(values) if values else None
    summary["samples"] = float(sum(sample["phase"] == phase for sample in samples))
    summary["samples_unanswered"] = float(
        sum(sample["phase"] == phase and sample.get("in_flight") is None for sample in samples)
    )
    return summary
