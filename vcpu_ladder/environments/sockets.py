"""Whether this machine lets a load of many users be what it says: open files and ports, before it starts.

Without these the load fails in mid-run with refused connections, which read like the service's own failures.
"""

from __future__ import annotations

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


def require_open_files(needed: int) -> None:
    """Raise this process's soft limit, which its children inherit, where the hard one allows it.

    Raises EnvironmentNotReady with the remedy where it does not.
    """
    import resource  # not on Windows, where nothing is run but records are read

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise EnvironmentNotReady(
            f"this load needs {needed} open files a process, and the limit here is {hard}",
            next_command=f"run with fewer users (USERS={max(1, hard // 4)}), or in a shell whose limit root "
            f"has raised: ulimit -n {needed}",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


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


def require_capacity(stage: ResolvedStage) -> None:
    """Raises EnvironmentNotReady where the stage's load does not fit this machine's limits."""
    needed = open_files_needed(stage)
    require_open_files(needed)
    require_ports(needed)
