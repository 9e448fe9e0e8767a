"""Every published path, defined once: what is behind it, and what a request to it must cause.

The knob ``endpoint``, its proof, the correctness check and the limits all read this table. Adding a path
is one entry here and a route in its study's module.

Standard library only: the registry of knobs imports this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SHOP = "shop"
# The upstream's wait in a call of the HTTP I/O study, and the number of tasks per request of the tasks study.
WAIT_MS = 1000
TASKS = 3
_CALLS = ("upstream_timeout_s", "upstream_client", "request_log")
# The user ids that the studies request, out of the published 1,000,000.
SELECT_USER = 1
SIMULATION_USER = 821_970
_POOLS = ("database", "pool_size")


@dataclass(frozen=True)
class Endpoint:
    """One published path. A request to the bare path takes at least ``waits_s``, for the study's own waits,
    plus ``tasks_in_turn`` times ``task_ms``. It blocks the event loop for ``blocks_s``. ``statements`` (on
    PostgreSQL) and ``upstream_calls`` are per request. ``user`` is the study's default ``user_id``.
    ``knobs`` are those that affect it, in addition to the ones that affect every service.
    """

    path: str
    study: str
    coroutine: bool
    waits_s: float = 0.0
    tasks_in_turn: int = 0
    blocks_s: float = 0.0
    statements: int = 0
    upstream_calls: int = 0
    user: int | None = None
    knobs: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return "async def" if self.coroutine else "def"

    def least_s(self, knobs: Mapping[str, str | int]) -> float:
        """Seconds that a request must take at least."""
        return self.waits_s + self.tasks_in_turn * int(knobs.get("task_ms", 0)) / 1000

    @property
    def acting_knobs(self) -> tuple[str, ...]:
        # FastAPI runs a def handler on a thread of AnyIO's default limiter.
        return self.knobs if self.coroutine else (*self.knobs, "threads")


ENDPOINTS: dict[str, Endpoint] = {
    endpoint.path: endpoint
    for endpoint in (
        Endpoint("/async_endpoint_async_processing", "sleep", coroutine=True, waits_s=1.0),
        Endpoint("/sync_endpoint_sync_processing", "sleep", coroutine=False, waits_s=1.0),
        Endpoint("/sync_endpoint_async_processing", "sleep", coroutine=False, waits_s=1.0),
        Endpoint("/sync_endpoint_mix_processing", "sleep", coroutine=False, waits_s=1.0),
        Endpoint("/async_endpoint_mix_processing", "sleep", coroutine=True, waits_s=1.0, blocks_s=0.5),
        *(
            Endpoint(
                path,
                "http-io",
                coroutine,
                waits_s=WAIT_MS / 1000,
                blocks_s=blocks_s,
                upstream_calls=1,
                knobs=_CALLS,
            )
            for paths, coroutine, blocks_s in (
                (("/http/sync", "/sync/http"), False, 0.0),
                (("/async/http", "/http/async"), True, 0.0),
                (("/http/async/sync", "/async/http/sync"), True, WAIT_MS / 1000),
            )
            for path in paths
        ),
        Endpoint("/sync/json", "http-io", coroutine=False, knobs=("request_log",)),
        Endpoint("/async/json", "http-io", coroutine=True, knobs=("request_log", "threads")),
        *(
            Endpoint(path, "tasks", coroutine, tasks_in_turn=in_turn, knobs=("task_ms",))
            for path, coroutine, in_turn in (
                ("/sync_baseline", False, TASKS),
                ("/async_independent", True, TASKS),
                ("/async_dependent", True, TASKS),
                ("/async_concurrent", True, 1),
            )
        ),
        Endpoint("/sync_select", "select", False, statements=1, user=SELECT_USER, knobs=_POOLS),
        Endpoint("/async_select", "select", True, statements=1, user=SELECT_USER, knobs=_POOLS),
        *(
            Endpoint(
                path, "simulation", coroutine, statements=2, user=SIMULATION_USER, knobs=(*_POOLS, "fib")
            )
            for path, coroutine in (
                ("/sync_simulation", False),
                ("/async_simulation", True),
                ("/async_simulation_to_thread", True),
            )
        ),
    )
}


def study_kinds(study: str) -> dict[str, str]:
    """{path: ``def`` or ``async def``} of a study: what its mounted routes must show."""
    return {one.path: one.kind for one in ENDPOINTS.values() if one.study == study}
