"""The published studies in process: their bodies, their twins, and what their knobs change."""

from __future__ import annotations

import ast
import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import aiosqlite
import httpx
import pytest
from fastapi.testclient import TestClient

from services.api.studies import http_io
from services.api.threads import Threads
from services.contract import json_file
from services.contract.endpoints import ENDPOINTS
from tests.service.test_service import (  # noqa: F401 - fixtures
    Upstream,
    database,
    serve,
    source,
    upstream,
    upstream_server,
)

Serve = Callable[..., TestClient]
CALLING = [path for path, one in ENDPOINTS.items() if one.study == "http-io" and one.upstream_calls]
WAITED = b'{"key":null,"delay_ms":1000.000,"factor":1.0000}'


def waits(handler: BaseHTTPRequestHandler) -> None:
    Upstream.answer(handler, 200, WAITED)


@pytest.mark.parametrize("client", ["request", "reused"])
@pytest.mark.parametrize("path", CALLING)
def test_a_call_of_the_http_io_study_waits_for_the_upstream_and_hands_its_answer_on(
    path: str,
    client: str,
    serve: Serve,  # noqa: F811
    upstream: Upstream,  # noqa: F811
) -> None:
    upstream.reply = waits
    served = serve(endpoint=path, upstream_client=client)
    assert served.get(path).content == WAITED
    assert upstream.asked == ["/?waitms=1000"]
    proofs = served.get("/effective").json()["proofs"]
    assert (proofs["upstream_client"], proofs["upstream_timeout_s"]) == (client, 120)


def test_a_client_is_made_for_each_request_or_once(
    serve: Serve,  # noqa: F811
    upstream: Upstream,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[httpx.AsyncClient] = []
    original = httpx.AsyncClient

    def counting(**options: Any) -> httpx.AsyncClient:
        made.append(original(**options))
        return made[-1]

    monkeypatch.setattr(httpx, "AsyncClient", counting)
    upstream.reply = waits
    for client, expected in (("request", 3), ("reused", 1)):
        served = serve(endpoint="/async/http", upstream_client=client)
        made_before = len(made) - (client == "reused")  # the reused one is made with the application
        for _ in range(3):
            served.get("/async/http")
        assert len(made) - made_before == expected


@pytest.mark.parametrize("path", ["/http/sync", "/async/http", "/http/async/sync"])
def test_an_upstream_that_fails_or_hangs_is_told_apart(
    path: str,
    serve: Serve,  # noqa: F811
    upstream: Upstream,  # noqa: F811
) -> None:
    served = serve(endpoint=path, upstream_timeout_s=1)
    upstream.reply = lambda handler: Upstream.answer(handler, 500, b"")
    assert served.get(path).status_code == 502
    upstream.reply = upstream.silent
    assert served.get(path).status_code == 504
    gone = serve(upstream_url="http://127.0.0.1:1", endpoint=path)
    assert gone.get(path).status_code == 502


@pytest.mark.parametrize("path", ["/sync/json", "/async/json"])
def test_the_file_is_read_from_disk(path: str, serve: Serve, database: Path) -> None:  # noqa: F811
    served = serve(endpoint=path)
    assert served.get(path).json() == json_file.content()
    (database.parent / "items.json").write_text("[1]", encoding="utf-8")
    assert served.get(path).json() == [1]


def test_the_request_log_tells_threads_of_the_workload_only(
    serve: Serve,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    logged = serve(endpoint="/sync/json", request_log="on")
    quiet = serve(endpoint="/sync/json")
    for served, lines in ((logged, 1), (quiet, 0)):
        served.get("/sync/json")
        served.get("/healthz")
        told = capsys.readouterr().out.splitlines()
        assert [line.startswith("GET /sync/json 200 threads ") for line in told] == [True] * lines
        proof = "on" if lines else "off"
        assert served.get("/effective").json()["proofs"]["request_log"] == proof


@pytest.mark.parametrize(
    ("path", "results", "in_turn"),
    [
        ("/sync_baseline", [1, 1, 1], 3),
        ("/async_independent", [1, 1, 1], 3),
        ("/async_dependent", [1, 2, 3], 3),
        ("/async_concurrent", [1, 1, 1], 1),
    ],
)
def test_three_tasks_take_their_lengths_in_turn_or_together(
    path: str,
    results: list[int],
    in_turn: int,
    serve: Serve,  # noqa: F811
) -> None:
    served = serve(endpoint=path, task_ms=20)
    begun = time.monotonic()
    assert served.get(path).json() == {"results": results}
    took_ms = 1000 * (time.monotonic() - begun)
    assert took_ms >= 20 * in_turn
    assert ENDPOINTS[path].least_s({"task_ms": 20}) * 1000 == pytest.approx(20 * in_turn)
    assert served.get("/effective").json()["proofs"]["task_ms"] == 20


def test_the_calls_twins_differ_by_awaiting_only() -> None:
    source_text = inspect.getsource(http_io.Calls)
    blocking, awaited = (
        ast.unparse(next(node for node in ast.walk(ast.parse(source_text)) if _named(node, name)))
        for name in ("blocking", "awaited")
    )
    plain = awaited.replace("async ", "").replace("await ", "").replace("awaiting_client", "client")
    assert plain.replace("AsyncClient", "Client").replace("awaited", "blocking") == blocking


def _named(node: Any, name: str) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name


def test_threads_are_counted_alive_and_ever() -> None:
    threads = Threads()
    alive, created = threads.alive, threads.created
    for _ in range(2):
        release = threading.Event()
        extra = [threading.Thread(target=release.wait) for _ in range(3)]
        for thread in extra:
            thread.start()
        threads.look()
        threads.look()
        assert threads.alive == alive + 3
        release.set()
        for thread in extra:
            thread.join()
    threads.look()
    assert (threads.alive, threads.created) == (alive, created + 6)


def test_the_shops_own_database_threads_are_not_counted() -> None:
    threads = Threads()
    before = (threads.alive, threads.created)

    async def connected() -> tuple[int, int, int]:
        already = threading.active_count()
        async with aiosqlite.connect(":memory:"):
            threads.look()
            return threads.alive, threads.created, threading.active_count() - already

    assert asyncio.run(connected()) == (*before, 1)
