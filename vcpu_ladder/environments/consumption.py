"""What the parts of a stack consumed, combined into a ``Usage`` in the same way in every environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vcpu_ladder.environments.base import Usage
from vcpu_ladder.environments.host import cpus_seconds


@dataclass(frozen=True)
class Consumption:
    """One part since its start: CPU seconds (ended children included), resident bytes, threads, and the
    pids as the part itself sees them. ``throttled_s`` is None without a quota.
    """

    cpu_s: float = 0.0
    rss_bytes: int = 0
    threads: int = 0
    pids: tuple[int, ...] = ()
    throttled_s: float | None = None


def usage_of(
    service: Consumption,
    upstream: Consumption,
    generator: Consumption,
    *,
    database_cpu_s: float | None,
    own_cpus: Sequence[int] | None,
    other_cpus: Sequence[int] | None,
) -> Usage:
    """Read now. ``own_cpus`` are the service's alone, ``other_cpus`` everybody else's; None where this
    machine does not report their busy time, or where the two are not kept apart.
    """
    own = cpus_seconds(own_cpus) if own_cpus is not None else None
    others = cpus_seconds(other_cpus) if other_cpus is not None else None
    return Usage(
        service_cpu_s=service.cpu_s,
        service_rss_bytes=service.rss_bytes,
        service_threads=service.threads,
        service_pids=service.pids,
        upstream_cpu_s=upstream.cpu_s,
        generator_cpu_s=generator.cpu_s,
        generator_rss_bytes=generator.rss_bytes,
        throttled_s=service.throttled_s,
        foreign_cpu_s=own[0] - service.cpu_s if own else None,
        stolen_cpu_s=own[1] if own else None,
        others_busy_s=round(sum(others), 3) if others else None,
        database_cpu_s=database_cpu_s,
    )
