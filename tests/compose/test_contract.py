"""What every environment owes the runner: one suite over native, compose and the fake of the unit tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.conftest import PROJECT
from tests.factory import stage
from tests.unit.test_run_stage import FakeEnvironment
from tests.waiting import wait_for
from vcpu_ladder.environments.base import Environment
from vcpu_ladder.environments.compose.container import containers
from vcpu_ladder.environments.compose.engine import Engine
from vcpu_ladder.environments.compose.environment import ComposeEnvironment
from vcpu_ladder.environments.compose.usage import EngineMeter, KernelMeter
from vcpu_ladder.environments.host import free_port
from vcpu_ladder.environments.loopback import get_json
from vcpu_ladder.environments.native.environment import NativeEnvironment
from vcpu_ladder.environments.native.processes import strays
from vcpu_ladder.run.prove import discover_workers, prove, unproven_reason, upstream_in_force

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]
REAL = pytest.mark.parametrize("environment", ["native", "compose"], indirect=True)
ALL = pytest.mark.parametrize("environment", ["native", "compose", "fake"], indirect=True)
STAGE = stage("v3", users=5, warmup_s=0.5, measure_s=2.0)


@pytest.fixture
def environment(
    request: pytest.FixtureRequest, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Environment]:
    for name in ("SERVICE_PORT", "UPSTREAM_PORT", "K6_API_PORT", "POSTGRES_PORT"):
        monkeypatch.setenv(name, str(free_port()))
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", PROJECT)
    made: dict[str, Environment] = {"fake": FakeEnvironment()}
    made["native"] = NativeEnvironment(data=tmp_path / "data")
    made["compose"] = ComposeEnvironment(engine, data=tmp_path / "data")
    chosen = made[request.param]
    yield chosen
    chosen.down()
    assert containers(engine, PROJECT) == []
    assert not strays()


@ALL
def test_it_says_what_it_is_before_anything_runs(environment: Environment) -> None:
    described = environment.describe()
    assert described["kind"] == environment.kind
    assert {"pinned", "budget"} <= set(described) or environment.kind == "compose"


@ALL
def test_down_twice_and_without_up_is_safe(environment: Environment) -> None:
    environment.down()
    environment.down()


@REAL
def test_a_run_from_up_to_down(environment: Environment, tmp_path: Path) -> None:
    environment.prepare([STAGE], lambda progress: None)
    environment.check_ready()
    stack = environment.up(STAGE, "run-1", tmp_path / "logs", lambda text: None)
    assert ({**environment.describe(), **stack.facts})["budget"]
    assert stack.facts["data"]

    workers = discover_workers(stack.service_url, 2)
    proofs = prove(STAGE, workers, upstream_in_force(stack.upstream_url), True, stack.activity())
    assert unproven_reason(proofs) is None
    assert set(stack.usage().service_pids) >= {worker["pid"] for worker in workers}
    assert stack.died() is None

    summary = tmp_path / "k6.json"
    rows = {"LADDER_ROWS_USERS": "100", "LADDER_ROWS_PRODUCTS": "100"}
    before = stack.usage()
    load = stack.start_load(STAGE, {**STAGE.load.variables(), **rows}, summary)
    seen = False
    ends = time.monotonic() + 30
    while load.exit_code() is None:
        assert time.monotonic() < ends, load.tail()
        try:
            seen = seen or get_json(f"{load.stats_url}/v1/metrics/ladder_requests", 0.9) is not None
        except Exception:  # before its server listens, and after
            time.sleep(0.1)
    after = stack.usage()
    assert load.exit_code() in (0, 99), load.tail()
    assert seen, "k6's own counters never answered"
    assert '"completed"' in summary.read_text()
    assert after.service_cpu_s > before.service_cpu_s
    assert after.upstream_cpu_s > before.upstream_cpu_s
    assert after.service_rss_bytes > 10_000_000
    assert after.service_threads > 0
    environment.down()


@pytest.mark.parametrize("environment", ["compose"], indirect=True)
def test_the_engine_s_own_counters_serve_where_the_kernel_s_cannot_be_read(
    environment: ComposeEnvironment, tmp_path: Path
) -> None:
    environment.prepare([STAGE], lambda progress: None)
    environment.check_ready()
    stack = environment.up(STAGE, "run-1", tmp_path / "logs", lambda text: None)
    ours, engines = KernelMeter(int(stack.api.inspect()["State"]["Pid"])), EngineMeter(stack.api)
    wait_for(lambda: engines.read().cpu_s > 0, "the engine's counters", 10)
    kernel, engine = ours.read(), engines.read()
    assert kernel.cpu_s == pytest.approx(engine.cpu_s, rel=0.2)
    assert kernel.threads == pytest.approx(engine.threads, abs=2)
    assert engine.rss_bytes > 10_000_000


@REAL
def test_a_load_that_is_stopped_has_ended_and_did_not_succeed(
    environment: Environment, tmp_path: Path
) -> None:
    environment.prepare([STAGE], lambda progress: None)
    environment.check_ready()
    stack = environment.up(STAGE, "run-1", tmp_path / "logs", lambda text: None)
    rows = {"LADDER_ROWS_USERS": "100", "LADDER_ROWS_PRODUCTS": "100"}
    variables = {**STAGE.load.variables(), **rows, "LADDER_MEASURE_S": "60"}
    load = stack.start_load(STAGE, variables, tmp_path / "k6.json")
    time.sleep(1)
    load.stop()
    assert load.exit_code() not in (None, 0)
