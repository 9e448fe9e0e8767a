"""The sleep, HTTP I/O and tasks ladders for real: one short run of a stage of each, with few users."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_native import Ladder
from vcpu_ladder.environments.processes import strays

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def ladder(tmp_path: Path) -> Iterator[Ladder]:
    assert not strays(), "processes of another run are alive: these tests need the machine"
    yield Ladder(tmp_path / "results")
    assert not strays(), "a test left processes behind"


@pytest.mark.parametrize(
    ("stage", "warmup", "most_rps", "threads"),
    [
        ("sleep/sync-mix-w16", "1s", 20, 40),
        ("http-io/sync", "1s", 20, 40),
        ("http-io/async-reused", "1s", 20, 1),
        ("http-io/async-json", "1s", None, 40),
        ("tasks/concurrent", "10s", 20, 1),
    ],
)
def test_a_stage_runs_is_proven_and_keeps_its_arithmetic(
    stage: str, warmup: str, most_rps: float | None, threads: int, ladder: Ladder
) -> None:
    ended = ladder.run("run", stage, "--warmup", warmup, "--measure", "3s", "--users", "20")
    assert ladder.went_well(ended.returncode), ended.stderr
    (record,) = ladder.records()
    assert all(proof["holds"] for proof in record["proofs"])
    figures = record["figures"]
    assert figures["wrong_bodies"] == figures["failed"] == 0
    # 20 users of one second each; the file has no such wait.
    assert figures["rps"] > 10
    assert most_rps is None or figures["rps"] <= 1.1 * most_rps
    # The service's own, and AnyIO's up to their limit. Sixteen workers tell their sum.
    workers = record["knobs"]["workers"]
    alive, created = record["samples"]["threads_alive"], record["samples"]["threads_created"]
    assert workers <= alive <= created <= workers * (threads + 2)
    if record["knobs"]["request_log"] == "on":
        assert " threads " in (ladder.folder(record) / "logs" / "service.out").read_text()
