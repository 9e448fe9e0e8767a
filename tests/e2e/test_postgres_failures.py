"""A seed that is killed, crashes or runs out of disk: told clearly, never used, and the next one works."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.e2e.test_postgres_seed import PLAN, quiet, restored
from tests.e2e.test_postgres_server import as_root, free_port, reachable_folder, wait_until
from vcpu_ladder import paths
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.postgres import cluster, databases
from vcpu_ladder.postgres.connect import session
from vcpu_ladder.postgres.databases import Kind
from vcpu_ladder.postgres.plan import SeedPlan
from vcpu_ladder.postgres.restore import RUN_DATABASE, restore
from vcpu_ladder.postgres.seed import seed, seed_native, template_ready
from vcpu_ladder.postgres.server import MEASURE, SEED, NativeServer
from vcpu_ladder.records.events import Preparing

pytestmark = pytest.mark.e2e


def start_seed(home: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "vcpu_ladder.postgres", "seed", "--scale", "0.1"]
        + ["--home", str(home), "--port", str(port)],
        cwd=paths.HOME,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("moment", ["rows users", "index orders_pkey", "foreign key fk_orders_user"])
def test_a_killed_seed_is_never_used_and_the_next_one_starts_clean(moment: str) -> None:
    plan = SeedPlan(0.1)
    with reachable_folder() as home:
        port = free_port()
        with start_seed(home, port) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if moment in line:
                    break
            postmaster = cluster.data_directory(home) / "postmaster.pid"
            pid = int(postmaster.read_text().splitlines()[0])
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        wait_until(lambda: not psutil.pid_exists(pid), "the server outlived its seed", 60)
        with NativeServer.start(home, port) as server, session(server.url()) as control:
            assert databases.ours(control)[plan.template].kind is Kind.UNFINISHED
            with pytest.raises(EnvironmentNotReady, match="has not been seeded"):
                restore(server, plan)
            report = seed(server, plan, quiet)
            assert not report.already_there
            assert restore(server, plan).rows == plan.rows
            assert set(databases.ours(control)) == {plan.template, RUN_DATABASE}


def test_a_server_killed_while_seeding_is_told_and_recovers() -> None:
    plan = SeedPlan(0.02)
    with reachable_folder() as home, NativeServer.start(home, free_port()) as started:

        def kill(progress: Preparing) -> None:
            if progress.step.startswith("index"):
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(started.pid()).children()[-1].kill()

        def recovered() -> bool:
            return cluster.log_path(home).read_text().count("ready to accept connections") == 2

        with pytest.raises(EnvironmentNotReady, match="ended a session while seeding"):
            seed(started, plan, kill)
        wait_until(recovered, "the server has not recovered")
        assert seed(started, plan, quiet).already_there is False
        assert restore(started, plan).rows == plan.rows


@pytest.mark.parametrize("settings", [SEED, MEASURE], ids=["seed.conf", "postgresql.conf"])
def test_a_crash_right_after_the_seed_loses_nothing(settings: Path) -> None:
    """The server is killed before any clean shutdown; what only a power cut would lose is not tried here."""
    with reachable_folder() as home:
        port = free_port()
        with NativeServer.start(home, port, settings) as server:
            seed(server, PLAN, quiet)
            before = restored(server)
            psutil.Process(server.pid()).kill()
            wait_until(lambda: server._supervisor.poll() is not None, "the supervisor is still there")
        with NativeServer.start(home, port) as server:
            assert "not properly shut down" in cluster.log_path(home).read_text()
            assert restored(server) == before


@as_root
def test_a_full_disk_is_told_and_nothing_half_made_is_used() -> None:
    plan = SeedPlan(0.05)
    with reachable_folder() as folder:
        disk = folder / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=420m,mode=711", "tmpfs", str(disk)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("this container may not mount a small disk")
        ballast = disk / "ballast"

        def fill(progress: Preparing) -> None:
            if progress.step == "rows orders" and not ballast.exists():
                block = bytes(1_000_000)
                with ballast.open("wb") as file:
                    # In small steps: the server takes room at the same time.
                    while shutil.disk_usage(disk).free > 8_000_000:
                        file.write(block)
                        file.flush()

        try:
            with pytest.raises(EnvironmentNotReady, match="the disk is full while seeding") as caught:
                seed_native(disk / "home", free_port(), plan, fill)
            assert "No space left" in (caught.value.evidence or "")
            assert "free disk space" in (caught.value.next_command or "")
            with pytest.raises(EnvironmentNotReady) as caught:
                seed_native(disk / "home", free_port(), plan, quiet)
            assert "free disk space" in (caught.value.next_command or "")
            ballast.unlink()
            with NativeServer.start(disk / "home", free_port()) as server:
                with session(server.url()) as control:
                    assert not template_ready(control, plan)
                seed(server, plan, quiet)
                assert restore(server, plan).rows == plan.rows
        finally:
            subprocess.run(["umount", str(disk)], check=True)
