"""What a container consumes: read from the kernel if it is a process of this machine, else from the engine.

A single request for the engine's statistics takes up to a second, so they are streamed instead, and only
where the engine runs in a virtual machine whose cgroups cannot be read from here.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil

from services.contract.cgroup import cgroup_of
from vcpu_ladder.environments.compose.container import Container
from vcpu_ladder.environments.consumption import Consumption
from vcpu_ladder.errors import EnvironmentNotReady


class Meter(Protocol):
    def read(self) -> Consumption:
        """The current reading; the last one once the container has ended."""
        ...


class KernelMeter:
    """From its cgroup and processes, found by the pid of its first process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last = Consumption(throttled_s=0.0)

    def read(self) -> Consumption:
        try:
            first = psutil.Process(self._pid)
            family = [first, *first.children(recursive=True)]
        except psutil.Error:
            return self._last
        cgroup = cgroup_of(self._pid)
        if cgroup is not None and cgroup.cpu_s is not None:
            self._last = replace(self._last, cpu_s=cgroup.cpu_s, throttled_s=cgroup.throttled_s or 0.0)
        rss = threads = 0
        pids = []
        for process in family:
            try:
                with process.oneshot():
                    rss += process.memory_info().rss
                    threads += process.num_threads()
                pids.append(_inner_pid(process.pid))
            except (psutil.Error, OSError):
                continue  # it ended between listing and reading
        self._last = replace(self._last, rss_bytes=rss, threads=threads, pids=tuple(pids))
        return self._last


class EngineMeter:
    """The engine's statistics as they arrive, one per second: a reading is up to a second old."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._last = Consumption(throttled_s=0.0)
        threading.Thread(target=self._follow, name=f"stats-{container.service}", daemon=True).start()

    def _follow(self) -> None:
        try:
            for line in self._container.follow_stats():
                self._last = consumption_of(json.loads(line))
        except (EnvironmentNotReady, httpx.HTTPError, ValueError):
            return  # the container or the engine ended: the last reading stands

    def read(self) -> Consumption:
        return self._last


def consumption_of(stats: dict[str, Any]) -> Consumption:
    """From the engine's statistics. Resident memory is ``rss`` in cgroup version 1, ``anon`` in version 2."""
    memory = stats.get("memory_stats", {}).get("stats", {})
    cpu = stats.get("cpu_stats", {})
    return Consumption(
        cpu_s=cpu.get("cpu_usage", {}).get("total_usage", 0) / 1e9,
        throttled_s=cpu.get("throttling_data", {}).get("throttled_time", 0) / 1e9,
        rss_bytes=int(memory.get("total_rss", memory.get("anon", 0))),
        threads=int(stats.get("pids_stats", {}).get("current") or 0),
    )


def meter(container: Container) -> Meter:
    """The better of the two sources for a running container."""
    if container.engine.on_this_kernel:
        return KernelMeter(int(container.inspect()["State"]["Pid"]))
    return EngineMeter(container)


def _inner_pid(pid: int) -> int:
    """The pid in its own namespace. Raises OSError if the process is gone."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), pid)
