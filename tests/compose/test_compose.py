"""compose.yaml end to end on a real engine: seed, stages, what the record proves, metrics."""

from __future__ import annotations

import subprocess
from typing import Any

import httpx
import pytest

from grafana import check as dashboards
from tests.compose.conftest import SHORT, Stack
from tests.noise import skip_if_noisy
from tests.waiting import wait_for
from vcpu_ladder import paths
from vcpu_ladder.environments.compose.project import Project

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]


def test_every_service_is_unprivileged_bounded_and_on_loopback_alone(stack: Stack) -> None:
    project = Project(stack.engine, "vcpu-ladder-test")
    services = project.config()["services"]
    assert set(services) == {"api", "mock", "postgres", "k6", "prometheus", "postgres-exporter", "grafana"}
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "no", name
        assert service["logging"]["options"]["max-size"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        assert "container_name" not in service, name


def test_stages_v1_and_v2_climb_in_containers_and_the_record_proves_their_budget(stack: Stack) -> None:
    done = stack.run("climb", "main", "--stages", "v1,v2", "--repeats", "1", *SHORT)
    noise = stack.noise_of(done)
    assert "environment: compose, Docker" in done.stderr
    one, two = stack.records()
    for record in (one, two):
        environment, budget = record["environment"], record["budget"]
        assert environment["kind"] == "compose"
        assert environment["budget"] == "quota and cpuset"
        assert environment["memory_limit_bytes"] == budget["memory_limit_bytes"] == 2 << 30
        assert budget["quota_s"] == budget["period_s"] == 0.1
        assert budget["cpu_s"] > 0
        assert budget["oom_kills"] == 0
        assert environment["images"]["k6"]["name"] == "grafana/k6:1.1.0"
        assert environment["images"]["api"]["id"].startswith("sha256:")
        assert environment["versions"]["k6"] == "1.1.0"
        assert environment["versions"]["python"].startswith("3.13")
        assert all(proof["holds"] for proof in record["proofs"])
        assert set(environment["service_cpus"]).isdisjoint(environment["other_cpus"])
        for column in ("service_cpu_ratio", "generator_cpu_ratio", "upstream_cpu_ratio"):
            assert record["samples"][column] > 0, column
        assert record["samples"]["service_throttled_ratio"] is not None
        assert record["samples"]["service_rss_bytes"] > 10_000_000
    skip_if_noisy(noise)


def test_two_workers_under_the_quota_alone(stack: Stack) -> None:
    done = stack.run("run", "budget/quota", *SHORT)
    noise = stack.noise_of(done, "budget")
    (record,) = stack.records("budget")
    pinning = next(proof for proof in record["proofs"] if proof["knob"] == "pinning")
    assert pinning["found"] == ["quota", "quota"]
    assert record["environment"]["budget"] == "quota"
    assert record["budget"]["periods"] > 0
    assert record["budget"]["throttled_periods"] >= 0
    skip_if_noisy(noise)


def test_a_postgres_stage_seeds_its_data_first_and_is_restored_before_each_run(stack: Stack) -> None:
    stage = ["postgres/pg", "--scale", "0.01", "--repeats", "2"]
    noise = stack.noise_of(stack.run("run", *stage, *SHORT), "postgres")
    for record in stack.records("postgres"):
        data = record["environment"]["data"]
        assert data["database"] == "postgres"
        assert data["server"]["version"].startswith("18.")
        assert data["server"]["settings"]["shared_buffers"] == "512MB"
        assert record["samples"]["database_cpu_ratio"] > 0
    for path in (paths.HOME / ".env", stack.home / ".env"):
        assert path.stat().st_mode & 0o777 == 0o600
    (secret,) = (
        line.partition("=")[2]
        for line in (paths.HOME / ".env").read_text().splitlines()
        if line.startswith("POSTGRES_PASSWORD=")
    )
    results = stack.env["VCPU_LADDER_RESULTS"]
    leaked = subprocess.run(["grep", "-rl", secret, results], capture_output=True, text=True, check=False)
    assert leaked.stdout == "", "the password lies with the results"
    skip_if_noisy(noise)


def test_seeding_again_is_quick_and_reset_removes_the_data(stack: Stack) -> None:
    seed = ["seed", "--scale", "0.01"]
    first = stack.run(*seed, module="vcpu_ladder.postgres")
    assert first.returncode == 0, first.stderr
    again = stack.run(*seed, module="vcpu_ladder.postgres")
    assert "is there already" in again.stdout
    assert stack.run("reset-db").stdout.strip().endswith("is removed")
    assert stack.run("reset-db").stdout.strip().endswith("there was no PostgreSQL volume")


def test_the_whole_stack_is_watched_while_a_stage_runs_beside_it(stack: Stack) -> None:
    # Grafana has no stand-in where no registry answers: a checker asks its queries instead.
    seeded = stack.run("seed", "--scale", "0.01", module="vcpu_ladder.postgres")
    assert seeded.returncode == 0, seeded.stderr
    up = stack.run("up", "--without", "grafana")
    assert up.returncode == 0, up.stderr
    address = f"http://127.0.0.1:{stack.env['PROMETHEUS_PORT']}"
    assert address in up.stdout
    assert {one.service for one in stack.up(running=True)} == {
        "api", "mock", "postgres", "prometheus", "postgres-exporter",
    }  # fmt: skip
    wait_for(lambda: _targets(address) == {"api": "up", "mock": "up", "postgres": "up", "prometheus": "up"},
             "every target of Prometheus up", 60)  # fmt: skip
    before = {one.service: one.id for one in stack.up()}
    run = stack.start(
        "run", "postgres/pg", "--scale", "0.01", "--warmup", "2s", "--measure", "25s", "--users", "20"
    )
    try:
        _wait_for_data(address, run)
        assert dashboards.main(["--prometheus", address, "--since", "60", "--without", "failures"]) == 0
    finally:
        output = run.communicate(timeout=120)[0]
    (record,) = stack.records("postgres")
    assert record["environment"]["live_view"] is True, output
    after = {one.service: one.id for one in stack.up()}
    assert set(after) == {"postgres", "prometheus", "postgres-exporter"}
    assert all(before[service] == after[service] for service in after), "a run replaced what make up started"
    assert stack.run("down").returncode == 0


def _targets(address: str) -> dict[str, str]:
    try:
        found = httpx.get(f"{address}/api/v1/targets", trust_env=False).json()["data"]["activeTargets"]
    except (httpx.HTTPError, ValueError):
        return {}
    return {target["labels"]["job"]: target["health"] for target in found}


def _wait_for_data(address: str, run: subprocess.Popen[str]) -> None:
    query = "count_over_time(ladder:completed_rps[30s]) > 8"

    def measured() -> Any:
        assert run.poll() is None, run.communicate()[0]
        answer = httpx.get(f"{address}/api/v1/query", params={"query": query}, trust_env=False)
        return answer.json()["data"]["result"]

    wait_for(measured, "the measured window in Prometheus", 120)
