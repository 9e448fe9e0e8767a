"""From a stage to everything a run of it needs: all knobs, the load, the data, and their fingerprints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.contract.delays import Profile
from services.contract.endpoints import SHOP
from services.contract.knob import Knobs
from services.contract.knobs import DEFAULTS, KNOBS, inapplicable
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.ladder import CurveStages, Ladder, Stage
from vcpu_ladder.ladder.load import STUDY_SCRIPT, Load
from vcpu_ladder.ladder.scale import Scale
from vcpu_ladder.records.fingerprint import fingerprint


@dataclass(frozen=True, kw_only=True)
class ResolvedStage(Stage):
    """A stage with nothing left to look up: ``knobs`` holds every knob.

    ``fingerprint`` identifies its knobs and what they stand for, ``load_fingerprint`` the load and the data;
    rows are compared only if the latter agree. ``curves`` is {curve: its knob} for the ladder's curves that
    the stage is a point of.
    """

    ladder: str
    load: Load
    scale: Scale
    upstream: Profile
    curves: Mapping[str, str]
    fingerprint: str
    load_fingerprint: str

    @property
    def name(self) -> str:
        return f"{self.ladder}/{self.id}"


def resolve(ladder: Ladder, stage_id: str, load: Load | None = None) -> ResolvedStage:
    """Apply the lineage's changes in turn.

    Raises UsageError if a change cannot act on the stage it changes, or if knobs contradict one another.
    """
    lineage = ladder.lineage(stage_id)
    knobs: dict[str, str | int] = {**DEFAULTS, **lineage[0].knobs}
    _refuse_conflict(ladder, lineage[0].id, knobs)
    for name in lineage[0].knobs:
        reason = inapplicable(name, knobs) if knobs[name] != DEFAULTS[name] else None
        if reason is not None:
            where = f"{ladder.path}: stage {lineage[0].id}: {name} = {knobs[name]}"
            raise UsageError(f"{where}: cannot act here: {reason}")
    for stage in lineage[1:]:
        assert stage.change is not None  # only the baseline has none
        before = knobs[stage.change.knob]
        knobs = {**knobs, stage.change.knob: stage.change.value}
        where = f"{ladder.path}: stage {stage.id}: {stage.change}"
        if before == stage.change.value:
            raise UsageError(f"{where}: changes nothing, {stage.parent} has that value already")
        reason = inapplicable(stage.change.knob, knobs)
        if reason is not None:
            raise UsageError(f"{where}: cannot act here: {reason}")
        _refuse_conflict(ladder, stage.id, knobs)
    load = load or ladder.load
    _refuse_wrong_script(ladder, stage_id, knobs, load)
    profile = ladder.upstream_profiles[str(knobs["upstream"])]
    return ResolvedStage(
        **{**vars(lineage[-1]), "knobs": knobs},
        ladder=ladder.name,
        load=load,
        scale=ladder.scale,
        upstream=profile,
        curves={curve.name: curve.knob for curve in ladder.curves if stage_id in curve.stages},
        fingerprint=fingerprint({"knobs": knobs, "upstream": [profile.p50_ms, profile.p99_ms]}),
        load_fingerprint=fingerprint({"load": load.identity(), "scale": ladder.scale.factor}),
    )


def resolve_all(ladder: Ladder) -> Mapping[str, ResolvedStage]:
    """Every stage of the ladder; this also validates the whole file."""
    stages = {stage_id: resolve(ladder, stage_id) for stage_id in ladder.stages}
    for curve in ladder.curves:
        _refuse_mixed(ladder, curve, [stages[stage_id] for stage_id in curve.stages])
    return stages


def _refuse_mixed(ladder: Ladder, curve: CurveStages, stages: Sequence[ResolvedStage]) -> None:
    """A curve's stages must all differ from one another in its knob, and in nothing else."""
    others = {fingerprint({**stage.knobs, curve.knob: None}) for stage in stages}
    values = {stage.knobs[curve.knob] for stage in stages}
    if len(others) > 1 or len(values) < len(stages):
        raise UsageError(
            f"{ladder.path}: curve {curve.name}: its stages must differ in {curve.knob}, and in nothing else"
        )


def _refuse_conflict(ladder: Ladder, stage_id: str, knobs: Knobs) -> None:
    for knob in KNOBS.values():
        conflict = knob.conflict(knobs)
        if conflict is not None:
            raise UsageError(f"{ladder.path}: stage {stage_id}: {knob.name} = {knobs[knob.name]}: {conflict}")


def _refuse_wrong_script(ladder: Ladder, stage_id: str, knobs: Knobs, load: Load) -> None:
    endpoint = knobs["endpoint"]
    if (endpoint == SHOP) == (load.script == STUDY_SCRIPT):
        raise UsageError(
            f"{ladder.path}: stage {stage_id}: endpoint = {endpoint}: {load.script} does not call it; "
            f"{STUDY_SCRIPT} calls a study's path, every other script the shop"
        )
