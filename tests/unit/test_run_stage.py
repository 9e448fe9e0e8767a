"""The seven steps with a fake environment: what is recorded, whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from httpx import ConnectError

from services.contract.knobs import KNOBS
from tests.factory import figures, stage
from tests.fakes import FakeEnvironment, go, worker
from vcpu_ladder import paths
from vcpu_ladder.commands import guard
from vcpu_ladder.environments.base import Activity
from vcpu_ladder.errors import EnvironmentNotReady, Interrupted, RunInvalid
from vcpu_ladder.records.events import nobody
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.records.store import MARKER, RECORD, load_records, unfinished
from vcpu_ladder.run import stage as steps
from vcpu_ladder.run.climb import climb
from vcpu_ladder.run.counters import NotSettled
from vcpu_ladder.run.drive import read_summary
from vcpu_ladder.run.plan import interleaved
from vcpu_ladder.run.recording import Job
from vcpu_ladder.run.stage import run_stage

RECORDED_K6 = Path(__file__).parents[1] / "golden" / "k6-summary.json"


def only_record(results: Path) -> RunRecord:
    records, complaints = load_records(results)
    assert complaints == []
    (record,) = records
    return record


def test_a_sound_run_is_recorded_with_all_that_was_seen(tmp_path: Path, service: dict[str, Any]) -> None:
    environment = FakeEnvironment()
    record = go(tmp_path, environment)
    assert record == only_record(tmp_path)
    assert (record.status, record.repeat, record.load.seed) == ("ok", 2, 3)
    assert {proof.knob for proof in record.proofs} == set(KNOBS)
    assert list(record.phases_s) == ["restore and start", "prove", "check", "load", "check again", "stop"]
    assert record.machine["cpu_model"]
    assert record.source["packages"]["fastapi"]
    assert record.service_errors == {"too_many_clients": 3}
    # From the settled reading after the check to the one after the load.
    assert [worker["requests"] for worker in record.workers] == [10.0, 9.0]
    assert record.budget["cpu_s"] == 42.5
    assert environment.downs == 1
    assert list(unfinished(tmp_path)) == []


SABOTAGE = {
    "one worker where two were asked": (
        "v3",
        lambda s: [worker(11, s)],
        "workers: expected 2, the fleet shows 1",
    ),
    "a third worker": ("v3", lambda s: [worker(pid, s) for pid in (11, 12, 13)], "workers: expected 2"),
    "a pool size on NullPool": (
        "v2",
        lambda s: [worker(11, s, pool="NullPool", pool_size=None)],
        "pool: expected 'AsyncAdaptedQueuePool', the worker shows 'NullPool'; pool_size: expected 5",
    ),
    "one worker of two untuned": (
        "v5",
        lambda s: [worker(11, s), worker(12, s, sqlite={"journal_mode": "delete"})],
        "sqlite: expected",
    ),
}


@pytest.mark.parametrize(("name", "workers", "message"), SABOTAGE.values(), ids=SABOTAGE.keys())
def test_a_sabotaged_knob_ends_as_unproven_without_load(
    tmp_path: Path, service: dict[str, Any], name: str, workers: Callable[[Any], Any], message: str
) -> None:
    service["workers"] = workers(stage(name))
    record = go(tmp_path, FakeEnvironment(), name)
    assert record.status == "unproven"
    assert message in (record.reason or "")
    assert service["driven"] == 0
    assert record.figures is None


@pytest.mark.parametrize(
    "knob", [knob for knob in KNOBS.values() if knob.proof.where == "worker"], ids=lambda k: k.name
)
def test_every_knobs_proof_fails_when_the_live_object_shows_something_else(
    tmp_path: Path, service: dict[str, Any], knob: Any
) -> None:
    service["workers"] = [worker(11, stage("v2"), **{knob.proof.key: "something else"})]
    record = go(tmp_path, FakeEnvironment(), "v2")
    assert record.status == "unproven"
    assert f"{knob.name}: expected" in (record.reason or "")


@pytest.mark.parametrize(
    ("by_pid", "status"),
    [({11: 5, 12: 3}, "ok"), ({11: 5}, "unproven"), ({11: 5, 12: 3, 99: 1}, "unproven")],
    ids=["every worker", "one worker missing", "somebody else"],
)
def test_the_server_must_see_every_worker_and_nobody_else(
    tmp_path: Path, service: dict[str, Any], by_pid: dict[int, int], status: str
) -> None:
    environment = FakeEnvironment()
    environment.connections = Activity(by_pid, 0, 8, 0, 0)
    record = go(tmp_path, environment)
    assert record.status == status
    assert ("pg_stat_activity shows" in (record.reason or "")) == (status == "unproven")


@pytest.mark.parametrize(
    ("ladder", "name", "status"), [("main", "v3", "invalid"), ("http-io", "async-sync", "ok")]
)
def test_a_worker_that_never_publishes_after_the_load_is_named_unless_failures_count(
    tmp_path: Path, service: dict[str, Any], ladder: str, name: str, status: str
) -> None:
    resolved = stage(name, paths.LADDERS / f"{ladder}.toml")
    service["workers"] = [worker(pid, resolved) for pid in (11, 12)][: int(resolved.knobs["workers"])]

    def block() -> Any:
        service["after"] = NotSettled("workers [11] have not published their counters for 45 s")
        return figures(300.0)

    service["drive"] = block
    record = run_stage(Job(resolved, tmp_path, "c1", 2), FakeEnvironment(), nobody)
    assert record.status == status
    named = "after the load: workers [11] have not published" in (record.reason or "")
    assert named == (status == "invalid")


def test_a_worker_replaced_under_load_invalidates_the_run(tmp_path: Path, service: dict[str, Any]) -> None:
    def replaced() -> Any:
        service["workers"] = [worker(11, stage("v3")), worker(99, stage("v3"))]
        return figures(300.0)

    service["drive"] = replaced
    record = go(tmp_path, FakeEnvironment())
    assert record.status == "invalid"
    assert "[11, 12] before, [11, 99] after" in (record.reason or "")


@pytest.mark.parametrize(
    ("name", "left", "status"),
    [
        ("async-sync", [11, 12], "ok"),
        ("async-sync", [11, 13], "ok"),  # gunicorn ended the worker, and its successor is just as busy
        ("async-sync", [11], "invalid"),
        ("sync", [11, 12], "invalid"),
    ],
)
def test_a_worker_too_busy_to_answer_after_the_load_is_looked_for_among_the_processes(
    tmp_path: Path, service: dict[str, Any], name: str, left: list[int], status: str
) -> None:
    resolved = stage(name, paths.LADDERS / "http-io.toml")
    service["workers"] = [worker(12, resolved)]  # 11 is its supervisor
    environment = FakeEnvironment()

    def block() -> Any:
        service["workers"] = []
        environment.pids[:] = left
        return figures(300.0)

    service["drive"] = block
    record = run_stage(Job(resolved, tmp_path, "c1", 2), environment, nobody)
    assert record.status == status, record.reason


@pytest.mark.parametrize(
    ("raised", "status", "surfaces"),
    [
        (KeyboardInterrupt(), "interrupted", None),
        (RunInvalid("k6 was killed by signal 9", "last words"), "invalid", None),
        (EnvironmentNotReady("the service went away"), "failed", None),
        (ZeroDivisionError("a bug"), "failed", ZeroDivisionError),
    ],
)
def test_a_run_that_ends_badly_is_recorded_with_its_reason_and_taken_down(
    tmp_path: Path,
    service: dict[str, Any],
    raised: BaseException,
    status: str,
    surfaces: type[BaseException] | None,
) -> None:
    def fail() -> Any:
        raise raised

    service["drive"] = fail
    environment = FakeEnvironment()
    if surfaces is None:
        go(tmp_path, environment)
    else:
        with pytest.raises(surfaces):
            go(tmp_path, environment)
    record = only_record(tmp_path)
    assert record.status == status
    assert record.reason
    assert environment.downs == 1


def test_an_interrupted_run_ends_its_climb_and_is_in_its_records(
    tmp_path: Path, service: dict[str, Any]
) -> None:
    def fail() -> Any:
        raise KeyboardInterrupt

    service["drive"] = fail
    kept: list[RunRecord] = []
    with pytest.raises(Interrupted, match="main/v3: interrupted during load; recorded"):
        climb(interleaved([stage("v3")], 3, tmp_path), FakeEnvironment(), nobody, kept)
    assert [record.status for record in kept] == ["interrupted"]
    assert kept == [only_record(tmp_path)]


def test_a_marker_that_is_no_record_is_named_and_stays(tmp_path: Path, service: dict[str, Any]) -> None:
    go(tmp_path, FakeEnvironment())
    (path,) = tmp_path.glob(f"**/{RECORD}")
    old = {**json.loads(path.read_text()), "schema_version": 1, "status": "killed"}
    path.unlink()
    marker = path.with_name(MARKER)
    for text in ("[]", "{", '{"record": {"schema_version": 99}}'):
        marker.write_text(text)
        (line,) = guard.clean_up(tmp_path)
        assert str(marker) in line
        assert marker.exists()
    # One of an older schema is brought to today's.
    marker.write_text(json.dumps({"record": old}))
    (line,) = guard.clean_up(tmp_path)
    assert "recorded as killed" in line
    assert only_record(tmp_path).status == "killed"


def test_a_service_that_stops_answering_during_the_check_is_an_invalid_run(
    tmp_path: Path, service: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise ConnectError("refused")

    monkeypatch.setattr(steps, "check_correctness", gone)
    record = go(tmp_path, FakeEnvironment())
    assert record.status == "invalid"
    assert "during check: the service or the upstream stopped answering" in (record.reason or "")


def test_a_full_disk_while_preparing_is_a_failed_run(tmp_path: Path) -> None:
    record = go(tmp_path, FakeEnvironment(up=OSError(28, "No space left on device")))
    assert record.status == "failed"
    assert "cannot prepare the run: [Errno 28] No space left" in (record.reason or "")


def test_an_environment_that_is_not_ready_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentNotReady, match="port"):
        go(tmp_path, FakeEnvironment(ready=EnvironmentNotReady("port taken")))
    assert load_records(tmp_path) == ([], [])


def test_a_results_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentNotReady, match="cannot write"):
        go(tmp_path / "results", FakeEnvironment())


def test_a_killed_runners_marker_becomes_a_record(tmp_path: Path, service: dict[str, Any]) -> None:
    go(tmp_path, FakeEnvironment())
    (path,) = tmp_path.glob(f"**/{RECORD}")
    whole = json.loads(path.read_text())
    # What a runner killed in mid-run leaves: the marker, and no record.
    path.rename(path.with_name(MARKER))
    path.with_name(MARKER).write_text(json.dumps({"record": {**whole, "status": "killed"}}))
    lines = guard.clean_up(tmp_path)
    assert any("main/v3: the runner was killed" in line for line in lines)
    assert only_record(tmp_path).status == "killed"
    assert guard.clean_up(tmp_path) == []


def test_a_recorded_k6_summary_is_read_whole() -> None:
    found = read_summary(RECORDED_K6)
    assert found.completed == round(found.rps * found.measure_s)
    assert found.latency is not None
    assert found.latency.n == found.completed
    assert sum(one.n for one in found.latency_by_endpoint.values() if one) == found.completed
    assert (found.started, found.finished, found.unanswered) == (8886, 8686, 0)


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1}', '{"schema": 2}', "[]"])
def test_a_k6_summary_of_another_shape_is_invalid(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k6.json"
    path.write_text(text)
    with pytest.raises(RunInvalid, match=r"k6\.json"):
        read_summary(path)
