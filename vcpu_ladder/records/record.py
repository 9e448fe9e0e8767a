"""The immutable record of one run, and its schema; ``migrate`` has the history and reads the older ones."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vcpu_ladder.records.facts import EnvironmentFacts, MachineFacts, SourceFacts, UpstreamFacts
from vcpu_ladder.records.load import OpenRecorded, RecordedLoad

SCHEMA = 2

Status = Literal["ok", "invalid", "unproven", "failed", "interrupted", "killed"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]


class ProofResult(_Frozen):
    """One knob: what was expected, what each place showed, and whether all agree."""

    knob: str
    where: str
    expected: Any
    found: list[Any]
    holds: bool


class CheckResult(_Frozen):
    """One validity check. A failed ``invalid`` check bars the record from ranking; ``warning`` does not."""

    name: str
    severity: Literal["invalid", "warning"]
    ok: bool
    text: str
    remedy: str = ""


class Latency(_Frozen):
    """Milliseconds, over ``n`` successful requests that completed in the window."""

    n: Count
    mean_ms: Amount
    min_ms: Amount
    p50_ms: Amount
    p90_ms: Amount
    p95_ms: Amount
    p99_ms: Amount
    max_ms: Amount


class Figures(_Frozen):
    """What the load generator counted in the window. ``rps`` is successful requests per second.

    Counted over the whole load, warm-up and drain included: the requests ``started``, those ``finished``, and
    how many of these were ``unanswered``; None in records made before they were counted.
    """

    rps: Amount
    measure_s: Annotated[float, Field(ge=0.001)]
    completed: Count
    failed: Count
    wrong_bodies: Count
    dropped: Count
    error_ratio: Amount
    failures: dict[str, Count]
    latency: Latency | None
    latency_by_endpoint: dict[str, Latency | None]
    started: int | None = None
    finished: int | None = None
    unanswered: int | None = None


class LimitResult(_Frozen):
    """The resource that limited the run: how full it was, and the throughput that it allows by arithmetic."""

    name: str
    saturation_ratio: float
    evidence: str
    ceiling_rps: float | None


class RunRecord(_Frozen):
    """Everything about one run. Times are UTC, ISO 8601; ``phases_s`` are seconds by phase.

    ``service_errors`` counts the requests that the service refused since its start, by cause; ``curves``
    is {curve: its knob} for the ladder's curves that the stage is a point of.
    ``budget`` is what the service's own cgroup reports (``run.budget.spent``), empty if it has none.
    ``limit`` is computed whenever the record is read (``records.limits``).
    """

    schema_version: int = SCHEMA
    run_id: str
    climb_id: str
    repeat: int
    ladder: str
    stage: str
    position: int
    title: str
    parent: str | None
    change: str | None
    published_rps: float | None
    published_source: str | None
    published_others: dict[str, float] = {}
    failures_count: bool = False
    fingerprint: str
    load_fingerprint: str
    knobs: dict[str, str | int]
    upstream_profile: dict[str, float]
    load: RecordedLoad
    rows: dict[str, int]
    environment: EnvironmentFacts
    budget: dict[str, Any] = {}
    machine: MachineFacts
    source: SourceFacts
    started_at: str
    ended_at: str
    phases_s: dict[str, float]
    status: Status
    reason: str | None = None
    proofs: list[ProofResult] = []
    workers: list[dict[str, Any]] = []
    figures: Figures | None = None
    samples: dict[str, float | None] = {}
    service_errors: dict[str, int] = {}
    curves: dict[str, str] = {}
    upstream: UpstreamFacts = {}
    limit: LimitResult | None = None
    checks: list[CheckResult] = []

    @model_validator(mode="after")
    def _curves_are_of_numbers(self) -> RunRecord:
        for knob in self.curves.values():
            if not isinstance(self.knobs.get(knob), int):
                raise ValueError(f"curves: {knob!r} is not a knob with a number")
        return self

    @property
    def rate_rps(self) -> float | None:
        """The offered rate of an open load; None in the closed model."""
        return self.load.rate_rps if isinstance(self.load, OpenRecorded) else None

    @property
    def valid(self) -> bool:
        """Whether the record may be ranked."""
        return self.status == "ok"

    @property
    def warnings(self) -> list[CheckResult]:
        return [check for check in self.checks if not check.ok and check.severity == "warning"]
