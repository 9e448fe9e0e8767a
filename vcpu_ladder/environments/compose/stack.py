"""A started stack in containers: what it consumes, how it ends, and the k6 container that loads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vcpu_ladder.environments.base import Activity, Usage
from vcpu_ladder.environments.compose.container import Container
from vcpu_ladder.environments.compose.project import Project
from vcpu_ladder.environments.compose.usage import Meter, meter
from vcpu_ladder.environments.consumption import Consumption, usage_of
from vcpu_ladder.environments.generator import Addresses, load_command
from vcpu_ladder.environments.host import Cpus
from vcpu_ladder.environments.live import LiveView
from vcpu_ladder.environments.live_data import LiveData
from vcpu_ladder.ladder.resolve import ResolvedStage

# The names of a run's logs, the same in every environment.
LOG_NAMES = {"api": "service", "mock": "upstream", "k6": "k6", "postgres": "postgres"}


@dataclass
class ComposeLoad:
    """k6 in its container. Its summary comes through standard output: it may write nowhere else."""

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
    """``pinned`` says whether the service is pinned to ``cpus.service`` in addition to its quota."""

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
    facts: dict[str, Any] = field(init=False)
    _meters: dict[str, Meter] = field(init=False)

    def __post_init__(self) -> None:
        self.service_url = f"http://127.0.0.1:{self.project.ports.service}"
        self.upstream_url = f"http://127.0.0.1:{self.project.ports.upstream}"
        self.generator_cpus = len(self.cpus.others)
        running = (self.api, self.mock, *([self.postgres] if self.postgres else []))
        self._meters = {one.service: meter(one) for one in running}
        self.facts = {
            "service_cpus": list(self._service_may_use()),
            "other_cpus": list(self.cpus.others),
            "budget": "quota and cpuset" if self.pinned else "quota",
            "memory_limit_bytes": int(self.api.inspect()["HostConfig"]["Memory"]),
            "live_view": self.live is not None,
            "data": self.data.facts,
        }

    def _service_may_use(self) -> Sequence[int]:
        """The CPUs it may run on: all of them when only a quota limits it."""
        return self.cpus.service if self.pinned else sorted((*self.cpus.service, *self.cpus.others))

    def start_load(self, stage: ResolvedStage, variables: Mapping[str, str], summary: Path) -> ComposeLoad:
        at = Addresses("http://api:8000", "/k6", "stdout", "0.0.0.0:6565")
        command = load_command(stage, self.run_id, variables, self.live, at)
        override = self.folder / "compose-k6.json"
        override.write_text(
            overriding({"k6": {"command": command.arguments, "environment": command.variables}})
        )
        create(self.project, override, "k6", {})
        (container,) = self.project.containers("k6")
        container.start()
        self._meters["k6"] = meter(container)
        self.load = ComposeLoad(container, summary, f"http://127.0.0.1:{self.project.ports.generator}")
        return self.load

    def usage(self) -> Usage:
        seen = self.project.engine.on_this_kernel
        return usage_of(
            self._meters["api"].read(),
            self._meters["mock"].read(),
            self._meters["k6"].read() if "k6" in self._meters else Consumption(),
            database_cpu_s=self._meters["postgres"].read().cpu_s if self.postgres else None,
            own_cpus=self.cpus.service if seen and self.pinned else None,
            other_cpus=self.cpus.others if seen else None,
        )

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
    """An override file in JSON, which is YAML. Dollar signs are escaped, or Compose would expand them."""
    return json.dumps({"services": services}, indent=1).replace("$", "$$")


def create(project: Project, override: Path, service: str, given: Mapping[str, str]) -> None:
    """The service's container, created but not started, with this run's own settings."""
    anew = ["--no-start", "--no-build", "--no-deps", "--force-recreate"]
    project.compose("up", *anew, service, override=override, given=given)


def write_logs(containers: Sequence[Container], folder: Path) -> None:
    """Write what the run's containers logged, as ``<name>.out`` and ``<name>.err``."""
    for container in containers:
        name = LOG_NAMES.get(container.service)
        for stream, suffix in (("stdout", "out"), ("stderr", "err")):
            text = container.logs(stream) if name else ""
            if text:
                (folder / f"{name}.{suffix}").write_text(text, encoding="utf-8")
