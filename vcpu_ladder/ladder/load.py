"""The load of a run: who sends what, for how long. The same for every stage of a ladder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

# Calls the one path of a published study; every other script calls the shop.
STUDY_SCRIPT = "study.js"
# How long requests in flight at the end of the window may take to finish: enough for all of them in most
# stages, and little beside the minute that a request may wait in a stage that blocks.
DRAIN_S = 5.0


@dataclass(frozen=True)
class LoadProfile:
    """``users`` matter in the closed model (each sends its next request when the last is answered), and start
    evenly over ``ramp_s``, a part of the warm-up; ``rate_rps`` and ``max_users`` matter in the open one
    (requests arrive whether or not others are done).

    Raises ValueError for a load that cannot be meant.
    """

    script: str
    model: Literal["closed", "open"]
    users: int
    rate_rps: float
    max_users: int
    warmup_s: float
    measure_s: float
    timeout_s: float
    seed: int
    ramp_s: float = 0.0

    def __post_init__(self) -> None:
        bounds = {
            "users": (self.users, 1, 100_000),
            "max_users": (self.max_users, 1, 100_000),
            "rate_rps": (self.rate_rps, 0.1, 100_000),
            "warmup": (self.warmup_s, 0, 3600),
            "ramp": (self.ramp_s, 0, self.warmup_s if self.model == "closed" else 0),
            "measure": (self.measure_s, 0.5, 36_000),
            "timeout": (self.timeout_s, 1, 3600),
            "seed": (self.seed, 0, 2**31),
        }
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                within = ", the warm-up, in which users start" if name == "ramp" else ""
                raise ValueError(f"{name} = {value:g} is not allowed: {low:g} to {high:g}{within}")

    def variables(self) -> dict[str, str]:
        """The ``LADDER_*`` variables that ``k6/lib/config.js`` reads."""
        return {
            "LADDER_MODEL": self.model,
            "LADDER_USERS": str(self.users),
            "LADDER_RATE": f"{self.rate_rps:g}",
            "LADDER_MAX_USERS": str(self.max_users),
            "LADDER_RAMP_S": f"{self.ramp_s:g}",
            "LADDER_WARMUP_S": f"{self.warmup_s:g}",
            "LADDER_MEASURE_S": f"{self.measure_s:g}",
            "LADDER_DRAIN_S": f"{DRAIN_S:g}",
            "LADDER_TIMEOUT_S": f"{self.timeout_s:g}",
            "LADDER_SEED": str(self.seed),
        }

    def identity(self) -> dict[str, Any]:
        """What two runs must share to be compared: the seed is left out, because repeats vary it."""
        identity = asdict(self)
        del identity["seed"]
        for unused in ("rate_rps", "max_users") if self.model == "closed" else ("users", "ramp_s"):
            del identity[unused]
        if not identity.get("ramp_s", True):
            del identity["ramp_s"]  # a load without a ramp is the same load as before there were ramps
        return identity

    def describe(self) -> str:
        who = f"{self.users} users" if self.model == "closed" else f"{self.rate_rps:g} requests/s"
        ramp = f"{self.ramp_s:g} s ramp, " if self.ramp_s else ""
        return (
            f"{self.script}, {self.model} model, {who}, {ramp}"
            f"{self.warmup_s:g} s warm-up, {self.measure_s:g} s measured, seed {self.seed}"
        )
