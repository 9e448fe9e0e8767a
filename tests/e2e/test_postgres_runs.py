"""Runs on a real PostgreSQL at a small scale: every driver, and the bad days of a database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.api import errors
from services.api.db.choose import async_database, sync_database
from services.api.meter import Meter
from services.api.settings import Settings
from services.contract.delays import Profile
from services.contract.knobs import KNOBS
from tests.e2e.test_native import PORTS
from tests.e2e.test_postgres_seed import quiet
from tests.e2e.test_postgres_server import free_port, reachable_folder
from tests.factory import POSTGRES
from tests.noise import failed_checks, noise_of, skip_if_noisy
from vcpu_ladder import paths
from vcpu_ladder.commands.guard import only_one
from vcpu_ladder.environments.host import Ports
from vcpu_ladder.environments.native.data import live_data
from vcpu_ladder.environments.native.environment import NativeEnvironment
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.load import ClosedLoad
from vcpu_ladder.ladder.reader import load_ladder
from vcpu_ladder.ladder.resolve import ResolvedStage, resolve
from vcpu_ladder.ladder.scale import Scale
from vcpu_ladder.postgres.connect import one, session
from vcpu_ladder.postgres.restore import RUN_DATABASE
from vcpu_ladder.postgres.server import NativeServer
from vcpu_ladder.records.events import Event, Sampled, nobody
from vcpu_ladder.records.record import RunRecord
from vcpu_ladder.run.recording import Job
from vcpu_ladder.run.stage import run_stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SCALE = Scale(0.002)
# Combinations of driver and handlers that the committed ladder has no stage for.
MORE = """
[stages.psycopg-sync]
parent = "psycopg"
change = { handlers = "sync" }
why = "test"

[stages.psycopg-blocking]
parent = "psycopg"
change = { handlers = "blocking" }
why = "test"

[stages.psycopg-null]
parent = "psycopg"
change = { pool = "null" }
why = "test"

[stages.psycopg-held]
parent = "psycopg"
change = { hold = "request" }
why = "test"

[stages.asyncpg-held]
parent = "asyncpg"
change = { hold = "request" }
why = "test"

