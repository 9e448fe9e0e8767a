"""The Compose project: its name, its variables, its one password, and the versions in compose.yaml."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vcpu_ladder import paths
from vcpu_ladder.environments.compose.container import Container, containers
from vcpu_ladder.environments.compose.engine import BUILD_S, COMPOSE_S, Engine
from vcpu_ladder.environments.host import Cpus, Ports
from vcpu_ladder.environments.sockets import open_files_allowed, open_files_needed
from vcpu_ladder.errors import EnvironmentNotReady, not_writable
from vcpu_ladder.ladder.resolve import ResolvedStage

FILE = paths.HOME / "compose.yaml"
NAME = "vcpu-ladder"
PASSWORD = "POSTGRES_PASSWORD"
# What a run starts itself; anything else of the project that is up stays up.
RUN_SERVICES = ("api", "mock", "k6")
BUILT = ("api", "mock")
_NOTHING: Mapping[str, str] = MappingProxyType({})
START_S = 60.0
OPEN_FILES = 65_536


def project_name(env: Mapping[str, str] = os.environ) -> str:
    """``COMPOSE_PROJECT_NAME``, as Compose itself reads it, or our default."""
    return env.get("COMPOSE_PROJECT_NAME") or NAME


def password(path: Path) -> str:
    """PostgreSQL's password from the project's ``.env``, generated on first use; the file has mode 600.

    Compose reads that file too, so ``docker compose ps`` works when typed in a shell.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        if line.startswith(f"{PASSWORD}=") and line != f"{PASSWORD}=":
            return line.partition("=")[2]
    new = secrets.token_urlsafe(24)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write("\n".join([*lines, f"{PASSWORD}={new}"]) + "\n")
    return new


