"""A study's routes, mounted by the service for a stage that calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.api.app import make_app
from services.api.settings import Settings
from services.contract.endpoints import ENDPOINTS, SHOP, study_kinds
from services.contract.knobs import DEFAULTS, KNOBS


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    with ExitStack() as running:

        def start(endpoint: str) -> TestClient:
            env = {
                "API_SQLITE_PATH": str(tmp_path / "none.sqlite"),
                "API_UPSTREAM_URL": "http://127.0.0.1:1",
                "API_ENDPOINT": endpoint,
            }
            return running.enter_context(TestClient(make_app(Settings.from_env(env))))

        yield start


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS.values() if not one.statements])
def test_the_mounted_routes_are_the_tables_and_prove_the_endpoint(
    endpoint: Any, serve: Callable[..., TestClient]
) -> None:
    proofs = serve(endpoint.path).get("/effective").json()["proofs"]
    knobs = {**DEFAULTS, "endpoint": endpoint.path}
    assert proofs["endpoint"] == study_kinds(endpoint.study) == KNOBS["endpoint"].proof.expected(knobs)


def test_the_shop_mounts_no_study(serve: Callable[..., TestClient]) -> None:
    client = serve(SHOP)
    assert client.get("/effective").json()["proofs"]["endpoint"] == {}
    assert client.get("/async_endpoint_async_processing").status_code == 404


@pytest.mark.parametrize("path", sorted(study_kinds("sleep")))
def test_a_sleep_endpoint_answers_as_published(path: str, serve: Callable[..., TestClient]) -> None:
    assert serve(path).get(f"{path}?ms=1").json() == {"wait_ms": 1}
