"""Which stages of which ladders a replication runs, and which of them have been measured already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vcpu_ladder.ladder.ladder import Ladder, SizeName, Stage
from vcpu_ladder.ladder.reader import ladders_in, load_ladder
from vcpu_ladder.ladder.resolve import ResolvedStage, resolve
from vcpu_ladder.ladder.sizes import sized
from vcpu_ladder.records.key import workload_of
from vcpu_ladder.records.record import RunRecord


def published_ladders(folder: Path, size: SizeName | None = None) -> list[Ladder]:
    """Every ladder with a published figure, the main one first; in its own size unless one is named."""
    ladders = [load_ladder(path) for path in ladders_in(folder)]
    found = [
        ladder if size is None else sized(ladder, size) for ladder in ladders if published_stages(ladder)
    ]
    return sorted(found, key=lambda ladder: (ladder.name != "main", ladder.name))


def published_stages(ladder: Ladder) -> list[Stage]:
    return [stage for stage in ladder.stages.values() if stage.published is not None]


def anchor(ladder: Ladder, stage: Stage) -> Stage | None:
    """The nearest stage above it with a published figure, the base of its ratio. None for the first."""
    above = [one for one in ladder.lineage(stage.id)[:-1] if one.published is not None]
    return above[-1] if above else None


def to_run(ladder: Ladder) -> list[ResolvedStage]:
    """The ladder's published stages, in its order."""
    return [resolve(ladder, stage.id) for stage in published_stages(ladder)]


@dataclass(frozen=True)
class Today:
    """What a run made now would have: source, host, kind of environment."""

    workload: str
    host: str
    environment: str


def measured(stage: ResolvedStage, records: Sequence[RunRecord], today: Today) -> int:
    """Valid runs of exactly this stage, load, source, host and kind of environment: not to be run again."""
    return sum(
        record.valid
        and (record.fingerprint, record.load_fingerprint) == (stage.fingerprint, stage.load_fingerprint)
        and today
        == Today(
            workload_of(record.source, str(record.environment.get("kind"))),
            str(record.machine.get("host")),
            str(record.environment.get("kind")),
        )
        for record in records
        if (record.ladder, record.stage) == (stage.ladder, stage.id)
    )
