"""What a run is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.records.record import Figures
from vcpu_ladder.run.sample import Sample


@dataclass(frozen=True)
class Evidence:
    """A finished run: what k6 counted, the samples and their medians, the workers before and after."""

    stage: ResolvedStage
    figures: Figures
    samples: Sequence[Sample]
    medians: Mapping[str, float | None]
    workers_before: Sequence[int]
    workers_after: Sequence[int]
    proofs_after: str | None
    worker_requests: Sequence[float]
    environment: Mapping[str, Any]
    service_errors: Mapping[str, int]
    budget: Mapping[str, Any]

    def median(self, column: str) -> float | None:
        return self.medians.get(column)
