"""What to run next. A climb asks its plan after every run, and the plan sees the records so far: it may stop
early, add repeats where they make the difference, or search for a rate.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.run.recording import Job


class Plan(Protocol):
    """``climb_id`` is in every record of the climb; ``stages`` are what data is prepared for."""

    @property
    def climb_id(self) -> str: ...

    @property
    def stages(self) -> Sequence[ResolvedStage]: ...

    def left(self, records: Sequence[RunRecord]) -> Sequence[Job]:
        """What is left to run, in order, given the records so far; empty when the climb is done.

        ``records`` are the climb's own so far. Only the first job is run before the plan is asked again.
        """
        ...


def new_climb_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class FixedPlan:
    """These jobs, in this order, whatever their results."""

    climb_id: str
    jobs: tuple[Job, ...]

    @property
    def stages(self) -> Sequence[ResolvedStage]:
        return list({job.stage.name: job.stage for job in self.jobs}.values())

    def left(self, records: Sequence[RunRecord]) -> Sequence[Job]:
        return self.jobs[len(records) :]


def interleaved(stages: Sequence[ResolvedStage], repeats: int, results: Path) -> FixedPlan:
    """Blocks of all stages, each block in a different order, so that drift of the machine favours no stage.

    The order is fixed by the load's seed.
    """
    climb_id = new_climb_id()
    jobs: list[Job] = []
    for repeat in range(repeats):
        block = [Job(stage, results, climb_id, repeat) for stage in stages]
        random.Random(f"{stages[0].load.seed}-{repeat}").shuffle(block)
        jobs += block
    return FixedPlan(climb_id, tuple(jobs))


def loaded_s(jobs: Sequence[Job]) -> float:
    """Total seconds of warm-up and measurement."""
    return sum(job.stage.load.warmup_s + job.stage.load.measure_s for job in jobs)
