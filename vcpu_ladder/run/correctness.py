"""Correctness before load: what the load will call answers with the right body, and calls what it should.

A service that serves wrong bodies fast, or answers without waiting, without asking its database or its
upstream, must not be measured. What is expected is chosen by the stage's endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.contract.endpoints import SHOP
from vcpu_ladder.environments.loopback import get_text, request
from vcpu_ladder.errors import RunInvalid
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.run import expect_shop, expect_study
from vcpu_ladder.run.expectation import Expectation

_PUBLISHED_EVERY_S = 0.6  # the service publishes its counters twice a second
_PUBLISHED_WITHIN_S = 5.0


def worker_gauges(service_url: str, timeout_s: float = 5.0) -> dict[str, list[float]]:
    """{``ladder_api_*`` gauge: its value in each worker}. Raises httpx.HTTPError."""
    text = get_text(f"{service_url}/metrics", timeout_s)
    return {
        family.name.removeprefix("ladder_api_"): [sample.value for sample in family.samples]
        for family in text_string_to_metric_families(text)
        if family.name.startswith("ladder_api_") and family.type == "gauge"
    }


def worker_totals(service_url: str, timeout_s: float = 5.0) -> dict[str, float]:
    """``ladder_api_*`` gauges, summed over workers. Raises httpx.HTTPError."""
    return {name: sum(values) for name, values in worker_gauges(service_url, timeout_s).items()}


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


def expectations(stage: ResolvedStage) -> list[Expectation]:
    """What the endpoints that the stage's load calls must answer."""
    on_shop = stage.knobs["endpoint"] == SHOP
    return expect_shop.expectations(stage) if on_shop else expect_study.expectations(stage)


def check_correctness(stage: ResolvedStage, service_url: str, upstream_requests: Callable[[], int]) -> str:
    """Run every expectation in turn; the last right body, as sent. Raises RunInvalid naming the first that
    fails.
    """
    expected = expectations(stage)
    time.sleep(_PUBLISHED_EVERY_S)  # the proofs' own statements must be in the first reading
    statements_before = _settled(service_url, None)["statements"]
    upstream_before = upstream_requests()
    body = ""
    for expectation in expected:
        body = _check_one(service_url, expectation)
    statements = sum(expectation.statements for expectation in expected)
    calls = sum(expectation.upstream_calls for expectation in expected)
    found = _settled(service_url, statements_before + statements)["statements"] - statements_before
    if found != statements:
        raise RunInvalid(
            f"correctness: {statements} SQL statements expected of {len(expected)} requests, {found:g} sent"
        )
    called = upstream_requests() - upstream_before
    if called != calls:
        raise RunInvalid(f"correctness: {calls} upstream calls expected, the upstream saw {called}")
    return body


def _check_one(service_url: str, expectation: Expectation) -> str:
    asked = time.monotonic()
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
    took_s = time.monotonic() - asked
    if took_s < expectation.waits_s:
        raise RunInvalid(
            f"correctness: {expectation.name}: {expectation.path} answered after {took_s:.3f} s, "
            f"and waits {expectation.waits_s:g} s if it does what it should"
        )
    return answer.text


def _settled(service_url: str, statements: float | None) -> dict[str, float]:
    """The counters once published: at least ``statements``, or any first publication."""
    ends = time.monotonic() + _PUBLISHED_WITHIN_S
    while True:
        totals = worker_totals(service_url)
        enough = "statements" in totals and (statements is None or totals["statements"] >= statements)
        if enough or time.monotonic() > ends:
            return {"statements": 0.0, **totals}
        time.sleep(0.1)
