"""What ``/metrics`` shows for each kind of instrumentation: a fresh process each, its registry untouched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vcpu_ladder import paths
from vcpu_ladder.data.sqlite import template
from vcpu_ladder.ladder.scale import Scale

SCRIPT = """
import warnings
from fastapi.testclient import TestClient
from services.api.app import app
with TestClient(app) as client:
    for _ in range(3):
        client.get("/products/3")
    client.get("/healthz")
    print(client.get("/metrics").text)
"""
OWN = (
    'ladder_api_request_duration_seconds_count{method="GET",route="/products/{product_id}",status="200"} 3.0'
)
LIBRARY = 'http_requests_total{handler="/products/{product_id}",method="GET",status="2xx"} 3.0'


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("instrumentation", "own", "library"),
    [("none", False, False), ("middleware", True, False), ("instrumentator", False, True)],
)
def test_requests_are_counted_as_the_knob_says(
    instrumentation: str, own: bool, library: bool, tmp_path: Path
) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("API_")}
    (tmp_path / "prometheus").mkdir()
    env |= {
        "API_INSTRUMENTATION": instrumentation,
        "API_SQLITE_PATH": str(template(tmp_path, Scale(0.0001), 1)),
        "API_UPSTREAM_URL": "http://127.0.0.1:1",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "prometheus"),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, cwd=paths.HOME, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (OWN in done.stdout) is own
    assert (LIBRARY in done.stdout) is library
    assert "/healthz" not in done.stdout  # the harness's own requests are not the workload's
    # The worker that answers publishes first: nothing of its own is half a second old.
    values = dict(re.findall(r'^ladder_api_(\w+)\{pid="\d+"\} (\S+)$', done.stdout, re.MULTILINE))
    assert (values["requests"], values["in_flight"], values["publications"]) == ("3.0", "0.0", "1.0")
