"""This machine as the native environment divides it: ports, CPUs, and where k6 is."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from vcpu_ladder.errors import EnvironmentNotReady


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1: the service, the upstream, k6's own status server, and PostgreSQL."""

    service: int = 8000
    upstream: int = 9100
    generator: int = 6565
    postgres: int = 15432

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Ports:
        """``SERVICE_PORT``, ``UPSTREAM_PORT``, ``K6_API_PORT``, ``POSTGRES_PORT``.

        Raises EnvironmentNotReady for a value that is not a port.
        """
        ports = {}
        for name, variable in (
            ("service", "SERVICE_PORT"),
            ("upstream", "UPSTREAM_PORT"),
            ("generator", "K6_API_PORT"),
            ("postgres", "POSTGRES_PORT"),
        ):
            text = env.get(variable)
            if text is None or text == "":
                continue
            if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 65536:
                raise EnvironmentNotReady(
                    f"{variable} = {text!r} is not a port", next_command=f"unset {variable}"
                )
            ports[name] = int(text)
        return cls(**ports)

    def named(self) -> dict[str, int]:
        """{variable: port} of what every run needs; PostgreSQL checks its own port."""
        return {
            "SERVICE_PORT": self.service,
            "UPSTREAM_PORT": self.upstream,
            "K6_API_PORT": self.generator,
        }


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_k6() -> str | None:
    """The k6 of this virtual environment, else the one on the PATH."""
    beside = Path(sys.executable).with_name("k6")
    return str(beside) if beside.exists() else shutil.which("k6")


def _allowed_cpus() -> tuple[int, ...] | None:
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None


def _siblings(cpu: int) -> set[int]:
    """The hardware threads of the CPU's core, itself included; empty where the platform does not say."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        parts = [part.split("-") for part in path.read_text().strip().split(",")]
        return {one for part in parts for one in range(int(part[0]), int(part[-1]) + 1)}
    except (OSError, ValueError):
        return set()


# The affinity at start-up: later this process moves off the service's CPUs.
ALLOWED_CPUS = _allowed_cpus()


@dataclass(frozen=True)
class Cpus:
    """Which CPUs the service has, and which the rest. ``pinned`` is False on a platform without affinity."""

    service: tuple[int, ...]
    others: tuple[int, ...]
    pinned: bool

    @classmethod
    def split(cls, wanted: int, allowed: tuple[int, ...] | None = None) -> Cpus:
        """The last ``wanted`` CPUs for the service, because interrupts favour the first ones.

        Taken from ``allowed`` (the CPUs of the machine that containers run on), else from this process's own.
        Raises EnvironmentNotReady when nothing would be left for the load generator.
        """
        if allowed is not None:
            cls._refuse_too_few(len(allowed), wanted)
            return cls(allowed[-wanted:], allowed[:-wanted], pinned=True)
        if ALLOWED_CPUS is None:
            everything = tuple(range(os.cpu_count() or 1))
            cls._refuse_too_few(len(everything), wanted)
            return cls(everything[-wanted:], everything[:-wanted], pinned=False)
        cls._refuse_too_few(len(ALLOWED_CPUS), wanted)
        service, others = ALLOWED_CPUS[-wanted:], ALLOWED_CPUS[:-wanted]
        siblings = {sibling for cpu in service for sibling in _siblings(cpu)}
        # The sibling hardware thread shares the service's core: leave it idle if there are other CPUs.
        return cls(service, tuple(cpu for cpu in others if cpu not in siblings) or others, pinned=True)

    def leave_the_service_alone(self) -> None:
        """Move this process, the runner, off the service's CPUs: it samples while the load runs."""
        if not self.pinned:
            return
        tasks = Path("/proc/self/task")
        threads = [int(task.name) for task in tasks.iterdir()] if tasks.exists() else [0]
        for thread in threads:  # a call for the process would move only the calling thread
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, self.others)

    @staticmethod
    def _refuse_too_few(there: int, wanted: int) -> None:
        if there <= wanted:
            raise EnvironmentNotReady(
                f"this process may use {there} CPU(s), and a run needs {wanted + 1}: {wanted} for the service"
                " and at least one other for k6 and the upstream, or k6 would be the bottleneck",
                next_command="vcpu-ladder doctor",
            )


def require_k6() -> str:
    """Where k6 is. Raises EnvironmentNotReady with the remedy."""
    found = find_k6()
    if found is None:
        raise EnvironmentNotReady(
            "k6 is not installed: neither in this virtual environment nor on the PATH",
            next_command="make setup",
        )
    return found


def cpus_seconds(cpus: Sequence[int]) -> tuple[float, float] | None:
    """(busy, stolen) seconds of these CPUs together since boot; None where the platform does not say."""
    try:
        every: Any = psutil.cpu_times(percpu=True)
        chosen = [every[cpu] for cpu in cpus]
    except (IndexError, OSError):
        return None
    stolen = sum(float(getattr(times, "steal", 0.0)) for times in chosen)
    idle = sum(times.idle + getattr(times, "iowait", 0.0) for times in chosen)
    # The kernel counts in ticks of 10 ms; what floats add to that could make a counter fall.
    return round(sum(sum(times[:8]) for times in chosen) - idle - stolen, 3), round(stolen, 3)
