"""A climb: stages of a ladder, each several times, interleaved in a seeded random order."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from vcpu_ladder.environments.base import Environment
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.records.events import Listener
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.run.recording import Job
from vcpu_ladder.run.stage import run_stage


def schedule(stages: Sequence[ResolvedStage], repeats: int, results: Path) -> list[Job]:
    """Blocks of all stages, each block in its own order: drift of the machine then favours no stage.

    The order follows from the load's seed.
    """
    climb_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    jobs = []
    for repeat in range(repeats):
        block = [Job(stage, results, climb_id, repeat) for stage in stages]
        random.Random(f"{stages[0].load.seed}-{repeat}").shuffle(block)
        jobs += block
    return jobs


def climb(jobs: Sequence[Job], environment: Environment, listener: Listener) -> list[RunRecord]:
    """Run the jobs in turn. An invalid run is recorded and the climb goes on; the caller sees it."""
    return [run_stage(job, environment, listener) for job in jobs]


def loaded_s(jobs: Sequence[Job]) -> float:
    """Seconds of warm-up and measurement in all."""
    return sum(job.stage.load.warmup_s + job.stage.load.measure_s for job in jobs)