@dataclass
class Project:
    """compose.yaml under one project name on one engine."""

    engine: Engine
    name: str = field(default_factory=project_name)
    ports: Ports = field(default_factory=Ports.from_env)
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = paths.HOME / ".env"
        try:
            self._password = password(path)
        except OSError as error:
            raise not_writable(path, error) from None

    def postgres_url(self, database: str = "postgres", place: str = "") -> str:
        """With password: as seen from this machine, or at ``place``, an address in the project's network."""
        place = place or f"127.0.0.1:{self.ports.postgres}"
        return f"postgresql://postgres:{self._password}@{place}/{database}"

    def split(self, budget: int) -> Cpus:
        """Split the CPUs of this machine, or of the virtual machine that the engine runs in."""
        if self.engine.on_this_kernel:
            return Cpus.split(budget)
        return Cpus.split(budget, tuple(range(int(self.engine.info["NCPU"]))))

    def observer_port(self, variable: str, default: str) -> str:
        return os.environ.get(variable) or default

    def share_cpus(self, cpus: Cpus, pinned: bool, budget: int) -> None:
        """The quota for the service, its CPUs if it is to be pinned, and the others for everything else."""
        self.variables |= {
            "API_CPUS": str(budget),
            "API_CPUSET": _list(cpus.service) if pinned else "",
            "OTHER_CPUSET": _list(cpus.others),
            "OPEN_FILES": str(self._open_files()),
        }

    def require_open_files(self, stage: ResolvedStage) -> None:
        """Raises EnvironmentNotReady if the stage's users need more open files than a container gets."""
        needed, there = open_files_needed(stage), self._open_files()
        if needed > there:
            raise EnvironmentNotReady(
                f"this load needs {needed} open files per process, and a container gets {there}",
                next_command=f"run with fewer users: USERS={max(1, there // 4)}",
            )

    def _open_files(self) -> int:
        """As many as the engine may grant: if it runs on this machine, our own hard limit applies to it."""
        return int(min(OPEN_FILES, open_files_allowed()[1])) if self.engine.on_this_kernel else OPEN_FILES

    def compose(
        self,
        *arguments: str,
        override: Path | None = None,
        timeout_s: float = COMPOSE_S,
        given: Mapping[str, str] = _NOTHING,
    ) -> str:
        """``docker compose ARGUMENTS`` with the project's variables and those given.

        Raises EnvironmentNotReady.
        """
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")}
        ports = {name: str(port) for name, port in self.ports.named().items()}
        ports["POSTGRES_PORT"] = str(self.ports.postgres)
        variables = {**inherited, **ports, PASSWORD: self._password, **self.variables, **given}
        files = [FILE] if override is None else [FILE, override]
        return self.engine.compose(self.name, files, arguments, variables, timeout_s)

    def containers(self, *services: str) -> list[Container]:
        found = containers(self.engine, self.name)
        return [one for one in found if not services or one.service in services]

    def config(self) -> dict[str, Any]:
        """compose.yaml as Compose understands it, every profile included."""
        found: dict[str, Any] = json.loads(self.compose("--profile", "*", "config", "--format", "json"))
        return found

    def image_of(self, service: str, config: Mapping[str, Any]) -> str:
        named: str | None = config["services"][service].get("image")
        return named or f"{self.name}-{service}"

    def base_of(self, service: str, config: Mapping[str, Any]) -> str:
        """The base image of a service's own image."""
        return str(config["services"][service]["build"]["args"]["PYTHON_IMAGE"])

    def build(self) -> None:
        """Build our two images; quick when nothing changed. Raises EnvironmentNotReady."""
        self.compose("build", "--quiet", *BUILT, timeout_s=BUILD_S)

    def fetch(self, services: Sequence[str], config: Mapping[str, Any]) -> None:
        """Pull missing images, including our base images: a build would not leave those on the engine, and
        the record names them. Raises EnvironmentNotReady naming the image that cannot be pulled.
        """
        wanted = {self.base_of(service, config): service for service in BUILT}
        wanted |= {self.image_of(service, config): service for service in services}
        for image, service in wanted.items():
            if self.engine.image(image) is not None:
                continue
            try:
                self.engine.pull(image)
            except EnvironmentNotReady as error:
                raise EnvironmentNotReady(
                    f"image {image} of {service} is not here and cannot be pulled",
                    error.evidence or error.what,
                    f"docker pull {image}",
                ) from None

    def start(
        self,
        *services: str,
        override: Path | None = None,
        timeout_s: float = START_S,
        given: Mapping[str, str] = _NOTHING,
    ) -> None:
        """Start services, wait until they are healthy. Raises EnvironmentNotReady with their last output."""
        waiting = ["--detach", "--wait", "--wait-timeout", f"{timeout_s:.0f}", "--no-deps", "--no-build"]
        try:
            self.compose("up", *waiting, *services, override=override, timeout_s=timeout_s + 30, given=given)
        except EnvironmentNotReady as error:
            last = [f"{one.service}: {one.logs('stderr', 8).strip()}" for one in self.containers(*services)]
            raise EnvironmentNotReady(
                f"{', '.join(services)} did not become healthy",
                "\n".join([error.evidence or error.what, *last]),
            ) from None

    def remove(self, *services: str) -> None:
        """Remove these services' containers at once, also those that an interrupted command was creating."""
        for _ in range(5):
            left = self.containers(*services)
            if not left:
                return
            for one in left:
                one.remove()

    def kept_up(self) -> set[str]:
        """The services that ``make up`` started, recognised by its Prometheus, which no run starts itself."""
        up = {one.service for one in self.containers()}
        return up if "prometheus" in up else set()

    def has_volume(self, name: str) -> bool:
        return self.engine.find_one(f"/volumes/{self.name}_{name}") is not None

    def drop_volume(self, name: str) -> bool:
        """Remove a volume; whether there was one. Raises EnvironmentNotReady if it is in use."""
        answer = self.engine.call("DELETE", f"/volumes/{self.name}_{name}")
        if answer.status_code not in (204, 404):
            raise EnvironmentNotReady(f"volume {self.name}_{name} cannot be removed: {answer.text.strip()}")
        return answer.status_code == 204

    def down(self) -> None:
        """Remove every container and the network of the project; the named volumes, with the data, stay."""
        self.remove(*RUN_SERVICES)
        self.compose("--profile", "*", "down", "--remove-orphans", "--timeout", "60")


def read_version(text: str) -> str | None:
    """The first version number in a program's output."""
    match = re.search(r"\d+\.\d+(\.\d+)?", text)
    return match[0] if match else None


def _list(cpus: Sequence[int]) -> str:
    return ",".join(map(str, cpus))
