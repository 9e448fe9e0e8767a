"""The load of a run: who sends what, for how long. The same for every stage of a ladder.

Two models: ``ClosedLoad`` (each user sends the next request when the last one is answered) and ``OpenLoad``
(requests arrive at a given rate, whether or not earlier ones are done).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from vcpu_ladder.records.load import ClosedRecorded, OpenRecorded

# Calls the one path of a published study; every other script calls the shop.
STUDY_SCRIPT = "study.js"
# How long requests in flight at the end of the window may take to finish: enough for all of them in most
# stages, and short compared with the minute that a request may wait in a stage that blocks.
DRAIN_S = 5.0

# Two comparable runs of a load may differ in these: repeats vary the seed, searches the rate.
PARAMETERS = ("seed", "rate_rps")

_Bounds = Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True, kw_only=True)
class _Load:
    """What both models share. Raises ValueError for values that are not allowed."""

    script: str
    warmup_s: float
    measure_s: float
    timeout_s: float
    seed: int

    model: ClassVar[str]

    def __post_init__(self) -> None:
        for name, (value, low, high) in {**self._bounds(), **self._own_bounds()}.items():
            if not low <= value <= high:
                within = ", the warm-up, in which users start" if name == "ramp" else ""
                raise ValueError(f"{name} = {value:g} is not allowed: {low:g} to {high:g}{within}")

    def _bounds(self) -> _Bounds:
        return {
            "warmup": (self.warmup_s, 0, 3600),
            "measure": (self.measure_s, 0.5, 36_000),
            "timeout": (self.timeout_s, 1, 3600),
            "seed": (self.seed, 0, 2**31),
        }

    def _own_bounds(self) -> _Bounds:
        raise NotImplementedError

    def _own_variables(self) -> dict[str, str]:
        raise NotImplementedError

    def _who(self) -> str:
        raise NotImplementedError

    def variables(self) -> dict[str, str]:
        """The ``LADDER_*`` variables that ``k6/lib/config.js`` reads."""
        return {
            "LADDER_MODEL": self.model,
            **self._own_variables(),
            "LADDER_WARMUP_S": f"{self.warmup_s:g}",
            "LADDER_MEASURE_S": f"{self.measure_s:g}",
            "LADDER_DRAIN_S": f"{DRAIN_S:g}",
            "LADDER_TIMEOUT_S": f"{self.timeout_s:g}",
            "LADDER_SEED": str(self.seed),
        }

    def identity(self) -> dict[str, Any]:
        """What two runs must share to be comparable in kind: everything but ``PARAMETERS``."""
        identity = {"model": self.model, **asdict(self)}
        for name in PARAMETERS:
            identity.pop(name, None)
        if not identity.get("ramp_s", True):
            del identity["ramp_s"]  # a load without a ramp is the same load as before there were ramps
        return identity

    def describe(self) -> str:
        return (
            f"{self.script}, {self.model} model, {self._who()}, "
            f"{self.warmup_s:g} s warm-up, {self.measure_s:g} s measured, seed {self.seed}"
        )


@dataclass(frozen=True, kw_only=True)
class ClosedLoad(_Load):
    """``users`` start evenly over ``ramp_s``, a part of the warm-up."""

    users: int
    ramp_s: float = 0.0

    model: ClassVar[Literal["closed"]] = "closed"

    def recorded(self, seed: int) -> ClosedRecorded:
        """The load as a record has it, with the seed of that run."""
        return ClosedRecorded(model=self.model, **{**asdict(self), "seed": seed})

    def _own_bounds(self) -> _Bounds:
        return {"users": (self.users, 1, 100_000), "ramp": (self.ramp_s, 0, self.warmup_s)}

    def _own_variables(self) -> dict[str, str]:
        return {"LADDER_USERS": str(self.users), "LADDER_RAMP_S": f"{self.ramp_s:g}"}

    def _who(self) -> str:
        return f"{self.users} users" + (f", {self.ramp_s:g} s ramp" if self.ramp_s else "")


@dataclass(frozen=True, kw_only=True)
class OpenLoad(_Load):
    """``rate_rps`` requests arrive per second, with at most ``max_users`` in flight at once."""

    rate_rps: float
    max_users: int

    model: ClassVar[Literal["open"]] = "open"

    def recorded(self, seed: int) -> OpenRecorded:
        """The load as a record has it, with the seed of that run."""
        return OpenRecorded(model=self.model, **{**asdict(self), "seed": seed})

    def _own_bounds(self) -> _Bounds:
        return {"rate_rps": (self.rate_rps, 0.1, 100_000), "max_users": (self.max_users, 1, 100_000)}

    def _own_variables(self) -> dict[str, str]:
        return {
            "LADDER_RATE": f"{self.rate_rps:g}",
            "LADDER_MAX_USERS": str(self.max_users),
            "LADDER_RAMP_S": "0",
        }

    def _who(self) -> str:
        return f"{self.rate_rps:g} requests/s"


Load = ClosedLoad | OpenLoad
