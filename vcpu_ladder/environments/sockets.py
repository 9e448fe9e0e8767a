"""What a load of many users needs for its sockets: open files per process, and local ports.

Both are checked before a load starts. Without them the load fails in mid-run with refused connections,
which look like failures of the service.
"""

from __future__ import annotations

import math
from pathlib import Path

from services.contract.endpoints import ENDPOINTS
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.resolve import ResolvedStage

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# For libraries, logs, database connections and the event loop itself.
_BESIDE_USERS = 256


def open_files_needed(stage: ResolvedStage) -> int:
    """Open files of one process: a single worker may get every user's connection, each with one upstream."""
    load = stage.load
    users = load.users if load.model == "closed" else load.max_users
    endpoint = ENDPOINTS.get(str(stage.knobs["endpoint"]))
    calls_upstream = endpoint is None or endpoint.upstream_calls > 0
    return (2 if calls_upstream else 1) * users + _BESIDE_USERS


def open_files_allowed() -> tuple[float, float]:
    """(soft, hard) limit of open files of this process; infinity if there is none."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return math.inf, math.inf
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    return (math.inf if soft == unlimited else soft), (math.inf if hard == unlimited else hard)


def require_open_files(needed: int) -> None:
    """Raise this process's soft limit, which its children inherit, if the hard limit allows it.

    Raises EnvironmentNotReady with the remedy if it does not.
    """
    soft, hard = open_files_allowed()
    if soft >= needed:
        return
    if hard < needed:
        raise EnvironmentNotReady(
            f"this load needs {needed} open files per process, and the limit here is {hard:.0f}",
            next_command=f"run with fewer users (USERS={max(1, int(hard) // 4)}), or in a shell whose limit "
            f"root has raised: ulimit -n {needed}",
        )
    import resource

    resource.setrlimit(
        resource.RLIMIT_NOFILE, (needed, resource.RLIM_INFINITY if hard == math.inf else int(hard))
    )


def require_ports(needed: int, port_range: Path = _PORT_RANGE) -> None:
    """Each user's connection needs a local port. Raises EnvironmentNotReady with the remedy."""
    try:
        low, high = (int(bound) for bound in port_range.read_text().split())
    except (OSError, ValueError):
        return  # the platform does not say: the load itself will show it
    there = high - low + 1
    if there < needed:
        raise EnvironmentNotReady(
            f"this load needs {needed} local ports, and ip_local_port_range has {there}",
            next_command=f"run with fewer users (USERS={max(1, there // 4)}), or as root: "
            'sysctl -w net.ipv4.ip_local_port_range="10240 65535"',
        )


def require_sockets(stage: ResolvedStage) -> None:
    """Raises EnvironmentNotReady if the stage's load does not fit this machine's limits."""
    needed = open_files_needed(stage)
    require_open_files(needed)
    require_ports(needed)
