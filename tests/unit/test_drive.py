"""The load's clock: what is warm-up, window and drain, and how long k6 may take."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tests.factory import stage
from vcpu_ladder.environments.base import Stack
from vcpu_ladder.errors import RunInvalid
from vcpu_ladder.ladder.load import DRAIN_S
from vcpu_ladder.run import drive as driving
from vcpu_ladder.run.drive import drive

RECORDED_K6 = Path(__file__).parents[1] / "golden" / "k6-summary.json"
STAGE = stage("v2", warmup_s=10.0, measure_s=20.0)


class Generator:
    """k6 as the runner sees it: it ends at a given time of the fake clock, with the recorded summary."""

    stats_url = "http://k6"
    service_url = upstream_url = "http://nowhere"

    def __init__(self, ends_at: float) -> None:
        self.now, self.ends_at = 0.0, ends_at
        self.variables: Mapping[str, str] = {}
        self.phases: dict[float, str] = {}

    def start_load(self, _: object, variables: Mapping[str, str], summary: Path) -> Generator:
        self.variables = variables
        shutil.copy(RECORDED_K6, summary)
        return self

    def exit_code(self) -> int | None:
        return 0 if self.now >= self.ends_at else None

    def tail(self) -> str:
        return ""

    def stop(self) -> None: ...

    def died(self) -> str | None:
        return None


def driven(monkeypatch: pytest.MonkeyPatch, folder: Path, ends_at: float) -> Generator:
    k6 = Generator(ends_at)

    class Sampler:
        samples: list[Any]

        def __init__(self, _: object, url: str, phase: Callable[[], str]) -> None:
            self.phase = phase

        def start(self) -> None:
            def pass_time(seconds: float) -> None:
                k6.now += seconds
                k6.phases[k6.now] = self.phase()

            monkeypatch.setattr(time, "sleep", pass_time)

        def stop(self) -> None: ...

    monkeypatch.setattr(driving, "Sampler", Sampler)
    monkeypatch.setattr(time, "monotonic", lambda: k6.now)
    drive(cast("Stack", k6), STAGE, 7, {"OWN": "1"}, folder, lambda *_: None, [])
    return k6


def test_a_sample_after_the_window_is_none_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    k6 = driven(monkeypatch, tmp_path, ends_at=33.0)
    spans = {phase: [at for at, found in k6.phases.items() if found == phase] for phase in k6.phases.values()}
    assert {phase: (min(ats), max(ats)) for phase, ats in spans.items()} == {
        "warm-up": (0.25, 9.75),
        "measure": (10.0, 29.75),
        "drain": (30.0, 33.0),
    }
    assert (k6.variables["LADDER_SEED"], k6.variables["OWN"]) == ("7", "1")
    assert float(k6.variables["LADDER_DRAIN_S"]) == DRAIN_S


def test_k6_may_take_its_drain_and_not_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    driven(monkeypatch, tmp_path, ends_at=30.0 + DRAIN_S + 30.0)
    with pytest.raises(RunInvalid, match="k6 did not end within 65 s"):
        driven(monkeypatch, tmp_path, ends_at=1000.0)
