"""What this machine can and cannot do, with a remedy for each problem: one registry of examinations."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.table import Table
from rich.text import Text

from vcpu_ladder import paths
from vcpu_ladder.commands.console import ends_well, out
from vcpu_ladder.environments.host import Cpus, Ports, find_k6, port_is_free
from vcpu_ladder.environments.machine import k6_version, machine_facts
from vcpu_ladder.environments.native.data import external_server
from vcpu_ladder.environments.native.processes import strays
from vcpu_ladder.environments.registry import find
from vcpu_ladder.environments.sockets import open_files_allowed
from vcpu_ladder.errors import EnvironmentNotReady, LadderError
from vcpu_ladder.postgres import cluster
from vcpu_ladder.postgres.server import ExternalServer

examining = typer.Typer()

PINNED_K6 = "1.1.0"
_FILES_A_USER = 4
_USERS = 1000
_FREE_BYTES = 1 << 30
# The template, a run's copy, the sort files while seeding, and two copies of the shop in SQLite.
_POSTGRES_BYTES = 8_000_000_000


@dataclass(frozen=True)
class Finding:
    """``state``: ok; warning (the figures suffer); missing (no run is possible)."""

    name: str
    state: Literal["ok", "warning", "missing"]
    text: str
    remedy: str = ""


def _python() -> Finding:
    text = f"Python {sys.version.split()[0]}"
    return Finding("python", "ok", text)


def _cpus() -> Finding:
    try:
        cpus = Cpus.split(1)
    except EnvironmentNotReady as error:
        return Finding("cpus", "missing", error.what, "give this process a second CPU (taskset, VM size)")
    return Finding("cpus", "ok", f"service on CPU {cpus.service}, k6 and upstream on {cpus.others}")


def _affinity() -> Finding:
    if hasattr(os, "sched_setaffinity"):
        return Finding("affinity", "ok", "CPU affinity holds the service on one CPU")
    return Finding(
        "affinity", "warning", "this platform has no CPU affinity: runs are unpinned", "run on Linux"
    )


def _k6() -> Finding:
    version = k6_version()
    if version is None:
        return Finding(
            "k6", "missing", "k6 is not installed", "make setup (Linux x86-64), or put k6 on the PATH"
        )
    if version != PINNED_K6:
        return Finding("k6", "warning", f"k6 {version}, the pinned one is {PINNED_K6}", "make setup")
    return Finding("k6", "ok", f"k6 {version} at {find_k6()}")


def _environment() -> Finding:
    return Finding("environment", "ok", find(None)[1].removeprefix("environment: "))


def _ports() -> Finding:
    taken = [f"{name}={port}" for name, port in Ports.from_env().named().items() if not port_is_free(port)]
    if taken:
        return Finding("ports", "missing", f"taken: {', '.join(taken)}", "set these variables to free ports")
    return Finding(
        "ports", "ok", ", ".join(f"{name}={port}" for name, port in Ports.from_env().named().items())
    )


def _open_files() -> Finding:
    soft, hard = open_files_allowed()
    needed = _FILES_A_USER * _USERS
    text = f"{soft:.0f} open files a process (hard limit {hard:.0f})"
    if soft < needed:
        return Finding(
            "open files",
            "warning",
            f"{text}: enough for {soft // _FILES_A_USER:.0f} users",
            f"ulimit -n {needed}",
        )
    return Finding("open files", "ok", text)


def _results() -> Finding:
    try:
        paths.RESULTS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=paths.RESULTS):
            pass
    except OSError as error:
        remedy = "make it writable, or set VCPU_LADDER_RESULTS"
        return Finding("results", "missing", f"cannot write to {paths.RESULTS}: {error.strerror}", remedy)
    return Finding("results", "ok", f"records go to {paths.RESULTS}")


def _disk() -> Finding:
    free = shutil.disk_usage(paths.HOME).free
    text = f"{free / 1e9:.1f} GB free"
    if free < _FREE_BYTES:
        return Finding("disk", "warning", text, "free at least 1 GB")
    return Finding("disk", "ok", text)


def _postgres() -> Finding:
    try:
        external = external_server()
        if external:
            ExternalServer.check(os.environ["DATABASE_URL"])
            return Finding("PostgreSQL", "ok", f"DATABASE_URL: the server on {external}")
        cluster.binary("postgres")
        port = Ports.from_env().postgres
    except LadderError as error:
        return Finding("PostgreSQL", "warning", error.what, error.next_command or "")
    if not port_is_free(port):
        return Finding("PostgreSQL", "warning", f"port {port} is taken", "set POSTGRES_PORT to a free port")
    free = shutil.disk_usage(paths.HOME).free
    if free < _POSTGRES_BYTES:
        return Finding(
            "PostgreSQL", "warning", f"full scale needs {_POSTGRES_BYTES / 1e9:.0f} GB", "SCALE=0.1"
        )
    return Finding("PostgreSQL", "ok", f"{cluster.MAJOR}, from the wheel, on port {port}")


def _quiet() -> Finding:
    left = strays()
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        return Finding(
            "strays",
            "warning",
            f"processes of a run: {pids}",
            "the next run ends them, unless they belong to a run in progress",
        )
    load = os.getloadavg()[0]
    if load > 1:
        return Finding("quiet", "warning", f"load average {load:.1f}", "end other programs before measuring")
    return Finding("quiet", "ok", f"load average {load:.1f}")


def _clock() -> Finding:
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    name = source.read_text().strip() if source.exists() else "unknown"
    return Finding(
        "machine", "ok", f"{machine_facts()['cpu_model']}, {machine_facts()['kernel']}, clock {name}"
    )


EXAMINATIONS: tuple[Callable[[], Finding], ...] = (
    _python,
    _clock,
    _cpus,
    _affinity,
    _k6,
    _environment,
    _ports,
    _open_files,
    _results,
    _disk,
    _postgres,
    _quiet,
)


def examine() -> list[Finding]:
    return [examination() for examination in EXAMINATIONS]


@examining.command("doctor")
@ends_well
def doctor_command() -> None:
    """What this machine can and cannot do, with the remedy for each."""
    table = Table(show_lines=False)
    for name in ("check", "state", "finding", "remedy"):
        table.add_column(name, overflow="fold")
    findings = examine()
    colours = {"ok": "green", "warning": "yellow", "missing": "red"}
    for finding in findings:
        table.add_row(finding.name, Text(finding.state, colours[finding.state]), finding.text, finding.remedy)
    out.print(table)
    missing = [finding for finding in findings if finding.state == "missing"]
    if missing:
        first = missing[0]
        raise EnvironmentNotReady(f"{first.name}: {first.text}", next_command=first.remedy)
