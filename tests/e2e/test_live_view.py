"""The live view for real: Prometheus beside a native run, k6 pushing, every panel's query asked meanwhile.

``prometheus`` and ``promtool`` come from the machine (Debian: package prometheus). Without them these tests
are skipped; under CI they fail, because a check that never runs is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from grafana import check
from vcpu_ladder import paths
from vcpu_ladder.environments.host import free_port

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
        absent = f"{name} is not on the PATH (Debian: apt-get install prometheus)"
        if os.environ.get("CI"):
            pytest.fail(absent)
        pytest.skip(absent)
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
def ports() -> dict[str, str]:
    return {name: str(free_port()) for name in ("SERVICE_PORT", "UPSTREAM_PORT", "K6_API_PORT")}


@pytest.fixture
def prometheus(tmp_path: Path, ports: dict[str, str]) -> Iterator[str]:
    """The address of a Prometheus with the project's own configuration, its targets on loopback."""
    binary, own = tool("prometheus"), free_port()
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    config = tmp_path / "prometheus" / "prometheus.yml"
    text = config.read_text()
    for target, port in {
        "api:8000": ports["SERVICE_PORT"],
        "mock:9000": ports["UPSTREAM_PORT"],
        "postgres-exporter:9187": str(free_port()),
        "localhost:9090": str(own),
    }.items():
        assert f'"{target}"' in text
        text = text.replace(f'"{target}"', f'"127.0.0.1:{port}"')
    config.write_text(text)
    command = [binary, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{own}", "--web.enable-remote-write-receiver"]
    with (tmp_path / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--enable-feature=native-histograms"], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        address = f"http://127.0.0.1:{own}"
        ends = time.monotonic() + 20
        while not answers(f"{address}/-/ready"):
            assert time.monotonic() < ends, (tmp_path / "prometheus.log").read_text()[-2000:]
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_every_panel_has_data_during_a_native_run_but_those_that_need_containers(
    prometheus: str, ports: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    process = subprocess.Popen(
        [sys.executable, "-m", "vcpu_ladder", "run", "main/v2"]
        + ["--warmup", "2s", "--measure", "25s", "--users", "20"],
        env={**os.environ, **ports, "PROMETHEUS_URL": prometheus, "VCPU_LADDER_RESULTS": str(results)},
        cwd=paths.HOME,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with closing(httpx.Client(base_url=prometheus, trust_env=False)) as client:
            measured = check.Asked(
                "the measured window", "count_over_time(ladder:completed_rps[30s]) > 8", "range"
            )
            ends = time.monotonic() + 90
            while not check.has_data(client, measured, 5):
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < ends, "nothing was measured within 90 s"
                time.sleep(0.5)
        assert check.main(["--prometheus", prometheus, "--since", "60", *ABSENT]) == 0, capsys.readouterr()
        shown = capsys.readouterr().out
        assert process.poll() is None, "the panels were to be asked during the run"
        assert check.main(["--prometheus", prometheus, "--since", "60"]) == 1
        complaints = capsys.readouterr().err.splitlines()
    finally:
        output, _ = process.communicate(timeout=120)
    assert {line.split(": ", 3)[2] for line in complaints} == EMPTY, shown
    (record,) = results.glob("main/v2/*/record.json")
    assert '"live_view": true' in record.read_text(), output


def test_without_a_prometheus_the_checker_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["--prometheus", f"http://127.0.0.1:{free_port()}"]) == 3
    assert "no Prometheus answers at" in capsys.readouterr().err
