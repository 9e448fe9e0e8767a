"""One run of one stage, in the seven steps that every environment shares."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx

from vcpu_ladder.environments.base import Environment, Stack
from vcpu_ladder.environments.loopback import get_text, request
from vcpu_ladder.errors import (
    EnvironmentNotReady,
    Interrupted,
    LadderError,
    RunInvalid,
    Unproven,
)
from vcpu_ladder.records.events import Finished, Listener
from vcpu_ladder.records.record import RunRecord, Status
from vcpu_ladder.run.budget import spent
from vcpu_ladder.run.correctness import check_correctness
from vcpu_ladder.run.counters import NotSettled, settled, settled_upstream
from vcpu_ladder.run.drive import drive, load_variables
from vcpu_ladder.run.prove import discover_workers, one_worker, prove, unproven_reason, upstream_in_force
from vcpu_ladder.run.recording import Job, Run, begin, finish
from vcpu_ladder.run.validity import STILL_BUSY

# A service with a backlog of blocking requests answers only after working through it.
_AFTER_LOAD_DEADLINE_S = 45.0
_ANSWER_S = 5.0


def run_stage(job: Job, environment: Environment, listener: Listener) -> RunRecord:
    """Run the stage once and write its record, whatever happens.

    A service that does not start is a failed run, and the climb goes on; a run that the user ended is
    recorded as interrupted, and the caller ends the climb. Raises EnvironmentNotReady when the run could not
    begin.
    """
    environment.check_ready()
    run = begin(job, environment, listener)
    status: Status = "ok"
    error: LadderError | None = None
    try:
        _seven_steps(run)
    except KeyboardInterrupt:
        status, error = "interrupted", Interrupted(f"interrupted during {run.phase}")
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
        record = finish(run, status, error)
    listener(Finished.of(record))
    return record


def _seven_steps(run: Run) -> None:
    stage = run.job.stage
    with run.step("restore and start"):  # step 1, nothing of ours running, was check_ready
        try:
            stack = run.environment.up(stage, run.run_id, run.folder / "logs", run.tell)
        except OSError as error:
            raise EnvironmentNotReady(f"cannot prepare the run: {error}") from None
        run.facts |= stack.facts
    with run.step("prove"):
        _prove(run, stack)
    with run.step("check"):
        before = _check(run, stack)
    with run.step("load"):
        run.figures = drive(
            stack, stage, run.job.seed, before.variables, run.folder, run.tell_sample, run.samples
        )
    with run.step("check again"):
        _look_back(run, stack, before)


def _prove(run: Run, stack: Stack) -> None:
    stage = run.job.stage
    run.workers = discover_workers(stack.service_url, int(stage.knobs["workers"]))
    upstream = upstream_in_force(stack.upstream_url)
    run.processes = set(stack.usage().service_pids)
    run.proofs = prove(stage, run.workers, upstream, run.pinned, stack.activity())
    wrong = unproven_reason(run.proofs)
    if wrong is not None:
        raise Unproven(f"unproven: {wrong}", next_command=f"read {run.folder / 'logs' / 'service.err'}")


@dataclass(frozen=True)
class _Before:
    """The state before the load: the requests each worker has begun, a worker's ``/effective``, and what the
    load's script must know about the answers.
    """

    requests: Mapping[int, float]
    worker: dict[str, Any]
    variables: dict[str, str]


def _check(run: Run, stack: Stack) -> _Before:
    """Check correctness; then reset the upstream's counters and note the service's."""
    pids = [worker["pid"] for worker in run.workers]
    try:
        body, counters = check_correctness(
            run.job.stage,
            stack.service_url,
            lambda: settled(stack.service_url, pids),
            lambda: int(settled_upstream(stack.upstream_url)["requests"]),
        )
        request("POST", f"{stack.upstream_url}/reset").raise_for_status()
        variables = load_variables(run.job.stage, body)
        return _Before(counters.each("requests"), one_worker(stack.service_url), variables)
    except httpx.HTTPError as error:
        ended = stack.died() or f"{type(error).__name__}: {error}"
        raise RunInvalid(f"during check: the service or the upstream stopped answering: {ended}") from None


def _look_back(run: Run, stack: Stack, before: _Before) -> None:
    """After the load: counters once settled, upstream statistics and log, then workers and proofs."""
    alive = set(stack.usage().service_pids)
    ends = time.monotonic() + _AFTER_LOAD_DEADLINE_S
    silent: NotSettled | None = None
    try:
        counters = settled(stack.service_url, publish_within_s=_AFTER_LOAD_DEADLINE_S)
        run.worker_requests = {
            pid: count - before.requests.get(pid, 0.0) for pid, count in counters.each("requests").items()
        }
        run.service_errors = {cause: count for cause, count in counters.refused.items() if count}
    except NotSettled as error:
        silent = error
    run.upstream = settled_upstream(stack.upstream_url)
    with suppress(httpx.HTTPError):
        log = get_text(f"{stack.upstream_url}/log", timeout_s=10.0)
        (run.folder / "upstream.csv").write_text(log, encoding="utf-8")
    try:
        if silent is not None:
            raise silent
        run.budget = spent([before.worker], [one_worker(stack.service_url)])
        _prove_again(run, stack, max(_ANSWER_S, ends - time.monotonic()))
    except (EnvironmentNotReady, NotSettled, httpx.HTTPError) as error:
        # A stage that fails by blocking its event loops leaves them busy for longer than we wait.
        busy = run.job.stage.failures_count
        run.proofs_after = STILL_BUSY if busy else f"after the load: {error or type(error).__name__}"
        kept = [worker["pid"] for worker in run.workers if worker["pid"] in alive]
        # A replacement worker that gunicorn started is just as busy, and cannot report its pid.
        run.pids_after = [*kept, *sorted(alive - run.processes)]


def _prove_again(run: Run, stack: Stack, deadline_s: float) -> None:
    stage = run.job.stage
    expected = int(stage.knobs["workers"])
    workers = discover_workers(stack.service_url, expected, deadline_s)
    if stage.failures_count and len(workers) < expected:
        raise EnvironmentNotReady(f"{len(workers)} of {expected} workers answered")
    proofs = prove(stage, workers, run.upstream, run.pinned, stack.activity())
    run.proofs_after = unproven_reason(proofs)
    run.pids_after = [worker["pid"] for worker in workers]


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ignore a second Ctrl-C, which would leave processes behind: ending them takes a few seconds at most."""
    try:
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread, which alone receives signals
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
