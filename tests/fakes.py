"""A fake environment with its stack and load, and the service that the seven steps see in it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import pytest
from httpx import Request, Response

from services.contract.knobs import KNOBS
from tests.factory import figures, stage
from vcpu_ladder.environments.base import Activity, Load, Usage
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.postgres.steps import OnProgress
from vcpu_ladder.records.events import nobody
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.run import recording
from vcpu_ladder.run import stage as steps
from vcpu_ladder.run.budget import COUNTERS, LIMITS
from vcpu_ladder.run.counters import Counters
from vcpu_ladder.run.recording import Job
from vcpu_ladder.run.stage import run_stage


class FakeLoad:
    """Ends after it has been polled a few times, or when it is stopped."""

    def __init__(self, summary: Path, stats_url: str) -> None:
        self.stats_url = stats_url
        self._summary = summary
        self._asked = 0
        self._code: int | None = None

    def exit_code(self) -> int | None:
        self._asked += 1
        if self._code is None and self._asked > 3:
            self._summary.write_text('{"completed": 1}')
            self._code = 0
        return self._code

    def tail(self) -> str:
        return "its last words"

    def stop(self) -> None:
        self._code = -15


class FakeStack:
    """Each reading consumes a second of CPU. After ``down`` every call fails the test."""

    service_cpus = generator_cpus = 1

    def __init__(self, environment: FakeEnvironment) -> None:
        self.ended: str | None = None
        self._environment = environment
        self._looks = 0
        self.service_url, self.upstream_url, self._stats_url = environment.urls

    @property
    def facts(self) -> dict[str, Any]:
        self._environment.must_be_up()
        return {"data": {"database": "fake"}, "service_cpus": [1], "other_cpus": [0]}

    def start_load(self, stage: ResolvedStage, variables: Mapping[str, str], summary: Path) -> Load:
        self._environment.must_be_up()
        return FakeLoad(summary, self._stats_url)

    def usage(self) -> Usage:
        self._environment.must_be_up()
        self._looks += 1
        cpu_s, pids = float(self._looks), tuple(self._environment.pids)
        return Usage(cpu_s, 0, 1, pids, cpu_s, 0.0, 0, None, None, None, None)

    def activity(self) -> Activity | None:
        self._environment.must_be_up()
        return self._environment.connections

    def died(self) -> str | None:
        self._environment.must_be_up()
        return self.ended


class FakeEnvironment:
    """Every call between ``down`` and the next ``check_ready`` fails the test."""

    kind = "fake"

    def __init__(self, ready: Exception | None = None, up: Exception | None = None) -> None:
        self._ready, self._up = ready, up
        self._is_down = False
        self._bound: list[socket.socket] = []
        self.downs = 0
        self.connections: Activity | None = None
        self.pids = [11, 12]

    def must_be_up(self) -> None:
        assert not self._is_down, "asked after down"

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{one.getsockname()[1]}" for one in self._bound]

    def describe(self) -> dict[str, Any]:
        self.must_be_up()
        return {"kind": self.kind, "pinned": True, "budget": "affinity"}

    def check_ready(self) -> None:
        if self._ready:
            raise self._ready
        self._is_down = False

    def prepare(self, stages: Sequence[ResolvedStage], on_progress: OnProgress) -> None: ...

    def up(self, stage: ResolvedStage, run_id: str, folder: Path, tell: Callable[[str], None]) -> FakeStack:
        if self._up:
            raise self._up
        self._bound = [socket.socket() for _ in range(3)]  # nobody listens: connections are refused at once
        for one in self._bound:
            one.bind(("127.0.0.1", 0))
        return FakeStack(self)

    def down(self) -> None:
        self.downs += 1
        self._is_down = True
        for one in self._bound:
            one.close()


SOUND_SAMPLES = {
    "service_cpu_ratio": 0.98,
    "generator_cpu_ratio": 0.3,
    "mock_timer_error_p99_ms": 2.0,
    "samples": 30.0,
}


def worker(pid: int, resolved: ResolvedStage, **wrong: Any) -> dict[str, Any]:
    proofs = {
        knob.proof.key: knob.proof.expected(resolved.knobs)
        for knob in KNOBS.values()
        if knob.proof.where == "worker"
    }
    return {"pid": pid, "parent_pid": 1, "proofs": {**proofs, **wrong}, "facts": {"python": "3"}}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A correct two-worker service; tests change its answers through this dict."""
    resolved = stage("v3")
    answers: dict[str, Any] = {
        "workers": [worker(11, resolved), worker(12, resolved)],
        "drive": lambda: figures(300.0),
        "driven": 0,
    }

    def drive(*arguments: Any) -> Any:
        answers["driven"] += 1
        arguments[-1].append({"phase": "measure", "rps": 300.0})
        return answers["drive"]()

    in_force = {"profile": {"p50_ms": 200, "p99_ms": 1000}, "requests": 0, "intended_ms": {"mean": 263.0}}
    before = Counters({11: {"requests": 4.0}, 12: {"requests": 4.0}})
    refused = {"too_many_clients": 3.0, "pool_timeouts": 0.0}
    answers["after"] = Counters({11: {"requests": 14.0, **refused}, 12: {"requests": 13.0}})
    answers["budget"] = cycle([3.0, 45.5])

    def one_worker(*_: Any) -> Any:
        return {
            "facts": {"cgroup": {**dict.fromkeys((*COUNTERS, *LIMITS)), "cpu_s": next(answers["budget"])}}
        }

    def settled(*_: Any, **__: Any) -> Counters:
        if isinstance(answers["after"], Exception):
            raise answers["after"]
        return cast("Counters", answers["after"])

    monkeypatch.setattr(steps, "discover_workers", lambda *_: answers["workers"])
    monkeypatch.setattr(steps, "upstream_in_force", lambda *_: in_force)
    monkeypatch.setattr(steps, "settled_upstream", lambda *_: in_force)
    monkeypatch.setattr(steps, "check_correctness", lambda *_: ("", before))
    monkeypatch.setattr(steps, "settled", settled)
    monkeypatch.setattr(steps, "one_worker", one_worker)
    monkeypatch.setattr(steps, "drive", drive)
    monkeypatch.setattr(recording, "write_samples", lambda *_: None)
    monkeypatch.setattr(recording, "medians", lambda _: SOUND_SAMPLES)
    monkeypatch.setattr(steps, "request", lambda method, url: Response(200, request=Request(method, url)))
    return answers


def go(tmp_path: Path, environment: FakeEnvironment, name: str = "v3") -> RunRecord:
    return run_stage(Job(stage(name), tmp_path, "c1", 2), environment, nobody)
