"""The immutable record of one run, and its schema.

Schema history: 1, the first; ``service_errors``, ``curves``, ``published_others`` and ``failures_count`` came
later and are empty in older records, as ``figures.started``, ``finished`` and ``unanswered``.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SCHEMA = 1

Status = Literal["ok", "invalid", "unproven", "failed", "interrupted", "killed"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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

    n: int
    mean_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Figures(_Frozen):
    """What the load generator counted in the window. ``rps`` are successful requests a second.

    Over the whole load, warm-up and drain included: the requests ``started``, those ``finished``, and of
    these the ``unanswered``; None in records made before they were counted.
    """

    rps: float
    measure_s: float
    completed: int
    failed: int
    wrong_bodies: int
    dropped: int
    error_ratio: float
    failures: dict[str, int]
    latency: Latency | None
    latency_by_endpoint: dict[str, Latency | None]
    started: int | None = None
    finished: int | None = None
    unanswered: int | None = None


class LimitResult(_Frozen):
    """The resource that bounded the run: how full it was, and the throughput the arithmetic allows it."""

    name: str
    saturation_ratio: float
    evidence: str
    ceiling_rps: float | None


class RunRecord(_Frozen):
    """Everything about one run. Times are UTC, ISO 8601; ``phases_s`` are seconds by phase.

    ``service_errors`` counts the requests that the service refused since its start, by cause; ``curves``
    names the ladder's curves that the stage is a point of, with the knob of each.
    ``budget`` is what the service's own cgroup says (``run.budget.spent``), empty where it has none.
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
    load: dict[str, Any]
    rows: dict[str, int]
    environment: dict[str, Any]
    budget: dict[str, Any] = {}
    machine: dict[str, Any]
    source: dict[str, Any]
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
    upstream: dict[str, Any] = {}
    limit: LimitResult | None = None
    checks: list[CheckResult] = []

    @property
    def valid(self) -> bool:
        """Whether the record may be ranked."""
        return self.status == "ok"

    @property
    def warnings(self) -> list[CheckResult]:
        return [check for check in self.checks if not check.ok and check.severity == "warning"]
