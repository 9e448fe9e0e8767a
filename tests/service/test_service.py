"""The service in process: every kind of handler, its input bounds, and every way a dependency fails."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi.testclient import TestClient

from services.api.app import make_app
from services.api.settings import Settings, SettingsError
from services.contract.knobs import DEFAULTS, KNOBS
from tests.factory import stage
from vcpu_ladder.data.sqlite import restore, template
from vcpu_ladder.ladder.scale import Scale
from vcpu_ladder.run.expect_shop import expectations

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

    def dribble(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        with suppress(OSError):
            while not self._released.wait(0.02):
                handler.wfile.write(b" ")

    def silent(self, handler: BaseHTTPRequestHandler) -> None:
        self._released.wait(10)

    def close(self) -> None:
        self._released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def upstream_server() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def upstream(upstream_server: Upstream) -> Upstream:
    upstream_server.reply = upstream_server.sound
    upstream_server.asked.clear()
    return upstream_server


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
    with ExitStack() as running:

        def start(upstream_url: str | None = None, **knobs: Any) -> TestClient:
            env = {KNOBS[name].variable: str(value) for name, value in knobs.items()}
            env |= {"API_SQLITE_PATH": str(database), "API_UPSTREAM_URL": upstream_url or upstream.url}
            app = make_app(Settings.from_env(env))
            return running.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture(scope="module")
def serve_unwritten(source: Path, upstream_server: Upstream) -> Iterator[Callable[..., TestClient]]:
    """One client per set of knobs, for all tests that do not write: building an application takes 50 ms."""
    clients: dict[str, TestClient] = {}

    def client(**knobs: Any) -> TestClient:
        if str(knobs) not in clients:
            env = {KNOBS[name].variable: str(value) for name, value in knobs.items()}
            env |= {"API_SQLITE_PATH": str(source), "API_UPSTREAM_URL": upstream_server.url}
            made = TestClient(make_app(Settings.from_env(env)), raise_server_exceptions=False)
            clients[str(knobs)] = made.__enter__()
        return clients[str(knobs)]

    yield client
    for made in clients.values():
        made.__exit__(None, None, None)


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


@pytest.mark.parametrize(
    ("handlers", "hold"),
    [
        ("sync", "request"),
        ("blocking", "request"),
        ("sync", "statements"),
        ("async", "statements"),
        ("sync", "dependency"),
        ("async", "dependency"),
        ("blocking", "dependency"),
        ("sync", "login"),
        ("async", "login"),
        ("blocking", "login"),
    ],
)
def test_every_kind_of_handler_answers_the_same(
    handlers: str,
    hold: str,
    answered: list[Any],
    serve: Callable[..., TestClient],
    database: Path,
    source: Path,
) -> None:
    restore(source, database, SCALE)
    assert bodies(serve(handlers=handlers, hold=hold)) == answered


@pytest.mark.parametrize(("handlers", "hold", "freezes"), [
    ("sync", "request", False),
    ("sync", "dependency", False),
    ("sync", "login", True),
    ("blocking", "request", False),
    ("blocking", "dependency", True),
    ("blocking", "login", False),
    ("async", "login", False),
])  # fmt: skip
def test_a_dependencys_session_freezes_the_service_where_its_release_needs_what_waits_for_it(
    handlers: str, hold: str, freezes: bool, serve: Callable[..., TestClient]
) -> None:
    threads = {"threads": 2} if handlers == "sync" else {}
    client = serve(handlers=handlers, hold=hold, pool="queue", pool_size=1, pool_overflow=0, **threads)
    client.app.state.shop.database.sync_engine.pool._timeout = 0.2 if freezes else 5  # type: ignore[attr-defined]
    with ThreadPoolExecutor(8) as users:
        answers = list(users.map(client.get, ["/products/3"] * 32))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert bool(refused) == freezes
    assert all("no database connection became free" in answer.json()["detail"] for answer in refused)
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert client.get("/products/3").status_code == 200


@pytest.mark.parametrize("handlers", HANDLERS)
@pytest.mark.parametrize("hold", KNOBS["hold"].allowed)
def test_the_correctness_check_expects_the_statements_that_are_sent(
    handlers: str, hold: str, serve: Callable[..., TestClient]
) -> None:
    checked = replace(stage("v2"), scale=SCALE, knobs={**DEFAULTS, "handlers": handlers, "hold": hold})
    client = serve(handlers=handlers, hold=hold)
    meter = client.app.state.shop.database._meter  # type: ignore[attr-defined]
    for one in expectations(checked):
        before = meter.statements
        assert client.request(one.method, one.path, json=one.body).status_code == one.status
        assert (one.name, meter.statements - before) == (one.name, one.statements)


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
@pytest.mark.parametrize("path", ["/orders", "/checkout?key=k"])
def test_a_write_is_one_transaction(
    path: str, handlers: str, serve: Callable[..., TestClient], database: Path
) -> None:
    client = serve(handlers=handlers)
    connection = sqlite3.connect(database)
    connection.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON order_items WHEN NEW.product_id = 4"
        " BEGIN SELECT RAISE(ABORT, 'refused after the order was inserted'); END"
    )
    assert client.post(path, json=BASKET).status_code == 500
    orders = connection.execute("SELECT COUNT(*) FROM orders").fetchone()[0]
    items = connection.execute("SELECT COUNT(*) FROM order_items").fetchone()[0]
    connection.close()
    assert (orders, items) == (SCALE.rows["orders"], SCALE.rows["order_items"])


def test_a_product_that_is_not_there_is_a_404_before_anything_is_written(
    serve: Callable[..., TestClient], database: Path, upstream: Upstream
) -> None:
    body = {"user_id": 5, "items": [{"product_id": 999_999, "quantity": 1}]}
    assert serve().post("/checkout?key=k", json=body).status_code == 404
    assert upstream.asked == []


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
    method: str, path: str, body: Any, serve_unwritten: Callable[..., TestClient], upstream: Upstream
) -> None:
    assert serve_unwritten().request(method, path, json=body).status_code == 422
    assert upstream.asked == []


CLIENTS = [("sync", "httpx"), ("async", "httpx"), ("async", "aiohttp"), ("blocking", "httpx")]


@pytest.mark.parametrize(("handlers", "http_client"), CLIENTS)
@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"not json", 200, "upstream answered rubbish: b'not json'"),
        (b'{"delay_ms": -1, "factor": 1}', 200, "upstream answered rubbish"),
        (b"{}", 500, "upstream answered status 500"),
        (b" " * 70_000, 200, "upstream answered rubbish: more than 65536 bytes"),
    ],
)
def test_a_rubbish_upstream_is_a_502_with_the_reason(
    handlers: str,
    http_client: str,
    body: bytes,
    status: int,
    reason: str,
    serve_unwritten: Callable[..., TestClient],
    upstream: Upstream,
) -> None:
    upstream.reply = lambda handler: upstream.answer(handler, status, body)
    answer = serve_unwritten(handlers=handlers, http_client=http_client).get("/products/3/quote?key=k")
    assert answer.status_code == 502
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(("handlers", "http_client"), CLIENTS)
@pytest.mark.parametrize("kind", ["silent", "dribble"])
def test_a_slow_upstream_is_a_504(
    kind: str, handlers: str, http_client: str, serve: Callable[..., TestClient], upstream: Upstream
) -> None:
    upstream.reply = getattr(upstream, kind)
    client = serve(handlers=handlers, http_client=http_client, upstream_timeout_s=1)
    shop = client.app.state.shop  # type: ignore[attr-defined]
    shop.upstream.timeout_s = 0.1  # the knob counts whole seconds
    if http_client == "aiohttp":
        shop.upstream.client._timeout = aiohttp.ClientTimeout(total=0.1)
    else:
        shop.upstream.client.timeout = 0.1
    answer = client.get("/products/3/quote?key=k")
    assert (answer.status_code, answer.json()["detail"]) == (504, "upstream did not answer within 0.1 s")


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
        if knob.proof.where == "worker" and knob.name not in ("cpus", "pinning", "server"):
            assert proofs.get(knob.proof.key) == knob.proof.expected(resolved), knob.name


ON_POSTGRES: dict[str, Any] = {"database": "postgres"}
HTTP: dict[str, Any] = {"endpoint": "/async/http"}
# {knob: (knobs of the worker that serves, the value that the stage asks for instead)}
NOT_IN_FORCE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "endpoint": ({}, HTTP),
    "fib": ({}, {**ON_POSTGRES, "endpoint": "/async_simulation"}),
    "handlers": ({"handlers": "blocking"}, {"handlers": "sync"}),
    "threads": ({"handlers": "sync", "threads": 40}, {"threads": 4}),
    "server": ({}, {"server": "gunicorn"}),
    "database": ({}, ON_POSTGRES),
    "driver": ({}, {**ON_POSTGRES, "driver": "asyncpg"}),
    "prepared": ({}, {**ON_POSTGRES, "prepared": "off"}),
    "sqlite": ({}, {"sqlite": "tuned"}),
    "pool": ({"pool": "null"}, {"pool": "default"}),
    "pool_size": ({"pool": "queue", "pool_size": 7}, {"pool_size": 8}),
    "pool_overflow": ({"pool": "queue", "pool_overflow": 0}, {"pool_overflow": 1}),
    "hold": ({"hold": "dependency"}, {"hold": "login"}),
    "http_client": ({}, {"http_client": "aiohttp"}),
    "upstream_timeout_s": ({}, {"upstream_timeout_s": 5}),
    "instrumentation": ({"instrumentation": "middleware"}, {"instrumentation": "instrumentator"}),
    "cpus": ({}, {"cpus": 64}),
    "task_ms": ({"endpoint": "/sync_baseline", "task_ms": 1000}, {"task_ms": 5000}),
    "upstream_client": ({**HTTP, "upstream_client": "request"}, {"upstream_client": "reused"}),
    "request_log": ({**HTTP, "request_log": "off"}, {"request_log": "on"}),
    "pinning": ({}, {"pinning": "quota"}),
}


def test_every_knob_that_a_worker_proves_is_tried() -> None:
    assert list(NOT_IN_FORCE) == [name for name, knob in KNOBS.items() if knob.proof.where == "worker"]


@pytest.mark.parametrize("knob", NOT_IN_FORCE)
def test_a_knob_that_is_not_in_force_is_not_proven(knob: str, serve: Callable[..., TestClient]) -> None:
    serves, asked = NOT_IN_FORCE[knob]
    shown = serve(**serves).get("/effective").json()["proofs"].get(KNOBS[knob].proof.key)
    assert shown != KNOBS[knob].proof.expected({**DEFAULTS, **serves, **asked})
    if knob not in ("server", "cpus", "pinning"):  # these belong to the process, not to the application
        assert shown == KNOBS[knob].proof.expected({**DEFAULTS, **serves})


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
