"""Replication: which stages are run, what counts as reproduced, and that it resumes after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.factory import record
from vcpu_ladder import paths
from vcpu_ladder.audit.claims import load_claims
from vcpu_ladder.commands import app as cli
from vcpu_ladder.commands import guard, measuring, options
from vcpu_ladder.environments.base import Environment
from vcpu_ladder.environments.machine import machine_facts, source_facts
from vcpu_ladder.errors import EnvironmentNotReady, Interrupted
from vcpu_ladder.ladder.ladder import Published
from vcpu_ladder.ladder.load import ClosedLoad
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.sizes import sized
from vcpu_ladder.records.key import workload_of
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.records.store import RECORD, load_records, run_folder, save
from vcpu_ladder.replicate.outcome import Compared, outcome, served_rps
from vcpu_ladder.replicate.plan import Today, anchor, measured, published_ladders, published_stages, to_run
from vcpu_ladder.replicate.table import compare_all, line, markdown, sentence
from vcpu_ladder.run.plan import Plan
from vcpu_ladder.run.recording import Job
from vcpu_ladder.summary.merge import Row, by_name, merge
from vcpu_ladder.summary.verdict import Ratio

LADDERS = {ladder.name: ladder for ladder in published_ladders(paths.LADDERS)}
ABOVE: Row = merge([record("v2", 300.0)])[0]


def compared(
    published: float | None,
    ours: float | tuple[float, float, float] | None,
    change: str = "handlers = async",
    limit: str | None = None,
    **changes: Any,
) -> Compared:
    """``ours`` is a ratio, with or without its interval."""
    value, low, high = ours if isinstance(ours, tuple) else (ours, None, None)
    row = replace(ABOVE, limit=limit)
    found = None if value is None else Ratio(value, low, high, 3)
    to, above = (None, None) if published is None else ("above", row)
    one = Compared("mine", "one", change, Published(1.0, "s"), row, to, above, published, found, None)
    return replace(one, **changes)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (compared(None, None), "first stage"),
        (compared(6.0, 5.0), "reproduced"),
        (compared(41.0, 38.8), "reproduced"),
        (compared(41.0, 25.0), "shape reproduced"),
        (compared(6.0, 1.5), "shape reproduced"),
        (compared(6.0, 20.0), "shape reproduced"),
        (compared(6.0, 1.05), "not reproduced"),
        (compared(6.0, 0.5), "not reproduced"),
        (compared(0.2, 0.22), "reproduced"),
        (compared(0.2, 0.6), "shape reproduced"),
        (compared(0.2, 1.3), "not reproduced"),
        (compared(1.0, 1.05), "reproduced"),
        (compared(0.92, 1.08), "shape reproduced"),
        (compared(1.0, 1.5), "not reproduced"),
        (compared(1.12, 0.99), "not reproduced"),
        (compared(1.3, (1.1, 0.7, 1.7)), "undecided"),
        (compared(1.0, (1.02, 0.7, 1.5)), "undecided"),
        (compared(1.0, (1.02, 0.95, 1.1)), "reproduced"),
        (compared(6.0, (1.5, 0.9, 2.5)), "not reproduced"),
        (compared(3.7, 1.0, "workers = 6", "cpu"), "cannot be"),
        (compared(3.7, 1.0, "workers = 6", "parked requests"), "cannot be"),
        (compared(3.7, 1.0, "workers = 6", "threads"), "not reproduced"),
        (compared(3.7, 1.0, "threads = 80", "cpu"), "not reproduced"),
        (compared(3.7, 3.5, "workers = 6", "cpu"), "reproduced"),
        (compared(3.7, 3.5, impossible="1 > 0"), "cannot be"),
        (compared(0.02, None, row=replace(ABOVE, rps=0.0)), "shape reproduced"),
        (compared(3.7, None, row=replace(ABOVE, rps=0.0)), "invalid"),
        (compared(3.7, None, row=None), "not measured"),
        (compared(3.7, None, to_row=None), "not measured"),
        (compared(3.7, None, row=replace(ABOVE, valid=False)), "invalid"),
        (compared(3.7, None), "invalid"),
    ],
)
def test_the_verdict(case: Compared, expected: str) -> None:
    name, why = outcome(case)
    assert name == expected
    assert why


def test_failures_are_taken_off_the_published_rate() -> None:
    assert served_rps(Published(200.0, "s", {"failed_ratio": 0.8})) == pytest.approx(40)


def test_all_published_studies_have_a_ladder_and_the_main_one_comes_first() -> None:
    assert next(iter(LADDERS)) == "main"
    assert {"sleep", "http-io", "tasks"} <= set(LADDERS)


def test_a_rungs_anchor_is_the_nearest_published_stage_above_it() -> None:
    sleep = LADDERS["sleep"]
    above = {stage.id: anchor(sleep, stage) for stage in published_stages(sleep)}
    assert {name: one.id if one else None for name, one in above.items()} == {
        "async-w1": None,
        "async-w6": "async-w1",
        "sync-w16": "async-w1",
        "anyio-w16": "sync-w16",
        "sync-mix-w16": "sync-w16",
        "async-mix-w16": "async-w1",
    }


@pytest.mark.parametrize("name", LADDERS)
def test_the_ladders_figures_are_those_of_the_audited_file(name: str) -> None:
    audited = load_claims(paths.PUBLISHED)[name].rows
    for stage in published_stages(LADDERS[name]):
        assert stage.published is not None
        row = audited[stage.id]
        assert row.rps == pytest.approx(stage.published.rps, rel=0.001), stage.id
        others = {**row.model_dump(), "failed_ratio": row.failed_ratio}
        for figure, value in stage.published.others.items():
            if figure != "threads":
                assert others[figure] == pytest.approx(value, rel=0.001), (stage.id, figure)
    assert set(audited) == {stage.id for stage in published_stages(LADDERS[name])}


def test_a_size_changes_the_load_and_the_roots_knobs_only() -> None:
    tasks = load_ladder(paths.LADDERS / "tasks.toml")
    full = sized(tasks, "full")
    assert (full.load.measure_s, full.root.knobs["task_ms"]) == (270, 5000)
    assert (tasks.load.measure_s, tasks.root.knobs["task_ms"]) == (24, 1000)
    assert replace(full, load=tasks.load, stages=tasks.stages) == tasks
    sleep = sized(load_ladder(paths.LADDERS / "sleep.toml"), "full").load
    assert isinstance(sleep, ClosedLoad)
    assert sleep.users == 10_000


def test_the_table_is_of_one_setting_and_says_what_is_missing() -> None:
    elsewhere = record(
        "v3", 500.0, machine={"host": "cccccccccccc"}, started_at="2026-01-02T00:00:00.000+00:00"
    )
    records = [record("v1", 10.0), record("v2", 410.0), elsewhere]
    of_main = [one for one in compare_all(by_name(merge(records))) if one.ladder == "main"]
    # The newest key has v3's host: the others were measured elsewhere.
    assert {one.stage: outcome(one)[0] for one in of_main}["v2"] == "not measured"
    both = {one.stage: line(one) for one in compare_all(by_name(merge(records[:2])))}
    assert both["v2"][2:8] == ["69.6", "410", "v1", "× 41.4", "× 41", "reproduced"]
    compared = compare_all(by_name(merge(records[:2])))
    assert sentence(compared, "main/v2") == "reproduced: × 41.4 of v1 published, × 41 here"
    assert sentence(compared, "main/v3") == "not measured: no record"
    assert "| main | v2 | 69.6 | 410 | v1 | × 41.4 | × 41 | reproduced |" in markdown(
        compare_all(by_name(merge(records[:2])))
    )


class Fake:
    """An environment that is never started: ``climb`` is replaced in these tests."""

    kind = "native"

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def prepare(self, stages: Sequence[Any], on_progress: Any) -> None: ...


@pytest.fixture
def replicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command with runs that take no time; it is interrupted after ``stop_after`` of them."""
    left = {"runs": 0}
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    monkeypatch.setattr(guard, "lock_path", lambda: tmp_path / "lock")
    monkeypatch.setattr(options, "choose", lambda name: (Fake(), "environment: a fake"))

    def run_one(job: Job) -> RunRecord:
        if left["runs"] == 0:
            raise Interrupted("stopped")
        left["runs"] -= 1
        stage = job.stage
        made = record("v1", 100.0 + stage.position, job.repeat, job.climb_id).model_copy(
            update={
                "run_id": f"r{stage.id}-{job.repeat}-{job.climb_id}",
                "started_at": datetime.now(UTC).isoformat(),
                "ladder": stage.ladder,
                "stage": stage.id,
                "parent": stage.parent,
                "change": str(stage.change) if stage.change else None,
                "fingerprint": stage.fingerprint,
                "load_fingerprint": stage.load_fingerprint,
                "knobs": dict(stage.knobs),
                "source": source_facts(),
                "machine": machine_facts(),
            }
        )
        save(made, run_folder(tmp_path, made.ladder, made.stage, made.run_id))
        return made

    def climb(plan: Plan, environment: Environment, listener: Any, records: list[RunRecord]) -> None:
        for job in plan.left(records):
            records += [run_one(job)]

    monkeypatch.setattr(measuring, "climb", climb)

    def start(*arguments: str, runs: int = 1000) -> Any:
        left["runs"] = runs
        before = len(list(tmp_path.glob(f"**/{RECORD}")))
        result = CliRunner().invoke(cli.app, ["replicate", *arguments])
        return result, len(list(tmp_path.glob(f"**/{RECORD}"))) - before

    return start


