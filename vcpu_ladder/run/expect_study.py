"""A study's endpoint: its body, its statements and upstream calls, and its minimum response time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.contract import json_file
from services.contract.endpoints import ENDPOINTS, TASKS, WAIT_MS
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.ladder.scale import STATUSES
from vcpu_ladder.run.expectation import Expectation


def _slept(stage: ResolvedStage, body: Any) -> bool:
    return bool(body == {"wait_ms": 500 if "mix" in called_path(stage) else 1000})


def _fetched_or_read(stage: ResolvedStage, body: Any) -> bool:
    if ENDPOINTS[called_path(stage)].upstream_calls:
        return bool(body["delay_ms"] == WAIT_MS)
    return bool(body == json_file.content())


def _done(stage: ResolvedStage, body: Any) -> bool:
    dependent = called_path(stage) == "/async_dependent"
    return bool(body == {"results": list(range(1, TASKS + 1)) if dependent else [1] * TASKS})


def _selected(_: ResolvedStage, body: Any) -> bool:
    """The user's orders, at least one, by ascending id."""
    rows = body["rows"]
    ids = [order_id for order_id, _, _ in rows]
    return len(rows) > 0 and ids == sorted(set(ids)) and all(status in STATUSES for _, status, _ in rows)


def _simulated(stage: ResolvedStage, body: Any) -> bool:
    """Both frames hold the same items, at least one; the number is the stage's."""
    products, items = body["products"], body["all_user_orders"]
    return (
        body["fib"] == fibonacci(int(stage.knobs["fib"]))
        and body["total_qtd"] == sum(items["quantity"]) == sum(products["quantity"]) > 0
        and set(products["id"]) == set(items["product_id"])
    )


def fibonacci(n: int) -> int:
    """Computed by addition, unlike the service's recursion."""
    low, high = 0, 1
    for _ in range(n):
        low, high = high, low + high
    return low


# {study: whether a body is right for the stage}.
_BODIES: dict[str, Callable[[ResolvedStage, Any], bool]] = {
    "http-io": _fetched_or_read,
    "sleep": _slept,
    "tasks": _done,
    "select": _selected,
    "simulation": _simulated,
}


def called_path(stage: ResolvedStage) -> str:
    """What the load requests: the published path, for the published user at the data's scale."""
    endpoint = ENDPOINTS[str(stage.knobs["endpoint"])]
    if endpoint.user is None:
        return endpoint.path
    return f"{endpoint.path}?user_id={max(1, round(endpoint.user * stage.scale.factor))}"


def expectations(stage: ResolvedStage) -> list[Expectation]:
    endpoint = ENDPOINTS[str(stage.knobs["endpoint"])]
    right = _BODIES[endpoint.study]
    return [
        Expectation(
            name=endpoint.study,
            method="GET",
            path=called_path(stage),
            body=None,
            status=200,
            statements=endpoint.statements,
            upstream_calls=endpoint.upstream_calls,
            right=lambda body: right(stage, body),
            waits_s=endpoint.least_s(stage.knobs),
        )
    ]
