"""Compose: the stack of compose.yaml on this machine's Docker engine. The service has a CPU quota and, by the
knob ``pinning``, a CPU of its own; everything else is kept off that CPU.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from services.contract.knobs import KNOBS
from vcpu_ladder import paths
from vcpu_ladder.environments.compose import data as compose_data
from vcpu_ladder.environments.compose.container import Container
from vcpu_ladder.environments.compose.engine import Engine
from vcpu_ladder.environments.compose.project import BUILT, RUN_SERVICES, Project, read_version
from vcpu_ladder.environments.compose.stack import ComposeStack, create, overriding, write_logs
from vcpu_ladder.environments.host import free_port, port_is_free
from vcpu_ladder.environments.live import LiveView, run_labels
from vcpu_ladder.environments.live_data import LiveData
from vcpu_ladder.environments.loopback import answers
from vcpu_ladder.environments.machine import machine_facts
from vcpu_ladder.environments.service import service_command, start_deadline_s, upstream_command
from vcpu_ladder.errors import EnvironmentNotReady
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.postgres.plan import SeedPlan
from vcpu_ladder.postgres.seed import SeedReport
from vcpu_ladder.postgres.steps import OnProgress
from vcpu_ladder.records.events import Preparing

_PROMETHEUS = "http://prometheus:9090"


class ComposeEnvironment:
    kind = "compose"

    def __init__(self, engine: Engine, data: Path | None = None) -> None:
        self.engine = engine
        self.project = Project(engine)
        self.data = data or paths.DATA
        self._images: dict[str, Any] = {}
        self._versions: dict[str, str | None] = {}
        # What `make up` started before a run stays up after it; None while there is no run.
        self._kept: set[str] | None = None
        self._open = ExitStack()
        self._folder: Path | None = None

    def describe(self) -> dict[str, Any]:
        cpus = self.project.split(1)
        native = {name: machine_facts().get(name) for name in ("python", "k6")}
        return {
            "kind": self.kind,
            "pinned": True,  # there is always a quota, so the number of CPUs is always fixed
            "service_cpus": list(cpus.service),
            "other_cpus": list(cpus.others),
            "engine": {
                "version": self.engine.info["ServerVersion"],
                "compose": self.engine.compose_version,
                "cgroup": self.engine.info["CgroupVersion"],
                "storage": self.engine.info["Driver"],
                "kernel": self.engine.info["KernelVersion"],
            },
            "images": self._images,
            "versions": self._versions,
            "differs_from_native": {
                name: {"compose": version, "native": native[name]}
                for name, version in self._versions.items()
                if version != native[name]
            },
        }

    def check_ready(self) -> None:
        if os.environ.get("DATABASE_URL"):
            raise EnvironmentNotReady(
                "DATABASE_URL is set, but the compose environment has its own PostgreSQL",
                next_command="unset DATABASE_URL, or ENVIRONMENT=native",
            )
        self.project.split(1)
        if not self._images:
            self._build(["k6"])
        self._kept = self.project.kept_up()
        if self._kept:
            self.project.remove(*RUN_SERVICES)  # the run's service replaces the one of `make up`
        elif self.project.containers():
            self.project.down()  # left behind by a killed runner
        for variable, port in self.project.ports.named().items():
            if not port_is_free(port):
                raise EnvironmentNotReady(
                    f"port 127.0.0.1:{port} is taken by another program",
                    next_command=f"set {variable} to a free port, for example {variable}={free_port()}",
                )

    def _build(self, fetched: Sequence[str]) -> None:
        """Build our images from this checkout, pull the others; the record names all of them."""
        config = self.project.config()
        self.project.fetch(fetched, config)
        self.project.build()
        for service in (*BUILT, *fetched):
            self._images[service] = self.engine.identity(self.project.image_of(service, config))
            if service in BUILT:
                base = self.project.base_of(service, config)
                self._images[service] |= {"base": self.engine.identity(base)}
        for program, service, words in (
            ("python", "api", ["python", "--version"]),
            ("k6", "k6", ["k6", "version"]),
        ):
            said = self.engine.ask(self._images[service]["name"], self.project.name, *words)
            self._versions[program] = read_version(said)

    def prepare(self, stages: Sequence[ResolvedStage], on_progress: OnProgress) -> None:
        for stage in stages:
            self.project.require_open_files(stage)
        kept = self.project.kept_up()
        on_progress(Preparing(step="images of compose.yaml: pulled or built where missing"))
        on_postgres = any(stage.knobs["database"] == "postgres" for stage in stages)
        self._build(["k6", "postgres"] if on_postgres else ["k6"])
        self.project.share_cpus(self.project.split(1), pinned=True, budget=1)
        try:
            compose_data.prepare(stages, self.project, self.data, on_progress)
        finally:
            if not kept:
                self.project.down()

    def seed(self, plan: SeedPlan, on_progress: OnProgress, anew: bool) -> SeedReport:
        kept = self.project.kept_up()
        try:
            self.project.share_cpus(self.project.split(1), pinned=True, budget=1)
            return compose_data.seed_postgres(self.project, plan, on_progress, anew)
        finally:
            if not kept:
                self.project.down()

    def up(
        self, stage: ResolvedStage, run_id: str, folder: Path, tell: Callable[[str], None]
    ) -> ComposeStack:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        pinned, budget = stage.knobs["pinning"] == "cpuset", int(stage.knobs["cpus"])
        cpus = self.project.split(budget)
        if self.engine.on_this_kernel:
            cpus.leave_the_service_alone()
        self.project.share_cpus(cpus, pinned, budget)
        postgres = self._postgres(stage)
        data = self._open.enter_context(compose_data.live_data(stage, self.project, tell))
        live = LiveView(_PROMETHEUS) if "prometheus" in (self._kept or ()) else None

        mock = self._mock(stage, folder)
        override = folder / "compose-api.json"
        override.write_text(overriding({"api": self._service(stage, run_id, data, mock)}))
        create(self.project, override, "api", data.variables)
        (api,) = self.project.containers("api")
        if postgres is None:
            compose_data.copy_sqlite(stage, self.data, api)
        api.start()
        self._wait_for_service(api, start_deadline_s(stage))
        return ComposeStack(
            self.project, run_id, folder, cpus, pinned, budget, live, data, api, mock, postgres
        )

    def _postgres(self, stage: ResolvedStage) -> Container | None:
        if stage.knobs["database"] != "postgres":
            return None
        container = compose_data.start_postgres(self.project)
        container.watch()
        return container

    def _mock(self, stage: ResolvedStage, folder: Path) -> Container:
        override = folder / "compose-mock.json"
        override.write_text(
            overriding({"mock": {"command": upstream_command(stage, "python", "0.0.0.0", 9000)}})
        )
        self.project.start("mock", override=override)
        (mock,) = self.project.containers("mock")
        mock.watch()
        return mock

    def _service(self, stage: ResolvedStage, run_id: str, data: LiveData, mock: Container) -> dict[str, Any]:
        """What this run adds to compose.yaml's service: its command and settings."""
        return {
            "command": service_command(stage, "python", "0.0.0.0", 8000),
            "environment": {
                **{KNOBS[name].variable: str(value) for name, value in stage.knobs.items()},
                **run_labels(stage, run_id),
                # By IP address: a name would be resolved by the engine for each new connection.
                "API_UPSTREAM_URL": f"http://{mock.address()}:9000",
                # Names only: this file is kept with the results, and Compose knows the values.
                **dict.fromkeys(data.variables),
            },
            # It would use the service's own CPU while that is measured.
            "healthcheck": {"disable": True},
        }

    def _wait_for_service(self, api: Container, deadline_s: float) -> None:
        """Wait until the service answers. Raises EnvironmentNotReady with its last output."""
        ready = answers(f"http://127.0.0.1:{self.project.ports.service}/healthz")
        ends = time.monotonic() + deadline_s
        while time.monotonic() < ends:
            if api.end is not None:
                raise EnvironmentNotReady(
                    f"service {api.end.how} before its first answer", api.logs("stderr", 8)
                )
            if ready():
                return
            time.sleep(0.05)
        raise EnvironmentNotReady(
            f"service: its first answer not reached in {deadline_s:g} s", api.logs("stderr", 8)
        )

    def down(self) -> None:
        self._open.close()
        if self._kept is None:
            return
        kept, self._kept = self._kept, None
        # If the engine went away, the containers went with it, or the next check finds them. Either way the
        # record of this run must be written.
        with suppress(EnvironmentNotReady):
            self._end(kept)

    def _end(self, kept: set[str]) -> None:
        if self._folder is not None:
            with suppress(OSError, EnvironmentNotReady):
                write_logs(self.project.containers(), self._folder)
        self._folder = None
        if not kept:
            self.project.down()
            return
        self.project.remove(*RUN_SERVICES)
        if "postgres" not in kept and self.project.containers("postgres"):
            compose_data.stop_postgres(self.project)
