"""The sockets that a load of many users takes: open files of a process, and local ports.

Whether this machine has them is checked before a load starts. Without them it fails in mid-run with refused
connections, which read like the service's own failures.
"""

from __future__ import annotations

import math
from pathlib import Path

from services.contract.endpoints import ENDPOINTS
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.resolve import ResolvedStage

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Libraries, logs, the database's connections, the event loop's own.
_BESIDE_USERS = 256


def open_files_needed(stage: ResolvedStage) -> int:
    """Of one process: a single worker may get every user's connection, and each may hold one upstream."""
    load = stage.load
    users = load.users if load.model == "closed" else load.max_users
    endpoint = ENDPOINTS.get(str(stage.knobs["endpoint"]))
    calls_upstream = endpoint is None or endpoint.upstream_calls > 0
    return (2 if calls_upstream else 1) * users + _BESIDE_USERS


def open_files_allowed() -> tuple[float, float]:
    """(soft, hard) limit of open files of this process; infinity where there is none."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return math.inf, math.inf
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    return (math.inf if soft == unlimited else soft), (math.inf if hard == unlimited else hard)


def require_open_files(needed: int) -> None:
    """Raise this process's soft limit, which its children inherit, where the hard one allows it.

    Raises EnvironmentNotReady with the remedy where it does not.
    """
    soft, hard = open_files_allowed()
    if soft >= needed:
        return
    if hard < needed:
        raise EnvironmentNotReady(
            f"this load needs {needed} open files a process, and the limit here is {hard:.0f}",
            next_command=f"run with fewer users (USERS={max(1, int(hard) // 4)}), or in a shell whose limit "
            f"root has raised: ulimit -n {needed}",
        )
    import resource

    resource.setrlimit(
        resource.RLIMIT_NOFILE, (needed, resource.RLIM_INFINITY if hard == math.inf else int(hard))
    )


def require_ports(needed: int, port_range: Path = _PORT_RANGE) -> None:
    """Each user's connection has a local port. Raises EnvironmentNotReady with the remedy."""
    try:
        low, high = (int(bound) for bound in port_range.read_text().split())
    except (OSError, ValueError):
        return  # a platform that does not tell: the load itself will
    there = high - low + 1
    if there < needed:
        raise EnvironmentNotReady(
            f"this load needs {needed} local ports, and ip_local_port_range has {there}",
            next_command=f"run with fewer users (USERS={max(1, there // 4)}), or as root: "
            'sysctl -w net.ipv4.ip_local_port_range="10240 65535"',
        )


def require_sockets(stage: ResolvedStage) -> None:
    """Raises EnvironmentNotReady where the stage's load does not fit this machine's limits."""
    needed = open_files_needed(stage)
    require_open_files(needed)
    require_ports(needed)
