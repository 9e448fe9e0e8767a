"""What k6 counts at the end of the window: requests that may finish, and requests that are cut off."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_native import running
from vcpu_ladder import paths
from vcpu_ladder.environments.host import require_k6
from vcpu_ladder.ladder.load import ClosedLoad, Load, OpenLoad
from vcpu_ladder.records.record import Figures
from vcpu_ladder.run.drive import read_summary

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

MODELS = {"ramp": ("closed", 0.4), "closed": ("closed", 0.0), "open": ("open", 0.0)}
USERS = 10
# A request that is answered within the drain, and one that is not.
DELAYS_S = {"quick": 0.7, "slow": 30.0}
DRAIN_S = 2.0


class Server:
    """Counts what arrives by path, and answers after the delay that the path names."""

    def __init__(self) -> None:
        self.arrived: Counter[str] = Counter()
        self.summary = Path()
        lock, arrived = threading.Lock(), self.arrived
        self.closing = closing = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with lock:
                    arrived[self.path] += 1
                closing.wait(DELAYS_S[self.path.rpartition("-")[2]])
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # k6 hangs up
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, Figures]]]:
    """Every model on both kinds of path, all at once: the load is small."""
    assert not running("k6"), "a run is under way: these tests need the machine"
    folder = tmp_path_factory.mktemp("drain")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever)
    thread.start()
    started = {
        name: _start(server.url, name, folder)
        for model in MODELS
        for name in (f"{model}-quick", f"{model}-slow")
    }
    begun = time.monotonic()
    for process in started.values():
        process.communicate(timeout=30)
    # The slow ones were not waited for.
    assert time.monotonic() - begun < DELAYS_S["slow"]
    server.closing.set()
    server.summary = folder / "closed-quick.json"
    yield server, {name: read_summary(folder / f"{name}.json") for name in started}
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def _start(url: str, name: str, folder: Path) -> subprocess.Popen[bytes]:
    model, ramp_s = MODELS[name.partition("-")[0]]
    common: dict[str, Any] = {
        "script": "study.js",
        "warmup_s": 0.5,
        "measure_s": 1.0,
        "timeout_s": 60.0,
        "seed": 1,
    }
    load: Load
    if model == "open":
        load = OpenLoad(**common, rate_rps=10.0, max_users=20 * USERS)
    else:
        load = ClosedLoad(**common, users=USERS, ramp_s=ramp_s)
    own = {
        "LADDER_DRAIN_S": str(DRAIN_S),
        "LADDER_PATH": f"/{name}",
        "LADDER_BODY": "ok",
        "LADDER_BASE_URL": url,
        "LADDER_SUMMARY": str(folder / f"{name}.json"),
    }
    return subprocess.Popen(
        [require_k6(), "run", "--quiet", "--address", "", str(paths.K6_SCRIPTS / load.script)],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **load.variables(), **own},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("model", MODELS)
def test_what_is_in_flight_at_the_end_of_the_window_finishes_and_is_in_no_figure(
    loaded: tuple[Server, dict[str, Figures]], model: str
) -> None:
    server, summaries = loaded
    figures = summaries[f"{model}-quick"]
    assert figures.started == figures.finished == server.arrived[f"/{model}-quick"]
    assert figures.unanswered == figures.dropped == 0
    # The requests of the window's last 0.7 s are finished after it.
    assert 0 < figures.completed < figures.started
    if model != "open":  # nobody starts another after the window: each of the users two or three in 1.5 s
        assert 2 * USERS <= figures.started <= 3 * USERS


@pytest.mark.parametrize("model", MODELS)
def test_what_does_not_finish_in_the_drain_is_cut_off_and_counted_as_started(
    loaded: tuple[Server, dict[str, Figures]], model: str
) -> None:
    server, summaries = loaded
    figures = summaries[f"{model}-slow"]
    assert figures.started == server.arrived[f"/{model}-slow"] > 0
    assert (figures.finished, figures.completed, figures.failed) == (0, 0, 0)


def test_the_recorded_summary_of_the_unit_tests_has_the_shape_of_todays(
    loaded: tuple[Server, dict[str, Figures]],
) -> None:
    golden = json.loads((paths.HOME / "tests" / "golden" / "k6-summary.json").read_text())
    made = json.loads(loaded[0].summary.read_text())
    assert (list(made), made["schema"]) == (list(golden), golden["schema"])