[stages.asyncpg-unprepared]
parent = "asyncpg"
change = { prepared = "off" }
why = "test"
"""
DRIVERS = (
    "pg",
    "pg-sync",
    "unprepared",
    "held",
    "asyncpg-sqlalchemy",
    "asyncpg",
    "asyncpg-held",
    "asyncpg-unprepared",
    "psycopg",
    "psycopg-sync",
    "psycopg-blocking",
    "psycopg-null",
    "psycopg-held",
)


class Bench:
    """A place to run stages at a small scale: its own data, ports and results."""

    def __init__(self, data: Path, results: Path) -> None:
        self.data, self.results = data, results
        self.port = free_port()
        path = results / "postgres.toml"
        results.mkdir(parents=True)
        path.write_text(POSTGRES.read_text() + MORE)
        ladder = load_ladder(path)
        # The same median without the long tail, for whose last request every run would wait two seconds.
        profiles = {**ladder.upstream_profiles, "fast": Profile(p50_ms=200, p99_ms=400)}
        self.ladder = replace(ladder, scale=SCALE, upstream_profiles=profiles)
        ports = {name.lower().split("_")[0]: int(port) for name, port in PORTS.items()}
        ports["generator"] = ports.pop("k6")
        self.environment = NativeEnvironment(Ports(**ports, postgres=self.port), data)
        self.runs = 0
        self._prepared: set[str] = set()

    def stage(self, name: str, users: int = 20, measure_s: float = 1.5) -> ResolvedStage:
        assert isinstance(self.ladder.load, ClosedLoad)
        load = replace(self.ladder.load, users=users, warmup_s=0.5, measure_s=measure_s)
        return resolve(self.ladder, name, load)

    def run(self, stage: ResolvedStage, listener: Any = None) -> RunRecord:
        self.runs += 1
        with only_one():
            self._prepare(stage)
            return run_stage(Job(stage, self.results, "c1"), self.environment, listener or nobody)

    def _prepare(self, stage: ResolvedStage) -> None:
        """Once for each database: it starts a server only to see that its template is there."""
        database = str(stage.knobs["database"])
        if database not in self._prepared or "DATABASE_URL" in os.environ:
            self.environment.prepare([stage], quiet)
            self._prepared.add(database)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with reachable_folder() as data:
        yield Bench(data, tmp_path_factory.mktemp("bench") / "results")


@pytest.mark.parametrize("name", DRIVERS)
def test_every_driver_answers_alike_and_serves_a_short_load(bench: Bench, name: str) -> None:
    record = bench.run(bench.stage(name))
    # The correctness check came before the load, so a record with figures has passed it.
    assert record.figures is not None, record.reason
    assert record.figures.failures == dict.fromkeys(record.figures.failures, 0)
    noise = noise_of(record)
    assert record.figures.started == record.figures.finished
    assert sum(worker["requests"] for worker in record.workers) == record.figures.started
    assert all(proof.holds for proof in record.proofs)
    if name != "psycopg-null":
        assert (record.samples["database_connections"] or 0) >= 1
        assert {proof.where for proof in record.proofs} >= {"pg_stat_activity"}
    used = record.samples["database_cpu_ratio"]
    assert used is not None
    # The kernel counts in hundredths of a second: ten requests a second may use none in one of them.
    assert used > 0 or record.knobs["handlers"] == "blocking"
    assert record.environment["data"]["server"]["version"].startswith("18")
    skip_if_noisy(noise)


def test_writes_of_a_run_never_reach_the_next(bench: Bench) -> None:
    stage = bench.stage("pg")
    seeded = SCALE.rows["orders"]
    if not bench.runs:  # alone: else the last driver's run has written
        bench.run(stage)

    def orders(url: str) -> tuple[Any, ...]:
        with session(url) as connection:
            return one(connection, "SELECT count(*), max(id) FROM orders")

    with NativeServer.start(bench.data / "postgres", bench.port) as server:
        assert orders(server.url(RUN_DATABASE))[0] > seeded
    with live_data(stage, bench.data, bench.port, (), lambda _: None) as data:
        assert orders(data.variables["API_DATABASE_URL"]) == (seeded, seeded)


def test_too_many_clients_are_counted_and_survived_and_the_next_run_is_unaffected(bench: Bench) -> None:
    record = bench.run(bench.stage("pool-200", users=180, measure_s=2.5))
    assert record.status == "invalid"
    assert record.service_errors["too_many_clients"] > 0
    assert "too many clients" in (record.reason or "")
    assert record.figures is not None
    assert record.figures.completed > 0
    assert {kind for kind, count in record.figures.failures.items() if count} == {"503"}
    assert not {"workers", "proofs", "connections", "requests counted"} & failed_checks(record).keys()
    after = bench.run(bench.stage("pool-5"))
    assert after.service_errors == {}
    skip_if_noisy(noise_of(after))


class _Killer:
    """When the load is being measured, kills the server, and brings it back two seconds later."""

    def __init__(self, server: NativeServer) -> None:
        self.server = server
        self.thread = threading.Thread(target=self._kill_and_restart)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Sampled) and event.phase == "measure" and not self.thread.ident:
            self.thread.start()

    def _kill_and_restart(self) -> None:
        home, port = self.server.home, self.server.port
        psutil.Process(self.server.pid()).kill()
        self.server.stop()  # it is dead: this waits for its supervisor
        time.sleep(2)
        ends = time.monotonic() + 30
        while True:
            try:
                self.server = NativeServer.start(home, port)
            except EnvironmentNotReady:  # sessions of the killed one are still ending
                assert time.monotonic() < ends
                time.sleep(0.2)
            else:
                return


@pytest.fixture(scope="module")
def killable() -> Iterator[Path]:
    """One cluster for all that kill its server: it is seeded once, and recovers each time."""
    with reachable_folder() as home:
        yield home


@pytest.mark.parametrize("name", ["pg", "psycopg", "asyncpg", "asyncpg-sqlalchemy"])
def test_a_server_killed_in_mid_run_is_recorded_and_the_service_recovers(
    bench: Bench, killable: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    killer = _Killer(NativeServer.start(killable, free_port()))
    monkeypatch.setenv("DATABASE_URL", killer.server.url())
    try:
        record = bench.run(bench.stage(name, measure_s=5.0), killer)
    finally:
        if killer.thread.ident:
            killer.thread.join()
        killer.server.stop()
    assert record.status == "invalid"
    assert "the database server ended sessions" in (record.reason or "")
    assert record.environment["database_server"] == f"127.0.0.1:{killer.server.port}"
    assert record.figures is not None
    assert {kind for kind, count in record.figures.failures.items() if count} <= {"503"}
    if name != "psycopg":  # whose pool lets requests wait while it connects again
        assert record.service_errors["database_unavailable"] > 0, record.reason
    assert not {"workers", "proofs", "requests counted"} & failed_checks(record).keys(), record.reason
    rates = (bench.results / "postgres" / name / record.run_id / "samples.csv").read_text().splitlines()
    assert len(rates) > 5
    password = str(killer.server.url()).split(":")[2].partition("@")[0]
    assert password not in record.model_dump_json()


def settings(url: str, **knobs: Any) -> Settings:
    given = {"database": "postgres", "pool": "queue", "pool_size": 1, "pool_overflow": 0, "hold": "request"}
    variables = {KNOBS[name].variable: str(value) for name, value in {**given, **knobs}.items()}
    place = {"API_DATABASE_URL": url, "API_UPSTREAM_URL": "http://127.0.0.1:1"}
    return Settings.from_env({**variables, **place})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with reachable_folder() as home, NativeServer.start(home, free_port()) as server:
        yield server.url()


def _impatient(database: Any) -> None:
    """Wait 0.2 s for a connection instead of 30."""
    if hasattr(database, "engine"):
        database.engine.pool._timeout = 0.2
    elif hasattr(database.pool, "timeout"):
        database.pool.timeout = 0.2


@pytest.mark.parametrize("driver", KNOBS["driver"].allowed)
def test_an_exhausted_pool_refuses_in_time_and_serves_again(
    url: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.db.async_asyncpg.POOL_TIMEOUT_S", 0.2)

    async def use(database: Any) -> Any:
        async with database.unit() as unit, unit.statements() as db:
            return await db.one("SELECT 1 AS one")

    async def exhaust() -> None:
        meter = Meter()
        database = async_database(settings(url, driver=driver), meter)
        await database.open()
        _impatient(database)
        try:
            async with database.unit() as unit:
                async with unit.statements() as db:
                    await db.one("SELECT 1 AS one")
                assert database.pool_state().checked_out == 1
                with pytest.raises(errors.EXHAUSTED):
                    await use(database)
            assert meter.pool_waiting == 0
            assert await use(database) == {"one": 1}
        finally:
            await database.close()

    asyncio.run(exhaust())


@pytest.mark.parametrize("driver", ["sqlalchemy", "psycopg"])
def test_an_exhausted_pool_of_the_blocking_twins_refuses_in_time_and_serves_again(
    url: str, driver: str
) -> None:
    database: Any = sync_database(settings(url, driver=driver, handlers="sync"), Meter())
    database.open()
    _impatient(database)

    def use() -> Any:
        with database.unit() as unit, unit.statements() as db:
            return db.one("SELECT 1 AS one")

    try:
        with database.unit() as unit:
            with unit.statements() as db:
                db.one("SELECT 1 AS one")
            with pytest.raises(errors.EXHAUSTED):
                use()
        assert use() == {"one": 1}
    finally:
        database.close()


def test_a_wrong_password_is_one_clear_line_without_the_password(tmp_path: Path, url: str) -> None:
    wrong = url.replace(url.split(":")[2].partition("@")[0], "not-the-secret")
    variables = {"DATABASE_URL": wrong, "VCPU_LADDER_RESULTS": str(tmp_path), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "vcpu_ladder", "run", "postgres/pg", "--scale", "0.002"],
        env={**os.environ, **PORTS, **variables},
        cwd=paths.HOME,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "the server refuses this password" in done.stderr
    assert "check DATABASE_URL" in done.stderr
    assert "not-the-secret" not in done.stderr + done.stdout
    assert not list(tmp_path.glob("**/record.json"))
