"""The service's CPU budget as its own cgroup reports it: the limits, and what the load used of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COUNTERS = ("periods", "throttled_periods", "throttled_s", "cpu_s", "oom_kills")
LIMITS = ("version", "quota_s", "period_s", "memory_limit_bytes")


def spent(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Limits, and the counters' growth from before the load to after it, read when no request was in flight.

    Taken from a worker's ``/effective``: all workers share one cgroup, so any worker will do. Empty if the
    service has no cgroup of its own, or no worker answered after the load.
    """
    first, last = _cgroup(before), _cgroup(after)
    if first is None or last is None:
        return {}
    grown = {
        name: round(last[name] - first[name], 6)
        for name in COUNTERS
        if first[name] is not None and last[name] is not None
    }
    return {**{name: last[name] for name in LIMITS}, **grown}


def _cgroup(workers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = workers[0]["facts"].get("cgroup") if workers else None
    return found
