"""A started stack in containers: what it consumes, how it ends, and the load that k6 puts on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from vcpu_ladder.environments.base import Activity, Usage
from vcpu_ladder.environments.compose_project import Project
from vcpu_ladder.environments.docker import Container
from vcpu_ladder.environments.host import Cpus
from vcpu_ladder.environments.native_data import LiveData
from vcpu_ladder.environments.processes import cpus_seconds
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.live import LiveView
from vcpu_ladder.resolve import ResolvedStage

# What a run's logs are called, the same in every environment.
LOG_NAMES = {"api": "service", "mock": "upstream", "k6": "k6", "postgres": "postgres"}


@dataclass
class ComposeLoad:
    """k6 in its container. Its summary comes by its standard output: it may write nowhere else."""

    container: Container
    summary: Path
    stats_url: str
    _collected: bool = False

    def exit_code(self) -> int | None:
        end = self.container.end
        if end is not None and not self._collected:
            self._collected = True
            text = self.container.logs("stdout")
            if text:
                self.summary.write_text(text, encoding="utf-8")
        return None if end is None else end.code

    def tail(self) -> str:
        return self.container.logs("stderr", 8).strip()

    def stop(self) -> None:
        self.container.kill()


@dataclass
class ComposeStack:
    """``pinned`` says whether the service is held on ``cpus.service`` beside its quota."""

    project: Project
    run_id: str
    folder: Path
    cpus: Cpus
    pinned: bool
    service_cpus: int
    live: LiveView | None
    data: LiveData
    api: Container
    mock: Container
    postgres: Container | None
    load: ComposeLoad | None = None
    service_url: str = field(init=False)
    upstream_url: str = field(init=False)
    generator_cpus: int = field(init=False)
    _last: dict[str, dict[str, Any]] = field(default_factory=dict)
    _init_pid: int = field(init=False)

    def __post_init__(self) -> None:
        self.service_url = f"http://127.0.0.1:{self.project.ports.service}"
        self.upstream_url = f"http://127.0.0.1:{self.project.ports.upstream}"
        self.generator_cpus = len(self.cpus.others)
        self._init_pid = int(self.api.inspect()["State"]["Pid"])

    def start_load(self, stage: ResolvedStage, variables: Mapping[str, str], summary: Path) -> ComposeLoad:
        live = self.live
        command = ["run", "--quiet", "--no-usage-report", "--no-color", "--address", "0.0.0.0:6565"]
        command += [*(live.arguments(stage, self.run_id) if live else []), f"/k6/{stage.load.script}"]
        given = {
            **variables,
            **(live.variables() if live else {}),
            "LADDER_SUMMARY": "stdout",
            "LADDER_BASE_URL": "http://api:8000",
        }
        override = self.folder / "compose-k6.json"
        override.write_text(overriding({"k6": {"command": command, "environment": given}}))
        create(self.project, override, "k6", {})
        (container,) = self.project.containers("k6")
        container.start()
        self.load = ComposeLoad(container, summary, f"http://127.0.0.1:{self.project.ports.generator}")
        return self.load

    def usage(self) -> Usage:
        api, mock = self._stats(self.api), self._stats(self.mock)
        generator = self._stats(self.load.container) if self.load else {}
        seen = self.project.engine.on_this_kernel
        own = cpus_seconds(self.cpus.service) if seen and self.pinned else None
        others = cpus_seconds(self.cpus.others) if seen else None
        return Usage(
            service_cpu_s=_cpu_s(api),
            service_rss_bytes=_resident(api),
            service_threads=int(api.get("pids_stats", {}).get("current") or 0),
            service_pids=self._pids() if seen else (),
            upstream_cpu_s=_cpu_s(mock),
            generator_cpu_s=_cpu_s(generator),
            generator_rss_bytes=_resident(generator),
            throttled_s=api.get("cpu_stats", {}).get("throttling_data", {}).get("throttled_time", 0) / 1e9,
            foreign_cpu_s=own[0] - _cpu_s(api) if own else None,
            stolen_cpu_s=own[1] if own else None,
            others_busy_s=sum(others) if others else None,
            database_cpu_s=_cpu_s(self._stats(self.postgres)) if self.postgres else None,
        )

    def _stats(self, container: Container) -> dict[str, Any]:
        """The last reading again where there is none now: a container that ended consumes no more."""
        try:
            found = container.stats()
        except EnvironmentNotReady:
            found = {}
        if found.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage"):
            self._last[container.id] = found
        return self._last.get(container.id, {})

    def _pids(self) -> tuple[int, ...]:
        """The service's processes by the pids that they know of themselves."""
        try:
            first = psutil.Process(self._init_pid)
            family = [first, *first.children(recursive=True)]
            return tuple(pid for process in family if (pid := _inner_pid(process.pid)) is not None)
        except psutil.Error:
            return ()

    def activity(self) -> Activity | None:
        return self.data.activity()

    def died(self) -> str | None:
        for container in (self.api, self.mock, *([self.postgres] if self.postgres else [])):
            end = container.end
            if end is not None:
                last = container.logs("stderr", 1).strip()
                return f"{LOG_NAMES[container.service]} {end.how}" + (f": {last}" if last else "")
        return None


def overriding(services: Mapping[str, Mapping[str, Any]]) -> str:
    """An override file in JSON, which is YAML. A dollar sign is kept from being taken for a variable."""
    return json.dumps({"services": services}, indent=1).replace("$", "$$")


def create(project: Project, override: Path, service: str, given: Mapping[str, str]) -> None:
    """The service's container, made but not started, with what belongs to this run alone."""
    anew = ["--no-start", "--no-build", "--no-deps", "--force-recreate"]
    project.compose("up", *anew, service, override=override, given=given)


def _cpu_s(stats: Mapping[str, Any]) -> float:
    return float(stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)) / 1e9


def _resident(stats: Mapping[str, Any]) -> int:
    """Without the page cache: ``rss`` in version 1 of cgroups, ``anon`` in version 2."""
    detail = stats.get("memory_stats", {}).get("stats", {})
    return int(detail.get("total_rss", detail.get("anon", 0)))


def _inner_pid(pid: int) -> int | None:
    """The pid inside its own namespace; None if the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), None)


def write_logs(containers: Sequence[Container], folder: Path) -> None:
    """What the run's containers said, as ``<name>.out`` and ``<name>.err``."""
    for container in containers:
        name = LOG_NAMES.get(container.service)
        for stream, suffix in (("stdout", "out"), ("stderr", "err")):
            text = container.logs(stream) if name else ""
            if text:
                (folder / f"{name}.{suffix}").write_text(text, encoding="utf-8")