def test_an_interrupted_replication_keeps_what_it_has_and_goes_on(replicate: Callable[..., Any]) -> None:
    stopped, done = replicate("--ladders", "sleep,tasks", runs=3)
    assert (stopped.exit_code, done) == (130, 3)
    assert "not measured" in stopped.output
    resumed, rest = replicate("--ladders", "sleep,tasks")
    assert (resumed.exit_code, rest) == (0, 6 + 4 - 3)
    again, none = replicate("--ladders", "sleep,tasks")
    assert (again.exit_code, none) == (0, 0)
    full, more = replicate("--ladders", "tasks", "--full", runs=2)
    assert (full.exit_code, more) == (130, 2)
    # The quick runs are now the older ones, but a quick replication still reports them.
    quick, none = replicate("--ladders", "tasks")
    assert (quick.exit_code, none) == (0, 0)
    assert "not measured" not in quick.output
    table, _ = replicate("--ladders", "sleep", "--table")
    assert "not measured" not in table.output


def test_a_ladder_that_cannot_run_does_not_keep_the_others_from_it(
    replicate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(_: Fake, stages: Sequence[Any], on_progress: Any) -> None:
        if stages[0].ladder == "sleep":
            raise EnvironmentNotReady("no ports")

    monkeypatch.setattr(Fake, "prepare", prepare)
    result, done = replicate("--ladders", "sleep,tasks")
    assert (result.exit_code, done) == (3, 4)
    assert "sleep: no ports" in result.output


@pytest.mark.parametrize("arguments", [["--ladders", "nothing"], ["--results", "x"]])
def test_misuse_is_refused(replicate: Callable[..., Any], arguments: list[str]) -> None:
    assert replicate(*arguments)[0].exit_code == 2


def test_only_a_run_of_the_same_thing_counts_as_measured(
    replicate: Callable[..., Any], tmp_path: Path
) -> None:
    replicate("--ladders", "tasks")
    records, _ = load_records(tmp_path)
    stage = to_run(sized(LADDERS["tasks"], "quick"))[0]
    today = Today(workload_of(records[0].source, "native"), records[0].machine["host"], "native")
    assert measured(stage, records, today) == 1
    assert measured(stage, records, replace(today, environment="compose")) == 0
    assert measured(replace(stage, load_fingerprint="other"), records, today) == 0
    changed = [one.model_copy(update={"source": {"workload": "other"}}) for one in records]
    assert measured(stage, changed, today) == 0
    invalid = [one.model_copy(update={"status": "invalid"}) for one in records]
    assert measured(stage, invalid, today) == 0
