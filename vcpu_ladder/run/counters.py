"""The workers' own counters, read from ``/metrics``: a reading that may be stale, and one that has settled.

A worker publishes its counters twice a second, immediately when it is the one that answers ``/metrics``, and
shortly after another worker has answered. So in a single reading the other workers' values may be half a
second old; what ``settled`` returns is never stale.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from vcpu_ladder.environments.loopback import get_text
from vcpu_ladder.errors import RunInvalid
from vcpu_ladder.run.prove import upstream_in_force

ERROR_CAUSES = ("too_many_clients", "pool_timeouts", "database_unavailable")

PUBLISH_WITHIN_S = 10.0
IDLE_WITHIN_S = 5.0
_POLL_EVERY_S = 0.05


class NotSettled(RunInvalid):
    """A worker did not publish its counters in time: its event loop is blocked, or nothing answers."""


@dataclass(frozen=True)
class Counters:
    """{pid: {name: value}}: every worker's ``ladder_api_*`` gauges, without that prefix."""

    by_worker: Mapping[int, Mapping[str, float]]

    def each(self, name: str) -> dict[int, float]:
        """{pid: value}, by pid; 0 for a worker that does not publish it."""
        return {pid: found.get(name, 0.0) for pid, found in sorted(self.by_worker.items())}

    def values(self, name: str) -> list[float]:
        """The values of those workers that publish it."""
        return [found[name] for found in self.by_worker.values() if name in found]

    def total(self, name: str) -> float:
        return sum(self.each(name).values())

    @property
    def under_way(self) -> int:
        """Requests and upstream calls that have begun but not ended."""
        return int(self.total("in_flight") + self.total("upstream_in_flight"))

    @property
    def refused(self) -> dict[str, int]:
        """{cause: requests refused since the service started}."""
        return {cause: int(self.total(cause)) for cause in ERROR_CAUSES}


def read_counters(service_url: str, timeout_s: float = 5.0) -> Counters:
    """Every worker's counters as last published, if it has published any. Raises httpx.HTTPError."""
    text = get_text(f"{service_url}/metrics", timeout_s)
    found: dict[int, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("ladder_api_") and family.type == "gauge":
            for sample in family.samples:
                if "pid" in sample.labels:
                    worker = found.setdefault(int(sample.labels["pid"]), {})
                    worker[family.name.removeprefix("ladder_api_")] = sample.value
    return Counters({pid: worker for pid, worker in found.items() if worker.get("publications")})


def settled(
    service_url: str,
    pids: Collection[int] = (),
    publish_within_s: float = PUBLISH_WITHIN_S,
    idle_within_s: float = IDLE_WITHIN_S,
) -> Counters:
    """Counters that include everything that ended before this call, in every live worker.

    Each worker must publish twice after the call, because one publication may already have been in progress.
    Then the counters are read until nothing is under way, for at most ``idle_within_s``; ``under_way`` of the
    result says whether something still is. ``pids`` are workers that must be included. Raises NotSettled,
    naming the workers that did not publish within ``publish_within_s``.
    """
    begun = time.monotonic()
    first: Counters | None = None
    silent = list(pids)
    while True:
        trouble = ""
        try:
            now = read_counters(service_url)
        except httpx.HTTPError as error:
            trouble = f": {type(error).__name__} {error}".rstrip()
        else:
            first = first or now
            silent = _silent(first, now, pids)
            if now.by_worker and not silent:
                if not now.under_way or time.monotonic() - begun >= idle_within_s:
                    return now
                time.sleep(_POLL_EVERY_S)
                continue
        if time.monotonic() - begun >= publish_within_s:
            whom = f"workers {silent} have" if silent else "the service has"
            raise NotSettled(f"{whom} not published their counters for {publish_within_s:g} s{trouble}")
        time.sleep(_POLL_EVERY_S)


def _silent(first: Counters, now: Counters, pids: Collection[int]) -> list[int]:
    """Workers that have not published twice since the first reading, and those of ``pids`` never seen.

    A worker that has ended appears in no reading, and is not waited for unless it is one of ``pids``.
    """
    before, since = first.each("publications"), now.each("publications")
    waiting = {pid for pid, count in since.items() if count < before.get(pid, 0.0) + 2}
    return sorted(waiting | (set(pids) - since.keys()))


def settled_upstream(upstream_url: str, idle_within_s: float = IDLE_WITHIN_S) -> dict[str, Any]:
    """The upstream's ``/stats`` with nothing in flight, or as they are after ``idle_within_s``.

    It is a single process that counts before it answers, so its figures are never stale. Raises
    EnvironmentNotReady.
    """
    ends = time.monotonic() + idle_within_s
    while True:
        stats = upstream_in_force(upstream_url)
        if not stats["in_flight"] or time.monotonic() >= ends:
            return stats
        time.sleep(_POLL_EVERY_S)
