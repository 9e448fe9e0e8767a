"""The published studies' ladders for real, briefly and at a small scale: services, PostgreSQL, k6."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.test_native import PORTS
from tests.e2e.test_postgres_seed import quiet
from tests.e2e.test_postgres_server import free_port, reachable_folder
from tests.noise import failed_checks, noise_of, skip_if_noisy
from tests.waiting import LOOP_CLOCK_MS
from vcpu_ladder import paths
from vcpu_ladder.commands.guard import only_one
from vcpu_ladder.environments.host import Ports
from vcpu_ladder.environments.native.environment import NativeEnvironment
from vcpu_ladder.ladder.load import ClosedLoad
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.resolve import ResolvedStage, resolve
from vcpu_ladder.ladder.scale import Scale
from vcpu_ladder.records.events import nobody
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.run import stage as steps
from vcpu_ladder.run.drive import load_variables
from vcpu_ladder.run.recording import Job
from vcpu_ladder.run.stage import run_stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SCALE = Scale(0.002)
# What the committed ladders show with sixteen workers, which take half a minute to start on one CPU.
MORE = {
    "sleep": """
[stages.sync-mix-w4]
parent = "sync-w4"
change = { endpoint = "/sync_endpoint_mix_processing" }
why = "test"
"""
}


class Bench:
    """A place to run stages of any ladder; ``bodies`` keeps the right answer of each, by stage."""

    def __init__(self, data: Path, results: Path) -> None:
        self.results = results
        ports = {name.lower().split("_")[0]: int(port) for name, port in PORTS.items()}
        ports["generator"] = ports.pop("k6")
        self.environment = NativeEnvironment(Ports(**ports, postgres=free_port()), data)
        self.bodies: dict[str, str] = {}
        self._prepared: set[str] = set()

    def run(
        self, name: str, monkeypatch: pytest.MonkeyPatch, spoil: str = "", measure_s: float = 1.5
    ) -> RunRecord:
        """``spoil`` is appended to the body that the load shall expect."""
        ladder_name, _, stage_id = name.partition("/")
        path = self.results / f"{ladder_name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text((paths.LADDERS / path.name).read_text() + MORE.get(ladder_name, ""))
        ladder = replace(load_ladder(path), scale=SCALE)
        assert isinstance(ladder.load, ClosedLoad)
        load = replace(ladder.load, users=20, ramp_s=0.5, warmup_s=0.6, measure_s=measure_s)
        stage = resolve(ladder, stage_id, load)
        told = load_variables

        def keep(of: ResolvedStage, body: str) -> dict[str, str]:
            self.bodies[name] = body
            return told(of, body + spoil)

        with monkeypatch.context() as patch, only_one():
            patch.setattr(steps, "load_variables", keep)
            database = str(stage.knobs["database"])
            if database not in self._prepared:  # else a server starts only to see that its template is there
                self.environment.prepare([stage], quiet)
                self._prepared.add(database)
            return run_stage(Job(stage, self.results, "c1"), self.environment, nobody)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with reachable_folder() as data:
        yield Bench(data, tmp_path_factory.mktemp("studies") / "results")


def noise_of_served(record: RunRecord) -> str:
    """What noise did to a run that served all its requests well.

    The correctness check came before the load, so a record with figures has passed it.
    """
    assert record.figures is not None, record.reason
    assert record.figures.failures == dict.fromkeys(record.figures.failures, 0)
    assert record.figures.wrong_bodies == 0
    assert record.figures.started == record.figures.finished
    assert sum(worker["requests"] for worker in record.workers) == record.figures.started
    assert all(proof.holds for proof in record.proofs)
    assert list(record.figures.latency_by_endpoint) == ["study"]
    assert record.figures.completed > 0
    return noise_of(record)


@pytest.mark.parametrize("stage", ["async-w1", "sync-w1"])
def test_a_sleep_stage_serves_what_littles_law_allows(
    bench: Bench, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = bench.run(f"sleep/{stage}", monkeypatch)
    noise = noise_of_served(record)
    # 20 users, one second each: more than 20 a second would be a wait that is none.
    assert record.figures is not None
    assert record.figures.completed <= 20 * (record.figures.measure_s + 1)
    assert record.figures.latency is not None
    assert record.figures.latency.min_ms >= 1000 - LOOP_CLOCK_MS
    skip_if_noisy(noise)


def test_select_answers_alike_behind_def_and_async_def(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    noises = [noise_of_served(bench.run(f"select/{stage}", monkeypatch)) for stage in ("sync", "async")]
    assert bench.bodies["select/sync"] == bench.bodies["select/async"]
    skip_if_noisy("; ".join(filter(None, noises)))


def test_simulation_answers_alike_in_its_three_forms(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [f"simulation/{form}-w1-fib15" for form in ("sync", "async", "to-thread")]
    records = [bench.run(stage, monkeypatch) for stage in stages]
    noises = [noise_of_served(record) for record in records]
    for record in records:
        assert (record.samples["pool_capacity"], record.knobs["pool_size"]) == (10, 10)
    assert len({bench.bodies[stage] for stage in stages}) == 1
    skip_if_noisy("; ".join(filter(None, noises)))


def test_an_answer_that_differs_under_load_invalidates_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = bench.run("sleep/async-w1", monkeypatch, spoil=" ", measure_s=1.0)
    assert record.status == "invalid"
    assert "bodies" in failed_checks(record)
    assert record.figures is not None
    assert record.figures.wrong_bodies == record.figures.failed > 0
