"""The live view for real: Prometheus beside a native run, k6 pushing, every panel's query asked meanwhile.

``prometheus``, ``promtool`` and the exporter come from the machine (Debian: packages prometheus and
prometheus-postgres-exporter). Without them these tests are skipped; under CI they fail, because a check that
never runs is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from grafana import check
from tests.e2e.test_native import PORTS
from tests.e2e.test_postgres_runs import Bench
from tests.e2e.test_postgres_seed import quiet
from tests.e2e.test_postgres_server import reachable_folder
from tests.needs import absent
from vcpu_ladder import paths
from vcpu_ladder.commands.guard import only_one
from vcpu_ladder.environments.host import free_port
from vcpu_ladder.environments.live import LiveView
from vcpu_ladder.postgres import cluster

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PROMETHEUS = paths.HOME / "prometheus"
ABSENT = ["--without", "cgroup", "--without", "postgres", "--without", "failures"]
# What a native run on SQLite, with no request failing, cannot have.
EMPTY = {
    "Ladder compare / Throttled by stage / {{stage}}",
    "Ladder live / CPU of the one vCPU / container",
    "Ladder live / CPU of the one vCPU / quota",
    "Ladder live / CPU throttling / periods throttled",
    "Ladder live / CPU throttling / time throttled",
    "Ladder live / Errors / {{status}}",
    "Ladder live / Postgres connections / {{state}}",
    "Ladder live / Postgres locks / {{mode}}",
}


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(absent(name))
        pytest.skip(absent(name))
    return found


def test_promtool_accepts_the_configuration_and_the_rules_compute_what_they_say() -> None:
    for arguments in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules/ladder.yml"],
        ["test", "rules", "tests/ladder.yml"],
    ):
        done = subprocess.run(
            [tool("promtool"), *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def exporter_port() -> int:
    return free_port()


@pytest.fixture
def prometheus(tmp_path: Path, exporter_port: int) -> Iterator[str]:
    """The address of a Prometheus with the project's own configuration, its targets on loopback."""
    binary, own = tool("prometheus"), free_port()
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    config = tmp_path / "prometheus" / "prometheus.yml"
    text = config.read_text()
    for target, port in {
        "api:8000": PORTS["SERVICE_PORT"],
        "mock:9000": PORTS["UPSTREAM_PORT"],
        "postgres-exporter:9187": exporter_port,
        "localhost:9090": own,
    }.items():
        assert f'"{target}"' in text
        text = text.replace(f'"{target}"', f'"127.0.0.1:{port}"')
    config.write_text(text)
    command = [binary, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{own}", "--web.enable-remote-write-receiver"]
    address = f"http://127.0.0.1:{own}"
    with started([*command, "--enable-feature=native-histograms"], {}, f"{address}/-/ready", tmp_path):
        yield address


@contextmanager
def started(command: list[str], env: dict[str, str], ready_at: str, folder: Path) -> Iterator[None]:
    """The program, answering; ended when left."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("w") as file:
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=file, stderr=subprocess.STDOUT)
    try:
        ends = time.monotonic() + 20
        while not answers(ready_at):
            assert time.monotonic() < ends, log.read_text()[-2000:]
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until_measured(prometheus: str, ended: Callable[[], str | None]) -> None:
    """Until the rules have seen some seconds of the measured window. ``ended``: the last words of the run."""
    expr = "count_over_time(ladder:completed_rps[30s]) > 8"
    ends = time.monotonic() + 90
    with closing(httpx.Client(base_url=prometheus, trust_env=False)) as client:
        while not check.has_data(client, check.Asked("window", expr, "range"), 5):
            said = ended()
            assert said is None, f"the run ended before anything was measured: {said}"
            assert time.monotonic() < ends, "nothing was measured within 90 s"
            time.sleep(0.5)


def test_every_panel_has_data_during_a_native_run_but_those_that_need_containers(
    prometheus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "vcpu_ladder", "run", "main/v2"]
            + ["--warmup", "2s", "--measure", "25s", "--users", "20"],
            env={**os.environ, **PORTS, "PROMETHEUS_URL": prometheus, "VCPU_LADDER_RESULTS": str(results)},
            cwd=paths.HOME,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_measured(prometheus, lambda: None if process.poll() is None else output.read_text())
        assert check.main(["--prometheus", prometheus, "--since", "60", *ABSENT]) == 0, capsys.readouterr()
        shown = capsys.readouterr().out
        assert process.poll() is None, "the panels were to be asked during the run"
        assert check.main(["--prometheus", prometheus, "--since", "60"]) == 1
        complaints = capsys.readouterr().err.splitlines()
    finally:
        process.wait(timeout=120)
    assert {line.split(": ", 3)[2] for line in complaints} == EMPTY, shown
    (record,) = results.glob("main/v2/*/record.json")
    assert '"live_view": true' in record.read_text(), output.read_text()


def test_a_postgres_stage_fills_the_panels_of_the_database(
    prometheus: str, exporter_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with reachable_folder() as data, ThreadPoolExecutor(1) as pool:
        bench = Bench(data, tmp_path / "results")
        bench.environment.live = LiveView(prometheus)
        stage = bench.stage("pg", measure_s=25.0)
        with only_one():
            bench.environment.prepare([stage], quiet)
        exporter = [tool("prometheus-postgres-exporter"), f"--web.listen-address=127.0.0.1:{exporter_port}"]
        source = {
            "DATA_SOURCE_URI": f"127.0.0.1:{bench.port}/postgres?sslmode=disable",
            "DATA_SOURCE_USER": cluster.USER,
            "DATA_SOURCE_PASS_FILE": str(cluster.password_path(data / "postgres")),
        }
        with started(exporter, source, f"http://127.0.0.1:{exporter_port}/metrics", tmp_path):
            run = pool.submit(bench.run, stage)
            wait_until_measured(
                prometheus, lambda: str(run.exception() or run.result().reason) if run.done() else None
            )
            code = check.main(
                ["--prometheus", prometheus, "--since", "60", "--without", "cgroup", "--without", "failures"]
            )
            record = run.result()
    assert code == 0, capsys.readouterr().err
    assert record.environment["live_view"] is True


def test_without_a_prometheus_the_checker_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["--prometheus", f"http://127.0.0.1:{free_port()}"]) == 3
    assert "no Prometheus answers at" in capsys.readouterr().err
