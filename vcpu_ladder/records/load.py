"""The load as a record has it: one shape per model. ``ladder.load`` makes it, before a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Recorded(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    script: str
    warmup_s: Annotated[float, Field(ge=0)]
    measure_s: Annotated[float, Field(gt=0)]
    timeout_s: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)]


class ClosedRecorded(_Recorded):
    """``users``: each sends the next request when the last one is answered."""

    model: Literal["closed"]
    users: Annotated[int, Field(ge=1)]
    ramp_s: Annotated[float, Field(ge=0)] = 0.0


class OpenRecorded(_Recorded):
    """``rate_rps`` requests offered per second, whether or not earlier ones are done."""

    model: Literal["open"]
    rate_rps: Annotated[float, Field(gt=0)]
    max_users: Annotated[int, Field(ge=1)]


RecordedLoad = Annotated[ClosedRecorded | OpenRecorded, Field(discriminator="model")]
