"""What a ladder is: stages, each exactly one change from its parent, under one load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from services.contract.delays import Profile
from services.contract.knob import Value
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.load import Load
from vcpu_ladder.ladder.scale import Scale

SizeName = Literal["quick", "full"]


@dataclass(frozen=True)
class Size:
    """What differs from the ladder's own load (fields of its ``Load``) and from its baseline's knobs."""

    load: Mapping[str, Any] = field(default_factory=dict)
    knobs: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One knob and its new value. Singular, so that a second change cannot be written down."""

    knob: str
    value: Value

    def __str__(self) -> str:
        return f"{self.knob} = {self.value}"


@dataclass(frozen=True)
class Published:
    """Figures somebody else published for this stage. ``others`` holds what they gave besides the rate:
    ``p50_ms``, ``p95_ms``, ``failed_ratio``, ``requests``, ``threads``.
    """

    rps: float
    source: str
    others: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """``parent`` and ``change`` are None only in the baseline, whose ``knobs`` are set directly.

    ``position`` is its place in the file, 0 for the baseline: the order in which tables show it.
    ``failures_count``: failed requests are part of the result, and do not make a run invalid.
    """

    id: str
    title: str
    why: str
    parent: str | None = None
    change: Change | None = None
    knobs: Mapping[str, Value] = field(default_factory=dict)
    published: Published | None = None
    position: int = 0
    failures_count: bool = False


@dataclass(frozen=True)
class CurveStages:
    """Stages that differ in one numeric knob only: throughput as a function of it."""

    name: str
    knob: str
    stages: tuple[str, ...]


@dataclass(frozen=True)
class Ladder:
    """``climb`` lists the stages run by default; the others run on request. ``repeats`` is runs per stage."""

    name: str
    path: Path
    title: str
    stages: Mapping[str, Stage]
    climb: tuple[str, ...]
    load: Load
    scale: Scale
    repeats: int
    upstream_profiles: Mapping[str, Profile]
    sizes: Mapping[SizeName, Size] = field(default_factory=dict)
    curves: tuple[CurveStages, ...] = ()

    @property
    def root(self) -> Stage:
        return next(stage for stage in self.stages.values() if stage.parent is None)

    def stage(self, stage_id: str) -> Stage:
        """Raises UsageError naming the stages that exist."""
        if stage_id not in self.stages:
            raise UsageError(
                f"{self.path}: no stage {stage_id!r}; its stages are {', '.join(self.stages)}",
                next_command="vcpu-ladder list",
            )
        return self.stages[stage_id]

    def lineage(self, stage_id: str) -> list[Stage]:
        """From the baseline to the stage."""
        chain = [self.stage(stage_id)]
        while chain[0].parent is not None:
            chain.insert(0, self.stages[chain[0].parent])
        return chain
