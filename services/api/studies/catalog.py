"""Every published path, written down once: what is behind it, and what a request to it must cause.

The knob ``endpoint``, its proof, the correctness check and the limits all read this table. Adding a path
is one entry here and a route in its study's module.

Standard library only: the registry of knobs imports this module.
"""

from __future__ import annotations

from dataclasses import dataclass

SHOP = "shop"


@dataclass(frozen=True)
class Endpoint:
    """One published path. ``waits_s``: a request to the bare path takes at least so long, by what the study
    has it wait for. ``statements`` and ``upstream_calls`` are of one request. ``knobs`` are those that act
    on it beside the ones that act on every service.
    """

    path: str
    study: str
    coroutine: bool
    waits_s: float = 0.0
    statements: int = 0
    upstream_calls: int = 0
    knobs: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "async def" if self.coroutine else "def"

    @property
    def acting_knobs(self) -> tuple[str, ...]:
        # FastAPI runs a def handler on a thread of AnyIO's default limiter.
        return self.knobs if self.coroutine else (*self.knobs, "threads")


ENDPOINTS: dict[str, Endpoint] = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint("/async_endpoint_async_processing", "sleep", coroutine=True, waits_s=1.0),
        Endpoint("/sync_endpoint_sync_processing", "sleep", coroutine=False, waits_s=1.0),
    )
}


def study_kinds(study: str) -> dict[str, str]:
    """{path: ``def`` or ``async def``} of a study: what its mounted routes must show."""
    return {one.path: one.kind for one in ENDPOINTS.values() if one.study == study}
