"""This process's own cgroup, version 1 or 2: the CPU quota, what it throttled, and the memory limit.

A quota lets several threads run at once and then freezes all of them until the period ends; only these
counters show it. Standard library only. The root path is a parameter, so that recorded trees can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# An unset limit in version 1 reads as the largest multiple of the page size: about 2^63.
_NO_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True)
class Cgroup:
    """What the kernel reports. Counters start with the cgroup; None where the kernel reports nothing.

    ``quota_s`` of CPU time may be used in each ``period_s``; ``quota_s`` is None without a quota.
    ``throttled_s`` is summed over CPUs, so it can grow by more than one second per second.
    """

    version: int
    quota_s: float | None
    period_s: float | None
    periods: int | None
    throttled_periods: int | None
    throttled_s: float | None
    cpu_s: float | None
    memory_limit_bytes: int | None
    oom_kills: int | None


def read_cgroup(root: Path = Path("/")) -> Cgroup | None:
    """The cgroup of this process, read now; None if it has neither a CPU quota nor a memory limit.

    A cgroup without a limit is shared with others (a login session, the whole machine), so its counters say
    nothing about this service. Limits of parent cgroups are not considered.
    """
    found = cgroup_of("self", root)
    limited = found is not None and (found.quota_s is not None or found.memory_limit_bytes is not None)
    return found if limited else None


def cgroup_of(pid: int | str, root: Path = Path("/")) -> Cgroup | None:
    """A process's cgroup, limited or not; None if the kernel has none, or the process is gone."""
    try:
        lines = (root / "proc" / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return None
    # {controller: path}; version 2 has one line, with no controller's name.
    paths = {
        name: path for _, names, path in (line.split(":", 2) for line in lines) for name in names.split(",")
    }
    mounted = root / "sys/fs/cgroup"
    if (mounted / "cgroup.controllers").exists():
        return _version_2(_folder(mounted, paths.get("", "/")))
    return _version_1(*(_folder(mounted / name, paths.get(name, "/")) for name in _CONTROLLERS))


_CONTROLLERS = ("cpu", "cpuacct", "memory")


def _folder(mounted: Path, path: str) -> Path:
    """Inside a container the mount is the cgroup itself, whatever path the kernel reports."""
    below = mounted / path.lstrip("/")
    return below if below.is_dir() else mounted


def _version_2(own: Path) -> Cgroup:
    quota, period = (_text(own / "cpu.max") or "max 100000").split()
    stat = _pairs(own / "cpu.stat")
    limit = _text(own / "memory.max")
    return Cgroup(
        version=2,
        quota_s=None if quota == "max" else int(quota) / 1e6,
        period_s=None if quota == "max" else int(period) / 1e6,
        periods=stat.get("nr_periods"),
        throttled_periods=stat.get("nr_throttled"),
        throttled_s=_scaled(stat.get("throttled_usec"), 1e6),
        cpu_s=_scaled(stat.get("usage_usec"), 1e6),
        memory_limit_bytes=None if limit in (None, "max") else int(limit),
        oom_kills=_pairs(own / "memory.events").get("oom_kill"),
    )


def _version_1(cpu: Path, accounting: Path, memory: Path) -> Cgroup:
    quota = int(_text(cpu / "cpu.cfs_quota_us") or -1)
    stat = _pairs(cpu / "cpu.stat")
    used_ns = _text(accounting / "cpuacct.usage")
    limit = int(_text(memory / "memory.limit_in_bytes") or _NO_LIMIT_BYTES)
    return Cgroup(
        version=1,
        quota_s=quota / 1e6 if quota > 0 else None,
        period_s=int(_text(cpu / "cpu.cfs_period_us") or 100_000) / 1e6 if quota > 0 else None,
        periods=stat.get("nr_periods"),
        throttled_periods=stat.get("nr_throttled"),
        throttled_s=_scaled(stat.get("throttled_time"), 1e9),
        cpu_s=_scaled(int(used_ns) if used_ns else None, 1e9),
        memory_limit_bytes=limit if limit < _NO_LIMIT_BYTES else None,
        oom_kills=_pairs(memory / "memory.oom_control").get("oom_kill"),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _pairs(path: Path) -> dict[str, int]:
    """``name value`` lines as numbers."""
    return {name: int(value) for name, value in (line.split() for line in (_text(path) or "").splitlines())}


def _scaled(count: int | None, unit: float) -> float | None:
    return None if count is None else count / unit
