"""A ladder: a file of stages, each exactly one change from its parent, under one load.

``LadderFile`` says what a file may contain; everything else is refused here, before anything starts, with
the file, the stage and the key named.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.contract.delays import PROFILES, Profile
from services.contract.knob import Value
from services.contract.knobs import KNOBS
from vcpu_ladder.errors import UsageError
from vcpu_ladder.ladder.durations import parse_duration
from vcpu_ladder.ladder.ladder import Change, CurveStages, Ladder, Published, Size, Stage
from vcpu_ladder.ladder.load import ClosedLoad, Load, OpenLoad
from vcpu_ladder.ladder.scale import Scale
from vcpu_ladder.ladder.schema import Failures, LadderFile, LoadIn, PublishedIn, SizeIn
from vcpu_ladder.ladder.sizes import sized
from vcpu_ladder.records.events import CLIMBS
from vcpu_ladder.records.store import REFERENCE

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,40}")


def ladders_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml"))


def load_ladder(path: Path) -> Ladder:
    """Read and validate a ladder file. Raises UsageError: file, stage, key, and what is allowed."""
    try:
        content = LadderFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(other.stem for other in ladders_in(path.parent)) or "none"
        raise UsageError(
            f"no ladder file {path}; ladders there: {known}", next_command="vcpu-ladder list"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return _Reader(path, content).ladder()


# Folders of results/ that do not belong to a ladder.
_TAKEN = (REFERENCE, CLIMBS)


@dataclass(frozen=True)
class _Reader:
    path: Path
    file: LadderFile

    def ladder(self) -> Ladder:
        if self.path.stem in _TAKEN:
            raise UsageError(f"{self.path}: results/{self.path.stem} is no ladder's folder; use another name")
        profiles = self._profiles()
        stages = {stage.id: stage for stage in self._stages(tuple(profiles))}
        self._refuse_loose_ends(stages)
        for wanted in self.file.climb:
            if wanted not in stages:
                raise UsageError(f"{self.path}: climb: no stage {wanted!r}")
        ladder = Ladder(
            name=self.path.stem,
            path=self.path,
            title=self.file.title,
            stages=stages,
            climb=tuple(self.file.climb),
            load=self._load(),
            scale=self._checked("data.scale", lambda: Scale(self.file.data.scale)),
            repeats=self.file.repeats,
            upstream_profiles=profiles,
            sizes={name: self._size(name, raw, tuple(profiles)) for name, raw in self.file.sizes.items()},
            curves=tuple(self._curves(stages)),
        )
        for name in ladder.sizes:
            self._checked(f"sizes.{name}", lambda name=name: sized(ladder, name))
        return ladder

    def _checked(self, where: str, make: Any) -> Any:
        try:
            return make()
        except ValueError as error:
            raise UsageError(f"{self.path}: {where}: {error}") from None

    def _profiles(self) -> dict[str, Profile]:
        own = {
            name: self._checked(f"upstream_profiles.{name}", lambda raw=raw: Profile(raw.p50_ms, raw.p99_ms))
            for name, raw in self.file.upstream_profiles.items()
        }
        taken = sorted(own.keys() & PROFILES.keys())
        if taken:
            raise UsageError(
                f"{self.path}: upstream_profiles.{taken[0]}: that name is the mock's own; use another"
            )
        return {**PROFILES, **own}

    def _size(self, name: str, raw: SizeIn, profiles: tuple[str, ...]) -> Size:
        where = f"sizes.{name}"
        self._refuse_of_the_other_model(where, raw.model_dump(exclude_none=True))
        fields = {"ramp": "ramp_s", "warmup": "warmup_s", "measure": "measure_s", "timeout": "timeout_s"}
        load: dict[str, Any] = {} if raw.users is None else {"users": raw.users}
        for key, field_name in fields.items():
            text = getattr(raw, key)
            if text is not None:
                load[field_name] = self._checked(where, lambda text=text: parse_duration(text))
        knobs = {knob: self._value(where, knob, value, profiles) for knob, value in raw.knobs.items()}
        return Size(load, knobs)

    def _load(self) -> Load:
        raw = self.file.load
        common = ("script", "model", "warmup", "measure", "timeout", "seed")
        self._refuse_of_the_other_model("load", raw.model_dump(exclude_none=True, exclude=set(common)))
        made: Load = self._checked("load", lambda: _made(raw))
        return made

    def _refuse_of_the_other_model(self, where: str, given: Mapping[str, object]) -> None:
        model = self.file.load.model
        other = {"closed": ("rate", "max_users"), "open": ("users", "ramp")}[model]
        for name in other:
            if name in given:
                raise UsageError(f"{self.path}: {where}: {name}: means nothing in the {model} model")

    def _stages(self, profiles: tuple[str, ...]) -> Iterator[Stage]:
        base = self.file.baseline
        knobs = {name: self._value("baseline", name, value, profiles) for name, value in base.knobs.items()}
        yield Stage(
            self._id("baseline", base.id),
            base.title,
            base.why,
            knobs=knobs,
            published=_published(base.published),
            failures_count=self._failures_count(base.failures),
        )
        for position, (stage_id, raw) in enumerate(self.file.stages.items(), start=1):
            where = f"stage {self._id('stages', stage_id)}"
            if stage_id == base.id:
                raise UsageError(f"{self.path}: {where}: the baseline has that id already")
            if len(raw.change) != 1:
                listed = ", ".join(raw.change) or "nothing"
                raise UsageError(
                    f"{self.path}: {where}: change: exactly one knob may change, this names {listed}"
                )
            ((knob, value),) = raw.change.items()
            change = Change(knob, self._value(where, knob, value, profiles))
            yield Stage(
                stage_id,
                raw.title,
                raw.why,
                raw.parent,
                change,
                published=_published(raw.published),
                position=position,
                failures_count=self._failures_count(raw.failures),
            )

    def _failures_count(self, own: Failures | None) -> bool:
        return (own or self.file.failures) == "counted"

    def _curves(self, stages: Mapping[str, Stage]) -> Iterator[CurveStages]:
        for name, raw in self.file.curves.items():
            where = f"{self.path}: curve {self._id('curves', name)}"
            if raw.knob not in KNOBS or not KNOBS[raw.knob].numeric:
                raise UsageError(f"{where}: knob: {raw.knob!r} is not a knob with numbers")
            for stage_id in raw.stages:
                if stage_id not in stages:
                    raise UsageError(f"{where}: stages: no stage {stage_id!r}")
            yield CurveStages(name, raw.knob, tuple(raw.stages))

    def _id(self, where: str, stage_id: str) -> str:
        if not _ID.fullmatch(stage_id):
            raise UsageError(
                f"{self.path}: {where}: {stage_id!r} is not a stage id; use a-z, 0-9, '.', '_' and '-'"
            )
        return stage_id

    def _value(self, where: str, knob: str, value: object, profiles: tuple[str, ...]) -> Value:
        if knob not in KNOBS:
            raise UsageError(f"{self.path}: {where}: unknown knob {knob!r}; the knobs are {', '.join(KNOBS)}")
        extra = profiles if knob == "upstream" else ()
        parsed: Value = self._checked(where, lambda: KNOBS[knob].parse(value, extra))
        return parsed

    def _refuse_loose_ends(self, stages: Mapping[str, Stage]) -> None:
        for stage in stages.values():
            seen: list[str] = []
            at: Stage = stage
            while at.parent is not None:
                if at.id in seen:
                    raise UsageError(f"{self.path}: stage {stage.id}: cycle: {' -> '.join([*seen, at.id])}")
                seen.append(at.id)
                if at.parent not in stages:
                    raise UsageError(
                        f"{self.path}: stage {at.id}: orphan: its parent {at.parent!r} does not exist"
                    )
                at = stages[at.parent]


def _made(raw: LoadIn) -> Load:
    common: dict[str, Any] = {
        "script": raw.script,
        "warmup_s": parse_duration(raw.warmup),
        "measure_s": parse_duration(raw.measure),
        "timeout_s": parse_duration(raw.timeout),
        "seed": raw.seed,
    }
    if raw.model == "closed":
        users = 1 if raw.users is None else raw.users
        return ClosedLoad(**common, users=users, ramp_s=parse_duration(raw.ramp or "0s"))
    max_users = 1000 if raw.max_users is None else raw.max_users
    return OpenLoad(**common, rate_rps=1.0 if raw.rate is None else raw.rate, max_users=max_users)


def _published(raw: PublishedIn | None) -> Published | None:
    if raw is None:
        return None
    others = raw.model_dump(exclude={"rps", "source"}, exclude_none=True)
    return Published(raw.rps, raw.source, others)
