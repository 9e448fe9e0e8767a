"""A study's endpoint: its body, its statements and upstream calls, and the time it must take at least."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.api.studies import json_file
from services.api.studies.catalog import ENDPOINTS, TASKS, WAIT_MS
from vcpu_ladder.resolve import ResolvedStage
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


# By study: whether a body is right for the stage.
_BODIES: dict[str, Callable[[ResolvedStage, Any], bool]] = {
    "http-io": _fetched_or_read,
    "sleep": _slept,
    "tasks": _done,
}


def called_path(stage: ResolvedStage) -> str:
    """What the load requests: the published path."""
    return ENDPOINTS[str(stage.knobs["endpoint"])].path


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
