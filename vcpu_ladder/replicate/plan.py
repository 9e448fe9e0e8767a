"""Which stages of which ladders a replication runs, and which of them are measured already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vcpu_ladder.environments.machine import machine_facts, source_facts
from vcpu_ladder.ladder.reader import Ladder, Stage, ladders_in, load_ladder
from vcpu_ladder.ladder.resolve import ResolvedStage, resolve
from vcpu_ladder.ladder.sizes import SizeName, sized
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
    """The nearest stage above it with a published figure: what its ratio is to. None for the first."""
    above = [one for one in ladder.lineage(stage.id)[:-1] if one.published is not None]
    return above[-1] if above else None


def to_run(ladder: Ladder) -> list[ResolvedStage]:
    """The ladder's published stages, in its order."""
    return [resolve(ladder, stage.id) for stage in published_stages(ladder)]


def measured(stage: ResolvedStage, records: Sequence[RunRecord], environment: Mapping[str, object]) -> int:
    """Valid runs of just this stage, load, source, host and kind of environment: not to be run again."""
    now = (
        stage.fingerprint,
        stage.load_fingerprint,
        source_facts()["workload"],
        machine_facts()["host"],
        environment.get("kind"),
    )
    return sum(
        record.valid
        and now
        == (
            record.fingerprint,
            record.load_fingerprint,
            record.source.get("workload"),
            record.machine.get("host"),
            record.environment.get("kind"),
        )
        for record in records
        if (record.ladder, record.stage) == (stage.ladder, stage.stage.id)
    )
