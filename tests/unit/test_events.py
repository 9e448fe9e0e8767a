"""The stream of events: what a run reports, what is kept of it, and what a replay shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.factory import figures, record, stage
from tests.fakes import FakeEnvironment
from vcpu_ladder.commands.app import app
from vcpu_ladder.commands.progress import Progress
from vcpu_ladder.errors import UsageError
from vcpu_ladder.records.events import (
    Checked,
    Event,
    EventLog,
    Finished,
    Planned,
    PlannedRun,
    Preparing,
    Sampled,
    Step,
    events_path,
    everybody,
    read_events,
)
from vcpu_ladder.run.climb import climb
from vcpu_ladder.run.plan import interleaved
from vcpu_ladder.run.validity import CHECKS

RUN: dict[str, Any] = {"stage": "main/v2", "run_id": "r1", "repeat": 0}
EVERY: list[Event] = [
    Planned(climb_id="c1", runs=(PlannedRun(stage="main/v2", repeat=0),), load_s=45.0),
    Preparing(step="rows orders", done=10, total=20),
    Preparing(step="rows orders", seconds=1.5),
    Step(**RUN, step="restore and start", detail="copying 0.02 GB of data"),
    Sampled(**RUN, phase="measure", left_s=12.25, values={"rps": 300.0, "loop_lag_ms": None}),
    Checked(stage="main/v2", run_id="r1", name="errors", severity="invalid", ok=False, text="3 [/x] | bad"),
    Finished(**RUN, status="invalid", reason="3 [/x] failed", rps=300.0, error_ratio=0.02, limit="cpu"),
]


def shown(events: list[Event]) -> str:
    console = Console(file=io.StringIO(), width=100, no_color=True)
    with Progress(console) as tell:
        for event in events:
            tell(event)
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_every_event_comes_back_from_the_file_as_it_was_told(tmp_path: Path) -> None:
    path = events_path(tmp_path, "c1")
    with EventLog(path) as log:
        for event in EVERY:
            log(event)
    back = list(read_events(path))
    assert [line.told for line in back] == EVERY
    assert [line.elapsed_s for line in back] == sorted(line.elapsed_s for line in back)
    assert all(line.at.endswith("+00:00") for line in back)


def test_progress_shows_text_as_text_and_what_is_so() -> None:
    text = shown(EVERY)
    assert "[1/1] main/v2 repeat 1: copying 0.02 GB of data" in text
    assert "[1/1] main/v2 repeat 1: measure, 12s left, 300 RPS" in text
    assert "[1/1] main/v2 repeat 1: invalid, 300.0 RPS, 2.00% errors, limit: cpu" in text
    assert "    3 [/x] failed" in text
    assert "1.5 s  rows orders" in text


def test_off_a_terminal_each_phase_has_its_line_and_every_tenth_second() -> None:
    def sample(phase: str, left_s: float) -> Sampled:
        return Sampled(**RUN, phase=phase, left_s=left_s, values={"rps": None})

    told: list[Event] = [sample("warm-up", 14.0), *(sample("measure", 12.0 - n) for n in range(12))]
    lines = [line.partition(": ")[2] for line in shown(told).splitlines()]
    assert lines == ["warm-up, 14s left", "measure, 12s left", "measure, 2s left"]


def test_a_climb_tells_its_plan_its_steps_its_checks_and_its_ends(
    tmp_path: Path, service: dict[str, Any]
) -> None:
    told: list[Event] = []
    path = events_path(tmp_path, "c1")
    with EventLog(path) as log:
        plan = interleaved([stage("v3")], 2, tmp_path)
        records = climb(plan, FakeEnvironment(), everybody(told.append, log))
    assert [line.told for line in read_events(path)] == told
    planned = [event for event in told if isinstance(event, Planned)]
    assert len(planned) == 1  # the plan did not change during the climb
    assert planned[0].runs == tuple(PlannedRun(stage="main/v3", repeat=n) for n in (0, 1))
    steps = [event.step for event in told if isinstance(event, Step) and event.repeat == 0]
    assert steps == ["restore and start", "prove", "check", "load", "check again", "stop"]
    checked = [event.name for event in told if isinstance(event, Checked)]
    assert checked == 2 * [check.name for check in CHECKS]
    assert [event for event in told if isinstance(event, Finished)] == [Finished.of(one) for one in records]
    # The same text live and replayed.
    assert shown(told) == shown([line.told for line in read_events(path)])


class _StopsAfterABadOne:
    """Three runs of one stage, but none after an invalid one."""

    def __init__(self, results: Path) -> None:
        self._fixed = interleaved([stage("v3")], 3, results)
        self.climb_id, self.stages = self._fixed.climb_id, self._fixed.stages

    def left(self, records: Any) -> Any:
        return [] if any(not one.valid for one in records) else self._fixed.left(records)


def test_a_plan_sees_the_records_and_may_stop_early(tmp_path: Path, service: dict[str, Any]) -> None:
    told: list[Event] = []
    service["drive"] = lambda: figures(300.0, failed=900 if service["driven"] == 2 else 0)
    records = climb(_StopsAfterABadOne(tmp_path), FakeEnvironment(), told.append)
    assert [one.status for one in records] == ["ok", "invalid"]


def test_the_replay_command_finds_a_ladders_newest_climb(tmp_path: Path) -> None:
    for climb_id in ("20260101T000000-aaaa", "20260102T000000-bbbb"):
        with EventLog(events_path(tmp_path, climb_id)) as log:
            log(Planned(climb_id=climb_id, runs=(PlannedRun(stage="main/v2", repeat=0),), load_s=1.0))
            log(Finished.of(record("v2").model_copy(update={"reason": climb_id, "status": "invalid"})))
    shown_now = CliRunner().invoke(app, ["replay", "main", "--results", str(tmp_path)])
    assert shown_now.exit_code == 0, shown_now.output
    assert "20260102T000000-bbbb" in shown_now.output
    assert "20260101T000000-aaaa" not in shown_now.output
    nothing = CliRunner().invoke(app, ["replay", "sleep", "--results", str(tmp_path)])
    assert nothing.exit_code == 2
    assert "no climb 'sleep'" in nothing.output


def test_a_broken_line_is_named_and_an_unfinished_last_one_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log(EVERY[0])
    path.write_text(path.read_text() + '{"at": "2026')
    assert len(list(read_events(path))) == 1
    path.write_text('{"event": "nothing"}\n')
    with pytest.raises(UsageError, match="line 1 is not an event"):
        list(read_events(path))


def test_a_full_disk_ends_the_log_and_not_the_run(tmp_path: Path) -> None:
    def full(_: str) -> int:
        raise OSError(28, "No space left on device")

    with EventLog(tmp_path / "events.jsonl") as log:
        log._file.write = full  # type: ignore[method-assign]
        log(EVERY[0])
        log(EVERY[1])
    assert "No space left" in (log.lost or "")
