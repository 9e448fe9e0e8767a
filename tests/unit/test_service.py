"""The service in process: every kind of handler, its input bounds, and every way a dependency fails."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.api.app import make_app
from services.api.settings import Settings, SettingsError
from vcpu_ladder.data.scale import Scale
from vcpu_ladder.data.sqlite import restore, template
from vcpu_ladder.knobs import KNOBS

SCALE = Scale(0.0001)
BASKET = {"user_id": 5, "items": [{"product_id": 3, "quantity": 2}, {"product_id": 4, "quantity": 1}]}
HANDLERS = ["sync", "async", "blocking"]


class Upstream:
    """A real HTTP server on a free loopback port; ``reply`` decides what it answers."""

    def __init__(self) -> None:
        self.reply: Callable[[BaseHTTPRequestHandler], None] = self.sound
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.reply(self)

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._released = threading.Event()
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def sound(self, handler: BaseHTTPRequestHandler) -> None:
        self.answer(handler, 200, json.dumps({"key": "k", "delay_ms": 12.5, "factor": 1.1}).encode())

    def silent(self, handler: BaseHTTPRequestHandler) -> None:
        self._released.wait(10)

    def close(self) -> None:
        self._released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("data"), SCALE, 1)


@pytest.fixture
def database(tmp_path: Path, source: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    restore(source, path, SCALE)
    return path


@pytest.fixture
def serve(database: Path, upstream: Upstream) -> Iterator[Callable[..., TestClient]]:
    clients: list[TestClient] = []

    def start(upstream_url: str | None = None, **knobs: Any) -> TestClient:
        env = {KNOBS[name].variable: str(value) for name, value in knobs.items()}
        env |= {"API_SQLITE_PATH": str(database), "API_UPSTREAM_URL": upstream_url or upstream.url}
        client = TestClient(make_app(Settings.from_env(env)), raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


def bodies(client: TestClient) -> list[Any]:
    answers = [
        client.get("/products/3"),
        client.get("/products?after=2&limit=3"),
        client.get("/products/3/sales"),
        client.post("/orders", json=BASKET),
        client.get("/products/3/quote?key=k"),
        client.post("/checkout?key=k", json=BASKET),
        client.get("/products/999999"),
    ]
    return [(answer.status_code, answer.json()) for answer in answers]


@pytest.fixture
def answered(serve: Callable[..., TestClient]) -> list[Any]:
    return bodies(serve(handlers="async"))


@pytest.mark.parametrize("handlers", ["sync", "blocking"])
def test_every_kind_of_handler_answers_the_same(
    handlers: str, answered: list[Any], serve: Callable[..., TestClient], database: Path, source: Path
) -> None:
    restore(source, database, SCALE)
    assert bodies(serve(handlers=handlers)) == answered


def test_bodies_are_what_the_database_holds(answered: list[Any], source: Path) -> None:
    connection = sqlite3.connect(source)
    title, price = connection.execute("SELECT title, unit_price FROM products WHERE id = 3").fetchone()
    other = connection.execute("SELECT unit_price FROM products WHERE id = 4").fetchone()[0]
    sold = connection.execute("SELECT COUNT(*) FROM order_items WHERE product_id = 3").fetchone()[0]
    connection.close()
    (light, listed, sales, order, quote, receipt, missing) = (body for _, body in answered)
    assert light == {"id": 3, "title": title, "unit_price": f"{price:.2f}"}
    assert [item["id"] for item in listed["items"]] == [3, 4, 5]
    assert listed["next_after"] == 5
    assert sum(line["lines"] for line in sales["by_status"]) == sold > 0
    assert order["total"] == f"{2 * price + other:.2f}"
    assert quote["quoted_price"] == f"{price * 1.1:.2f}"
    assert receipt["status"] == "paid"
    assert receipt["order_id"] == order["order_id"] + 1 == SCALE.rows["orders"] + 2
    assert missing == {"detail": "no product 999999"}


@pytest.mark.parametrize("handlers", HANDLERS)
def test_a_write_is_one_transaction(handlers: str, serve: Callable[..., TestClient], database: Path) -> None:
    client = serve(handlers=handlers, upstream_timeout_s=1)
    half_wrong = {
        "user_id": 5,
        "items": [{"product_id": 3, "quantity": 1}, {"product_id": 999_999, "quantity": 1}],
    }
    assert client.post("/orders", json=half_wrong).status_code == 404
    connection = sqlite3.connect(database)
    orders, items = (
        connection.execute(f"SELECT COUNT(*) FROM {t}").fetchone()[0] for t in ("orders", "order_items")
    )
    connection.close()
    assert (orders, items) == (SCALE.rows["orders"], SCALE.rows["order_items"])


BAD_INPUT = [
    ("GET", "/products/0", None),
    ("GET", "/products/nine", None),
    ("GET", f"/products/{2**63}", None),
    ("GET", "/products?limit=101", None),
    ("GET", "/products?after=-1", None),
    ("GET", "/products/3/quote", None),
    ("GET", "/products/3/quote?key=" + "k" * 129, None),
    ("GET", "/products/3/quote?key=a%20b", None),
    ("POST", "/orders", {"user_id": 5, "items": []}),
    ("POST", "/orders", {"user_id": 5, "items": [{"product_id": 3, "quantity": 1}] * 11}),
    ("POST", "/orders", {"user_id": 5, "items": [{"product_id": 3, "quantity": 0}]}),
    ("POST", "/orders", {**BASKET, "discount": 1}),
]


@pytest.mark.parametrize(("method", "path", "body"), BAD_INPUT)
def test_input_out_of_bounds_is_refused(
    method: str, path: str, body: Any, serve: Callable[..., TestClient], upstream: Upstream
) -> None:
    assert serve().request(method, path, json=body).status_code == 422
    assert upstream.asked == []


CLIENTS = [("sync", "httpx"), ("async", "httpx"), ("async", "aiohttp"), ("blocking", "httpx")]


@pytest.mark.parametrize(("handlers", "http_client"), CLIENTS)
@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"not json", 200, "upstream answered rubbish: b'not json'"),
        (b'{"delay_ms": -1, "factor": 1}', 200, "upstream answered rubbish"),
        (b"{}", 500, "upstream answered status 500"),
    ],
)
def test_a_rubbish_upstream_is_a_502_with_the_reason(
    handlers: str,
    http_client: str,
    body: bytes,
    status: int,
    reason: str,
    serve: Callable[..., TestClient],
    upstream: Upstream,
) -> None:
    upstream.reply = lambda handler: upstream.answer(handler, status, body)
    answer = serve(handlers=handlers, http_client=http_client).get("/products/3/quote?key=k")
    assert answer.status_code == 502
    assert reason in answer.json()["detail"]


def test_a_slow_upstream_is_a_504(serve: Callable[..., TestClient], upstream: Upstream) -> None:
    upstream.reply = upstream.silent
    clients = [serve(handlers=kind, http_client=http, upstream_timeout_s=1) for kind, http in CLIENTS]
    with ThreadPoolExecutor(len(clients)) as pool:  # side by side: each waits out its second
        answers = list(pool.map(lambda client: client.get("/products/3/quote?key=k"), clients))
    expected = (504, "upstream did not answer within 1 s")
    assert [(answer.status_code, answer.json()["detail"]) for answer in answers] == [expected] * len(CLIENTS)


@pytest.mark.parametrize(("handlers", "http_client"), CLIENTS)
def test_an_upstream_that_is_down_is_a_502(
    handlers: str, http_client: str, serve: Callable[..., TestClient]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    client = serve(f"http://127.0.0.1:{port}", handlers=handlers, http_client=http_client)
    down = client.post("/checkout?key=k", json=BASKET)
    assert down.status_code == 502
    assert "upstream unreachable" in down.json()["detail"]


@pytest.mark.parametrize("handlers", HANDLERS)
def test_a_busy_sqlite_is_a_503(
    handlers: str, serve: Callable[..., TestClient], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python's busy timeout is 5 s; the tuned profile's PRAGMA can shorten it for the test.
    monkeypatch.setitem(
        __import__("services.api.db.engines", fromlist=["x"]).__dict__,
        "SQLITE_PROFILES",
        {"tuned": {"busy_timeout": "50"}},
    )
    client = serve(handlers=handlers, sqlite="tuned")
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    answer = client.post("/orders", json=BASKET)
    writer.execute("ROLLBACK")
    writer.close()
    assert answer.status_code == 503
    assert "database is locked" in answer.json()["detail"]
    assert answer.headers["Retry-After"] == "1"
    assert client.post("/orders", json=BASKET).status_code == 201


def test_effective_reads_live_objects(serve: Callable[..., TestClient]) -> None:
    knobs: dict[str, str | int] = {
        "handlers": "async",
        "pool": "queue",
        "pool_size": 7,
        "pool_overflow": 3,
        "hold": "statements",
        "threads": 9,
    }
    app = serve(**knobs)
    proofs = app.get("/effective").json()["proofs"]
    resolved: dict[str, str | int] = {name: knob.default for name, knob in KNOBS.items()} | knobs
    for knob in KNOBS.values():
        if knob.proof.where == "worker" and knob.name not in ("cpus", "server"):
            assert proofs[knob.proof.key] == knob.proof.expected(resolved), knob.name


@pytest.mark.parametrize("instrumentation", ["none", "middleware", "instrumentator"])
def test_metrics_show_requests_and_their_latency_as_the_knob_says(
    instrumentation: str, serve: Callable[..., TestClient]
) -> None:
    client = serve(instrumentation=instrumentation)
    assert client.get("/effective").json()["proofs"]["instrumentation"] == instrumentation
    client.get("/products/3")
    text = client.get("/metrics").text
    if instrumentation == "middleware":
        assert 'ladder_api_request_duration_seconds_count{method="GET",route="/products/{product_id}"' in text
    if instrumentation == "instrumentator":
        assert 'http_requests_total{handler="/products/{product_id}",method="GET",status="2xx"}' in text


def test_a_bug_is_a_500_without_a_trace(serve: Callable[..., TestClient], database: Path) -> None:
    client = serve()
    connection = sqlite3.connect(database)
    connection.execute("UPDATE products SET unit_price = 'dear' WHERE id = 3")
    connection.commit()
    connection.close()
    answer = client.get("/products/3")
    assert answer.status_code == 500
    assert answer.json() == {"detail": "internal error; the service's log has it"}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"API_WORKERZ": "2"}, "unknown setting API_WORKERZ"),
        ({"API_UPSTREAM_URL": ""}, "API_UPSTREAM_URL is not set"),
        ({"API_WORKERS": "two"}, "workers = 'two' is not allowed: 1 to 32"),
        ({"API_POOL": "static"}, "pool = 'static' is not allowed"),
    ],
)
def test_bad_settings_are_refused_by_name(env: dict[str, str], message: str) -> None:
    base = {"API_SQLITE_PATH": "/x", "API_UPSTREAM_URL": "http://127.0.0.1:1"}
    with pytest.raises(SettingsError, match=message):
        Settings.from_env({**base, **env})
