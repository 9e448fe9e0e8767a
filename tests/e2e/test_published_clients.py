"""The studies' own clients against a served stage: k6 as published, and Locust's kind of user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.waiting import LOOP_CLOCK_MS
from vcpu_ladder import paths
from vcpu_ladder.environments.host import require_k6
from vcpu_ladder.environments.native.processes import strays

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PORT = 18471
PORTS = {"SERVICE_PORT": str(PORT), "UPSTREAM_PORT": "19471", "K6_API_PORT": "16471"}
SCRIPT = Path(__file__).with_name("published_shape.js")


@pytest.fixture
def served() -> Iterator[Callable[[str], str]]:
    """Serves a stage by the command line; its URL."""
    started: list[subprocess.Popen[str]] = []

    def serve(stage: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "vcpu_ladder", "serve", stage],
            env={**os.environ, **PORTS, "NO_COLOR": "1"},
            cwd=paths.HOME,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f"{stage} serves on http://127.0.0.1:{PORT}\n"
        return line.split()[-1]

    assert not strays(), "processes of another run are alive: these tests need the machine"
    yield serve
    for process in started:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stdout is not None
        process.stdout.close()
    assert not strays(), "serve left processes behind"


@pytest.mark.parametrize(
    ("stage", "path", "most_rps"),
    [
        ("sleep/async-w1", "async_endpoint_async_processing", 60),
        ("sleep/sync-w1", "sync_endpoint_sync_processing", 40),
    ],
)
def test_the_sleep_studys_script_runs_unchanged_but_for_its_path(
    stage: str, path: str, most_rps: float, served: Callable[[str], str], tmp_path: Path
) -> None:
    served(stage)
    script = tmp_path / "load_test.js"
    script.write_text(SCRIPT.read_text().replace("PORT", str(PORT)).replace("PATH", path), encoding="utf-8")
    summary = tmp_path / "summary.json"
    subprocess.run(
        [require_k6(), "run", "--quiet", "--address", "", "--summary-export", str(summary), str(script)],
        env={**os.environ, "TARGET_VUS": "60"},
        check=True,
        timeout=120,
        capture_output=True,
    )
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["http_req_failed"]["value"] == 0
    assert metrics["http_req_duration"]["min"] >= 1000 - LOOP_CLOCK_MS
    # 60 users of one second each, or 40 threads: both arrive, neither exceeds its arithmetic.
    assert 0.5 * most_rps < metrics["http_reqs"]["rate"] <= 1.02 * most_rps


class User(threading.Thread):
    """As a Locust user class works: one session, task after task, no wait, until the test stops."""

    def __init__(self, url: str, path: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url, self.path, self.stop = url, path, stop
        self.statuses: list[int] = []

    def run(self) -> None:
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as session:
            while not self.stop.is_set():
                with suppress(httpx.TransportError):
                    self.statuses.append(session.get(self.path).status_code)


def test_a_locust_user_of_each_task_path_is_served(served: Callable[[str], str]) -> None:
    url = served("tasks/sync")  # serves the whole study
    stop = threading.Event()
    names = ("/sync_baseline", "/async_independent", "/async_dependent", "/async_concurrent")
    users = {path: [User(url, path, stop) for _ in range(5)] for path in names}
    for user in (user for some in users.values() for user in some):
        user.start()
    time.sleep(5)  # the load's length
    stop.set()
    for path, some in users.items():
        for user in some:
            user.join(timeout=20)
        counts = [len(user.statuses) for user in some]
        assert {status for user in some for status in user.statuses} == {200}, path
        # Tasks of one second: three seconds a request in turn, one when gathered.
        least, most = (4, 6) if path == "/async_concurrent" else (2, 3)
        assert all(least <= count <= most for count in counts), (path, counts)
