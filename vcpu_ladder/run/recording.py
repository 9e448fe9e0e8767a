"""What is known about a run in progress, and the record that is written, however the run ends."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vcpu_ladder.environments.base import Environment
from vcpu_ladder.environments.machine import machine_facts, source_facts
from vcpu_ladder.errors import LadderError, not_writable
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.records.events import Checked, Listener, Sampled, Step
from vcpu_ladder.records.limits import limit_of
from vcpu_ladder.records.record import CheckResult, Figures, ProofResult, RunRecord, Status
from vcpu_ladder.records.store import MARKER, now, run_folder, save, write_atomically
from vcpu_ladder.run.columns import COLUMNS
from vcpu_ladder.run.evidence import Evidence
from vcpu_ladder.run.sample import Sample, medians, write_samples
from vcpu_ladder.run.validity import judge


@dataclass(frozen=True)
class Job:
    """A run to do: the stage, and its place in a climb. Repeat r uses the load's seed + r."""

    stage: ResolvedStage
    results: Path
    climb_id: str
    repeat: int = 0

    @property
    def seed(self) -> int:
        return self.stage.load.seed + self.repeat


@dataclass
class Run:
    """What is known so far, so that a failed run is recorded with all of it.

    ``facts`` are the environment's (``describe``) and, once the stack is up, the stack's (``Stack.facts``).
    """

    job: Job
    run_id: str
    folder: Path
    environment: Environment
    listener: Listener
    started_at: str
    facts: dict[str, Any]
    phases_s: dict[str, float] = field(default_factory=dict)
    phase: str = "start"
    proofs: list[ProofResult] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)
    processes: set[int] = field(default_factory=set)
    samples: list[Sample] = field(default_factory=list)
    figures: Figures | None = None
    upstream: dict[str, Any] = field(default_factory=dict)
    worker_requests: dict[int, float] = field(default_factory=dict)
    service_errors: dict[str, int] = field(default_factory=dict)
    proofs_after: str | None = None
    pids_after: list[int] = field(default_factory=list)
    budget: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.phase = name
        self.tell()
        begun = time.monotonic()
        try:
            yield
        finally:
            self.phases_s[name] = round(time.monotonic() - begun, 3)

    @property
    def pinned(self) -> bool:
        return bool(self.facts.get("pinned"))

    def tell(self, detail: str = "") -> None:
        """Report the run's current step, and what it waits for."""
        stage, repeat = self.job.stage.name, self.job.repeat
        self.listener(Step(stage=stage, run_id=self.run_id, repeat=repeat, step=self.phase, detail=detail))

    def tell_sample(self, sample: Sample, left_s: float) -> None:
        self.listener(
            Sampled(
                stage=self.job.stage.name,
                run_id=self.run_id,
                repeat=self.job.repeat,
                phase=str(sample["phase"]),
                left_s=round(left_s, 3),
                values={name: _number(sample.get(name)) for name in COLUMNS},
            )
        )


def begin(job: Job, environment: Environment, listener: Listener) -> Run:
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    folder = run_folder(job.results, job.stage.ladder, job.stage.id, run_id)
    try:
        (folder / "logs").mkdir(parents=True)
    except OSError as error:
        raise not_writable(folder, error) from None
    run = Run(job, run_id, folder, environment, listener, now(), environment.describe())
    # If this process is killed, the next measuring command finds this marker and writes the record.
    marker = {"record": json.loads(_record(run, "killed", "the runner was killed").model_dump_json())}
    write_atomically(folder / MARKER, json.dumps(marker))
    return run


def finish(run: Run, status: Status, error: LadderError | None) -> RunRecord:
    with suppress(OSError):
        write_samples(run.folder / "samples.csv", run.samples)
    reason = None if error is None else error.what + (f"\n{error.evidence}" if error.evidence else "")
    record = _record(run, status, reason)
    if record.figures is not None and status == "ok":
        failed = [check.text for check in record.checks if not check.ok and check.severity == "invalid"]
        if failed:
            record = record.model_copy(update={"status": "invalid", "reason": "; ".join(failed)})
    save(record, run.folder)
    for check in record.checks:
        run.listener(
            Checked(
                stage=run.job.stage.name,
                run_id=run.run_id,
                name=check.name,
                severity=check.severity,
                ok=check.ok,
                text=check.text,
            )
        )
    (run.folder / MARKER).unlink(missing_ok=True)
    return record


def _record(run: Run, status: Status, reason: str | None) -> RunRecord:
    job, stage = run.job, run.job.stage
    summary = medians(run.samples) if run.samples else {}
    record = RunRecord(
        run_id=run.run_id,
        climb_id=job.climb_id,
        repeat=job.repeat,
        **_identity(stage),
        load=stage.load.recorded(job.seed),
        rows=stage.scale.rows,
        environment=run.facts,
        budget=run.budget,
        machine=machine_facts(),
        source=source_facts(),
        started_at=run.started_at,
        ended_at=now(),
        phases_s=run.phases_s,
        status=status,
        reason=reason,
        proofs=run.proofs,
        workers=[
            {**worker["facts"], "pid": worker["pid"], "requests": run.worker_requests.get(worker["pid"])}
            for worker in run.workers
        ],
        figures=run.figures,
        samples=summary,
        service_errors=run.service_errors,
        upstream=run.upstream,
        checks=_checks(run, summary),
    )
    return record.model_copy(update={"limit": limit_of(record)})


def _identity(stage: ResolvedStage) -> dict[str, Any]:
    """The record's fields that identify its stage."""
    published = stage.published
    return {
        "ladder": stage.ladder,
        "stage": stage.id,
        "position": stage.position,
        "title": stage.title,
        "parent": stage.parent,
        "change": str(stage.change) if stage.change else None,
        "published_rps": published.rps if published else None,
        "published_source": published.source if published else None,
        "published_others": dict(published.others) if published else {},
        "failures_count": stage.failures_count,
        "fingerprint": stage.fingerprint,
        "load_fingerprint": stage.load_fingerprint,
        "knobs": dict(stage.knobs),
        "upstream_profile": {"p50_ms": stage.upstream.p50_ms, "p99_ms": stage.upstream.p99_ms},
        "curves": dict(stage.curves),
    }


def _checks(run: Run, summary: dict[str, float | None]) -> list[CheckResult]:
    """None without figures, because there is nothing to judge."""
    if run.figures is None:
        return []
    evidence = Evidence(
        run.job.stage,
        run.figures,
        run.samples,
        summary,
        [worker["pid"] for worker in run.workers],
        run.pids_after,
        run.proofs_after,
        list(run.worker_requests.values()),
        run.facts,
        run.service_errors,
        run.budget,
    )
    return judge(evidence)


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)
