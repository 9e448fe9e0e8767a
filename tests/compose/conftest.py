"""The real compose.yaml under a project name and ports of the tests' own, and what must be true around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.noise import noise_of_command
from vcpu_ladder import paths
from vcpu_ladder.environments.compose.container import Container, containers
from vcpu_ladder.environments.compose.engine import Engine
from vcpu_ladder.environments.host import free_port

PROJECT = "vcpu-ladder-test"
SHORT = ["--warmup", "1s", "--measure", "4s", "--users", "20"]
# What Compose and the runner read of a checkout.
CHECKOUT = (
    *("compose.yaml", ".dockerignore", "ladders", "k6", "postgres"),
    *("services", "vcpu_ladder", "prometheus", "grafana"),
)


@dataclass
class Stack:
    """The command line on this project, and the project as the engine sees it."""

    engine: Engine
    home: Path
    env: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "vcpu_ladder", *arguments]

    def run(
        self, *arguments: str, module: str = "vcpu_ladder", **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env={**self.env, **env},
            cwd=paths.HOME,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def start(self, *arguments: str, module: str = "vcpu_ladder", **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**self.env, **env},
            cwd=paths.HOME,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self, service: str | None = None, running: bool = False) -> list[Container]:
        return [
            one
            for one in containers(self.engine, PROJECT)
            if service in (None, one.service) and (not running or one.inspect()["State"]["Running"])
        ]

    def records(self, ladder: str = "main") -> list[dict[str, Any]]:
        results = Path(self.env["VCPU_LADDER_RESULTS"])
        found = [json.loads(path.read_text()) for path in results.glob(f"{ladder}/**/record.json")]
        return sorted(found, key=lambda record: record["started_at"])

    def noise_of(self, done: subprocess.CompletedProcess[str], ladder: str = "main") -> str:
        return noise_of_command(done.returncode, self.records(ladder), done.stderr)

    def with_home(self, home: Path) -> Stack:
        return Stack(self.engine, home, {**self.env, "VCPU_LADDER_HOME": str(home)})


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine.find()


@pytest.fixture
def stack(engine: Engine, tmp_path: Path) -> Iterator[Stack]:
    """Nothing of the project runs before, and nothing of it after: no container, no network."""
    ports = ("SERVICE_PORT", "UPSTREAM_PORT", "K6_API_PORT", "POSTGRES_PORT", "PROMETHEUS_PORT")
    env = {
        **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "SCALE")},
        **{name: str(free_port()) for name in ports},
        "ENVIRONMENT": "compose",
        "COMPOSE_PROJECT_NAME": PROJECT,
        "VCPU_LADDER_RESULTS": str(tmp_path / "results"),
        "NO_COLOR": "1",
    }
    assert not containers(engine, PROJECT), "containers of another test are there"
    one = Stack(engine, paths.HOME, env)
    yield one
    left = [container.service for container in one.up()]
    networks = [net["Name"] for net in engine.get("/networks") if net["Name"].startswith(PROJECT)]
    if left or networks:
        one.run("down")
    assert (left, networks) == ([], []), "a test left something of the project behind"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what Compose reads, to be broken."""
    home = tmp_path / "checkout"
    home.mkdir()
    for name in CHECKOUT:
        source = paths.HOME / name
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, home / name, ignore=skip) if source.is_dir() else shutil.copy(source, home)
    return home


@pytest.fixture(scope="session", autouse=True)
def stranger(engine: Engine) -> Iterator[None]:
    """A container and a volume that are somebody else's: they must outlive everything the project does."""
    name = f"stranger-to-{PROJECT}"
    create = ["docker", "run", "--detach", "--name", name, "--volume", f"{name}:/kept", "--network", "none"]
    image = "python:3.13-slim-trixie"
    subprocess.run([*create, image, "sleep", "3600"], check=True, capture_output=True)
    yield
    state = engine.get(f"/containers/{name}/json")["State"]
    volumes = [volume["Name"] for volume in engine.get("/volumes")["Volumes"]]
    subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)
    subprocess.run(["docker", "volume", "rm", name], check=True, capture_output=True)
    assert state["Running"], "a stranger's container was stopped"
    assert name in volumes, "a stranger's volume was removed"


@pytest.fixture(scope="session", autouse=True)
def no_data_left(engine: Engine) -> Iterator[None]:
    """The volumes of the test project go with the tests."""
    yield
    for volume in engine.get("/volumes")["Volumes"]:
        if volume["Name"].startswith(f"{PROJECT}_"):
            engine.call("DELETE", f"/volumes/{volume['Name']}")


def replace_in(path: Path, *pairs: Sequence[str]) -> None:
    text = path.read_text()
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)
