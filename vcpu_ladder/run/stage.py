"""One run of one stage, in the seven steps that every environment shares."""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from vcpu_ladder.environments.base import Environment, Stack
from vcpu_ladder.environments.loopback import get_text, request
from vcpu_ladder.environments.machine import machine_facts, source_facts
from vcpu_ladder.errors import EnvironmentNotReady, Interrupted, LadderError, RunInvalid, Unproven
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.records.events import Listener, Moment
from vcpu_ladder.records.limits import Observed, find_limit
from vcpu_ladder.records.record import (
    MARKER,
    Figures,
    ProofResult,
    RunRecord,
    Status,
    not_writable,
    now,
    run_folder,
    save,
    write_atomically,
)
from vcpu_ladder.run.budget import spent
from vcpu_ladder.run.correctness import check_correctness, errors_by_cause, requests_by_worker
from vcpu_ladder.run.drive import drive, load_variables
from vcpu_ladder.run.prove import broken, prove, see_workers, upstream_in_force
from vcpu_ladder.run.sample import Sample, medians, write_samples
from vcpu_ladder.run.validity import STILL_BUSY, Evidence, judge

# A service with a backlog of blocking requests answers only when it is through.
_AFTER_LOAD_DEADLINE_S = 45.0


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
class _Run:
    """What is known so far, so that a run that ends badly is recorded with all of it."""

    job: Job
    run_id: str
    folder: Path
    environment: Environment
    listener: Listener
    started_at: str
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
        self.tell(name)
        begun = time.monotonic()
        try:
            yield
        finally:
            self.phases_s[name] = round(time.monotonic() - begun, 3)

    @property
    def pinned(self) -> bool:
        return bool(self.environment.describe().get("pinned"))

    def tell(self, phase: str, left_s: float | None = None, rps: float | None = None) -> None:
        self.listener.moment(Moment(self.job.stage.name, self.job.repeat, phase, left_s, rps))


def run_stage(job: Job, environment: Environment, listener: Listener) -> RunRecord:
    """Run the stage once and write its record, whatever happens.

    A service that does not start is a failed run, so that a climb goes on. Raises EnvironmentNotReady when
    it could not begin, and Interrupted, after the record is written, when the user ended it.
    """
    environment.check_ready()
    run = _begin(job, environment, listener)
    status: Status = "ok"
    error: LadderError | None = None
    try:
        _seven_steps(run)
    except KeyboardInterrupt:
        status, error = (
            "interrupted",
            Interrupted(
                f"{job.stage.name}: interrupted during {run.phase}; recorded",
                next_command="vcpu-ladder summary",
            ),
        )
    except Unproven as unproven:
        status, error = "unproven", unproven
    except RunInvalid as invalid:
        status, error = "invalid", invalid
    except LadderError as failed:
        status, error = "failed", failed
    except Exception as bug:
        status, error = "failed", LadderError(f"{type(bug).__name__}: {bug}")
        raise
    finally:
        with _deaf_to_interrupts(), run.step("stop"):
            environment.down()
        record = _finish(run, status, error)
    listener.finished(record)
    if isinstance(error, Interrupted):
        raise error
    return record


def _begin(job: Job, environment: Environment, listener: Listener) -> _Run:
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    folder = run_folder(job.results, job.stage.ladder, job.stage.stage.id, run_id)
    try:
        (folder / "logs").mkdir(parents=True)
    except OSError as error:
        raise not_writable(folder, error) from None
    run = _Run(job, run_id, folder, environment, listener, now())
    # Should this process be killed, the next command finds this and writes the record for it.
    marker = {"record": json.loads(_record(run, "killed", "the runner was killed").model_dump_json())}
    write_atomically(folder / MARKER, json.dumps(marker))
    return run


def _seven_steps(run: _Run) -> None:
    stage = run.job.stage
    with run.step("restore and start"):  # the first step, nothing of ours running, was check_ready
        try:
            stack = run.environment.up(stage, run.run_id, run.folder / "logs", run.tell)
        except OSError as error:
            raise EnvironmentNotReady(f"cannot prepare the run: {error}") from None
    with run.step("prove"):
        _prove(run, stack)
    with run.step("check"):
        requests_before, variables = _check(run, stack)
    with run.step("load"):
        run.figures = drive(stack, stage, run.job.seed, variables, run.folder, run.tell, run.samples)
    with run.step("check again"):
        _look_back(run, stack, requests_before)


def _prove(run: _Run, stack: Stack) -> None:
    stage = run.job.stage
    run.workers = see_workers(stack.service_url, int(stage.knobs["workers"]))
    upstream = upstream_in_force(stack.upstream_url)
    run.processes = set(stack.usage().service_pids)
    run.proofs = prove(stage, run.workers, upstream, run.pinned, stack.activity())
    wrong = broken(run.proofs)
    if wrong is not None:
        raise Unproven(f"unproven: {wrong}", next_command=f"read {run.folder / 'logs' / 'service.err'}")


