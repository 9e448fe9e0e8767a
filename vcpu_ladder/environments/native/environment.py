"""Native: processes on this machine, no Docker, no root. One CPU for the service by affinity, the
others for the load generator and the upstream.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.contract.knobs import KNOBS
from vcpu_ladder import paths
from vcpu_ladder.environments.base import Activity, Usage
from vcpu_ladder.environments.consumption import Consumption, usage_of
from vcpu_ladder.environments.generator import Addresses, load_command
from vcpu_ladder.environments.host import Cpus, Ports, free_port, port_is_free, require_k6
from vcpu_ladder.environments.live import LiveView, run_labels
from vcpu_ladder.environments.live_data import LiveData
from vcpu_ladder.environments.loopback import answers
from vcpu_ladder.environments.native.data import external_server, live_data, prepare
from vcpu_ladder.environments.native.processes import Leashed, Leashes
from vcpu_ladder.environments.service import service_command, start_deadline_s, upstream_command
from vcpu_ladder.environments.sockets import require_sockets
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.postgres.steps import OnProgress

# uvicorn, gunicorn and libpq read options from these, and Python its debug modes: a shell profile could
# change what is measured, and no record would show it.
_NOT_INHERITED = (
    "API_",
    "MOCK_",
    "UVICORN_",
    "GUNICORN_",
    "WEB_CONCURRENCY",
    "FORWARDED_ALLOW_IPS",
    "PYTHON",
    "PROMETHEUS_",
    "PGOPTIONS",
)
# k6 reads options from these; every LADDER_* variable is set by the runner.
_NOT_INHERITED_BY_K6 = ("K6_",)


@dataclass
class NativeLoad:
    process: Leashed
    stats_url: str

    def exit_code(self) -> int | None:
        return self.process.exit_code()

    def tail(self) -> str:
        return self.process.tail()

    def stop(self) -> None:
        self.process.stop()


@dataclass
class NativeStack:
    ports: Ports
    live: LiveView | None
    leashes: Leashes
    cpus: Cpus
    upstream: Leashed
    service: Leashed
    data: LiveData
    load: NativeLoad | None = None
    service_url: str = field(init=False)
    upstream_url: str = field(init=False)
    service_cpus: int = field(init=False)
    generator_cpus: int = field(init=False)
    facts: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.service_url = f"http://127.0.0.1:{self.ports.service}"
        self.upstream_url = f"http://127.0.0.1:{self.ports.upstream}"
        self.service_cpus = len(self.cpus.service)
        self.generator_cpus = len(self.cpus.others)
        self.facts = {
            "service_cpus": list(self.cpus.service),
            "other_cpus": list(self.cpus.others),
            "data": self.data.facts,
        }

    def start_load(self, stage: ResolvedStage, variables: Mapping[str, str], summary: Path) -> NativeLoad:
        status = f"127.0.0.1:{self.ports.generator}"
        at = Addresses(self.service_url, str(paths.K6_SCRIPTS), str(summary), status)
        command = load_command(stage, self.leashes.run_id, variables, self.live, at)
        process = self.leashes.start(
            "k6",
            [require_k6(), *command.arguments],
            self.cpus.others if self.cpus.pinned else (),
            command.variables,
            _NOT_INHERITED_BY_K6,
        )
        self.load = NativeLoad(process, f"http://{status}")
        return self.load

    def usage(self) -> Usage:
        return usage_of(
            self.service.consumption(),
            self.upstream.consumption(),
            self.load.process.consumption() if self.load else Consumption(),
            database_cpu_s=self.data.cpu_s(),
            own_cpus=self.cpus.service if self.cpus.pinned else None,
            other_cpus=self.cpus.others if self.cpus.pinned else None,
        )

    def activity(self) -> Activity | None:
        return self.data.activity()

    def died(self) -> str | None:
        for process in (self.service, self.upstream):
            code = process.exit_code()
            if code is not None:
                last = process.tail(1)
                return f"{process.name} ended by itself with status {code}" + (f": {last}" if last else "")
        return None


class NativeEnvironment:
    kind = "native"

    def __init__(self, ports: Ports | None = None, data: Path | None = None) -> None:
        self.ports = ports or Ports.from_env()
        self.data = data or paths.DATA
        self.live = LiveView.from_env()
        # Data and processes in the order in which they were started; they end in reverse order.
        self._open = ExitStack()

    def describe(self) -> dict[str, Any]:
        cpus = Cpus.split(1)
        return {
            "kind": self.kind,
            "pinned": cpus.pinned,
            "service_cpus": list(cpus.service),
            "other_cpus": list(cpus.others),
            "budget": "affinity" if cpus.pinned else "unpinned",
            "live_view": self.live is not None,
            **({"database_server": server} if (server := external_server()) else {}),
        }

    def check_ready(self) -> None:
        Cpus.split(1)
        require_k6()
        if self.live:
            self.live.check_ready()
        for variable, port in self.ports.named().items():
            if not port_is_free(port):
                raise EnvironmentNotReady(
                    f"port 127.0.0.1:{port} is taken by another program",
                    next_command=f"set {variable} to a free port: make doctor {variable}={free_port()}",
                )

    def prepare(self, stages: Sequence[ResolvedStage], on_progress: OnProgress) -> None:
        for stage in stages:
            require_sockets(stage)
        prepare(stages, self.data, self.ports.postgres, on_progress)

    def up(self, stage: ResolvedStage, run_id: str, folder: Path, tell: Callable[[str], None]) -> NativeStack:
        if stage.knobs["pinning"] == "quota":
            raise EnvironmentNotReady(
                f"{stage.name}: pinning = quota needs a container's quota; native runs pin by affinity",
                next_command="ENVIRONMENT=compose",
            )
        cpus = Cpus.split(int(stage.knobs["cpus"]))
        cpus.leave_the_service_alone()
        others = cpus.others if cpus.pinned else ()
        data = self._open.enter_context(live_data(stage, self.data, self.ports.postgres, others, tell))
        multiprocess_folder = self.data / "run" / "prometheus"
        shutil.rmtree(multiprocess_folder, ignore_errors=True)
        multiprocess_folder.mkdir(parents=True)

        leashes = Leashes(run_id, folder, self._open)
        command = upstream_command(stage, sys.executable, "127.0.0.1", self.ports.upstream)
        upstream = leashes.start("upstream", command, others, {}, _NOT_INHERITED)
        upstream.wait_until(
            answers(f"http://127.0.0.1:{self.ports.upstream}/healthz"), "its first answer", 10
        )
        service = leashes.start(
            "service",
            service_command(stage, sys.executable, "127.0.0.1", self.ports.service),
            cpus.service if cpus.pinned else (),
            {
                **self.service_variables(stage, data),
                **run_labels(stage, run_id),
                "PROMETHEUS_MULTIPROC_DIR": str(multiprocess_folder),
            },
            _NOT_INHERITED,
        )
        url = f"http://127.0.0.1:{self.ports.service}/healthz"
        service.wait_until(answers(url), "its first answer", start_deadline_s(stage))
        return NativeStack(self.ports, self.live, leashes, cpus, upstream, service, data)

    def service_variables(self, stage: ResolvedStage, data: LiveData) -> dict[str, str]:
        """The ``API_*`` settings of the stage."""
        return {
            **{KNOBS[name].variable: str(value) for name, value in stage.knobs.items()},
            **data.variables,
            "API_UPSTREAM_URL": f"http://127.0.0.1:{self.ports.upstream}",
        }

    def down(self) -> None:
        self._open.close()
