"""Proofs: what the running service says is in force, against what the stage asks for.

Expectations come from the registry of knobs; findings come from every worker's live objects, from all
workers taken together, and from the upstream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from services.contract.knobs import KNOBS
from vcpu_ladder.environments.base import Activity
from vcpu_ladder.environments.loopback import get_json
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.records.record import ProofResult

# Connections are not spread evenly over workers that share a socket: send bursts until all were seen.
_BURST = 32
_DEADLINE_S = 10.0
# The first worker may answer while the others, on the same CPU, are still starting.
_DEADLINE_A_WORKER_S = 2.0
# After the last new worker was seen, this many more bursts must find no further one.
_QUIET_BURSTS = 3


# What a worker reports where the platform has no affinity.
_UNPINNED = {"cpus": None, "pinning": "none"}


def discover_workers(
    service_url: str, expected: int, deadline_s: float | None = None
) -> list[dict[str, Any]]:
    """``GET /effective`` of every worker that answers, by pid: as many as there are, not as many as expected.

    Raises EnvironmentNotReady when none answers.
    """
    seen: dict[int, dict[str, Any]] = {}
    quiet = 0
    ends = time.monotonic() + (deadline_s or _DEADLINE_S + _DEADLINE_A_WORKER_S * expected)
    last_error = "no answer"
    with ThreadPoolExecutor(_BURST) as pool:
        while time.monotonic() < ends and not (len(seen) >= expected and quiet >= _QUIET_BURSTS):
            before = len(seen)
            for answer in pool.map(_ask, [f"{service_url}/effective"] * _BURST):
                if isinstance(answer, str):
                    last_error = answer
                else:
                    seen[answer["pid"]] = answer
            quiet = quiet + 1 if len(seen) == before else 0
    if not seen:
        raise EnvironmentNotReady(f"{service_url}/effective did not answer: {last_error}")
    return [seen[pid] for pid in sorted(seen)]


def one_worker(service_url: str) -> dict[str, Any]:
    """``GET /effective`` of whichever worker answers. Raises httpx.HTTPError."""
    found: dict[str, Any] = get_json(f"{service_url}/effective")
    return found


def _ask(url: str) -> dict[str, Any] | str:
    try:
        found: dict[str, Any] = get_json(url)
    except (httpx.HTTPError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return found


def upstream_in_force(upstream_url: str) -> dict[str, Any]:
    """``GET /stats`` of the mock. Raises EnvironmentNotReady when it does not answer."""
    try:
        stats: dict[str, Any] = get_json(f"{upstream_url}/stats")
    except (httpx.HTTPError, ValueError) as error:
        raise EnvironmentNotReady(f"{upstream_url}/stats did not answer: {type(error).__name__}") from None
    return stats


def prove(
    stage: ResolvedStage,
    workers: list[dict[str, Any]],
    upstream: Mapping[str, Any],
    pinned: bool,
    activity: Activity | None,
) -> list[ProofResult]:
    """One result for every knob, and one more if a database server can report who is connected.

    Without affinity (``pinned`` False) no CPU count is expected.
    """
    findings: dict[str, Callable[[str], list[Any]]] = {
        "worker": lambda key: [worker["proofs"].get(key) for worker in workers],
        "fleet": lambda key: [{"workers": len(workers)}[key]],
        "upstream": lambda key: [_profile_in_force(upstream)],
    }
    results = []
    for knob in KNOBS.values():
        expected = knob.proof.expected(stage.knobs)
        if not pinned and knob.name in _UNPINNED:
            expected = _UNPINNED[knob.name]
        if knob.name == "upstream":
            expected = {"p50_ms": stage.upstream.p50_ms, "p99_ms": stage.upstream.p99_ms}
        found = findings[knob.proof.where](knob.proof.key)
        results.append(
            ProofResult(
                knob=knob.name,
                where=knob.proof.where,
                expected=expected,
                found=found,
                holds=bool(found) and all(value == expected for value in found),
            )
        )
    if activity is not None and stage.knobs["pool"] != "null":
        results.append(_connected(workers, activity))
    return results


def _connected(workers: list[dict[str, Any]], activity: Activity) -> ProofResult:
    """Every worker, and nobody else, has connections: the pools use the server that we restored."""
    expected, found = sorted(worker["pid"] for worker in workers), sorted(activity.by_pid)
    return ProofResult(
        knob="database", where="pg_stat_activity", expected=expected, found=[found], holds=expected == found
    )


def _profile_in_force(upstream: Mapping[str, Any]) -> dict[str, float]:
    profile = upstream.get("profile", upstream)
    return {"p50_ms": profile["p50_ms"], "p99_ms": profile["p99_ms"]}


def unproven_reason(proofs: list[ProofResult]) -> str | None:
    """One line naming every knob that is not in force, or None."""
    lines = [
        f"{proof.knob}: expected {proof.expected!r}, the {proof.where} shows "
        + (repr(proof.found[0]) if len({repr(value) for value in proof.found}) == 1 else repr(proof.found))
        for proof in proofs
        if not proof.holds
    ]
    return "; ".join(lines) or None
