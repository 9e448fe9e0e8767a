"""Correctness before load: each endpoint answers with the right body, and calls what it should.

A service that serves wrong bodies fast, or answers without asking its database or its upstream, must
not be measured. Expected bodies are computed here, from the upstream's published arithmetic and from
the endpoints against one another; statement counts are the same for every twin and driver.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.mock.profiles import Profile, delay_ms, factor
from vcpu_ladder.errors import RunInvalid
from vcpu_ladder.load import MOCK_SEED
from vcpu_ladder.loopback import get_text, request
from vcpu_ladder.resolve import ResolvedStage

_PUBLISHED_EVERY_S = 0.6  # the service publishes its counters twice a second
_PUBLISHED_WITHIN_S = 5.0


@dataclass(frozen=True)
class Expectation:
    """One request: its status, how many SQL statements and upstream calls it must cause, its body."""

    name: str
    method: str
    path: str
    body: Mapping[str, Any] | None
    status: int
    statements: int
    upstream_calls: int
    right: Callable[[Any], bool]


def worker_totals(service_url: str, timeout_s: float = 5.0) -> dict[str, float]:
    """``ladder_api_*`` gauges, summed over workers. Raises httpx.HTTPError."""
    text = get_text(f"{service_url}/metrics", timeout_s)
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("ladder_api_") and family.type == "gauge":
            totals[family.name.removeprefix("ladder_api_")] = sum(sample.value for sample in family.samples)
    return totals


ERROR_CAUSES = ("too_many_clients", "pool_timeouts", "database_unavailable")


def errors_by_cause(service_url: str) -> dict[str, int]:
    """{cause: requests refused since the service started}. Raises httpx.HTTPError."""
    totals = worker_totals(service_url)
    return {cause: int(totals.get(cause, 0)) for cause in ERROR_CAUSES}


def requests_by_worker(service_url: str) -> dict[int, float]:
    """{pid: requests begun}. Raises httpx.HTTPError."""
    text = get_text(f"{service_url}/metrics")
    return {
        int(sample.labels["pid"]): sample.value
        for family in text_string_to_metric_families(text)
        if family.name == "ladder_api_requests"
        for sample in family.samples
    }


def quick_key(profile: Profile, tag: str) -> str:
    """A key with a short delay, so that a check under the slow profile does not wait for its median."""
    return min((f"check-{tag}-{n}" for n in range(2000)), key=lambda key: delay_ms(profile, key, MOCK_SEED))


def expectations(stage: ResolvedStage) -> list[Expectation]:
    product = 1 + stage.scale.rows["products"] // 2
    user = 1 + stage.scale.rows["users"] // 2
    read_key, write_key = quick_key(stage.upstream, "read"), quick_key(stage.upstream, "write")
    basket = {"user_id": user, "items": [{"product_id": product, "quantity": 2}]}
    prices: dict[str, float] = {}

    def light(body: Any) -> bool:
        prices["unit"] = float(body["unit_price"])
        return body["id"] == product and prices["unit"] >= 0 and bool(body["title"])

    def listed(body: Any) -> bool:
        ids = [item["id"] for item in body["items"]]
        return (
            ids == list(range(product, product + len(ids)))
            and float(body["items"][0]["unit_price"]) == prices["unit"]
        )

    def sold(body: Any) -> bool:
        lines = body["by_status"]
        return (
            body["product_id"] == product
            and len(lines) > 0
            and all(
                line["lines"] >= line["buyers"] >= 1
                and line["quantity"] >= line["lines"]
                and abs(float(line["revenue"]) - line["quantity"] * prices["unit"]) < 0.02
                for line in lines
            )
        )

    def ordered(status: str, number: int) -> Callable[[Any], bool]:
        # The second write's id follows the first's only if the first was committed.
        return lambda body: (
            body["order_id"] == stage.scale.rows["orders"] + number
            and body["status"] == status
            and abs(float(body["total"]) - 2 * prices["unit"]) < 0.01
        )

    def quoted(body: Any) -> bool:
        price = prices["unit"] * factor(read_key, MOCK_SEED)
        meant = delay_ms(stage.upstream, read_key, MOCK_SEED)
        return (
            abs(float(body["quoted_price"]) - price) < 0.02 and abs(body["upstream_delay_ms"] - meant) < 0.01
        )

    missing = stage.scale.rows["products"] + 1
    return [
        Expectation("light_read", "GET", f"/products/{product}", None, 200, 1, 0, light),
        Expectation("list", "GET", f"/products?after={product - 1}&limit=20", None, 200, 1, 0, listed),
        Expectation("join", "GET", f"/products/{product}/sales", None, 200, 2, 0, sold),
        Expectation("write", "POST", "/orders", basket, 201, 4, 0, ordered("pending", 1)),
        Expectation(
            "upstream_read", "GET", f"/products/{product}/quote?key={read_key}", None, 200, 1, 1, quoted
        ),
        Expectation(
            "upstream_write", "POST", f"/checkout?key={write_key}", basket, 201, 4, 1, ordered("paid", 2)
        ),
        Expectation("missing", "GET", f"/products/{missing}", None, 404, 1, 0, lambda body: "detail" in body),
        Expectation("refused", "GET", "/products?limit=0", None, 422, 0, 0, lambda body: "detail" in body),
    ]


def check_correctness(stage: ResolvedStage, service_url: str, upstream_requests: Callable[[], int]) -> None:
    """Run every expectation in turn. Raises RunInvalid naming the first that fails."""
    expected = expectations(stage)
    time.sleep(_PUBLISHED_EVERY_S)  # the proofs' own statements must be in the first reading
    statements_before = _settled(service_url, None)["statements"]
    upstream_before = upstream_requests()
    for expectation in expected:
        _check_one(service_url, expectation)
    statements = sum(expectation.statements for expectation in expected)
    calls = sum(expectation.upstream_calls for expectation in expected)
    found = _settled(service_url, statements_before + statements)["statements"] - statements_before
    if found != statements:
        raise RunInvalid(
            f"correctness: {statements} SQL statements expected for the six endpoints, {found:g} sent"
        )
    called = upstream_requests() - upstream_before
    if called != calls:
        raise RunInvalid(f"correctness: {calls} upstream calls expected, the upstream saw {called}")


def _check_one(service_url: str, expectation: Expectation) -> None:
    try:
        answer = request(
            expectation.method, service_url + expectation.path, json=expectation.body, timeout_s=60.0
        )
    except httpx.HTTPError as error:
        raise RunInvalid(
            f"correctness: {expectation.name}: {type(error).__name__} on {expectation.path}"
        ) from None
    try:
        body = answer.json()
        right = answer.status_code == expectation.status and expectation.right(body)
    except (ValueError, KeyError, TypeError, IndexError):
        right = False
    if not right:
        raise RunInvalid(
            f"correctness: {expectation.name}: {expectation.path} answered {answer.status_code} "
            f"(expected {expectation.status}) with {answer.text[:200]}"
        )


def _settled(service_url: str, statements: float | None) -> dict[str, float]:
    """The counters once published: at least ``statements``, or any first publication."""
    ends = time.monotonic() + _PUBLISHED_WITHIN_S
    while True:
        totals = worker_totals(service_url)
        enough = "statements" in totals and (statements is None or totals["statements"] >= statements)
        if enough or time.monotonic() > ends:
            return {"statements": 0.0, **totals}
        time.sleep(0.1)
