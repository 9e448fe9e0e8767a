"""What a ladder file may say, key by key; ``reader`` refuses what only the whole file shows to be wrong."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vcpu_ladder.ladder.ladder import SizeName


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Failures = Literal["invalid", "counted"]


class PublishedIn(_Strict):
    rps: Annotated[float, Field(gt=0)]
    source: str
    p50_ms: Annotated[float | None, Field(gt=0)] = None
    p95_ms: Annotated[float | None, Field(gt=0)] = None
    failed_ratio: Annotated[float | None, Field(ge=0, le=1)] = None
    requests: Annotated[int | None, Field(gt=0)] = None
    threads: Annotated[int | None, Field(gt=0)] = None


class StageIn(_Strict):
    title: str = ""
    why: Annotated[str, Field(min_length=1)]
    parent: str
    change: dict[str, str | int]
    published: PublishedIn | None = None
    failures: Failures | None = None


class BaselineIn(_Strict):
    id: str
    title: str = ""
    why: Annotated[str, Field(min_length=1)]
    knobs: dict[str, str | int] = {}
    published: PublishedIn | None = None
    failures: Failures | None = None


class LoadIn(_Strict):
    """``users`` and ``ramp`` belong to the closed model, ``rate`` and ``max_users`` to the open one."""

    script: str
    model: Literal["closed", "open"]
    users: int | None = None
    ramp: str | None = None
    rate: float | None = None
    max_users: int | None = None
    warmup: str
    measure: str
    timeout: str = "60s"
    seed: int = 1


class DataIn(_Strict):
    scale: float


class ProfileIn(_Strict):
    p50_ms: float
    p99_ms: float


class SizeIn(_Strict):
    users: int | None = None
    ramp: str | None = None
    warmup: str | None = None
    measure: str | None = None
    timeout: str | None = None
    knobs: dict[str, str | int] = {}


class CurveIn(_Strict):
    knob: str
    stages: Annotated[list[str], Field(min_length=2)]


class LadderFile(_Strict):
    title: str
    climb: list[str]
    repeats: Annotated[int, Field(ge=1, le=1000)] = 3
    failures: Failures = "invalid"
    load: LoadIn
    data: DataIn
    upstream_profiles: dict[str, ProfileIn] = {}
    sizes: dict[SizeName, SizeIn] = {}
    curves: dict[str, CurveIn] = {}
    baseline: BaselineIn
    stages: dict[str, StageIn] = {}
