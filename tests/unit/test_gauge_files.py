"""The files through which workers share their gauges: they are removed with their worker, however it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict

from services.api import gauge_files, metrics
from services.api.db.pool_state import PoolState
from services.api.meter import Meter


def test_the_gauges_of_a_killed_worker_go_at_the_next_scrape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    files = {pid: tmp_path / f"gauge_liveall_{pid}.db" for pid in (killed.pid, living.pid, os.getpid())}
    for path in files.values():
        path.touch()
    (tmp_path / f"counter_{killed.pid}.db").touch()  # the CPU time a worker has used stays counted
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    killed.kill()
    killed.communicate()
    try:
        gauge_files.forget_the_dead()
        gauge_files.forget_the_dead()
        assert [path.exists() for path in files.values()] == [False, True, True]
        assert (tmp_path / f"counter_{killed.pid}.db").exists()
    finally:
        living.communicate()


def test_a_supervisor_that_forgets_a_worker_makes_no_gauges_of_its_own(tmp_path: Path) -> None:
    code = "import services.api.gauge_files as f; f.worker_gone(1); f.forget_the_dead()"
    env = {"PATH": os.environ["PATH"], "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, cwd=Path(__file__).parents[2], check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_scrape_asks_every_worker_to_publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert gauge_files.asked_at_ns() == 0
    metrics.scrape()
    asked_ns = gauge_files.asked_at_ns()
    assert asked_ns > 0

    async def published() -> int:
        publisher = metrics.Publisher(Meter(), lambda: PoolState("", 0, 0, 0, "", ""))
        count = 0

        def publish() -> None:
            nonlocal count
            count += 1

        monkeypatch.setattr(publisher, "publish", publish)
        task = asyncio.create_task(publisher.publish_for_ever())
        await asyncio.sleep(3 * metrics.LAG_PROBE_S)
        task.cancel()
        return count

    assert (
        asyncio.run(published()) == 1
    )  # once, for the one request, long before the next regular publication


def test_publications_stand_first_in_a_workers_file() -> None:
    """A reader gets the number first and the gauges published with it afterwards, so none is too old."""
    assert metrics  # its import makes the gauges
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    (own,) = folder.glob(f"gauge_liveall_{os.getpid()}.db")
    values = MmapedDict.read_all_values_from_file(str(own))  # type: ignore[no-untyped-call]
    assert '"ladder_api_publications"' in next(iter(values))[0]
