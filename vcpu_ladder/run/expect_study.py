"""A study's endpoint: its body, its statements and upstream calls, and the time it must take at least."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.api.studies.catalog import ENDPOINTS
from vcpu_ladder.resolve import ResolvedStage
from vcpu_ladder.run.expectation import Expectation

# By study: whether a body is right for the stage.
_BODIES: dict[str, Callable[[ResolvedStage, Any], bool]] = {
    "sleep": lambda stage, body: bool(body == {"wait_ms": 1000}),
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
            waits_s=endpoint.waits_s,
        )
    ]
