"""What can go wrong with containers: each ends in one clear line and the right exit code."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.compose.conftest import SHORT, Stack, replace_in
from tests.noise import noise_of_command, skip_if_noisy
from tests.waiting import wait_for

pytestmark = [pytest.mark.compose, pytest.mark.timeout(300)]


def test_no_engine_is_one_clear_line_and_native_runs_unless_compose_was_asked_for(stack: Stack) -> None:
    gone = "unix:///tmp/no-such-engine.sock"
    asked = stack.run("run", "main/v2", *SHORT, DOCKER_HOST=gone)
    assert asked.returncode == 3
    assert "error: docker version failed: Cannot connect to the Docker daemon" in asked.stderr
    assert "next: start Docker, or choose the other environment: ENVIRONMENT=native" in asked.stderr
    chosen = stack.run("run", "main/v2", *SHORT, DOCKER_HOST=gone, ENVIRONMENT="")
    assert "environment: native, for docker version failed" in chosen.stderr
    assert stack.records()[-1]["environment"]["kind"] == "native"


def test_a_taken_port_is_named_before_anything_starts(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(stack.env["SERVICE_PORT"])))
        taken.listen()
        done = stack.run("run", "main/v2", *SHORT)
    assert done.returncode == 3
    assert f"port 127.0.0.1:{stack.env['SERVICE_PORT']} is taken" in done.stderr
    assert "set SERVICE_PORT to a free port" in done.stderr
    assert stack.records() == []


def test_an_image_that_cannot_be_had_is_named(stack: Stack, checkout: Path) -> None:
    replace_in(checkout / "compose.yaml", ("grafana/k6:1.1.0", "grafana/k6:0.0.0-none"))
    done = stack.with_home(checkout).run("run", "main/v2", *SHORT)
    assert done.returncode == 3
    assert "image grafana/k6:0.0.0-none of k6 is not here and cannot be pulled" in done.stderr
    assert "next: docker pull grafana/k6:0.0.0-none" in done.stderr


def test_a_full_disk_under_the_volume_is_said_and_no_half_seed_is_used(stack: Stack, checkout: Path) -> None:
    small = "{driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: 'size=160m,mode=1777'}}"
    replace_in(
        checkout / "compose.yaml",
        ("\n  postgres-data:\n", f"\n  tiny-data: {small}\n"),
        ("postgres-data:/var", "tiny-data:/var"),
    )
    broken = stack.with_home(checkout)
    done = broken.run("seed", "--scale", "0.1", module="vcpu_ladder.postgres")
    assert done.returncode == 3, done.stdout
    assert "the disk is full while seeding" in done.stderr


def test_a_service_that_never_answers_is_given_up_with_its_last_words(stack: Stack, checkout: Path) -> None:
    hang = 'import sys, time\nprint("stuck in its own start", file=sys.stderr, flush=True)\ntime.sleep(600)\n'
    app = checkout / "services" / "api" / "app.py"
    app.write_text(f"from __future__ import annotations\n{hang}")
    done = stack.with_home(checkout).run("run", "main/v2", *SHORT)
    assert done.returncode == 3
    assert "service: its first answer not reached in 35 s" in done.stderr
    assert "stuck in its own start" in done.stderr
    assert stack.records()[-1]["status"] == "failed"


def test_a_service_beyond_its_memory_is_said_to_be_out_of_memory(stack: Stack, checkout: Path) -> None:
    # More than the limit at one go: near it, the kernel may reclaim the program's pages for minutes instead.
    app = checkout / "services" / "api" / "app.py"
    app.write_text('from __future__ import annotations\nhoard = b"x" * (1 << 29)\n')
    done = stack.with_home(checkout).run("run", "main/v2", *SHORT, API_MEMORY="128m")
    assert done.returncode == 3
    assert "service was killed by the kernel at its memory limit" in done.stderr


def test_a_killed_k6_makes_the_run_invalid(stack: Stack) -> None:
    run = stack.start("run", "main/v2", "--warmup", "1s", "--measure", "60s", "--users", "20")
    (k6,) = wait_for(lambda: stack.up("k6", running=True), "k6", 60)
    stack.engine.demand("POST", f"/containers/{k6.id}/kill")
    output = run.communicate(timeout=60)[0]
    assert run.returncode == 4, output
    assert "k6 was killed by signal 9" in stack.records()[-1]["reason"]


def test_a_service_that_dies_under_load_ends_the_run_with_its_reason(stack: Stack) -> None:
    run = stack.start("run", "main/v2", "--warmup", "1s", "--measure", "60s", "--users", "20")
    wait_for(lambda: stack.up("k6", running=True), "k6", 60)
    (api,) = stack.up("api")
    stack.engine.demand("POST", f"/containers/{api.id}/kill")
    output = run.communicate(timeout=60)[0]
    assert run.returncode == 4, output
    assert "service was killed by signal 9" in stack.records()[-1]["reason"]


@pytest.mark.parametrize("service", ["mock", "api", "k6"])
def test_ctrl_c_in_any_phase_leaves_nothing(stack: Stack, service: str) -> None:
    run = stack.start("run", "main/v2", "--warmup", "1s", "--measure", "60s", "--users", "20")
    wait_for(lambda: stack.up(service), service, 60)
    run.send_signal(signal.SIGINT)
    output = run.communicate(timeout=60)[0]
    assert run.returncode == 130, output
    assert stack.up() == []
    assert stack.records()[-1]["status"] == "interrupted"


def test_ctrl_c_while_seeding_leaves_nothing_running(stack: Stack) -> None:
    run = stack.start("seed", "--scale", "0.3", "--anew", module="vcpu_ladder.postgres")
    wait_for(lambda: stack.up("postgres", running=True), "PostgreSQL", 60)
    run.send_signal(signal.SIGINT)
    output = run.communicate(timeout=90)[0]
    assert run.returncode == 130, output
    assert stack.up() == []


def test_what_a_killed_runner_left_is_removed_by_the_next_command(stack: Stack) -> None:
    run = stack.start("run", "main/v2", "--warmup", "1s", "--measure", "60s", "--users", "20")
    wait_for(lambda: stack.up("k6", running=True), "k6", 60)
    run.kill()
    run.communicate(timeout=60)
    assert stack.up("api")
    done = stack.run("run", "main/v2", *SHORT)
    killed, following = stack.records()
    assert killed["status"] == "killed"
    skip_if_noisy(noise_of_command(done.returncode, [following], done.stderr))
