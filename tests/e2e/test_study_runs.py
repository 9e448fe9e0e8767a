"""The sleep, HTTP I/O and tasks ladders for real: one short run of a stage of each kind, with few users."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_studies import Bench, bench, noise_of_served  # noqa: F401 - the fixture
from tests.noise import skip_if_noisy
from tests.waiting import LOOP_CLOCK_MS
from vcpu_ladder.records.store import run_folder

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.mark.parametrize(
    ("name", "waits_s", "threads"),
    [
        ("sleep/sync-mix-w4", 1.0, 40),
        ("http-io/sync", 1.0, 40),
        ("http-io/async-reused", 1.0, 0),
        ("http-io/async-json", None, 40),
        ("tasks/concurrent", 1.0, 0),
    ],
)
def test_a_stage_runs_is_proven_and_keeps_its_arithmetic(
    name: str,
    waits_s: float | None,
    threads: int,
    bench: Bench,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = bench.run(name, monkeypatch)
    noise = noise_of_served(record)
    figures = record.figures
    assert figures is not None
    assert figures.latency is not None
    if waits_s is not None:
        assert figures.latency.min_ms >= 1000 * waits_s - LOOP_CLOCK_MS
        assert figures.completed <= 20 / waits_s * (figures.measure_s + waits_s)
    # The main thread of each worker, and AnyIO's up to their limit; uvicorn's supervisor asks each of several
    # workers on a thread of its own whether it lives.
    workers = int(record.knobs["workers"])
    supervised = int(workers > 1 and record.knobs["server"] == "uvicorn")
    alive, created = record.samples["threads_alive"], record.samples["threads_created"]
    assert alive is not None
    assert created is not None
    assert workers <= alive <= created
    assert alive <= workers * (threads + 1 + supervised)
    if record.knobs["request_log"] == "on":
        folder: Path = run_folder(bench.results, record.ladder, record.stage, record.run_id)
        assert " threads " in (folder / "logs" / "service.out").read_text()
    skip_if_noisy(noise)
