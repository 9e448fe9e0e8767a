"""Correctness before load: every endpoint that the load will call returns the right body and makes the right
calls.

A service that serves wrong bodies fast, or answers without waiting, without querying its database or without
calling its upstream, must not be measured. What is expected depends on the stage's endpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from services.contract.endpoints import SHOP
from vcpu_ladder.environments.loopback import request
from vcpu_ladder.errors import RunInvalid
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.run import expect_shop, expect_study
from vcpu_ladder.run.counters import Counters
from vcpu_ladder.run.expectation import Expectation


def expectations(stage: ResolvedStage) -> list[Expectation]:
    """What the endpoints that the stage's load calls must answer."""
    on_shop = stage.knobs["endpoint"] == SHOP
    return expect_shop.expectations(stage) if on_shop else expect_study.expectations(stage)


def check_correctness(
    stage: ResolvedStage,
    service_url: str,
    settle: Callable[[], Counters],
    upstream_requests: Callable[[], int],
) -> tuple[str, Counters]:
    """Run every expectation in turn; returns the last right body, as sent, and the counters after it.

    ``settle`` reads the counters once they have settled. Raises RunInvalid naming the first expectation that
    fails.
    """
    expected = expectations(stage)
    before = settle()  # includes the statements of the proofs
    upstream_before = upstream_requests()
    body = ""
    for expectation in expected:
        body = _check_one(service_url, expectation)
    statements = sum(expectation.statements for expectation in expected)
    calls = sum(expectation.upstream_calls for expectation in expected)
    after = settle()
    if after.under_way:
        raise RunInvalid(f"correctness: {after.under_way} requests are under way, and every one was answered")
    found = after.total("statements") - before.total("statements")
    if found != statements:
        raise RunInvalid(
            f"correctness: {statements} SQL statements expected of {len(expected)} requests, {found:g} sent"
        )
    called = upstream_requests() - upstream_before
    if called != calls:
        raise RunInvalid(f"correctness: {calls} upstream calls expected, the upstream saw {called}")
    return body, after


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