def _check(run: _Run, stack: Stack) -> tuple[dict[int, float], dict[str, str]]:
    """Correctness; then the upstream's counters from zero, the requests each worker has begun, and what the
    load's script must know of the answers.
    """
    try:
        body = check_correctness(
            run.job.stage, stack.service_url, lambda: int(upstream_in_force(stack.upstream_url)["requests"])
        )
        request("POST", f"{stack.upstream_url}/reset").raise_for_status()
        return requests_by_worker(stack.service_url), load_variables(run.job.stage, body)
    except httpx.HTTPError as error:
        ended = stack.died() or f"{type(error).__name__}: {error}"
        raise RunInvalid(f"during check: the service or the upstream stopped answering: {ended}") from None


def _look_back(run: _Run, stack: Stack, requests_before: dict[int, float]) -> None:
    """Upstream statistics and log, then workers and proofs, after the load."""
    stage = run.job.stage
    run.upstream = upstream_in_force(stack.upstream_url)
    with suppress(httpx.HTTPError):
        log = get_text(f"{stack.upstream_url}/log", timeout_s=10.0)
        (run.folder / "upstream.csv").write_text(log, encoding="utf-8")
    alive = set(stack.usage().service_pids)
    try:
        expected = int(stage.knobs["workers"])
        workers = see_workers(stack.service_url, expected, _AFTER_LOAD_DEADLINE_S)
        if stage.stage.failures_count and len(workers) < expected:
            raise EnvironmentNotReady(f"{len(workers)} of {expected} workers answered")
        proofs = prove(stage, workers, run.upstream, run.pinned, stack.activity())
        run.proofs_after = broken(proofs)
        run.pids_after = [worker["pid"] for worker in workers]
        run.budget = spent(run.workers, workers)
        after = requests_by_worker(stack.service_url)
        run.service_errors = {
            cause: count for cause, count in errors_by_cause(stack.service_url).items() if count
        }
        run.worker_requests = {pid: after[pid] - requests_before.get(pid, 0.0) for pid in sorted(after)}
    except (EnvironmentNotReady, httpx.HTTPError) as error:
        # A stage that fails by blocking its loops leaves them busy for longer than anybody waits.
        busy = stage.stage.failures_count
        run.proofs_after = STILL_BUSY if busy else f"after the load: {error or type(error).__name__}"
        kept = [worker["pid"] for worker in run.workers if worker["pid"] in alive]
        # One that gunicorn started for one it ended is as busy, and cannot say who it is.
        run.pids_after = [*kept, *sorted(alive - run.processes)]


def _finish(run: _Run, status: Status, error: LadderError | None) -> RunRecord:
    with suppress(OSError):
        write_samples(run.folder / "samples.csv", run.samples)
    reason = None if error is None else error.what + (f"\n{error.evidence}" if error.evidence else "")
    record = _record(run, status, reason)
    if record.figures is not None and status == "ok":
        failed = [check.text for check in record.checks if not check.ok and check.severity == "invalid"]
        if failed:
            record = record.model_copy(update={"status": "invalid", "reason": "; ".join(failed)})
    save(record, run.folder)
    (run.folder / MARKER).unlink(missing_ok=True)
    return record


def _record(run: _Run, status: Status, reason: str | None) -> RunRecord:
    job, stage = run.job, run.job.stage
    summary = medians(run.samples) if run.samples else {}
    published = stage.stage.published
    environment = run.environment.describe()
    checks = []
    if run.figures is not None:
        evidence = Evidence(
            stage,
            run.figures,
            run.samples,
            summary,
            [worker["pid"] for worker in run.workers],
            run.pids_after,
            run.proofs_after,
            list(run.worker_requests.values()),
            environment,
            run.service_errors,
            run.budget,
        )
        checks = judge(evidence)
    record = RunRecord(
        run_id=run.run_id,
        climb_id=job.climb_id,
        repeat=job.repeat,
        ladder=stage.ladder,
        stage=stage.stage.id,
        position=stage.stage.position,
        title=stage.stage.title,
        parent=stage.stage.parent,
        change=str(stage.stage.change) if stage.stage.change else None,
        published_rps=published.rps if published else None,
        published_source=published.source if published else None,
        published_others=dict(published.others) if published else {},
        failures_count=stage.stage.failures_count,
        fingerprint=stage.fingerprint,
        load_fingerprint=stage.load_fingerprint,
        knobs=dict(stage.knobs),
        upstream_profile={"p50_ms": stage.upstream.p50_ms, "p99_ms": stage.upstream.p99_ms},
        load={**stage.load.identity(), "seed": job.seed},
        rows=stage.scale.rows,
        environment=environment,
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
        curves=dict(stage.curves),
        upstream=run.upstream,
        checks=checks,
    )
    observed = Observed.of(record)
    return record.model_copy(update={"limit": find_limit(observed) if observed else None})


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """A second Ctrl-C must not leave processes behind: ending them takes a few seconds at most."""
    try:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals do not come here
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
